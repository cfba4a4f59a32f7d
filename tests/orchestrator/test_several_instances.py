"""A function may ask for several instances: ``max_instances`` (spec 2.3, defect U24)."""

from typing import Any

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import Target
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.orchestrator.requests import INSTANCES_PER_FUNCTION_MAX


def instances(target: Target) -> list[InstanceId]:
    return [target.instance, *(other.instance for other in target.further)]


def hosting(nodes: Any) -> list[int]:
    """How many instances each node hosts."""
    return [len(node.instances) for node in nodes]


def test_a_function_has_as_many_instances_as_it_may_each_on_a_node_of_its_own(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(4)
        await world.function(1, annotations={"max_instances": "3"})
        await world.settled()
        assert sorted(hosting(nodes)) == [0, 1, 1, 1]
        component = world.component(1)
        assert len({component.instance, *component.further}) == 3

    play(story)


@pytest.mark.parametrize("told", ["0", "1", None])
def test_a_function_that_does_not_ask_for_more_has_one_instance(play: Any, told: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3)
        await world.function(1, annotations={} if told is None else {"max_instances": told})
        await world.settled()
        assert sum(hosting(nodes)) == 1

    play(story)


@pytest.mark.parametrize("wrong", ["-1", "NaN", "1e30", "", "two"])
def test_b17_a_number_that_is_none_is_refused_and_nothing_runs(play: Any, wrong: str) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2)
        error = await world.refused(world.function(1, annotations={"max_instances": wrong}))
        assert isinstance(error, RejectedError)
        assert "max_instances" in str(error)
        assert hosting(nodes) == [0, 0]

    play(story)


def test_a_resource_is_one_whatever_it_allows(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3, resources=("rc-1",))
        await world.resource(1, max_instances="3")
        await world.settled()
        assert sum(hosting(nodes)) == 1

    play(story)


def test_instances_are_bounded_whatever_is_asked_for(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(INSTANCES_PER_FUNCTION_MAX + 2)
        await world.function(1, annotations={"max_instances": "4294967295"})
        await world.settled()
        assert sum(hosting(nodes)) == INSTANCES_PER_FUNCTION_MAX

    play(story)


def test_a_node_that_joins_later_gets_the_instance_for_which_there_was_no_node(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2)
        await world.function(1, annotations={"max_instances": "3"})
        await world.settled()
        assert hosting(nodes) == [1, 1]
        late = await world.node(7)
        assert len(late.instances) == 1

    play(story)


def test_who_sends_to_a_function_knows_all_its_instances(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3)
        await world.function(1, outputs={"out": 2})
        await world.function(2, annotations={"max_instances": "3"})
        await world.settled()
        (sender,) = [
            outputs for node in nodes for outputs in node.outputs.values() if "out" in outputs
        ]
        component = world.component(2)
        assert sorted(instances(sender["out"])) == sorted([component.instance, *component.further])

    play(story)


def test_when_the_first_instance_is_lost_another_takes_its_place_at_once(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3)
        await world.function(1, annotations={"max_instances": "3"})
        await world.settled()
        first = world.component(1).instance
        (lost,) = [node for node in nodes if node.node_id == first.node_id]
        lost.crash()
        await world.clock.sleep(10)
        await world.settled()
        component = world.component(1)
        alive = [node for node in nodes if node.alive]
        assert hosting(alive) == [1, 1]
        assert {component.instance, *component.further} == {
            pid for node in alive for pid in node.instances
        }
        # Nothing was started anew: what ran goes on.
        assert all(len(node.told("start_function")) == 1 for node in alive)

    play(story)


def test_a_node_that_refuses_a_further_instance_is_left_alone_for_a_while(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2)
        await world.function(1, annotations={"max_instances": "2"})
        await world.settled()
        third = await world.node(5)
        del third
        hosts = {world.component(1).instance.node_id}
        (other,) = [node for node in nodes if node.node_id not in hosts]
        await world.function(2, annotations={"node_id_match_any": str(other.node_id)})
        other.refusal = RejectedError("no", "not now")
        await world.function(3, annotations={"max_instances": "9"})
        await world.clock.sleep(20)
        tries = [one for one in other.told("start_function") if one.name == "f3"]
        assert 1 <= len(tries) < 8
        other.refusal = None
        await world.clock.sleep(60)
        await world.settled()
        assert len(world.component(3).further) == 2

    play(story)


def test_a_stop_ends_all_instances(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3)
        reply = await world.function(1, annotations={"max_instances": "3"})
        await world.settled()
        await world.client.stop_function(reply.instance_id)
        await world.settled()
        assert hosting(nodes) == [0, 0, 0]

    play(story)


def test_an_instance_does_not_migrate_to_a_node_that_has_another(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2)
        await world.function(1, annotations={"max_instances": "2"})
        await world.settled()
        before = world.component(1)
        world.orchestrator.migrate(before.logical_id, [node.node_id for node in nodes])
        await world.settled()
        assert world.component(1) == before
        assert any("runs there already" in str(record) for record in world.said("state"))

    play(story)
