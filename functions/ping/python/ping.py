"""Calls ``ponger`` with ``PING-0``, ``PING-1``, ... once a second."""

import re

from edgeless_sim import CallReturnKind, PythonFunction

PERIOD_MS = 1000


class Ping(PythonFunction):
    """The count is its state, as ``{"count":N}``; one that it did not write counts from zero."""

    def handle_init(self, payload, state):
        """Begin."""
        self.edgeless.log("ping: started")
        stored = re.fullmatch(r'\{"count":([0-9]{1,19})\}', state or "")
        self.count = int(stored[1]) if stored else 0
        self.edgeless.cast("self", "wakeup")

    def handle_cast(self, source, message):
        """Ping. What calls somebody is a generator."""
        self.edgeless.log(f"ping: cast with {message}")
        if message != "wakeup":
            return
        number = self.count
        self.count += 1
        self.edgeless.sync(f'{{"count":{self.count}}}')
        answer = yield self.edgeless.call("ponger", f"PING-{number}")
        if answer.kind == CallReturnKind.REPLY:
            self.edgeless.log(f"ping: answered {answer.payload}")
        self.edgeless.delayed_cast(PERIOD_MS, "self", "wakeup")

    def handle_call(self, source, message):
        """Give no reply."""
        self.edgeless.log(f"ping: called with {message}")

    def handle_stop(self):
        """End."""
        self.edgeless.log("ping: stopped")
