"""Replies ``PONG`` to every call."""

from edgeless_sim import PythonFunction


class Pong(PythonFunction):
    """The other side of ``ping``."""

    def handle_init(self, payload, state):
        """Begin."""
        self.edgeless.log("pong: started")

    def handle_cast(self, source, message):
        """Tell the log only."""
        self.edgeless.log(f"pong: cast with {message}")

    def handle_call(self, source, message):
        """Reply."""
        self.edgeless.log(f"pong: called with {message}")
        return "PONG"

    def handle_stop(self):
        """End."""
        self.edgeless.log("pong: stopped")
