"""Calls to an instance that has gone end as soon as that is known (G07, I25)."""

from typing import Any

import pytest

from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.model.event import ERR, UNPLACED, CallReturn, Event, EventType, Target

NOT_PLACED = Target(UNPLACED, "")


def test_open_calls_to_a_peer_that_is_removed_end_at_once_and_others_go_on(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, dead, live, local = wire.end(0), wire.end(1), wire.end(2), wire.end(0)
        wire.wire(caller, dead=dead, live=live, local=local)
        for channel in ("dead", "live", "local", "dead"):
            caller.call(channel, "m")
        await wire.after(1)
        caller.plane.remove_peer(dead.plane.node_bytes)
        assert caller.answers == []
        await wire.after(0)
        assert caller.answers == [ERR, ERR]
        assert (caller.plane.calls.bereaved, caller.plane.calls.timeouts) == (2, 0)
        for end in (live, local):
            end.plane.answer(end.received[0], CallReturn.reply("I live"))
        await wire.after(1)
        assert caller.answers[2:] == [CallReturn.reply("I live")] * 2
        # Frozen, not dead: its answer finds nobody.
        dead.plane.answer(dead.received[0], CallReturn.reply("too late"))
        await wire.after(60)
        assert len(caller.answers) == 4
        assert caller.plane.counters == {"a return that nobody waits for": 1}
        assert wire.scheduler.foreground_pending() == 0

    play(story, 3)


def test_a_call_that_is_answered_before_the_news_take_effect_has_that_answer(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, called = wire.end(0), wire.end(1)
        wire.wire(caller, out=called)
        stream = caller.call("out", "m")
        await wire.after(1)
        caller.plane.remove_peer(called.plane.node_bytes)
        caller.plane.remove_peer(called.plane.node_bytes)
        answer = Event(
            int(EventType.CALL_RET), caller.key, called.key, stream, "just", 0, bytes(24), 99
        )
        assert caller.plane.calls.close(answer)
        await wire.after(1)
        assert caller.answers == [CallReturn.reply("just")]
        assert caller.plane.calls.bereaved == 0

    play(story)


def _self_removed(plane: Dataplane) -> None:
    plane.remove_peer(plane.node_bytes)


@pytest.mark.parametrize("news", [Dataplane.clear_peers, _self_removed], ids=["clear", "self"])
def test_news_that_say_of_nobody_that_it_died_end_no_call(play: Any, news: Any) -> None:
    async def story(wire: Any) -> None:
        caller, remote, local = wire.end(0), wire.end(1), wire.end(0)
        wire.wire(caller, remote=remote, local=local)
        caller.call("remote", "m")
        caller.call("local", "m")
        await wire.after(1)
        news(caller.plane)
        await wire.after(1)
        assert caller.answers == []
        for end in (remote, local):
            end.plane.answer(end.received[0], CallReturn.reply("yes"))
        await wire.after(1)
        assert caller.answers == [CallReturn.reply("yes")] * 2

    play(story)


@pytest.mark.parametrize("place", [0, 1])
def test_a_patch_that_leaves_a_channel_without_an_instance_ends_the_calls_to_it(
    play: Any, place: int
) -> None:
    async def story(wire: Any) -> None:
        caller, gone, other, successor = (wire.end(n) for n in (0, place, place, 0))
        neighbour = wire.end(0)
        wire.wire(caller, out=gone, other=other)
        wire.wire(neighbour, out=other)
        caller.call("out", "lost")
        caller.call("other", "kept")
        neighbour.call("out", "kept")
        await wire.after(1)
        caller.handle.patch({"out": NOT_PLACED, "other": wire.target(other)}, 1)
        assert caller.answers == []
        # Made after the news: waits for the successor.
        caller.call("out", "next")
        await wire.after(5)
        assert caller.answers == [ERR]
        assert neighbour.answers == []
        assert caller.plane.calls.bereaved == 1
        successor.reply = CallReturn.reply("here")
        wire.wire(caller, 2, out=successor, other=other)
        await wire.after(1)
        assert successor.payloads == ["next"]
        assert caller.answers == [ERR, CallReturn.reply("here")]

    play(story)


def test_calls_to_an_instance_that_migrates_wait_for_its_answer(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, here, there = wire.end(0), wire.end(1), wire.end(0)
        wire.wire(caller, out=here)
        caller.call("out", "m")
        await wire.after(1)
        wire.wire(caller, 1, out=there)
        await wire.after(1)
        assert caller.answers == []
        here.plane.answer(here.received[0], CallReturn.reply("before I went"))
        await wire.after(1)
        assert caller.answers == [CallReturn.reply("before I went")]

    play(story)


def test_a_patch_older_than_the_present_one_ends_no_call(play: Any) -> None:
    async def story(wire: Any) -> None:
        caller, called = wire.end(0), wire.end(1)
        wire.wire(caller, 2, out=called)
        caller.call("out", "m")
        assert not caller.handle.patch({"out": NOT_PLACED}, 1)
        await wire.after(1)
        assert caller.answers == []

    play(story)
