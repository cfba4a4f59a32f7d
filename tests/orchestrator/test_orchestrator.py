"""What the ε-CON asks for reaches the right nodes (cases C008-C017, D13-D21, U22, U24, U30)."""

from typing import Any
from uuid import UUID

from edgeless_sim.errors import NoFeasibleNodeError, RejectedError
from edgeless_sim.model.event import UNPLACED, PatchRequest, Target
from edgeless_sim.model.ids import FunctionId, InstanceId, LogicalId, NodeId

LID = LogicalId(UUID(int=1))
NIL = NodeId(UUID(int=0))


def test_a_function_starts_and_stops_on_the_only_node(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        reply = await world.function(1)
        assert reply.instance_id == InstanceId(NIL, FunctionId(LID))
        (start,) = node.told("start_function")
        assert (start.code.id, start.code.binary) == ("fc-1", b"function_code")
        assert (start.name, start.workflow_id) == ("f1", UUID(int=0xF1))
        assert start.instance_id.node_id == node.node_id
        for _ in range(2):
            await world.client.stop_function(reply.instance_id)
            await world.settled()
        assert node.told("stop_function") == [start.instance_id]

    play(story)


def test_a_start_that_arrives_after_the_stop_of_the_same_component_is_refused(play: Any) -> None:
    async def story(world: Any) -> None:
        (node,) = await world.nodes(1)
        reply = await world.function(1)
        await world.client.stop_function(reply.instance_id)
        await world.settled()
        refusal = await world.refused(world.function(1))
        assert "stale start" in str(refusal)
        assert world.orchestrator.snapshot().components == ()
        assert len(node.told("start_function")) == 1

    play(story)


def test_a_function_without_an_id_is_given_one(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        first = await world.function(1, instance_id=None)
        second = await world.function(1, instance_id=None)
        assert first.instance_id != second.instance_id
        assert len(world.orchestrator.snapshot().components) == 2

    play(story)


def test_random_placement_uses_all_nodes_and_stops_go_where_starts_went(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3)
        for number in range(1, 101):
            await world.function(number)
        started = [node.told("start_function") for node in nodes]
        assert sum(map(len, started)) == 100
        assert all(started)
        for number in range(1, 101):
            await world.client.stop_function(InstanceId(NIL, FunctionId(UUID(int=number))))
        await world.settled()
        for node, starts in zip(nodes, started, strict=True):
            assert node.told("stop_function") == [start.instance_id for start in starts]
            assert node.instances == {}

    play(story)


def test_resources_go_to_nodes_with_a_provider_of_their_class(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3, resources=("rc-1", "rc-1", "rc-2"))
        for number in range(1, 101):
            await world.resource(number)
        starts = [start for node in nodes for start in node.told("start_resource")]
        assert len(starts) == 100
        assert {start.provider_id for start in starts} == {
            f"node-{n}-resource-{i}-provider" for n in range(3) for i in range(2)
        }
        error = await world.refused(world.resource(101, class_type="rc-666"))
        assert error.summary == "class type not found"
        assert error.detail.startswith("class_type: rc-666; edge/0: no provider of rc-666")
        await world.client.stop_resource(InstanceId(NIL, FunctionId(LID)))
        await world.settled()
        stops = [stop for node in nodes for stop in node.told("stop_resource")]
        assert stops == [next(start.instance_id for start in starts if start.name == "r1")]

    play(story)


def test_a_resource_of_the_same_provider_id_on_two_nodes_outlives_one_of_them(play: Any) -> None:
    async def story(world: Any) -> None:
        first = await world.node(0, resources=("rc-1",))
        second = await world.node(1)
        second.providers = first.providers
        second.send_refresh()
        await world.settled()
        first.crash()
        await world.clock.sleep(8)
        await world.resource(1)
        assert len(second.told("start_resource")) == 1

    play(story)


def test_patches_are_translated_from_logical_to_physical_over_both_apis(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.function(1)
        await world.resource(2)
        await world.patch(1, {"out-1": 2})
        await world.client.patch_resource(patch_request(2, {"out-2": 1}))
        await world.settled()
        function = node.told("start_function")[0].instance_id
        resource = node.told("start_resource")[0].instance_id
        (patch,) = node.told("patch_function")
        assert patch.function_id == function
        assert {c: t.instance for c, t in patch.output_mapping.items()} == {"out-1": resource}
        assert patch.output_mapping["out-1"].invocation_url == "memory://node/edge/0"
        (patch,) = node.told("patch_resource")
        assert patch.function_id == resource
        assert {c: t.instance for c, t in patch.output_mapping.items()} == {"out-2": function}

    play(story)


def patch_request(number: int, outputs: dict[str, int]) -> PatchRequest:
    targets = {
        channel: Target(InstanceId(NIL, FunctionId(UUID(int=target))), "")
        for channel, target in outputs.items()
    }
    return PatchRequest(InstanceId(NIL, FunctionId(UUID(int=number))), targets, 1)


def test_a_patch_replaces_all_outputs_and_an_older_one_changes_nothing(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        for number in (1, 2, 3):
            await world.function(number)
        await world.patch(1, {"a": 2, "b": 3}, generation=4)
        await world.patch(1, {"b": 3}, generation=5)
        await world.patch(1, {"a": 2}, generation=4)
        await world.settled()
        pid = node.told("start_function")[0].instance_id
        third = node.told("start_function")[2].instance_id
        assert {c: t.instance for c, t in node.outputs[pid].items()} == {"b": third}

    play(story)


def test_a_start_carries_all_channels_and_a_patch_the_targets_that_came_later(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(2)
        await world.function(1, {"back": 2, "on": 3})
        starts = node.told("start_function")
        assert starts[1].output_mapping["back"].instance == starts[0].instance_id
        assert starts[1].output_mapping["on"].instance == UNPLACED
        await world.function(3)
        await world.settled()
        pids = [start.instance_id for start in node.told("start_function")]
        wired = {c: t.instance for c, t in node.outputs[pids[1]].items()}
        assert wired == {"back": pids[0], "on": pids[2]}
        assert len(node.told("patch_function")) == 1

    play(story)


def test_stopping_a_target_takes_it_out_of_the_outputs(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(2)
        await world.function(1, {"out": 2})
        await world.client.stop_function(InstanceId(NIL, FunctionId(UUID(int=2))))
        await world.settled()
        pid = node.told("start_function")[1].instance_id
        assert node.outputs == {pid: {}}

    play(story)


def test_a_start_that_is_repeated_makes_no_second_instance(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        assert await world.function(1) == await world.function(1)
        await world.settled()
        assert len(node.instances) == 1

    play(story)


def test_without_a_feasible_node_the_refusal_says_why(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        await world.node(1, labels=("red",), cpus=0)
        error = await world.refused(world.function(1, annotations={"label_match_all": "red"}))
        assert isinstance(error, NoFeasibleNodeError)
        assert error.summary == (
            "Could not start function run-time RUST_WASM class ID fc-1 version 0.1 code None"
        )
        assert error.detail == "no valid node found; edge/0: label red missing; edge/1: no CPU"
        assert world.component(1) is None

    play(story)


def test_a_requirement_that_cannot_be_understood_is_refused(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        for annotations in (
            {"max_instances": "many"},
            {"node_id_match_any": "?"},
            {"tee": "maybe"},
        ):
            error = await world.refused(world.function(1, annotations=annotations))
            assert error.summary == "Invalid deployment requirements"
        assert node.calls == []

    play(story)


def test_a_node_may_be_asked_for_by_name_or_by_id(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3)
        for number in range(1, 6):
            await world.function(number, annotations={"node_id_match_any": "edge/2"})
        wanted = {"node_id_match_any": str(nodes[1].node_id)}
        await world.function(6, annotations=wanted)
        assert [len(node.instances) for node in nodes] == [0, 1, 5]

    play(story)


def test_a_function_is_not_stopped_or_patched_through_the_api_of_resources(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        error = await world.refused(world.client.stop_resource(InstanceId(NIL, FunctionId(LID))))
        assert error.summary == "wrong kind of component"
        assert len(node.instances) == 1
        assert world.component(1).state == "running"
        error = await world.refused(world.patch(9, {"out": 1}))
        assert error.summary == "unknown component"

    play(story)


def test_bad_code_is_refused_at_once_with_the_words_of_the_node(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3)
        for node in nodes:
            node.refusal = RejectedError("Error when creating a function instance", "no export")
        error = await world.refused(world.function(1))
        assert (error.summary, error.detail) == (
            "Error when creating a function instance",
            "no export",
        )
        assert sum(len(node.told("start_function")) for node in nodes) == 1

    play(story)


def test_when_a_node_refuses_the_next_candidate_is_tried(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(4)
        for node in nodes[:3]:
            node.refusal = RejectedError("full", "no memory")
        await world.function(1)
        assert len(nodes[3].instances) == 1
        nodes[3].refusal = RejectedError("full", "no memory")
        error = await world.refused(world.function(2))
        assert str(error) == "full [detail: no memory]"
        assert all(len(node.told("start_function")) <= 2 for node in nodes)

    play(story)


def test_each_placement_is_in_the_journal_with_its_reason(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.nodes(3)
        world.orchestrator.cordon("edge/1")
        await world.settled()
        await world.function(1)
        ((_, _, reason),) = world.said("place")
        assert reason == "RoundRobin: 2 of 3 feasible; edge/1: cordoned"

    play(story, strategy="RoundRobin")


def test_who_waits_for_a_start_is_told_when_the_orchestrator_stops(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.hangs = True
        world.scheduler.call_at(world.clock.now_ns() + 1_000_000_000, stop, world)
        error = await world.refused(world.function(1))
        assert "has stopped" in str(error)
        node.crash()

    def stop(world: Any) -> None:
        world.supervisor.spawn(world.orchestrator.stop(), "stop")

    play(story)
