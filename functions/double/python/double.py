"""Casts twice the number it gets to ``result``."""

import re

from edgeless_sim import PythonFunction


class Double(PythonFunction):
    """What is not a number of 32 bits is dropped; results wrap around."""

    def handle_init(self, payload, state):
        """Begin."""
        self.edgeless.log("double: started")

    def handle_cast(self, source, message):
        """Take a number."""
        self.edgeless.log(f"double: cast with {message}")
        if re.fullmatch(r"[+-]?0*[0-9]{1,10}", message) and -(2**31) <= int(message) < 2**31:
            wrapped = (2 * int(message) + 2**31) % 2**32 - 2**31
            self.edgeless.cast("result", str(wrapped))

    def handle_stop(self):
        """End."""
        self.edgeless.log("double: stopped")
