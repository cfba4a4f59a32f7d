"""PYTHON functions for the tests of this folder; loaded by the run-time, not by pytest."""

from collections.abc import Generator

from edgeless_sim.model.event import CallReturn, CallReturnKind
from edgeless_sim.runtimes.base import Call, CallRaw
from edgeless_sim.runtimes.python import CallError, PythonFunction
from edgeless_sim.runtimes.python_function import Handling

#: A handler that calls somebody, and in the end returns nothing, or a reply.
Asking = Generator[Call | CallRaw, CallReturn, None]
Replying = Generator[Call | CallRaw, CallReturn, str]


class Messaging(PythonFunction):
    """What functions/messaging_test does, on another engine."""

    def handle_init(self, payload: str | None, state: str | None) -> None:
        self.edgeless.log("started")

    def handle_cast(self, source: bytes, message: str) -> Handling:
        if message == "test_cast_raw_output":
            self.edgeless.cast_raw(source, "cast_raw_output")
        elif message == "test_call_raw_output":
            return self._asks(source)
        elif message == "test_delayed_cast_output":
            self.edgeless.delayed_cast(100, "test", "delayed_cast_output")
        elif message == "test_cast_output":
            self.edgeless.cast("test", "cast_output")
        elif message == "test_call_output":
            return self._asks(None)
        else:
            self.edgeless.log("not a test")
        return None

    def _asks(self, source: bytes | None) -> Asking:
        if source is None:
            yield self.edgeless.call("test", "call_output")
        else:
            yield self.edgeless.call_raw(source, "call_raw_output")

    def handle_call(self, source: bytes, message: str) -> str | None:
        if message == "test_err":
            raise CallError
        return "test_reply" if message == "test_ret" else None

    def handle_stop(self) -> None:
        self.edgeless.log("stopped")


class Relay(PythonFunction):
    """Hands everything on to "out"; an answer goes back."""

    service = "c(1)"

    def handle_cast(self, source: bytes, message: str) -> None:
        self.edgeless.cast("out", message)

    def handle_call(self, source: bytes, message: str) -> Replying:
        answer = yield self.edgeless.call("out", message)
        if answer.kind is CallReturnKind.ERR:
            raise CallError
        return answer.payload


class Asker(PythonFunction):
    """Calls "out" with each cast, and tells "log" how that ended; stops with a word to "log"."""

    service = "c(1)"

    def handle_cast(self, source: bytes, message: str) -> Asking:
        answer = yield self.edgeless.call("out", message)
        self.edgeless.cast("log", f"{message}: {answer.kind.name} {answer.payload}".strip())

    def handle_stop(self) -> None:
        self.edgeless.cast("log", "stopped")


class Stubborn(PythonFunction):
    """Asks until somebody answers."""

    def handle_cast(self, source: bytes, message: str) -> Asking:
        while True:
            answer = yield self.edgeless.call("out", message)
            if answer.kind is CallReturnKind.REPLY:
                return


class Slow(PythonFunction):
    """Takes 10 s for everything."""

    service = "c(10000)"

    def handle_call(self, source: bytes, message: str) -> str:
        return message


class Patient(Relay):
    """Takes half a second for everything."""

    service = "c(500)"


class Fragile(PythonFunction):
    """Fails at "fail"; in init, if that is its payload. Other casts go to "out"."""

    service = "c(1)"

    def handle_init(self, payload: str | None, state: str | None) -> None:
        if payload == "fail":
            raise ValueError("told to fail")
        if payload == "tick":
            self.edgeless.delayed_cast(5000, "out", "tick")

    def handle_cast(self, source: bytes, message: str) -> None:
        if message == "fail":
            raise ValueError("told to fail")
        self.edgeless.cast("out", message)

    def handle_call(self, source: bytes, message: str) -> str:
        if message == "fail":
            raise ValueError("told to fail")
        return message


class Early(PythonFunction):
    """Sends before anybody sent it anything."""

    def handle_init(self, payload: str | None, state: str | None) -> Asking:
        for number in range(int(payload or "1")):
            self.edgeless.cast("out", f"early {number}")
        self.edgeless.cast("other", "other")
        answer = yield self.edgeless.call("out", "early call")
        self.edgeless.cast("log", answer.kind.name)


class Timers(PythonFunction):
    """Delays as many casts to itself as the message says; tells "out" of each that comes."""

    def handle_cast(self, source: bytes, message: str) -> None:
        if message == "due":
            self.edgeless.cast("out", "due")
        else:
            for _ in range(int(message)):
                self.edgeless.delayed_cast(1000, "self", "due")

    def handle_stop(self) -> None:
        self.edgeless.delayed_cast(0, "out", "too late")


class Chatty(PythonFunction):
    """Writes as many lines as the message says."""

    def handle_cast(self, source: bytes, message: str) -> None:
        for number in range(int(message)):
            self.edgeless.log(f"line {number}")


class Keeper(PythonFunction):
    """Tells its state to "out" at the beginning, and keeps what it is sent."""

    def handle_init(self, payload: str | None, state: str | None) -> None:
        self.edgeless.cast("out", "no state" if state is None else f"state {state}")

    def handle_cast(self, source: bytes, message: str) -> None:
        self.edgeless.sync(message)


class Wanderer(PythonFunction):
    """Sends what it gets on, by the route that the message asks for: casts, calls, delays."""

    service = "c(1)"

    def handle_cast(self, source: bytes, message: str) -> Asking:
        return self._moved(message)

    def handle_call(self, source: bytes, message: str) -> Replying:
        yield from self._moved(message)
        return message

    def _moved(self, message: str) -> Asking:
        step, _, rest = message.partition(" ")
        way, channel = step[:1], step[1:]
        if way == "c":
            self.edgeless.cast(channel, rest)
        elif way == "d":
            self.edgeless.delayed_cast(7, channel, rest)
        elif way == "r":
            yield self.edgeless.call(channel, rest)
        elif way == "x":
            raise ValueError("told to fail")


class Ledger(PythonFunction):
    """Keeps all that it gets as its state; tells "out" with what it begins, and that it stops."""

    service = "c(1)"

    def handle_init(self, payload: str | None, state: str | None) -> None:
        self.entries = state.split(",") if state else []
        self.edgeless.cast("out", f"begins with {state}")

    def handle_cast(self, source: bytes, message: str) -> None:
        self._enter(message)

    def handle_call(self, source: bytes, message: str) -> str:
        self._enter(message)
        return f"{len(self.entries)}"

    def handle_stop(self) -> None:
        self.edgeless.cast("out", "stops")

    def _enter(self, message: str) -> None:
        self.entries.append(message)
        self.edgeless.sync(",".join(self.entries))


class Endless(PythonFunction):
    """Its stop hook waits for an answer that nobody gives."""

    def handle_stop(self) -> Asking:
        yield self.edgeless.call("mute", "well?")
