"""For tests, ours and users': the pytest plugin, and checkers of what must always hold."""
