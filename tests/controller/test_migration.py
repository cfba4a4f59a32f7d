"""Workflows move between domains (cases D03, D04, U35, F45)."""

from typing import Any
from uuid import UUID

from edgeless_sim.api.messages import MigrateWorkflow
from edgeless_sim.errors import RejectedError, UnknownComponentError
from edgeless_sim.model.ids import DomainId, WorkflowId

A, B = DomainId("a"), DomainId("b")


def test_a_workflow_moves_and_keeps_its_id_and_state(play: Any) -> None:
    async def story(world: Any) -> None:
        a = await world.domain("a")
        status = await world.start("f", resources=("r",), name="game")
        b = await world.domain("b")
        moved = await world.client.migrate(MigrateWorkflow(status.workflow_id, B))
        await world.settled()
        assert moved.workflow_id == status.workflow_id
        assert [(m.name, m.domain_id) for m in moved.mapping] == [("f", "b"), ("r", "b")]
        assert a.running == {}
        assert sorted(b.names()) == ["f", "r"]
        states = [d.told[0][1].state_specification.state_id for d in (a, b)]
        assert states[0] == states[1]

    play(story)


def test_a_migration_to_the_same_domain_restarts_the_workflow(play: Any) -> None:
    async def story(world: Any) -> None:
        a = await world.domain("a")
        status = await world.start("f")
        moved = await world.client.migrate(MigrateWorkflow(status.workflow_id, A))
        await world.settled()
        assert a.names() == ["f"]
        assert a.starts() == ["f", "f"]
        assert moved.mapping[0].logical_id in a.running

    play(story)


def test_impossible_migrations_are_refused_in_edgeless_words(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.domain("a")
        poor = world.orchestrator("b")
        poor.offer(num_nodes=1)
        await poor.join()
        status = await world.start("f")
        wid = status.workflow_id
        unknown = WorkflowId(UUID(int=9))
        cases: list[tuple[Any, str, str]] = [
            ((unknown, A), "Unknown workflow id", str(unknown)),
            ((wid, B), "Migration request cannot be satified", f"{wid}: no run-time 'RUST_WASM'"),
            ((wid, DomainId("c")), "Migration request cannot be satified", "not registered"),
            (
                (wid, A, "f"),
                "Ignoring request to migrate component to the same domain",
                "a",
            ),
            (
                (wid, B, "g"),
                "Invalid component name specified in migration request",
                "g",
            ),
            ((wid, B, "f"), "Migration request cannot be satified", "no run-time 'RUST_WASM'"),
        ]
        for arguments, summary, detail in cases:
            error = await world.refused(world.client.migrate(MigrateWorkflow(*arguments)))
            assert error.summary == summary
            assert detail in (error.detail or "")
        assert isinstance(
            await world.refused(world.client.migrate(MigrateWorkflow(unknown, A))),
            UnknownComponentError,
        )
        (listed,) = await world.client.list_workflows()
        assert listed.mapping[0].logical_id == status.mapping[0].logical_id

    play(story)


def test_an_orphan_cannot_be_migrated(play: Any) -> None:
    async def story(world: Any) -> None:
        a = await world.domain("a")
        status = await world.start("f")
        a.crash()
        b = await world.domain("b")
        b.refusals["f"] = RejectedError("full")
        await world.sleep(8)
        one = MigrateWorkflow(status.workflow_id, B, "f")
        error = await world.refused(world.client.migrate(one))
        assert error.summary == "Cannot migrate a single component of an orphan workflow"
        error = await world.refused(world.client.migrate(MigrateWorkflow(status.workflow_id, B)))
        assert error.summary == "Error when terminating the workflow during migration"

    play(story)


def test_a_migration_that_fails_leaves_the_workflow_where_it_was(play: Any) -> None:
    async def story(world: Any) -> None:
        a = await world.domain("a")
        status = await world.start("f", "g")
        b = await world.domain("b")
        b.refusals["g"] = RejectedError("full")
        error = await world.refused(world.client.migrate(MigrateWorkflow(status.workflow_id, B)))
        assert error.summary == "Error when migrating the workflow"
        assert "'g': full" in (error.detail or "")
        await world.settled()
        assert b.running == {}
        assert list(a.running) == [m.logical_id for m in status.mapping]
        assert a.stops() == []

    play(story)


def test_a_workflow_stopped_while_it_migrates_leaves_nothing_in_either_domain(play: Any) -> None:
    async def story(world: Any) -> None:
        a = await world.domain("a")
        status = await world.start("f")
        b = await world.domain("b")
        b.mute.add("f")

        async def migrate() -> None:
            await world.refused(world.client.migrate(MigrateWorkflow(status.workflow_id, B)))

        world.supervisor.spawn(migrate(), "client")
        await world.clock.sleep(1)
        again = await world.refused(world.client.migrate(MigrateWorkflow(status.workflow_id, B)))
        assert "being migrated already" in (again.detail or "")
        await world.client.stop(status.workflow_id)
        await world.sleep(20)
        assert (a.running, b.running) == ({}, {})
        assert await world.client.list_workflows() == ()

    play(story)


def test_a_workflow_whose_domain_dies_while_it_migrates_arrives(play: Any) -> None:
    async def story(world: Any) -> None:
        a = await world.domain("a")
        status = await world.start("f")
        b = await world.domain("b")
        a.ttl_s = 0.5
        await a.register()
        a.crash()
        b.mute.add("f")

        async def migrate() -> None:
            await world.refused(world.client.migrate(MigrateWorkflow(status.workflow_id, B)))

        world.supervisor.spawn(migrate(), "client")
        await world.clock.sleep(4)
        b.mute.clear()
        await world.sleep(30)
        (listed,) = await world.client.list_workflows()
        assert [m.domain_id for m in listed.mapping] == ["b"]
        assert b.names() == ["f"]

    play(story)
