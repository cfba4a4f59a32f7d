"""Events for targets that are not placed yet, and patches (decision 27, D21, F44, U14)."""

from typing import Any

from edgeless_sim.dataplane.handle import EARLY_CHANNELS_MAX
from edgeless_sim.dataplane.links import HELD_MAX
from edgeless_sim.model.event import ERR, UNPLACED, CallReturn, Target

NOT_PLACED = Target(UNPLACED, "")


def test_events_wait_for_a_target_that_is_not_placed(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver = wire.end(0), wire.end(1)
        receiver.reply = CallReturn.reply("here")
        sender.handle.patch({"out": NOT_PLACED}, 0)
        sender.handle.cast("out", "1")
        sender.call("out", "2")
        sender.handle.cast("out", "3")
        await wire.after(5)
        sender.handle.patch({"out": NOT_PLACED}, 1)
        await wire.after(5)
        assert wire.told("drop") == []
        wire.wire(sender, 2, out=receiver)
        sender.handle.cast("out", "4")
        await wire.after(1)
        assert receiver.payloads == ["1", "2", "3", "4"]
        assert sender.answers == [CallReturn.reply("here")]

    play(story)


def test_two_channels_to_one_target_keep_the_order_of_sending(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver = wire.end(0), wire.end(1)
        sender.handle.patch({"a": NOT_PLACED, "b": NOT_PLACED}, 0)
        for number in range(6):
            sender.handle.cast("ba"[number % 2], str(number))
        wire.wire(sender, 1, a=receiver, b=receiver)
        await wire.after(1)
        assert receiver.payloads == ["0", "1", "2", "3", "4", "5"]

    play(story)


def test_a_channel_holds_1024_events_and_refuses_more(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver = wire.end(0), wire.end(1)
        sender.handle.patch({"out": NOT_PLACED}, 0)
        for number in range(HELD_MAX + 2):
            sender.handle.cast("out", str(number))
        sender.call("out", "call")
        assert sender.answers == []
        await wire.after(0)
        assert sender.answers == [ERR]
        assert sender.plane.counters == {"target not placed": 3}
        wire.wire(sender, 1, out=receiver)
        await wire.after(1)
        assert receiver.payloads == [str(number) for number in range(1024)]

    play(story)


def test_a_patch_that_removes_the_channel_gives_up_what_waits(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender = wire.end(0)
        sender.handle.patch({"out": NOT_PLACED}, 0)
        sender.handle.cast("out", "1")
        sender.call("out", "2")
        wire.wire(sender, 1)
        await wire.after(0)
        assert sender.answers == [ERR]
        assert [record[2] for record in wire.told("drop")] == ["the channel is not mapped"] * 2
        assert sender.plane.counters["the channel is not mapped"] == 2

    play(story)


def test_a_call_that_ended_while_it_waited_is_not_sent(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver = wire.end(0), wire.end(1)
        sender.handle.patch({"out": NOT_PLACED}, 0)
        sender.call("out", "m")
        await wire.after(31)
        assert sender.answers == [ERR]
        wire.wire(sender, 1, out=receiver)
        await wire.after(1)
        assert receiver.received == []
        assert [record[2] for record in wire.told("drop")] == ["the caller has given up"]

    play(story)


def test_a_sender_that_goes_takes_what_waits_with_it(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender = wire.end(0)
        sender.handle.patch({"out": NOT_PLACED}, 0)
        sender.handle.cast("out", "1")
        sender.call("out", "2")
        sender.handle.detach("node crashed")
        await wire.after(40)
        assert sender.answers == []
        assert [record[2] for record in wire.told("drop")] == ["node crashed"] * 2
        assert len(wire.told("send")) == 2
        assert len(sender.plane.calls) == 0

    play(story)


def test_what_is_sent_before_the_first_patch_waits_for_it(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver = wire.end(0), wire.end(1)
        receiver.reply = CallReturn.reply("here")
        sender.handle.cast("out", "1")
        sender.handle.cast("other", "lost")
        sender.handle.delayed_cast(100, "out", "3")
        sender.call("out", "2")
        assert sender.handle.channels == ()
        await wire.after(1)
        wire.wire(sender, 0, out=receiver)
        await wire.after(1)
        assert receiver.payloads == ["1", "2", "3"]
        assert sender.answers == [CallReturn.reply("here")]
        assert sender.plane.counters == {"the channel is not mapped": 1}

    play(story)


def test_a_guest_cannot_invent_channels_without_end_before_the_first_patch(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender = wire.end(0)
        for number in range(EARLY_CHANNELS_MAX + 10):
            sender.handle.cast(f"channel {number}", "m")
        assert sender.plane.counters == {"cast to an unmapped channel": 10}

    play(story)


def test_a_patch_replaces_the_whole_map(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, first, second = wire.end(0), wire.end(1), wire.end(1)
        wire.wire(sender, 0, a=first, b=first)
        wire.wire(sender, 1, b=second, c=second)
        for channel in "abc":
            sender.handle.cast(channel, channel)
        await wire.after(1)
        assert (first.payloads, second.payloads) == ([], ["b", "c"])
        assert sender.handle.channels == ("b", "c")
        assert sender.handle.targets == {"b": second.key, "c": second.key}

    play(story)


def test_an_older_patch_is_ignored_and_the_same_one_does_no_harm(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, old, new = wire.end(0), wire.end(1), wire.end(1)
        wire.wire(sender, 7, out=new)
        assert not sender.handle.patch({"out": wire.target(old)}, 6)
        assert sender.handle.patch({"out": wire.target(new)}, 7)
        sender.handle.cast("out", "m")
        await wire.after(1)
        assert (old.payloads, new.payloads) == ([], ["m"])
        assert sender.handle.generation == 7

    play(story)
