"""Where EDGELESS meets the world: resource providers, and the files that some of them write."""
