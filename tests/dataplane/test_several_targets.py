"""A channel that leads to several instances: events take turns."""

from typing import Any

import pytest

from edgeless_sim.dataplane.marks import leads_to
from edgeless_sim.model.event import ERR, CallReturn, FurtherTarget, Target


def spread(wire: Any, *ends: Any) -> Target:
    first, *others = (wire.target(end) for end in ends)
    return Target(
        first.instance,
        first.invocation_url,
        tuple(FurtherTarget(one.instance, one.invocation_url) for one in others),
    )


def test_casts_and_delayed_casts_take_turns(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, here, there = wire.end(), wire.end(), wire.end(1)
        assert sender.handle.patch({"out": spread(wire, here, there)}, 0)
        for number in range(5):
            sender.handle.cast("out", str(number))
        sender.handle.delayed_cast(50, "out", "late")
        await wire.after(1)
        assert here.payloads == ["0", "2", "4"]
        assert there.payloads == ["1", "3", "late"]

    play(story)


def test_calls_take_turns_with_the_casts(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, here, there = wire.end(), wire.end(), wire.end(1)
        assert sender.handle.patch({"out": spread(wire, here, there)}, 0)
        answers: list[CallReturn] = []
        sender.handle.cast("out", "cast")
        sender.handle.call_nowait("out", "call", answers.append)
        sender.handle.cast("out", "cast again")
        await wire.after(0.1)
        assert (here.payloads, there.payloads) == (["cast", "cast again"], ["call"])
        there.plane.answer(there.received[0], CallReturn.reply("yes"))
        await wire.after(0.1)
        assert answers == [CallReturn.reply("yes")]

    play(story)


def test_an_instance_that_is_lost_gets_no_more_and_its_open_calls_end(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, here, there = wire.end(), wire.end(), wire.end(1)
        assert sender.handle.patch({"out": spread(wire, here, there)}, 0)
        answers: dict[str, CallReturn] = {}
        for name in ("here", "there"):
            sender.handle.call_nowait(
                "out", name, lambda got, name=name: answers.update({name: got})
            )
        await wire.after(0.1)
        wire.wire(sender, 1, out=here)
        await wire.after(0.1)
        assert answers == {"there": ERR}
        sender.handle.cast("out", "a")
        sender.handle.cast("out", "b")
        await wire.after(0.1)
        assert here.payloads == ["here", "a", "b"]

    play(story)


def test_an_instance_that_is_replaced_may_still_answer(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, here, old, new = wire.end(), wire.end(), wire.end(1), wire.end(1)
        assert sender.handle.patch({"out": spread(wire, old, here)}, 0)
        answers: list[CallReturn] = []
        sender.handle.call_nowait("out", "call", answers.append)
        await wire.after(0.1)
        assert sender.handle.patch({"out": spread(wire, new, here)}, 1)
        await wire.after(0.1)
        assert answers == []
        old.plane.answer(old.received[0], CallReturn.reply("done"))
        await wire.after(0.1)
        assert answers == [CallReturn.reply("done")]

    play(story)


@pytest.mark.parametrize("sent", range(4))
def test_a_migrated_instance_and_its_successor_get_the_marks_whoever_is_next(
    play: Any, sent: int
) -> None:
    async def story(wire: Any) -> None:
        sender, one, two, three, new = (wire.end(place) for place in (0, 0, 1, 0, 2))
        marks: list[tuple[Any, bool]] = []
        for end in (one, two, three, new):
            end.plane.marks[end.key] = lambda event, end=end: marks.append(
                (end, leads_to(event) == new.key)
            )
        assert sender.handle.patch({"out": spread(wire, one, two, three)}, 0)
        for number in range(sent):
            sender.handle.cast("out", str(number))
        await wire.after(0.1)
        # The same again, and in another order.
        assert sender.handle.patch({"out": spread(wire, one, two, three)}, 0)
        assert sender.handle.patch({"out": spread(wire, three, two, one)}, 1)
        await wire.after(0.1)
        assert marks == []
        assert sender.handle.patch({"out": spread(wire, new, one, three)}, 2)
        await wire.after(0.1)
        assert sorted(marks, key=lambda each: each[0] is new) == [(two, True), (new, True)]

    play(story, 3)


def test_an_instance_more_is_no_migration(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, here, there, further = wire.end(), wire.end(), wire.end(1), wire.end(2)
        marks: list[Any] = []
        for end in (here, there, further):
            end.plane.marks[end.key] = marks.append
        assert sender.handle.patch({"out": spread(wire, here, there)}, 0)
        sender.handle.cast("out", "a")
        assert sender.handle.patch({"out": spread(wire, here, there, further)}, 1)
        sender.handle.cast("out", "b")
        assert sender.handle.patch({"out": spread(wire, here, there)}, 2)
        await wire.after(0.1)
        assert marks == []

    play(story, 3)


def test_what_waited_for_the_first_instance_is_sent_when_there_are_several(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, here, there = wire.end(), wire.end(), wire.end(1)
        sender.handle.cast("out", "early")
        assert sender.handle.patch({"out": spread(wire, here, there)}, 0)
        sender.handle.cast("out", "late")
        await wire.after(0.1)
        assert sorted(here.payloads + there.payloads) == ["early", "late"]
        assert sender.handle.all_targets == {"out": tuple(sorted((here.key, there.key)))}

    play(story)
