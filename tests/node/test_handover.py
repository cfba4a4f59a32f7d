"""One node takes an instance over from another: requests that are late, doubled or lost, nodes that
stop or refuse; in the end one of the two has the function, with its state (F44, G09, I35)."""

import asyncio
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.api.clients import HandoverClient
from edgeless_sim.api.handover import Collect, TakeOver
from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.function import (
    Predecessor,
    SpawnFunctionRequest,
    StatePolicy,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId
from edgeless_sim.node.departure import COMMIT_S, RETIRED_S, SILENCE_S
from edgeless_sim.node.state_store import MemoryStateStore

STATE: Final = StateSpecification(UUID(int=0xEE))


class Full(MemoryStateStore):
    def store(self, specification: StateSpecification, state: str) -> bool:
        raise ResourceError("the disk is full")


class Pair:
    """An instance on one node that is to move to another one."""

    def __init__(self, rig: Any, **options: Any) -> None:
        self.rig = rig
        self.old: InstanceId
        self.states = MemoryStateStore(), options.get("to", MemoryStateStore())
        self.old_node = rig.node(cores=2, states=self.states[0])
        self.new_node = rig.node(cores=2, states=self.states[1])
        self.out = rig.peer()
        self.kind = options.get("kind", "Ledger")
        self.outputs = {"out": self.out, "mute": rig.peer(reply=None)}

    async def begin(self) -> InstanceId:
        self.old = await self.rig.start(self.old_node, self.kind, self.outputs)
        await self.rig.after(0.1)
        return self.old

    def request(self) -> SpawnFunctionRequest:
        request: SpawnFunctionRequest = self.rig.request(self.new_node, self.kind, self.outputs)
        old = Predecessor(self.old, self.old_node.settings.url)
        return msgspec.structs.replace(request, takes_over=old)

    async def move(self) -> InstanceId:
        pid: InstanceId = (await self.new_node.agent.start_function(self.request())).instance_id
        return pid

    async def refused(self) -> str:
        with pytest.raises(RejectedError) as caught:
            await self.move()
        return str(caught.value)

    def client(self) -> HandoverClient:
        connection = self.rig.network.connection("peer/9", self.old_node.settings.url)
        return HandoverClient(connection, timeout_s=5)

    def successor(self, number: int = 1) -> InstanceId:
        return InstanceId(self.new_node.settings.node_id, FunctionId(UUID(int=0xC0 + number)))

    def states_told(self) -> list[str]:
        return [record[1] for record in self.rig.told("state") if record[1] != "synced"]

    def is_over(self) -> bool:
        nodes = (self.old_node, self.new_node)
        return all(
            (len(node.agent.handovers), node.plane.marks, node.plane.relays) == (0, {}, {})
            for node in nodes
        )


def test_state_events_and_open_calls_go_along(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        for number in range(8):
            pair.out.cast(pair.old, str(number))
        answer = pair.out.call(pair.old, "asked")
        await rig.after(0.004)
        new = await pair.move()
        pair.out.cast(pair.old, "late")
        late = pair.out.call(pair.old, "asked late")
        await rig.after(0.1)

        entries = [*map(str, range(8)), "asked", "late", "asked late"]
        assert pair.states[1].load(STATE) == ",".join(entries)
        assert pair.states[0].load(STATE) is None
        assert await answer == CallReturn.reply("9")
        assert await late == CallReturn.reply("11")
        assert pair.out.payloads[:2] == ["begins with None", "stops"]
        assert pair.out.payloads[2].startswith("begins with 0,1")
        assert [told for told in pair.states_told() if told] == ["handed over", "took over"]
        assert rig.told("drop") == []

        await pair.old_node.agent.stop_function(pair.old)
        await rig.after(RETIRED_S + 1)
        assert pair.is_over()
        assert list(pair.new_node.agent.functions) == [new]
        assert pair.old_node.agent.functions == {}

    play(story)


def test_an_instance_that_has_left_is_in_the_inventory_until_it_is_stopped(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        await pair.move()
        await rig.after(1)
        # An ε-ORC that has not heard of the new one yet must not take the function for lost.
        assert [item.instance_id for item in pair.old_node.agent.inventory()] == [pair.old]
        await pair.old_node.agent.stop_function(pair.old)
        assert pair.old_node.agent.inventory() == ()
        # It still hands on what comes.
        pair.out.cast(pair.old, "after the stop")
        await rig.after(0.1)
        assert pair.states[1].load(STATE) == "after the stop"
        await rig.after(RETIRED_S + 1)
        assert pair.old_node.agent.functions == {}

    play(story)


def test_without_a_state_the_new_one_does_not_begin_with_an_older_one(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        pair.states[1].store(STATE, "of long ago")
        await pair.begin()
        await pair.move()
        await rig.after(0.1)
        assert pair.out.payloads[-1] == "begins with None"

    play(story)


@pytest.mark.parametrize("policy", [StatePolicy.TRANSIENT, StatePolicy.GLOBAL])
def test_a_state_that_is_not_kept_does_not_go_along(play: Any, policy: StatePolicy) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        pair.old = await rig.start(pair.old_node, "Ledger", pair.outputs, policy=policy)
        pair.out.cast(pair.old, "one")
        await rig.after(0.1)
        specification = StateSpecification(STATE.state_id, policy)
        request = msgspec.structs.replace(pair.request(), state_specification=specification)
        await pair.new_node.agent.start_function(request)
        await rig.after(0.1)
        assert pair.out.payloads[-1] == "begins with None"

    play(story)


def test_a_target_whose_disk_is_full_leaves_the_old_one_going_on(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig, to=Full())
        await pair.begin()
        pair.out.cast(pair.old, "one")
        await rig.after(0.1)
        assert "the disk is full" in await pair.refused()
        pair.out.cast(pair.old, "two")
        await rig.after(COMMIT_S + 1)

        assert pair.out.payloads[-1] == "begins with one"
        assert pair.states[0].load(STATE) == "one,two"
        assert pair.states_told() == ["stayed", "restarted"]
        assert pair.new_node.agent.functions == {}
        assert pair.is_over()
        assert rig.told("drop") == []

    play(story)


def test_a_state_that_cannot_be_read_is_a_reason_to_stay(play: Any) -> None:
    async def story(rig: Any) -> None:
        class Unreadable(MemoryStateStore):
            def load(self, specification: StateSpecification) -> str | None:
                raise ResourceError("the disk is broken")

        pair = Pair(rig)
        await pair.begin()
        broken = Unreadable()
        pair.old_node.agent._context.states.load = broken.load
        assert "the disk is broken" in await pair.refused()
        await rig.after(1)
        assert list(pair.old_node.agent.functions) == [pair.old]

    play(story)


def test_a_node_that_is_gone_refuses_the_migration_before_the_deadline_of_a_start(
    play: Any,
) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        rig.crash(pair.old_node)
        began_ns = rig.scheduler.now_ns()
        assert "the old node does not answer" in await pair.refused()
        assert rig.scheduler.now_ns() - began_ns < 5e9
        assert pair.new_node.agent.functions == {}

    play(story)


def test_an_unknown_instance_cannot_be_taken_over(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        await pair.old_node.agent.stop_function(pair.old)
        await rig.after(1)
        assert "does not run here" in await pair.refused()

    play(story)


def test_who_asks_and_collects_nothing_has_taken_nothing(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        pair.out.cast(pair.old, "one")
        await rig.after(0.1)
        request = TakeOver(pair.old, pair.successor())
        handed = await pair.client().take_over(request)
        assert handed.state == "one"
        # A copy of the request; then somebody else's.
        assert (await pair.client().take_over(request)).state == "one"
        with pytest.raises(RejectedError, match="it goes to"):
            await pair.client().take_over(TakeOver(pair.old, pair.successor(2)))
        pair.out.cast(pair.old, "two")
        await rig.after(COMMIT_S + 1)

        assert pair.states[0].load(STATE) == "one,two"
        with pytest.raises(RejectedError, match="does not go to"):
            await pair.client().collect(Collect(pair.old, pair.successor()))
        with pytest.raises(RejectedError, match="it was asked for before"):
            await pair.client().take_over(request)
        pair.out.cast(pair.old, "three")
        await rig.after(1)
        assert pair.states[0].load(STATE) == "one,two,three"
        assert pair.is_over()

    play(story)


def test_nothing_is_collected_before_the_state_was_asked_for_or_by_others(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        with pytest.raises(RejectedError, match="does not go to"):
            await pair.client().collect(Collect(pair.old, pair.successor()))
        await pair.client().take_over(TakeOver(pair.old, pair.successor()))
        with pytest.raises(RejectedError, match="does not go to"):
            await pair.client().collect(Collect(pair.old, pair.successor(2)))
        assert (await pair.client().collect(Collect(pair.old, pair.successor()))).events == ()

    play(story)


def test_a_collection_that_was_not_answered_is_repeated_without_loss(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        client, successor = pair.client(), pair.successor()
        await client.take_over(TakeOver(pair.old, successor))
        for number in range(3):
            pair.out.cast(pair.old, str(number))
        await rig.after(0.1)
        first = await client.collect(Collect(pair.old, successor))
        again = await client.collect(Collect(pair.old, successor))
        assert [e.payload for e in first.events] == ["0", "1", "2"]
        assert [e.serial for e in again.events] == [e.serial for e in first.events]
        pair.out.cast(pair.old, "3")
        rest = await client.collect(Collect(pair.old, successor, 3, begun=True))
        assert [e.payload for e in rest.events] == ["3"]
        for event in (*first.events, *rest.events):
            rig.journal.record("drop", event.serial, 0, "taken by the test")

    play(story)


def test_a_successor_that_falls_silent_ends_the_old_instance(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        await pair.move()
        await rig.after(0.1)
        rig.crash(pair.new_node)
        call = pair.out.call(pair.old, "anybody?")
        await rig.after(SILENCE_S + 2)
        # The ε-ORC sees by this that the function has no instance any more.
        assert pair.old_node.agent.inventory() == ()
        assert (await call).kind.name == "ERR"
        assert pair.old_node.plane.local == {}

    play(story)


def test_a_stop_between_state_and_collection_is_the_end(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        await pair.client().take_over(TakeOver(pair.old, pair.successor()))
        await pair.old_node.agent.stop_function(pair.old)
        with pytest.raises(RejectedError, match="does not go to"):
            await pair.client().collect(Collect(pair.old, pair.successor()))
        await rig.after(COMMIT_S + 1)
        assert pair.old_node.agent.functions == {}
        assert pair.out.payloads == ["begins with None", "stops"]

    play(story)


def test_a_stop_hook_that_never_ends_holds_the_migration_up_for_two_seconds(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig, kind="Endless")
        await pair.begin()
        began_ns = rig.scheduler.now_ns()
        new = await pair.move()
        assert 2e9 < rig.scheduler.now_ns() - began_ns < 3.5e9
        assert list(pair.new_node.agent.functions) == [new]

    play(story)


def test_a_late_start_of_a_successor_that_was_stopped_takes_nothing(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        request = pair.request()
        await pair.new_node.agent.stop_function(request.instance_id)
        with pytest.raises(RejectedError, match="was stopped before"):
            await pair.new_node.agent.start_function(request)
        assert pair.out.payloads == ["begins with None"]

    play(story)


def test_a_target_without_the_transport_of_the_old_node_refuses(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        old = Predecessor(pair.old, "no URL at all")
        request = msgspec.structs.replace(pair.request(), takes_over=old)
        with pytest.raises(RejectedError, match="the migration is off"):
            await pair.new_node.agent.start_function(request)
        assert pair.new_node.agent.functions == {}

    play(story)


def test_two_starts_of_one_successor_are_one(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        request = pair.request()
        replies = await asyncio.gather(
            pair.new_node.agent.start_function(request),
            pair.new_node.agent.start_function(request),
        )
        assert {reply.instance_id for reply in replies} == {request.instance_id}
        await rig.after(0.1)
        assert pair.out.payloads == ["begins with None", "stops", "begins with None"]

    play(story)


def test_a_function_that_failed_is_healed_by_moving(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig, kind="Fragile")
        await pair.begin()
        pair.out.cast(pair.old, "fail")
        pair.out.cast(pair.old, "waits")
        await rig.after(0.1)
        await pair.move()
        await rig.after(0.1)
        assert pair.out.payloads == ["waits"]

    play(story)
