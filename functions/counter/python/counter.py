"""Casts 1, 2, 3, ... to ``output``, one a second."""

import re

from edgeless_sim import PythonFunction

PERIOD_MS = 1000


class Counter(PythonFunction):
    """The last number is its state; without one it begins at the init-payload, or at 0."""

    def handle_init(self, payload, state):
        """Begin at the first of the candidates that is a number."""
        first = next(text for text in (state, payload, "0") if number_of(text) is not None)
        self.edgeless.cast("self", first)

    def handle_cast(self, source, message):
        """Count one on."""
        number = number_of(message)
        if number is None:
            self.edgeless.log(f"counter: not a number: {message}", "error")
            return
        text = str((number + 1 + 2**31) % 2**32 - 2**31)
        self.edgeless.sync(text)
        self.edgeless.cast("output", text)
        self.edgeless.delayed_cast(PERIOD_MS, "self", text)


def number_of(text):
    """Return the number of 32 bits in *text*, or None."""
    if text is None or not re.fullmatch(r"[+-]?0*[0-9]{1,10}", text):
        return None
    return int(text) if -(2**31) <= int(text) < 2**31 else None
