"""A node: hosts the instances of functions and resources."""
