"""Casts the number it gets plus one to ``result``."""

import re

from edgeless_sim import PythonFunction


class Incr(PythonFunction):
    """What is not a number of 32 bits is dropped; results wrap around."""

    def handle_init(self, payload, state):
        """Begin."""
        self.edgeless.log("incr: started")

    def handle_cast(self, source, message):
        """Take a number."""
        self.edgeless.log(f"incr: cast with {message}")
        if re.fullmatch(r"[+-]?0*[0-9]{1,10}", message) and -(2**31) <= int(message) < 2**31:
            wrapped = (int(message) + 1 + 2**31) % 2**32 - 2**31
            self.edgeless.cast("result", str(wrapped))

    def handle_stop(self):
        """End."""
        self.edgeless.log("incr: stopped")
