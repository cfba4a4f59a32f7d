"""Resources whose providers fail, and those that ask something of their node (F24, spec 2.3)."""

from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import PatchRequest, Target
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId

CLOSED = RejectedError("Error when creating a resource", "the world is closed")


def logical(number: int) -> InstanceId:
    return InstanceId(NodeId(UUID(int=0)), FunctionId(UUID(int=number)))


def pid_of(world: Any, number: int = 1) -> InstanceId:
    found = world.component(number).instance
    assert isinstance(found, InstanceId)
    return found


def test_f24_when_a_provider_refuses_to_start_another_one_is_tried(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3, resources=("rc-1",))
        for node in nodes[:2]:
            node.refusal = CLOSED
        await world.resource(1)
        assert len(nodes[2].instances) == 1
        nodes[2].refusal = CLOSED
        error = await world.refused(world.resource(2))
        assert error.detail == "the world is closed"
        assert all(len(node.told("start_resource")) <= 2 for node in nodes)

    play(story)


def test_f24_a_provider_that_hangs_is_given_up_for_another_and_told_to_stop(play: Any) -> None:
    async def story(world: Any) -> None:
        hung = await world.node(0, resources=("rc-1",))
        hung.hangs = True
        other = await world.node(1)
        world.supervisor.spawn(world.resource(1), "start")
        await world.clock.sleep(0.5)
        # It could not be anywhere else; now it can.
        other.providers = hung.providers
        other.send_refresh()
        await world.clock.sleep(10)
        assert len(other.instances) == 1
        hung.hangs = False
        await world.clock.sleep(40)
        await world.settled()
        assert hung.told("start_resource")[0].instance_id in hung.told("stop_resource")
        assert (hung.instances, len(other.instances)) == ({}, 1)

    play(story)


def test_f24_a_patch_that_a_provider_refuses_is_sent_again_until_it_is_taken(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.resource(1)
        await world.function(2)
        node.refusal = RejectedError("Error when patching a resource", "not now")
        outputs = {"out": Target(logical(2), "")}
        await world.client.patch_resource(PatchRequest(logical(1), outputs, 1))
        await world.clock.sleep(5)
        assert node.outputs[pid_of(world)] == {}
        node.refusal = None
        await world.clock.sleep(40)
        await world.settled()
        assert node.outputs[pid_of(world)]["out"].instance == pid_of(world, 2)

    play(story)


def test_f24_a_resource_that_died_is_noticed_and_started_anew(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.resource(1)
        died = pid_of(world)
        del node.instances[died]
        node.revision += 1
        await world.clock.sleep(3)
        await world.settled()
        assert len(node.told("start_resource")) == 2
        assert list(node.instances) == [pid_of(world)]
        assert pid_of(world) != died

    play(story)


@pytest.mark.parametrize(
    "wanted",
    [
        {"label_match_all": "red"},
        {"node_id_match_any": "edge/1"},
        {"resource_match_all": "node-1-resource-0-provider"},
        {"tpm": "not-required", "max_instances": "1", "label_match_all": "red"},
    ],
)
def test_a_resource_goes_where_its_requirements_hold_and_keeps_its_configuration(
    play: Any, wanted: dict[str, str]
) -> None:
    async def story(world: Any) -> None:
        nodes = [
            await world.node(0, resources=("rc-1",)),
            await world.node(1, resources=("rc-1",), labels=("red",)),
            await world.node(2, resources=("rc-1",), labels=("green",)),
        ]
        for number in range(1, 10):
            await world.resource(number, url="x", **wanted)
        assert [len(node.instances) for node in nodes] == [0, 9, 0]
        assert nodes[1].told("start_resource")[0].configuration == {"url": "x", **wanted}

    play(story)


def test_a_resource_whose_requirements_hold_nowhere_is_refused_with_the_reasons(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2, resources=("rc-1",))
        for key, value, reason in (
            ("label_match_all", "red", "label red missing"),
            ("node_id_match_any", "edge/7", "not among the wanted nodes"),
            ("resource_match_all", "redis-1", "provider redis-1 missing"),
            ("tee", "required", "no TEE"),
            ("tpm", "Required", "no TPM"),
        ):
            error = await world.refused(world.resource(1, **{key: value}))
            assert f"edge/0: {reason}" in str(error.detail)
        assert all(node.told("start_resource") == [] for node in nodes)

    play(story)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_instances", "many"),
        ("max_instances", "-1"),
        ("node_id_match_any", "?"),
        ("node_id_match_any", ""),
        ("label_match_all", "red,"),
        ("resource_match_all", ",redis-1"),
        ("tee", "maybe"),
        ("tpm", ""),
    ],
)
def test_a_requirement_of_a_resource_that_cannot_be_understood_is_refused(
    play: Any, key: str, value: str
) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        error = await world.refused(world.resource(1, **{key: value}))
        assert error.summary == "Invalid deployment requirements"
        assert str(error.detail).startswith(f"{key}: ")
        assert node.calls == []

    play(story)


def test_a_resource_is_moved_only_to_where_its_requirements_hold(play: Any) -> None:
    async def story(world: Any) -> None:
        first = await world.node(0, resources=("rc-1",), labels=("red",))
        await world.resource(1, label_match_all="red")
        green = await world.node(1, resources=("rc-1",), labels=("green",))
        first.crash()
        await world.clock.sleep(20)
        assert green.told("start_resource") == []
        red = await world.node(2, resources=("rc-1",), labels=("red",))
        await world.clock.sleep(31)
        assert len(red.instances) == 1

    play(story)
