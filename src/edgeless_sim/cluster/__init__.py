"""The composition root: actors, transports and network, wired into a cluster."""
