"""PYTHON functions for the tests of this folder; loaded by the run-time, not by pytest."""

from collections.abc import Generator

from edgeless_sim.model.event import CallReturn, CallReturnKind
from edgeless_sim.runtimes.base import Call, CallRaw
from edgeless_sim.runtimes.python import CallError, PythonFunction

Replying = Generator[Call | CallRaw, CallReturn, str]


class Relay(PythonFunction):
    """Hands everything on to "out"; an answer goes back."""

    service = "c(1)"

    def handle_cast(self, source: bytes, message: str) -> None:
        self.edgeless.cast("out", message)

    def handle_call(self, source: bytes, message: str) -> Replying:
        answer = yield self.edgeless.call("out", message)
        if answer.kind is CallReturnKind.ERR:
            raise CallError
        return f"{message} {answer.kind.name} {answer.payload}".strip()


class Echo(PythonFunction):
    """Answers what it is asked."""

    service = "c(1)"

    def handle_call(self, source: bytes, message: str) -> str | None:
        if message == "fail":
            raise CallError
        return None if message == "nothing" else f"heard {message}"
