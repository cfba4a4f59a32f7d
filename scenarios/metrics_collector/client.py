"""What measures itself: a client that begins transactions, as those of EDGELESS's benchmark do."""

from edgeless_sim import PythonFunction


class Client(PythonFunction):
    """A transaction of the workflow is a round through ``worker``; one of its own, a call."""

    #: One event takes a millisecond.
    service = "c(1)"

    def __init__(self):
        self.begun = 0

    def handle_cast(self, _source, message):
        """``go`` begins a round; its number, which the worker sends back, ends it."""
        if message != "go":
            self.edgeless.cast("metric", f"workflow:end:{message}")
            return
        number = self.begun
        self.begun += 1
        self.edgeless.cast("metric", f"workflow:begin:{number}")
        self.edgeless.cast("metric", f"function:begin:{number}")
        yield self.edgeless.call("oracle", "may I?")
        self.edgeless.cast("metric", f"function:end:{number}")
        self.edgeless.cast("worker", str(number))
