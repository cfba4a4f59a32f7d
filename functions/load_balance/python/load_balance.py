"""Casts messages to ``out1``, ``out2``, ... in turn, to be put in front of equal functions."""

import re

from edgeless_sim import CallError, PythonFunction


class LoadBalance(PythonFunction):
    """The second output is the first one to get something. init-payload: ``num_outputs=N``."""

    def handle_init(self, payload, state):
        """Begin; without outputs, everything is dropped."""
        pairs = [pair.split("=") for pair in (payload or "").split(",") if "=" in pair]
        text = {pair[0]: pair[1] for pair in pairs}.get("num_outputs", "")
        self.outputs = int(text) if re.fullmatch(r"[0-9]{1,19}", text) else 0
        self.last = 0

    def handle_cast(self, source, message):
        """Hand it on."""
        if self.outputs > 0:
            self.last = (self.last + 1) % self.outputs
            self.edgeless.cast(f"out{self.last + 1}", message)

    def handle_call(self, source, message):
        """Refuse it: there is nobody to answer."""
        raise CallError
