"""A function in Python beside compiled ones: the running mean of the numbers that it gets."""

from edgeless_sim import CallReturnKind, PythonFunction


class Average(PythonFunction):
    """Casts the mean to ``output``; asks ``oracle`` before each third one."""

    #: One event takes between 1 and 3 ms.
    service = "u(1;3)"

    def __init__(self) -> None:
        self.count = 0
        self.total = 0

    def handle_cast(self, _source, message):
        """Take a number. A handler that calls somebody is a generator."""
        self.count += 1
        self.total += int(message)
        if self.count % 3 == 0:
            answer = yield self.edgeless.call("oracle", f"may I pass {self.count}?")
            if answer.kind == CallReturnKind.REPLY:
                self.edgeless.log(f"the oracle says {answer.payload}")
        self.edgeless.cast("output", f"{self.total / self.count:g}")
