"""Cordons and migrations, by call and by proxy (cases C006, C016, C017, U22)."""

from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError, UnknownComponentError
from edgeless_sim.model.ids import LogicalId, NodeId
from edgeless_sim.model.intent import Migrate

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


def test_a_proxy_mirrors_the_domain_and_brings_intents(play: Any) -> None:
    async def story(world: Any) -> None:
        proxy = world.proxy
        nodes = await world.nodes(2)
        await world.function(1)
        await world.clock.sleep(1.1)
        assert proxy.view == world.orchestrator.snapshot()
        assert [seen.name for seen in proxy.view.nodes] == ["edge/0", "edge/1"]
        host = proxy.view.components[0].node
        target = next(node for node in nodes if node.name != host)
        proxy.send(Migrate(LID, (target.node_id,)))
        await world.clock.sleep(2.1)
        assert proxy.view.components[0].node == target.name

    play(story)


def test_a_node_that_nobody_knows_cannot_be_cordoned_by_name(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        with pytest.raises(UnknownComponentError, match="did you mean 'edge/0'"):
            world.orchestrator.cordon("edge/00")

    play(story)
