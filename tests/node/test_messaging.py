"""What EDGELESS's test guest does, on each engine that we offer (cases C036-C046, C048-C058)."""

from typing import Any

import pytest

from edgeless_sim.model.event import CallReturn, CallReturnKind, EventType
from edgeless_sim.node.telemetry import ExitStatus, TelemetryKind

TRACE = bytes(range(24))
ENGINES = ["wasm:messaging_test", "Messaging"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_life_is_told_in_order_and_each_hook_runs_once(play: Any, engine: str) -> None:
    async def story(rig: Any) -> None:
        node = rig.node()
        seen = rig.watch(node)
        pid = await rig.start(node, engine)
        await rig.after(1)
        assert [event.kind for event in seen] == [
            TelemetryKind.INSTANTIATE,
            TelemetryKind.LOG,
            TelemetryKind.INIT,
        ]
        seen.clear()
        await node.agent.stop_function(pid)
        await rig.after(1)
        kinds = [TelemetryKind.LOG, TelemetryKind.STOP, TelemetryKind.EXIT]
        assert [event.kind for event in seen] == kinds
        assert seen[-1].value == ExitStatus.OK
        assert {event.pid for event in seen} == {pid}

    play(story)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cast_is_received_logged_and_completed(play: Any, engine: str) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, engine, {"test": peer})
        await rig.after(1)
        seen = rig.watch(node)
        peer.cast(pid, "some_message")
        await rig.after(1)
        assert [(event.kind, event.tag[:5]) for event in seen] == [
            (TelemetryKind.TRANSFER, ""),
            (TelemetryKind.LOG, "info "),
            (TelemetryKind.COMPLETED, "CAST"),
        ]
        assert seen[0].value == 1_000_000
        assert peer.received == []

    play(story)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("message", "kind", "payload", "to_source"),
    [
        ("test_cast_raw_output", EventType.CAST, "cast_raw_output", True),
        ("test_call_raw_output", EventType.CALL, "call_raw_output", True),
        ("test_delayed_cast_output", EventType.CAST, "delayed_cast_output", False),
        ("test_cast_output", EventType.CAST, "cast_output", False),
        ("test_call_output", EventType.CALL, "call_output", False),
    ],
)
def test_what_is_sent_bears_the_metadata_of_what_is_handled(
    play: Any, engine: str, message: str, kind: EventType, payload: str, to_source: bool
) -> None:
    async def story(rig: Any) -> None:
        node, tester, successor = rig.node(), rig.peer(), rig.peer()
        pid = await rig.start(node, engine, {"test": successor})
        await rig.after(1)
        seen = rig.watch(node)
        tester.cast(pid, message, TRACE)
        await rig.after(1)
        receiver, other = (tester, successor) if to_source else (successor, tester)
        (event,) = receiver.received
        assert (event.kind, event.payload, event.source) == (kind, payload, pid.key)
        assert event.metadata == TRACE
        assert other.received == []
        kinds = [TelemetryKind.TRANSFER, TelemetryKind.COMPLETED]
        assert [event.kind for event in seen] == kinds

    play(story)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_delayed_cast_comes_not_before_its_time_and_the_handler_does_not_wait(
    play: Any, engine: str
) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, engine, {"test": peer})
        await rig.after(1)
        seen = rig.watch(node)
        peer.cast(pid, "test_delayed_cast_output")
        begun_ns = rig.scheduler.now_ns()
        await rig.after(0.05)
        assert [event.kind for event in seen][-1] == TelemetryKind.COMPLETED
        assert peer.received == []
        await rig.after(0.1)
        assert peer.payloads == ["delayed_cast_output"]
        assert peer.times_ns[0] - begun_ns >= 100_000_000

    play(story)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("message", "result"),
    [
        ("some_cast", CallReturn(CallReturnKind.NO_REPLY)),
        ("test_ret", CallReturn.reply("test_reply")),
        ("test_err", CallReturn(CallReturnKind.ERR)),
    ],
)
def test_a_call_returns_what_its_handler_returns(
    play: Any, engine: str, message: str, result: CallReturn
) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, engine, {"test": peer})
        await rig.after(1)
        seen = rig.watch(node)
        assert await peer.call(pid, message) == result
        assert [(event.kind, event.tag) for event in seen] == [
            (TelemetryKind.TRANSFER, ""),
            (TelemetryKind.COMPLETED, "CALL"),
        ]

    play(story)
