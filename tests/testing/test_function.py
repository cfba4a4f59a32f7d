"""One Python function by itself: what it does, asks and answers, in an ordinary test."""

import pytest

from edgeless_sim import CallError, PythonFunction
from edgeless_sim.errors import BadCodeError, TrapError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, CallReturnKind
from edgeless_sim.runtimes.base import (
    Call,
    CallRaw,
    Cast,
    CastRaw,
    DelayedCast,
    Log,
    LogLevel,
    Sync,
)
from edgeless_sim.testing.function import FunctionAlone


class Clerk(PythonFunction):
    """Counts, asks, and remembers."""

    def handle_init(self, payload: str | None, state: str | None) -> None:
        self.seen = int(state or 0)
        self.edgeless.log(f"begun with {payload}")

    async def handle_cast(self, source: bytes, message: str) -> None:
        self.seen += 1
        self.edgeless.sync(str(self.seen))
        answer = await self.edgeless.call("oracle", message)
        if answer.kind == CallReturnKind.REPLY:
            self.edgeless.cast("result", answer.payload)
        else:
            self.edgeless.delayed_cast(500, "self", message)

    def handle_call(self, source: bytes, message: str) -> str | None:
        if message == "err":
            raise CallError
        self.edgeless.cast_raw(source, "called")
        return f"{self.seen}" if message == "seen" else None

    def handle_stop(self) -> None:
        self.edgeless.log("stopped", "debug")


class Careless(PythonFunction):
    """Does what must not be done."""

    def handle_cast(self, source: bytes, message: str) -> None:
        raise ValueError(message)

    async def handle_call(self, source: bytes, message: str) -> str:
        while True:
            await self.edgeless.call_raw(source, message)


class Impossible(PythonFunction):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("not today")


def test_it_is_initialised_with_its_payload_and_its_state() -> None:
    function = FunctionAlone(Clerk, init="x=1", state="41")
    assert function.outputs == [Log(LogLevel.INFO, "Clerk", "begun with x=1")]
    assert function.call("seen") == CallReturn.reply("41")


def test_a_cast_returns_what_it_did_and_its_calls_are_answered() -> None:
    function = FunctionAlone(Clerk, answers={"oracle": "42"})
    assert function.cast("why") == [Sync("1"), Cast("result", "42")]
    assert function.calls == [Call("oracle", "why")]
    function.answers = {"oracle": NO_REPLY}
    assert function.cast("again") == [Sync("2"), DelayedCast(500, "self", "again")]


def test_who_has_no_answer_is_an_error() -> None:
    assert FunctionAlone(Clerk).cast("x")[-1] == DelayedCast(500, "self", "x")


def test_each_way_to_answer_a_call() -> None:
    function = FunctionAlone(Clerk)
    assert function.call("seen", source=bytes(32)) == CallReturn.reply("0")
    assert function.outputs[-1] == CastRaw(bytes(32), "called")
    assert function.call("nothing") == NO_REPLY
    assert function.outputs[-1] == CastRaw(function.somebody, "called")
    assert function.call("err") == ERR


def test_a_stop_returns_what_was_done() -> None:
    assert FunctionAlone(Clerk).stop() == [Log(LogLevel.DEBUG, "Clerk", "stopped")]


def test_a_fault_says_where_it_is() -> None:
    with pytest.raises(TrapError, match=r"ValueError: oh at test_function\.py:\d+"):
        FunctionAlone(Careless).cast("oh")


def test_calls_without_end_are_ended() -> None:
    function = FunctionAlone(Careless)
    with pytest.raises(TrapError, match="more than 1000 calls"):
        function.call("loop")
    assert function.calls[0] == CallRaw(function.somebody, "loop")


def test_a_class_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(BadCodeError, match="not today"):
        FunctionAlone(Impossible)


def test_the_same_seed_throws_the_same_dice() -> None:
    class Dicer(PythonFunction):
        def handle_call(self, source: bytes, message: str) -> str:
            return str(self.dice.random())

    one, other, third = (FunctionAlone(Dicer, seed=seed).call("") for seed in (1, 1, 2))
    assert one == other != third
