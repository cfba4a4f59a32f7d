"""The PYTHON functions of the built-in world: loaded by the run-time, not imported."""

from edgeless_sim import CallReturnKind, PythonFunction
from edgeless_sim.runtimes.python_function import Replying


class Caller(PythonFunction):
    """Asks whoever is behind ``ask`` for each cast, and casts what comes of it."""

    service = "c(1)"

    async def handle_cast(self, _source: bytes, message: str) -> None:
        """See `Caller`."""
        answer = await self.edgeless.call("ask", message)
        if answer.kind == CallReturnKind.REPLY:
            self.edgeless.cast("out", answer.payload)
        else:
            self.edgeless.log("no answer", "warn")


class Fragile(PythonFunction):
    """Answers; traps at ``trap``; counts, and says its count four seconds later."""

    service = "c(2)"

    def __init__(self) -> None:
        self.count = 0

    def handle_cast(self, _source: bytes, message: str) -> None:
        """See `Fragile`."""
        self._count(message)

    def handle_call(self, _source: bytes, message: str) -> Replying:
        """See `Fragile`."""
        self._count(message)
        return str(self.count)

    def _count(self, message: str) -> None:
        if message == "trap":
            raise RuntimeError("told to")
        self.count += 1
        self.edgeless.sync(str(self.count))
        self.edgeless.delayed_cast(4_000, "out", str(self.count))
