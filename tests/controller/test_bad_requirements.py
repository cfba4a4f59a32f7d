"""What cannot be understood is refused, and nothing changes (reliability B17 to B22)."""

from typing import Any

import pytest

from edgeless_sim.api.messages import StartWorkflow
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowResource

U1 = "fda6ce79-46df-4f96-a0d2-456f720f606c"


@pytest.mark.parametrize("kind", ["function", "resource"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("max_instances", "NaN", id="B17"),
        pytest.param("max_instances", "-1", id="B17 negative"),
        pytest.param("node_id_match_any", "", id="B18 empty"),
        pytest.param("node_id_match_any", f"urn:uuid:{U1}", id="B18 urn"),
        pytest.param("node_id_match_any", f"{U1},{U1[:-1]}", id="B18 valid and invalid"),
        pytest.param("label_match_all", "red,,blue", id="B19"),
        pytest.param("tee", "maybe", id="B20 tee"),
        pytest.param("tpm", "maybe", id="B20 tpm"),
        pytest.param("max_instances", "1_000", id="B21 underscore"),
        pytest.param("max_instances", "\u0663", id="B21 Arabic digit"),
        pytest.param("max_instances", "8\n", id="B21 newline"),
    ],
)
def test_a_bad_requirement_refuses_the_workflow_and_changes_nothing(
    play: Any, make_function: Any, kind: str, key: str, value: str
) -> None:
    good = WorkflowResource("r", "test-res")
    bad = (
        SpawnWorkflowRequest((make_function("f", {key: value}),), (good,))
        if kind == "function"
        else SpawnWorkflowRequest(
            (make_function("f"),), (WorkflowResource("r", "test-res", {}, {key: value}),)
        )
    )

    async def story(world: Any) -> None:
        edge = await world.domain()
        kept = await world.start("f", resources=("r",), name="kept")
        await world.sleep(5)
        before = (await world.client.inspect(kept.workflow_id), world.store.load())
        told, running = list(edge.told), dict(edge.running)
        error = await world.refused(world.client.start(StartWorkflow(bad, "bad")))
        assert error.summary == "Invalid workflow creation request"
        assert key in (error.detail or "")
        await world.sleep(10)
        assert (edge.told, edge.running) == (told, running)
        assert (await world.client.inspect(kept.workflow_id), world.store.load()) == before
        assert await world.client.list_workflows() == (before[0].status,)
        # Its name is free.
        await world.start("g", name="bad")

    play(story)


def test_b17_a_hundred_thousand_annotations_are_refused(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        many = {f"key{number}": "x" for number in range(100_000)}
        error = await world.refused(world.start(make_function("f", many)))
        assert "100000 entries, at most 1024" in (error.detail or "")
        assert edge.told == []
        assert await world.client.list_workflows() == ()

    play(story)


def test_b19_an_empty_list_of_labels_asks_for_nothing(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        await world.start(make_function("f", {"label_match_all": ""}))
        assert edge.names() == ["f"]

    play(story)


def test_b22_no_workflow_can_name_the_state_of_another(play: Any) -> None:
    """A request has no state id; the ε-CON draws them, and no two are the same."""

    async def story(world: Any) -> None:
        edge = await world.domain()
        for _ in range(20):
            await world.start("f", "g")
        states = [request.state_specification.state_id for request in edge.running.values()]
        assert len({*states}) == len(states) == 40
        assert all(state.int for state in states)

    play(story)
