"""Calls end, once, by the right answer (C060, I25, I26, I27, U11, U12)."""

from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.dataplane.correlation import PendingCalls
from edgeless_sim.dataplane.handle import CALLS_MAX
from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId

TRACE = bytes(range(24))
THIRD = InstanceId(NodeId(UUID(int=0xFFFF)), FunctionId(UUID(int=1)))
RET, NO_RET, FAILED = (int(kind) for kind in EventType if kind >= EventType.CALL_RET)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("result", [NO_REPLY, ERR, CallReturn.reply("\u20ac")])
def test_a_call_returns_what_the_called_one_answers(
    play: Any, place: int, result: CallReturn
) -> None:
    async def story(wire: Any) -> None:
        caller, called = wire.end(0), wire.end(place)
        called.reply = result
        wire.wire(caller, out=called)
        caller.call("out", "Test")
        await wire.after(1)
        (event,) = called.received
        assert (event.kind, event.payload, event.source) == (0, "Test", caller.key)
        assert event.metadata == TRACE
        assert caller.answers == [result]
        assert len(caller.plane.calls) == 0
        assert wire.scheduler.foreground_pending() == 0

    play(story)


@pytest.mark.parametrize(
    "spoil",
    [
        {"source": THIRD.key},
        {"target": THIRD.key},
        {"stream": 1},
        {"kind": int(EventType.CAST)},
        {"kind": int(EventType.CALL)},
        {"kind": 77},
    ],
    ids=lambda spoil: "-".join(spoil),
)
def test_a_forged_return_is_not_taken(play: Any, spoil: dict[str, Any]) -> None:
    async def story(wire: Any) -> None:
        caller, called = wire.end(0), wire.end(1)
        wire.wire(caller, out=called)
        caller.call("out", "m")
        await wire.after(1)
        call = called.received[0]
        fields = {
            "kind": RET,
            "target": caller.key,
            "source": called.key,
            "stream": call.stream,
            "payload": "forged",
            "created_ns": 0,
            "metadata": bytes(24),
            "serial": 99,
        }
        wire.inject(Event(**(fields | spoil)))
        await wire.after(1)
        assert caller.answers == []
        called.plane.answer(call, CallReturn.reply("true"))
        await wire.after(1)
        assert caller.answers == [CallReturn.reply("true")]

    play(story)


def test_a_return_is_taken_once(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, called = wire.end(0), wire.end(1)
        wire.wire(caller, out=called)
        caller.call("out", "m")
        await wire.after(1)
        for payload in ("first", "second"):
            called.plane.answer(called.received[0], CallReturn.reply(payload))
        await wire.after(1)
        assert caller.answers == [CallReturn.reply("first")]
        assert caller.plane.counters == {"a return that nobody waits for": 1}

    play(story)


def test_numbers_of_calls_cannot_be_guessed(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, called = wire.end(0), wire.end(1)
        wire.wire(caller, out=called)
        for _ in range(10):
            caller.call("out", "m")
        await wire.after(1)
        streams = [event.stream for event in called.received]
        assert len(set(streams)) == 10
        assert min(streams) > 2**40
        gaps = {b - a for a, b in pairwise(streams)}
        assert len(gaps) == 9

    play(story)


@pytest.mark.parametrize("place", [0, 1])
def test_crossed_calls_both_end_and_no_event_changes_its_kind(play: Any, place: int) -> None:
    async def story(wire: Any) -> None:
        first, second = wire.end(0), wire.end(place)
        wire.wire(first, out=second)
        wire.wire(second, out=first)
        first.reply, second.reply = CallReturn.reply("of first"), CallReturn.reply("of second")
        first.call("out", "to second")
        second.call("out", "to first")
        await wire.after(1)
        assert (first.payloads, second.payloads) == (["to first"], ["to second"])
        assert first.answers == [CallReturn.reply("of second")]
        assert second.answers == [CallReturn.reply("of first")]

    play(story)


def test_calls_that_cannot_be_made_get_err_at_once_but_not_within_the_call(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, called = wire.end(0), wire.end(0)
        wire.wire(caller, out=called)
        missing = InstanceId(called.instance.node_id, FunctionId(UUID(int=1)))
        caller.call("unmapped", "m")
        caller.call("self", "m")
        for target in (THIRD.key, missing.key, caller.key):
            caller.handle.call_raw_nowait(target, "m", caller.answers.append)
        assert caller.answers == []
        await wire.after(0)
        assert caller.answers == [ERR] * 5
        assert caller.plane.counters == {
            "call to an unmapped channel": 1,
            "call to oneself": 2,
            "raw call to an unknown node": 1,
            "no such instance": 1,
        }
        assert len(caller.plane.calls) == 0

    play(story)


def test_a_call_to_an_instance_that_has_gone_gets_err_from_its_node(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, called = wire.end(0), wire.end(1)
        wire.wire(caller, out=called)
        called.handle.detach()
        caller.call("out", "m")
        await wire.after(0.0021)
        assert caller.answers == [ERR]

    play(story)


def test_a_call_that_nobody_answers_ends_by_its_deadline(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, mute = wire.end(0), wire.end(1)
        wire.wire(caller, out=mute)
        caller.call("out", "1")
        await wire.after(10)
        caller.call("out", "2")
        await wire.after(19.9)
        assert caller.answers == []
        await wire.after(0.2)
        assert caller.answers == [ERR]
        await wire.after(10)
        assert caller.answers == [ERR, ERR]
        assert caller.plane.calls.timeouts == 2
        mute.plane.answer(mute.received[0], CallReturn.reply("too late"))
        await wire.after(1)
        assert caller.answers == [ERR, ERR]
        assert caller.plane.counters == {"a return that nobody waits for": 1}

    play(story)


def test_an_instance_has_at_most_16_open_calls(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, mute = wire.end(0), wire.end(1)
        wire.wire(caller, out=mute)
        streams = [caller.call("out", "m") for _ in range(CALLS_MAX + 1)]
        assert streams[-1] == 0
        await wire.after(1)
        assert caller.answers == [ERR]
        assert len(mute.received) == CALLS_MAX == 16
        assert caller.plane.counters == {"too many open calls": 1}
        caller.handle.abort(streams[0])
        caller.handle.abort(streams[0])
        caller.call("out", "again")
        await wire.after(1)
        assert caller.answers == [ERR, ERR]
        assert len(mute.received) == 17

    play(story)


def test_nobody_ends_the_calls_of_another(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, other, mute = wire.end(0), wire.end(0), wire.end(1)
        wire.wire(caller, out=mute)
        stream = caller.call("out", "m")
        other.handle.abort(stream)
        other.handle.detach()
        await wire.after(1)
        assert caller.answers == []
        assert len(caller.plane.calls) == 1

    play(story)


def test_an_instance_that_goes_gets_no_answers_and_leaves_no_calls(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, mute = wire.end(0), wire.end(1)
        wire.wire(caller, out=mute)
        caller.call("out", "m")
        await wire.after(1)
        caller.handle.detach()
        mute.plane.answer(mute.received[0], NO_REPLY)
        await wire.after(60)
        assert caller.answers == []
        assert len(caller.plane.calls) == 0
        assert wire.scheduler.foreground_pending() == 0

    play(story)


def test_deadlines_of_calls_that_returned_do_not_pile_up() -> None:
    scheduler = TimerQueue()
    calls = PendingCalls(scheduler, lambda: Random(1))
    answers: list[CallReturn] = []
    calls.open(b"c", b"t", answers.append)
    for _ in range(5000):
        calls.abort(calls.open(b"c", b"t", answers.append))
    assert len(calls) == 1
    assert len(answers) == 5000
    assert len(calls._deadlines) < 1100
