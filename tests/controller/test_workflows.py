"""What clients ask for: start, stop, list, inspect (C001, D01, D02, D05, D06, D09, D11)."""

from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.api.messages import ComponentState, StartWorkflow
from edgeless_sim.errors import (
    BadCodeError,
    NoFeasibleDomainError,
    NoFeasibleNodeError,
    RejectedError,
    UnknownComponentError,
)
from edgeless_sim.model.ids import DomainId, WorkflowId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowResource

UNKNOWN = WorkflowId(UUID(int=99))


def test_ten_workflows_start_are_listed_and_stop(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        started = [await world.start("f1") for _ in range(10)]
        assert [(m.name, m.domain_id) for s in started for m in s.mapping] == [("f1", "edge")] * 10
        listed = await world.client.list_workflows()
        assert [s.workflow_id for s in listed] == [s.workflow_id for s in started]
        assert len({s.workflow_id for s in started}) == 10
        for status in started:
            await world.client.stop(status.workflow_id)
        await world.client.stop(UNKNOWN)
        assert await world.client.list_workflows() == ()
        await world.settled()
        assert edge.running == {}

    play(story)


def test_functions_start_before_resources_each_with_its_first_output_mapping(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        status = await world.start(
            make_function("f1", out="f2", log="r"), "f2", resources=("r",), name="game"
        )
        assert edge.starts() == ["f1", "f2", "r"]
        lids = {m.name: m.logical_id for m in status.mapping}
        first, second, third = (request for _, request in edge.told)
        nil = UUID(int=0)
        assert {
            channel: (target.instance.node_id, target.instance.function_id, target.invocation_url)
            for channel, target in first.output_mapping.items()
        } == {"out": (nil, lids["f2"], ""), "log": (nil, lids["r"], "")}
        assert (second.output_mapping, third.output_mapping) == ({}, {})
        assert first.instance_id.function_id == lids["f1"]
        assert {r.workflow_id for r in (first, second, third)} == {status.workflow_id}
        assert status.name == "game"
        assert "patch_function" not in [method for method, _ in edge.told]

    play(story)


def test_an_empty_workflow_needs_a_domain_and_nothing_else(play: Any) -> None:
    async def story(world: Any) -> None:
        error = await world.refused(world.start())
        assert isinstance(error, NoFeasibleDomainError)
        assert error.summary == "Workflow creation failed"
        assert error.detail == "no domain is registered"
        edge = await world.domain()
        status = await world.start()
        assert status.mapping == ()
        assert edge.told == []

    play(story)


def test_an_invalid_workflow_is_refused_before_anything_starts(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        cases = [
            (make_function(""), "empty name in function"),
            (make_function("f", **{"": "f"}), "empty channel or component in output_mapping"),
            (make_function("f", out=""), "empty channel or component in output_mapping"),
            (make_function("f", out="g"), "'g', which is not a component of this workflow"),
            (make_function("f", {"tee": "maybe"}), "tee: 'maybe' is neither"),
        ]
        for function, detail in cases:
            error = await world.refused(world.start(function))
            assert error.summary == "Invalid workflow creation request"
            assert detail in (error.detail or "")
        twice = await world.refused(world.start("f", "f"))
        assert "two components are called 'f'" in (twice.detail or "")
        assert edge.told == []
        assert await world.client.list_workflows() == ()

    play(story)


@pytest.mark.parametrize(
    ("resource", "detail"),
    [
        (WorkflowResource("", "test-res"), "empty name in resource"),
        (WorkflowResource("r", ""), "empty class type in resource"),
        (
            WorkflowResource("r", "test-res", {"": "r"}),
            "empty channel or component in output_mapping of a resource",
        ),
        (
            WorkflowResource("r", "test-res", {"out": "nobody"}),
            "'nobody', which is not a component of this workflow",
        ),
    ],
)
def test_an_invalid_resource_is_refused_before_anything_starts(
    resource: WorkflowResource, detail: str, play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        request = SpawnWorkflowRequest((make_function("f"),), (resource,))
        error = await world.refused(world.client.start(StartWorkflow(request)))
        assert error.summary == "Invalid workflow creation request"
        assert detail in (error.detail or "")
        assert edge.told == []
        assert await world.client.list_workflows() == ()

    play(story)


def test_a_workflow_that_no_domain_can_host_is_refused_with_each_domains_reason(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        await world.domain("a")
        lab = world.orchestrator("lab")
        lab.offer(num_nodes=1, labels=("tier=lab",))
        await lab.join()
        error = await world.refused(world.start(make_function("f", {"label_match_all": "gpu"})))
        assert isinstance(error, NoFeasibleDomainError)
        assert error.detail == (
            "0 of 2 domains feasible; a: no node with label 'gpu' for 'f'; "
            "lab: no run-time 'RUST_WASM' for 'f'"
        )

    play(story)


def test_a_failure_in_the_middle_leaves_nothing_and_tells_the_true_reason(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        edge.refusals["f2"] = NoFeasibleNodeError("Could not start function", "no valid node found")
        error = await world.refused(world.start("f1", "f2", resources=("r",), name="game"))
        assert error.summary == "Request rejected"
        assert error.detail == (
            "could not start workflow: edge: 'f2': Could not start function "
            "[detail: no valid node found]"
        )
        assert edge.running == {}
        assert await world.client.list_workflows() == ()
        assert ("start_function", "f1") in [(m, getattr(a, "name", "")) for m, a in edge.told]
        await world.sleep(10)
        lids = [lid for _, lid in edge.stops()]
        assert len(lids) == len(set(lids)) == 2
        del edge.refusals["f2"]
        await world.start("f1", "f2", resources=("r",), name="game")
        assert sorted(edge.names()) == ["f1", "f2", "r"]

    play(story)


def test_a_patch_that_is_refused_leaves_nothing(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        # Only EDGELESS's own ε-ORC gets patches, and it has chosen the ids.
        edge = world.orchestrator()
        edge.foreign = True
        edge.listen()
        await edge.register()
        edge.refusals["patch_function"] = RejectedError("no route")
        error = await world.refused(world.start(make_function("f", out="r"), resources=("r",)))
        assert error.summary == "Request rejected"
        assert "no route" in (error.detail or "")
        assert edge.starts() == ["f", "r"]
        assert edge.running == {}
        assert await world.client.list_workflows() == ()

    play(story)


def test_an_error_of_a_start_is_short_and_carries_no_code(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        edge.refusals["f"] = BadCodeError("x" * 5000)
        error = await world.refused(world.start("f"))
        assert len(str(error.detail).encode()) <= 1024
        assert "binary" not in str(error)

    play(story)


def test_a_domain_that_refuses_is_followed_by_the_next(play: Any) -> None:
    async def story(world: Any) -> None:
        domains = {name: await world.domain(name) for name in ("a", "b", "c")}
        for name in ("a", "c"):
            domains[name].refusals["f"] = RejectedError("full")
        for _ in range(8):
            status = await world.start("f")
            assert [m.domain_id for m in status.mapping] == ["b"]
        assert domains["a"].starts()
        assert domains["c"].starts()
        assert len(domains["b"].running) == 8

    play(story)


def test_domains_are_drawn_uniformly(play: Any) -> None:
    async def story(world: Any) -> None:
        domains = [await world.domain(name) for name in ("a", "b", "c", "d")]
        for _ in range(400):
            await world.start("f")
        counts = [len(domain.running) for domain in domains]
        assert sum(counts) == 400
        assert all(70 <= count <= 130 for count in counts), counts

    play(story)


def test_a_name_is_unique_among_the_active_workflows(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.domain()
        status = await world.start("f", name="game")
        error = await world.refused(world.start("f", name="game"))
        assert (error.summary, error.detail) == (
            "Workflow name in use",
            "a workflow 'game' is active",
        )
        await world.start("f")
        await world.start("f")
        await world.client.stop(status.workflow_id)
        again = await world.start("f", name="game")
        assert again.workflow_id != status.workflow_id

    play(story)


def test_a_name_with_a_control_character_is_refused(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.domain()
        error = await world.refused(world.start("f", name="a\nb"))
        assert error.summary == "Invalid workflow creation request"

    play(story)


def test_inspect_shows_request_domain_state_and_instance(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        await world.domain()
        request = SpawnWorkflowRequest((make_function("f1"),))
        status = await world.client.start(StartWorkflow(request, "game"))
        await world.sleep(3)
        info = await world.client.inspect(status.workflow_id)
        assert info.request == request
        (component,) = info.status.mapping
        assert component.state is ComponentState.RUNNING
        assert component.node == "n"
        assert component.instance is not None
        error = await world.refused(world.client.inspect(UNKNOWN))
        assert isinstance(error, UnknownComponentError)

    play(story)


def test_an_orphan_is_inspected_as_it_was_asked_for_and_runs_nowhere(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        request = SpawnWorkflowRequest(
            (make_function("f", {"init-payload": "x"}, out="r"),),
            (WorkflowResource("r", "test-res", {}, {"key": "value"}),),
        )
        status = await world.client.start(StartWorkflow(request, "game"))
        edge.crash()
        await world.sleep(7)
        info = await world.client.inspect(status.workflow_id)
        assert info.request == request
        assert (info.status.workflow_id, info.status.name) == (status.workflow_id, "game")
        assert info.status.mapping == ()
        assert "no domain is registered" in info.status.reason

    play(story)


def test_domains_are_listed_by_name_or_all_together(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.domain("b")
        await world.domain("a")
        assert list(await world.client.domains(DomainId(""))) == ["a", "b"]
        (capabilities,) = (await world.client.domains(DomainId("b"))).values()
        assert capabilities.runtimes == ("RUST_WASM",)
        assert await world.client.domains(DomainId("c")) == {}

    play(story)


def test_a_workflow_stopped_while_it_starts_does_not_come_back(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        edge.slow_s = 2.0
        world.start_later("f")
        await world.clock.sleep(1)
        (request,) = edge.running.values()
        await world.client.stop(request.workflow_id)
        await world.sleep(20)
        assert edge.running == {}
        assert await world.client.list_workflows() == ()
        assert [state for state, _ in world.states()[-1:]] == ["stopped"]

    play(story)
