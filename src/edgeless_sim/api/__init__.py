"""What the actors say to each other: services, messages, clients, codecs."""
