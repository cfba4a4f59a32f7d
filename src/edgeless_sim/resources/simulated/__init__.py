"""Twins of resource classes in virtual time: the same configuration, a world made of values."""
