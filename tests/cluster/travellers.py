"""PYTHON functions for the tests of migration; loaded by the run-time, not by pytest."""

from edgeless_sim.runtimes.python import PythonFunction


class Counter(PythonFunction):
    """Counts what it gets, keeps the count, and tells "out" what it got and how many that were."""

    service = "c(0.3)"

    def handle_init(self, payload: str | None, state: str | None) -> None:
        self.count = int(state or 0)
        self.step = payload or "sync"

    def handle_cast(self, source: bytes, message: str) -> None:
        self._counted(message)

    def handle_call(self, source: bytes, message: str) -> str:
        return str(self._counted(message))

    def handle_stop(self) -> None:
        self.edgeless.sync(str(self.count))

    def _counted(self, message: str) -> int:
        self.count += 1
        if self.step == "sync":
            self.edgeless.sync(str(self.count))
        self.edgeless.cast("out", f"{message} {self.count}")
        return self.count


class Ticker(PythonFunction):
    """Sends a number to "out" every so many ms, so often; payload "2 500" means 2 ms, 500 times."""

    service = "c(0.01)"

    def handle_init(self, payload: str | None, state: str | None) -> None:
        self.pause_ms, self.left = (int(word) for word in (payload or "2 100000").split())
        self.number = 0
        self.edgeless.delayed_cast(self.pause_ms, "self", "tick")

    def handle_cast(self, source: bytes, message: str) -> None:
        if message == "stop":
            self.left = 0
        if self.left:
            self.left -= 1
            self.number += 1
            self.edgeless.cast("out", str(self.number))
            self.edgeless.delayed_cast(self.pause_ms, "self", "tick")


class Asker(PythonFunction):
    """As `Ticker`, with calls one after the other; tells "log" each answer."""

    service = "c(0.01)"

    def handle_init(self, payload: str | None, state: str | None) -> None:
        self.pause_ms, self.left = (int(word) for word in (payload or "1 100000").split())
        self.number = 0
        self.edgeless.delayed_cast(self.pause_ms, "self", "ask")

    async def handle_cast(self, source: bytes, message: str) -> None:
        if message == "stop":
            self.left = 0
        if not self.left:
            return
        self.left -= 1
        self.number += 1
        answer = await self.edgeless.call("out", str(self.number))
        self.edgeless.cast("log", f"{self.number} {answer.kind.name} {answer.payload}")
        self.edgeless.delayed_cast(self.pause_ms, "self", "ask")


class Slow(PythonFunction):
    """Takes longer than a migration waits."""

    service = "c(1500)"

    def handle_call(self, source: bytes, message: str) -> str:
        return message
