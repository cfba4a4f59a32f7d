"""Cordons and migrations, by call and over the wire (cases C006, C016, C017, U22)."""

from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError, UnknownComponentError
from edgeless_sim.model.function import Predecessor
from edgeless_sim.model.ids import LogicalId, NodeId
from edgeless_sim.model.intent import Cordon, Migrate, Uncordon
from edgeless_sim.orchestrator.proxy import INTENTS_MAX, INTENTS_PER_TICK_MAX

LID = LogicalId(UUID(int=1))


def test_a_cordoned_node_gets_nothing_new_and_keeps_what_it_has(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.function(1)
        world.orchestrator.cordon("edge/0")
        await world.settled()
        error = await world.refused(world.function(2))
        assert error.detail == "no valid node found; edge/0: cordoned"
        assert (await world.refused(world.resource(3))).summary == "class type not found"
        assert len(node.instances) == 1
        world.orchestrator.uncordon(node.node_id)
        await world.settled()
        await world.function(2)
        assert len(node.instances) == 2

    play(story)


def test_a_cordon_outlives_a_restart_of_the_node(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        world.orchestrator.cordon("edge/0")
        await world.settled()
        node.restart()
        await world.settled()
        assert (await world.refused(world.function(1))).detail.endswith("edge/0: cordoned")

    play(story)


def test_a_migration_that_no_target_can_take_is_declined_with_the_reason(play: Any) -> None:
    async def story(world: Any) -> None:
        source, target = await world.nodes(2)
        await world.function(2, annotations={"node_id_match_any": "edge/0"})
        world.orchestrator.migrate(LogicalId(UUID(int=2)), ["edge/1"])
        await world.settled()
        assert world.component(2).node == "edge/0"
        reasons = [record for record in world.said("state") if record[1] == "declined"]
        assert reasons[-1][2] == "migrate: edge/1: not among the wanted nodes"
        assert target.calls == []
        assert source.told("stop_function") == []

    play(story)


def test_a_migrated_function_is_rewired_with_its_predecessors(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = {node.name: node for node in await world.nodes(2)}
        await world.function(1, annotations={"node_id_match_any": "edge/0"})
        await world.function(2, {"out": 2, "back": 1})
        await world.patch(1, {"on": 2})
        await world.settled()
        old = world.component(2)
        other = "edge/1" if old.node == "edge/0" else "edge/0"
        world.orchestrator.migrate(LogicalId(UUID(int=2)), [other])
        await world.settled()
        new = world.component(2)
        assert new.node == other
        assert old.instance not in nodes[old.node].instances
        first = world.component(1)
        wired = nodes["edge/0"].outputs[first.instance]["on"]
        assert wired.instance == new.instance
        assert wired.invocation_url == f"memory://node/{other}"
        assert nodes[other].outputs[new.instance]["out"].instance == new.instance

    play(story)


@pytest.mark.parametrize("foreign", [(), (0,), (1,), (0, 1)])
def test_a_successor_takes_over_if_both_nodes_are_ours(play: Any, foreign: tuple[int, ...]) -> None:
    async def story(world: Any) -> None:
        nodes = [await world.node(number, foreign=number in foreign) for number in range(2)]
        world.orchestrator.cordon("edge/1")
        await world.settled()
        await world.function(1)
        world.orchestrator.uncordon("edge/1")
        world.orchestrator.migrate(LID, ["edge/1"])
        await world.settled()
        assert nodes[0].told("start_function")[0].takes_over is None
        (request,) = nodes[1].told("start_function")
        if foreign:
            assert request.takes_over is None
        else:
            assert request.takes_over == Predecessor(
                nodes[0].told("start_function")[0].instance_id, "memory://node/edge/0"
            )
        assert nodes[0].instances == {}
        assert len(nodes[1].instances) == 1

    play(story)


def test_when_the_old_instance_refuses_to_go_the_migration_is_off(play: Any) -> None:
    async def story(world: Any) -> None:
        source, target = await world.nodes(2)
        target.refusal = RejectedError("Error when handing over a function", "it is at work")
        world.orchestrator.cordon("edge/1")
        await world.settled()
        await world.function(1)
        world.orchestrator.uncordon("edge/1")
        world.orchestrator.migrate(LID, ["edge/1"])
        await world.settled()
        assert world.component(1).node == "edge/0"
        assert source.told("stop_function") == []
        refused = [record for record in world.said("state") if record[1] == "refused"]
        assert "it is at work" in refused[-1][2]
        # Not tried again by itself, and possible again.
        target.refusal = None
        world.orchestrator.migrate(LID, ["edge/1"])
        await world.settled()
        assert world.component(1).node == "edge/1"

    play(story)


def test_migrating_a_resource_to_an_unknown_node_is_declined(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.resource(1)
        world.orchestrator.migrate(LID, [NodeId(UUID(int=0xDEAD))])
        await world.settled()
        assert [record[1] for record in world.said("state")][-1] == "declined"
        assert len(node.instances) == 1

    play(story)


def test_a_refused_migration_leaves_the_running_instance_alone(play: Any) -> None:
    async def story(world: Any) -> None:
        source = await world.node(0, resources=("rc-1",))
        await world.resource(1)
        target = await world.node(1, resources=("rc-1",))
        target.refusal = RejectedError("Invalid resource configuration")
        world.orchestrator.migrate(LID, ["edge/1"])
        await world.settled()
        assert len(source.instances) == 1
        assert source.told("stop_resource") == []
        assert world.component(1).node == "edge/0"

    play(story)


def test_an_intent_over_the_wire_is_obeyed_at_the_next_tick(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2)
        await world.function(1)
        host = world.component(1).node
        target = next(node for node in nodes if node.name != host)
        await world.mirror.submit(Migrate(LID, (target.node_id,)))
        assert world.component(1).node == host
        await world.clock.sleep(1.1)
        await world.settled()
        assert world.component(1).node == target.name
        await world.mirror.submit(Cordon(target.node_id))
        await world.clock.sleep(1.1)
        cordoned = {node.name: node.cordoned for node in world.orchestrator.snapshot().nodes}
        assert cordoned == {host: False, target.name: True}
        await world.mirror.submit(Uncordon(target.node_id))
        await world.clock.sleep(1.1)
        assert not any(node.cordoned for node in world.orchestrator.snapshot().nodes)

    play(story)


@pytest.mark.parametrize(
    ("intent", "summary"),
    [
        (Migrate(LogicalId(UUID(int=99)), (NodeId(UUID(int=0x1000)),)), "unknown component"),
        (Migrate(LID, (NodeId(UUID(int=0xDEAD)),)), "unknown node"),
        (Migrate(LID, ()), "no target"),
        (Cordon(NodeId(UUID(int=0xDEAD))), "unknown node"),
        (Uncordon(NodeId(UUID(int=0xDEAD))), "unknown node"),
    ],
)
def test_an_intent_that_names_what_is_not_here_is_refused_at_once(
    play: Any, intent: Any, summary: str
) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        await world.function(1)
        before = world.orchestrator.snapshot()
        assert (await world.refused(world.mirror.submit(intent))).summary == summary
        await world.clock.sleep(2)
        assert world.orchestrator.snapshot() == before

    play(story)


def test_a_cordon_can_be_ended_while_its_node_is_away(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.mirror.submit(Cordon(node.node_id))
        await world.clock.sleep(1.1)
        node.crash()
        await world.clock.sleep(10)
        await world.mirror.submit(Uncordon(node.node_id))
        await world.clock.sleep(1.1)
        node.restart()
        await world.settled()
        await world.function(1)

    play(story)


def test_a_storm_of_intents_is_bounded_and_obeyed_a_hundred_each_tick(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        toggles = [Cordon(node.node_id), Uncordon(node.node_id)] * (INTENTS_MAX // 2)
        for intent in toggles:
            await world.mirror.submit(intent)
        refused = await world.refused(world.mirror.submit(Cordon(node.node_id)))
        assert refused.summary == "too many intents"
        await world.clock.sleep(1.1)
        told = [record[1] for record in world.said("state")]
        assert told.count("cordoned") + told.count("uncordoned") == INTENTS_PER_TICK_MAX
        await world.clock.sleep(INTENTS_MAX / INTENTS_PER_TICK_MAX)
        told = [record[1] for record in world.said("state")]
        assert told.count("cordoned") + told.count("uncordoned") == INTENTS_MAX
        await world.function(1)

    play(story)


def test_what_has_gone_since_an_intent_was_taken_is_declined_with_the_reason(play: Any) -> None:
    async def story(world: Any) -> None:
        source, target = await world.nodes(2)
        await world.function(1, annotations={"node_id_match_any": "edge/0,edge/1"})
        await world.mirror.submit(Migrate(LID, (source.node_id, target.node_id)))
        await world.stop(1)
        await world.clock.sleep(1.1)
        declined = [record for record in world.said("state") if record[1] == "declined"]
        assert declined[-1][2] == f"migrate {LID}: unknown component"

    play(story)


def test_a_node_that_nobody_knows_cannot_be_cordoned_by_name(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        with pytest.raises(UnknownComponentError, match="did you mean 'edge/0'"):
            world.orchestrator.cordon("edge/00")

    play(story)
