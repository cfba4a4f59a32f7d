"""An ε-CON that is killed and begins anew knows what it has promised (cases D12, U01, U02)."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.api.messages import MigrateWorkflow
from edgeless_sim.errors import ResourceError
from edgeless_sim.model.ids import DomainId, WorkflowId


def test_its_workflows_are_listed_at_once_and_run_when_their_domain_registers_again(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        first = await world.start(make_function("f", out="r"), resources=("r",), name="game")
        second = await world.start("g")
        states = [told.state_specification.state_id for _, told in edge.told if told.name in "fg"]
        before = set(edge.running)
        await world.restart_controller()

        listed = await world.client.list_workflows()
        assert [(w.workflow_id, w.name) for w in listed] == [
            (first.workflow_id, "game"),
            (second.workflow_id, ""),
        ]
        assert [(w.mapping, w.reason) for w in listed] == [((), "the controller was restarted")] * 2
        info = await world.client.inspect(first.workflow_id)
        assert info.request.functions[0].class_specification.binary == b"code"

        edge.told.clear()
        await world.sleep(5)
        assert sorted(edge.names()) == ["f", "g", "r"]
        assert not before & set(edge.running)
        again = [told.state_specification.state_id for _, told in edge.told if told.name in "fg"]
        assert sorted(again) == sorted(states)
        listed = await world.client.list_workflows()
        assert [w.workflow_id for w in listed] == [first.workflow_id, second.workflow_id]
        assert all(w.mapping and not w.reason for w in listed)

    play(story)


def test_a_workflow_that_was_stopped_never_comes_back(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        kept = await world.start("f")
        stopped = await world.start("g")
        await world.client.stop(stopped.workflow_id)
        await world.restart_controller()
        # An orphan, too.
        await world.client.stop(kept.workflow_id)
        await world.restart_controller()
        assert await world.client.list_workflows() == ()
        await world.sleep(5)
        assert edge.running == {}

    play(story)


def test_a_start_that_was_not_answered_leaves_nothing(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        edge.mute.add("f")
        world.start_later("f")
        await world.clock.sleep(1)
        assert edge.names() == ["f"]
        await world.restart_controller()
        assert await world.client.list_workflows() == ()
        await world.sleep(5)
        assert edge.running == {}

    play(story)


def test_a_workflow_that_has_migrated_or_was_moved_is_still_one(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain("edge")
        status = await world.start("f")
        lab = await world.domain("lab")
        await world.client.migrate(MigrateWorkflow(status.workflow_id, DomainId("lab")))
        await world.restart_controller()
        await world.sleep(5)
        assert len(edge.running) + len(lab.running) == 1
        (edge if edge.running else lab).crash()
        await world.sleep(10)
        await world.restart_controller()
        await world.sleep(5)
        (listed,) = await world.client.list_workflows()
        assert listed.workflow_id == status.workflow_id
        assert len(listed.mapping) == 1

    play(story)


def test_what_cannot_be_stored_is_refused_and_undone(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        kept = await world.start("f", name="kept")
        world.store.broken = True
        error = await world.refused(world.start("g", name="game"))
        assert (error.summary, error.detail) == (
            "Controller cannot store workflows",
            "the disk is broken",
        )
        error = await world.refused(world.client.stop(kept.workflow_id))
        assert error.summary == "Controller cannot store workflows"
        await world.sleep(10)
        assert edge.names() == ["f"]
        world.store.broken = False
        # Its name is free again.
        await world.start("g", name="game")
        await world.client.stop(kept.workflow_id)
        await world.restart_controller()
        assert [w.name for w in await world.client.list_workflows()] == ["game"]

    play(story)


def test_a_name_that_was_restored_is_taken(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.domain()
        await world.start("f", name="game")
        await world.restart_controller()
        error = await world.refused(world.start("f", name="game"))
        assert error.summary == "Workflow name in use"

    play(story)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state_ids": ()}, "not complete"),
        ({"workflow_id": WorkflowId(UUID(int=1))}, "Workflow name in use"),
        ({"name": "", "request": "two of one name"}, "two components are called 'f'"),
    ],
)
def test_stored_workflows_that_make_no_sense_end_the_start(
    changes: dict[str, Any], reason: str, play: Any, make_workflow: Any
) -> None:
    async def story(world: Any) -> None:
        await world.domain()
        await world.start("f", name="game")
        (stored,) = world.store.load()
        if "request" in changes:
            changes["request"] = make_workflow("f", "f")
            changes["state_ids"] = (UUID(int=2), UUID(int=3))
        wrong = msgspec.structs.replace(stored, **changes)
        world.store.put(wrong)
        with pytest.raises(ResourceError, match=reason) as caught:
            await world.restart_controller()
        assert f"stored workflow {wrong.workflow_id}" in str(caught.value)

    play(story)
