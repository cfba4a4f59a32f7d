"""Guests that trap, loop or cannot be loaded; restarts (decision 26; U07, U08, I40, I41)."""

from typing import Any

import pytest

from edgeless_sim.api.messages import InstanceState
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import ERR, CallReturn
from edgeless_sim.node.telemetry import ExitStatus, TelemetryKind


def states_of(rig: Any) -> list[tuple[float, str]]:
    rig.journal.flush()
    return [(r[0] / 1e9, r[3]) for r in rig.records if r[1] == "state"]


@pytest.mark.parametrize("kind", ["Fragile", "wasm:trap"])
def test_a_trap_gives_its_caller_err_at_once_and_the_guest_comes_back(play: Any, kind: str) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, kind, {"out": peer})
        await rig.after(1)
        assert await peer.call(pid, "trap" if "trap" in kind else "fail") == ERR
        assert rig.scheduler.now_ns() < 1_010_000_000
        (entry,) = node.agent.inventory()
        assert entry.state is InstanceState.BACKOFF
        assert entry.reason
        reply = await peer.call(pid, "m")
        assert reply == CallReturn.reply("m")
        assert rig.scheduler.now_ns() > 2_000_000_000
        (entry,) = node.agent.inventory()
        assert (entry.state, entry.reason) == (InstanceState.RUNNING, "")

    play(story)


def test_a_guest_that_fails_in_init_is_restarted_five_times_and_then_given_up(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        seen = rig.watch(node)
        pid = await rig.start(node, "Fragile", {"out": peer}, payload="fail")
        reply = peer.call(pid, "waits for a guest that works")
        await rig.after(60)
        told = [(round(when), state) for when, state in states_of(rig)]
        assert told == [
            (0, "backoff"),
            (1, "restarted"),
            (1, "backoff"),
            (3, "restarted"),
            (3, "backoff"),
            (7, "restarted"),
            (7, "backoff"),
            (15, "restarted"),
            (15, "backoff"),
            (31, "restarted"),
            (31, "failed"),
        ]
        (entry,) = node.agent.inventory()
        assert entry.state is InstanceState.FAILED
        assert "told to fail" in entry.reason
        assert reply.result() == ERR
        assert await peer.call(pid, "m") == ERR
        exits = [event.value for event in seen if event.kind is TelemetryKind.EXIT]
        assert exits == [ExitStatus.INTERNAL_ERROR] * 6
        assert TelemetryKind.INIT not in [event.kind for event in seen]

    play(story)


def test_restarts_are_counted_over_ten_minutes_only(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Fragile", {"out": peer})
        for _ in range(12):
            peer.cast(pid, "fail")
            await rig.after(200)
        assert [state for _, state in states_of(rig)].count("restarted") == 12
        pauses = [when for when, state in states_of(rig) if state == "restarted"]
        assert pauses[-1] - 2200 == pytest.approx(8, abs=0.1)

    play(story)


def test_events_wait_during_the_pause_and_are_handled_after_it(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Fragile", {"out": peer})
        for message in ("fail", "a", "b"):
            peer.cast(pid, message)
        await rig.after(0.5)
        peer.cast(pid, "c")
        await rig.after(0.4)
        assert peer.received == []
        await rig.after(0.2)
        assert peer.payloads == ["a", "b", "c"]

    play(story)


def test_delayed_casts_of_a_guest_that_failed_do_not_come(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Fragile", {"out": peer}, payload="tick")
        await rig.after(2)
        peer.cast(pid, "fail")
        await rig.after(20)
        # Of the second guest's init only, 5 s after 3 s.
        assert peer.payloads == ["tick"]
        assert round(peer.times_ns[0] / 1e9) == 8

    play(story)


@pytest.mark.parametrize("moment_s", [0.5, 50])
def test_a_failed_guest_can_be_stopped(play: Any, moment_s: float) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Fragile", payload="fail")
        peer.cast(pid, "waits")
        await rig.after(moment_s)
        await node.agent.stop_function(pid)
        assert node.agent.functions == {}
        await rig.after(60)
        assert len(rig.told("stop")) == 1
        assert rig.checker.unexplained() == []

    play(story)


def test_a_crash_during_the_pause_ends_the_restarts(play: Any) -> None:
    async def story(rig: Any) -> None:
        node = rig.node()
        await rig.start(node, "Fragile", payload="fail")
        await rig.after(0.5)
        rig.crash(node)
        await rig.after(60)
        assert [state for _, state in states_of(rig)] == ["backoff"]

    play(story)


def test_a_guest_that_loops_for_ever_is_ended_and_control_goes_on(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pids = [await rig.start(node, "wasm:spin", {"out": peer}) for _ in range(3)]
        await rig.after(1)
        replies = [peer.call(pid, "spin") for pid in pids]
        await rig.after(0.002)
        other = await rig.start(node, "Relay", {"out": peer})
        await node.agent.stop_function(pids[1])
        asked_ns = rig.scheduler.now_ns()
        peer.cast(other, "m")
        await rig.after(0.5)
        assert [reply.result() for reply in replies] == [ERR] * 3
        assert peer.payloads == ["m"]
        # 10^6 of fuel at 3 GHz are 250 us each.
        assert peer.times_ns[0] - asked_ns < 5_000_000
        reasons = [entry.reason for entry in node.agent.inventory()]
        assert reasons == ["out of fuel: 1000000 per event"] * 2 + [""]

    play(story, fuel=10**6)


def test_code_that_cannot_be_loaded_is_refused_and_leaves_nothing(play: Any) -> None:
    async def story(rig: Any) -> None:
        node = rig.node()
        for kind in ("NoSuchClass", "c(nonsense)"):
            with pytest.raises(RejectedError, match="Error when creating a function instance"):
                await rig.start(node, kind)
        assert node.agent.functions == {}
        assert node.plane.local == {}

    play(story)


def test_the_failure_of_one_guest_concerns_no_other(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        trap = await rig.start(node, "wasm:trap", {"out": peer})
        good = await rig.start(node, "wasm:trap", {"out": peer})
        for message in ("trap", "oob", "div"):
            peer.cast(trap, message)
            peer.cast(good, message + "less")
        await rig.after(60)
        assert peer.payloads == ["trapless", "oobless", "divless"]
        states = [state for _, state in states_of(rig)]
        assert states == ["backoff", "restarted"] * 3

    play(story)
