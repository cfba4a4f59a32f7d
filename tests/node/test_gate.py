"""Events of one sender that come by two ways while their target moves stay in order (I23)."""

from typing import Any, Final
from uuid import UUID

import msgspec

from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.function import Predecessor, StateSpecification
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.gate import HOLD_S
from edgeless_sim.node.state_store import MemoryStateStore

STATE: Final = StateSpecification(UUID(int=0xEE))


class Story:
    """A relay on edge/2 that sends to a function, which moves from edge/0 to edge/1."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig
        self.states = MemoryStateStore()
        self.old_node, self.new_node = rig.node(), rig.node(states=self.states)
        self.peer = rig.peer()
        self.old: InstanceId
        self.new: InstanceId
        self.sender: InstanceId

    async def move(self) -> None:
        rig = self.rig
        self.old = await rig.start(self.old_node, "Ledger", {"out": self.peer})
        self.sender = await rig.start(rig.node(), "Relay", {"out": self.old})
        request = rig.request(self.new_node, "Ledger", {"out": self.peer})
        old = Predecessor(self.old, self.old_node.settings.url)
        request = msgspec.structs.replace(request, takes_over=old)
        self.new = (await self.new_node.agent.start_function(request)).instance_id

    async def patch_sender(self) -> None:
        mapping = self.rig.mapping({"out": self.new})
        agent = self.rig.nodes[self.sender.node_id].agent
        await agent.patch_function(PatchRequest(self.sender, mapping, 1))

    async def send(self, *messages: str) -> None:
        for message in messages:
            self.peer.cast(self.sender, message)
        await self.rig.after(0.1)

    @property
    def got(self) -> str | None:
        return self.states.load(STATE)


def test_direct_events_wait_for_those_that_take_the_long_way(play: Any) -> None:
    async def told(rig: Any) -> None:
        story = Story(rig)
        await story.move()
        fault = rig.network.delay(500_000_000, 0, ["edge/2"], ["edge/0"])
        await story.send("1", "2")
        await story.patch_sender()
        await story.send("3", "4")
        assert story.got is None
        await rig.after(1)
        await story.send("5")
        assert story.got == "1,2,3,4,5"
        assert rig.told("drop") == []
        fault.heal()

    play(told)


def test_a_sender_whose_mark_is_lost_is_held_up_for_a_while(play: Any) -> None:
    async def told(rig: Any) -> None:
        story = Story(rig)
        await story.move()
        # Its last word for the old instance comes nowhere.
        fault = rig.network.partition(["edge/2"], ["edge/0"])
        await story.patch_sender()
        await story.send("held")
        await rig.after(HOLD_S - 0.2)
        assert story.got is None
        await rig.after(0.2)
        assert story.got == "held"
        fault.heal()

    play(told)


def test_what_comes_after_its_sender_was_given_up_is_too_late(play: Any) -> None:
    async def told(rig: Any) -> None:
        story = Story(rig)
        await story.move()
        # To the old node everything takes longer than anybody waits.
        fault = rig.network.delay(round((HOLD_S + 2) * 1e9), 0, ["edge/2"], ["edge/0"])
        await story.send("slow")
        await story.patch_sender()
        await story.send("quick")
        await rig.after(HOLD_S + 0.1)
        assert story.got == "quick"
        await rig.after(3)
        await story.send("next")
        assert story.got == "quick,next"
        assert [record[2] for record in rig.told("drop")] == ["overtaken while the target moved"]
        fault.heal()

    play(told)
