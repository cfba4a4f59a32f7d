"""Queue, order, stop and crash of one instance (D28, D29, I21, I25, I28, I29, I38-I40, U15)."""

from typing import Any

import pytest

from edgeless_sim.model.event import ERR, NO_REPLY
from edgeless_sim.node.function import QUEUE_EVENTS_MAX
from edgeless_sim.node.telemetry import ExitStatus, TelemetryKind

HALF_MIB = "x" * (1 << 19)
WIDE_256_KIB = "\u20ac" * (1 << 18)  # Three bytes each: 768 KiB.


def test_events_are_handled_one_at_a_time_in_the_order_of_arrival(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(cores=4), rig.peer()
        pid = await rig.start(node, "Relay", {"out": peer})
        for number in range(5):
            peer.cast(pid, str(number))
        await rig.after(1)
        assert peer.payloads == ["0", "1", "2", "3", "4"]
        gaps = [b - a for a, b in zip(peer.times_ns, peer.times_ns[1:], strict=False)]
        assert gaps == [1_000_000] * 4

    play(story)


def test_a_call_in_a_handler_blocks_that_instance_only(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, mute, log = rig.node(), rig.peer(reply=None), rig.peer()
        asker = await rig.start(node, "Asker", {"out": mute, "log": log})
        relay = await rig.start(node, "Relay", {"out": log})
        log.cast(asker, "first")
        log.cast(asker, "second")
        await rig.after(1)
        log.cast(relay, "from the other")
        await rig.after(1)
        assert mute.payloads == ["first"]
        assert log.payloads == ["from the other"]

    play(story)


def test_init_runs_before_any_event_and_the_stop_hook_after_all(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Asker", {"out": peer, "log": peer})
        for _ in range(3):
            peer.cast(pid, "m")
        await rig.after(1)
        await node.agent.stop_function(pid)
        await rig.after(1)
        own = rig.told("start")[0][0]
        assert [r[2] for r in rig.told("begin") if r[1] == own] == [0, 1, 1, 1, 3]
        assert peer.payloads[-1] == "stopped"

    play(story)


@pytest.mark.parametrize(
    ("payload", "fitting"), [("m", QUEUE_EVENTS_MAX), (HALF_MIB, 32), (WIDE_256_KIB, 21)]
)
def test_a_full_queue_drops_the_newest_and_says_so(play: Any, payload: str, fitting: int) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Slow")
        await rig.after(11)
        peer.cast(pid, "keeps it busy")
        await rig.after(1)
        for _ in range(fitting + 3):
            peer.cast(pid, payload)
        await rig.after(1)
        assert node.plane.counters["queue full"] == 3
        sent = [record[0] for record in rig.told("send")]
        assert [record[0] for record in rig.told("drop")] == sent[-3:]
        assert await peer.call(pid, payload) == ERR
        await node.agent.stop_function(pid)
        await rig.after(3)

    play(story)


def test_the_queue_gives_back_the_room_of_what_was_handled(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Relay", {"out": peer})
        for _ in range(3):
            for _ in range(21):
                peer.cast(pid, WIDE_256_KIB)
            await rig.after(1)
        assert len(peer.received) == 63
        assert node.plane.counters["queue full"] == 0

    play(story)


def test_a_stop_refuses_what_waits_and_callers_get_err_at_once(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Slow")
        await rig.after(11)
        peer.cast(pid, "keeps it busy")
        reply = peer.call(pid, "waits")
        await rig.after(0.1)
        await node.agent.stop_function(pid)
        asked_ns = rig.scheduler.now_ns()
        assert await reply == ERR
        assert rig.scheduler.now_ns() - asked_ns == 1_000_000
        assert await peer.call(pid, "too late") == ERR
        await rig.after(3)
        assert node.plane.counters["the instance was stopped"] == 3

    play(story)


def test_an_event_that_was_about_to_be_handled_when_the_stop_came_is_dropped(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        blocker = await rig.start(node, "c(500)")
        pid = await rig.start(node, "Asker", {"log": peer})
        await rig.after(1)
        peer.cast(blocker, "takes the only core")
        peer.cast(pid, "waits for the core")
        await rig.after(0.1)
        await node.agent.stop_function(pid)
        await rig.after(1)
        assert peer.payloads == ["stopped"]
        assert node.plane.counters["the instance was stopped"] == 1

    play(story)


def test_a_stop_during_a_call_gives_the_guest_err_and_then_runs_the_stop_hook(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, mute, log = rig.node(), rig.peer(reply=None), rig.peer()
        pid = await rig.start(node, "Asker", {"out": mute, "log": log})
        log.cast(pid, "m")
        await rig.after(1)
        await node.agent.stop_function(pid)
        await rig.after(0.1)
        assert log.payloads == ["m: ERR", "stopped"]
        assert len(node.plane.calls) == 0
        assert node.agent.functions == {}

    play(story)


def test_a_stop_that_takes_too_long_ends_without_the_hook(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Slow")
        await rig.after(11)
        seen = rig.watch(node)
        reply = peer.call(pid, "m")
        await rig.after(1)
        await node.agent.stop_function(pid)
        await rig.after(1.9)
        assert pid in node.agent.functions
        assert not reply.done()
        await rig.after(0.2)
        assert reply.result() == ERR
        assert node.agent.functions == {}
        assert rig.told("stop") == [(rig.told("start")[0][0], "stop took too long")]
        assert (seen[-1].kind, seen[-1].value) == (TelemetryKind.EXIT, ExitStatus.INTERNAL_ERROR)
        await rig.after(20)
        assert [r[2] for r in rig.told("begin")] == [0, 2]

    play(story)


def test_a_guest_that_calls_again_and_again_cannot_stop_the_stop(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, mute = rig.node(), rig.peer(reply=None)
        pid = await rig.start(node, "Stubborn", {"out": mute})
        mute.cast(pid, "m")
        await rig.after(1)
        await node.agent.stop_function(pid)
        await rig.after(0.1)
        assert node.agent.functions == {}
        assert mute.payloads == ["m"]

    play(story)


def test_a_crash_explains_what_was_in_hand_and_what_waited(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, mute, peer = rig.node(), rig.peer(reply=None), rig.peer()
        slow = await rig.start(node, "Slow")
        asker = await rig.start(node, "Asker", {"out": mute})
        await rig.after(21)
        for pid in (slow, asker):
            peer.cast(pid, "in hand")
            peer.cast(pid, "waits")
        await rig.after(1)
        rig.crash(node)
        causes = [record[2] for record in rig.told("drop")]
        assert causes == ["node crashed"] * 4
        assert len(node.plane.calls) == 0
        assert node.plane.local == {}
        await rig.after(40)
        assert rig.checker.unexplained() == []
        assert rig.told("stop") == []

    play(story)


def test_delayed_casts_end_with_the_instance(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Timers", {"out": peer})
        peer.cast(pid, "3")
        await rig.after(0.5)
        await node.agent.stop_function(pid)
        await rig.after(5)
        assert peer.received == []
        assert node.plane.counters["delayed cast cancelled"] == 4

    play(story)


def test_an_instance_has_at_most_1024_delayed_casts(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Timers", {"out": peer})
        peer.cast(pid, "1030")
        await rig.after(5)
        assert len(peer.received) == 1024
        assert node.plane.counters["too many delayed casts"] == 6

    play(story)


def test_nothing_is_left_of_what_was_stopped(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, mute = rig.node(cores=2), rig.peer(reply=None)
        kinds = ["wasm:relay", "wasm:counter", "Asker", "Timers", "Slow", "c(5)"]
        pids = [await rig.start(node, kind, {"out": mute, "output": mute}) for kind in kinds]
        await rig.after(25)
        for pid in pids:
            mute.cast(pid, "1")
            mute.call(pid, "1")
        await rig.after(1)
        for pid in pids:
            await node.agent.stop_function(pid)
        await rig.after(31)
        assert node.agent.functions == {}
        assert node.plane.local == {}
        assert node.plane._seen == {}
        assert len(node.plane.calls) == len(mute.plane.calls) == 0
        assert node.processor.waiting == 0
        assert rig.scheduler.foreground_pending() == 0
        assert rig.runtimes.get("RUST_WASM")._instances == {}
        assert rig.checker.unexplained() == []

    play(story)


def test_every_call_ends_within_its_deadline(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, mute, log = rig.node(call_timeout_s=5), rig.peer(reply=None), rig.peer()
        pid = await rig.start(node, "Asker", {"out": mute, "log": log})
        log.cast(pid, "m")
        await rig.after(4.9)
        assert log.received == []
        await rig.after(0.2)
        assert log.payloads == ["m: ERR"]
        assert len(node.plane.calls) == 0

    play(story)


def test_two_functions_that_call_each_other_both_go_on(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, log = rig.node(cores=2, call_timeout_s=5), rig.peer()
        first = await rig.start(node, "Asker", {"log": log})
        second = await rig.start(node, "Asker", {"log": log, "out": first})
        hosted = node.agent.functions[first]
        hosted.handle.patch(rig.mapping({"log": log, "out": second}), 1)
        log.cast(first, "to second")
        log.cast(second, "to first")
        await rig.after(20)
        # Each waits for the other, which is blocked: both calls time out, and neither is lost.
        assert sorted(log.payloads) == ["to first: ERR", "to second: ERR"]
        assert await log.call(first, "alive") == NO_REPLY
        assert len(node.plane.calls) == 0

    play(story)
