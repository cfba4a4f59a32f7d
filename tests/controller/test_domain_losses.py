"""What is lost, or comes at a bad moment, while domains join and restart (D07, U02, U03, U38)."""

from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.api.dispatch import Request
from edgeless_sim.api.wires import OUR_WIRES
from edgeless_sim.errors import RejectedError, UnreachableError
from edgeless_sim.model.ids import DomainId, LogicalId
from edgeless_transports.rules import between, loss

STRAY = LogicalId(UUID(int=0x57))


def test_first_registration_refresh_and_restart_are_answered_in_turn(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.listen()
        assert (await edge.register()).reset
        assert not (await edge.register()).reset
        edge.offer(num_nodes=3, runtimes=("RUST_WASM",))
        assert not (await edge.register()).reset
        assert (await world.client.domains(DomainId("edge")))[DomainId("edge")].num_nodes == 3
        edge.crash()
        restarted = world.orchestrator("edge", nonce=2)
        restarted.listen()
        assert (await restarted.register()).reset
        assert not (await restarted.register()).reset

    play(story)


def test_over_grpc_a_domain_without_a_name_is_refused_in_the_reply(play: Any) -> None:
    async def story(world: Any) -> None:
        url, path = "http://127.0.0.1:7001", "/edgeless_api.DomainRegistration/UpdateDomain"
        handler = world.controller.handler_for(url)
        reply = handler(Request(path, b"", "somebody", None))
        with pytest.raises(RejectedError) as caught:
            OUR_WIRES.calling(url).decode_reply(path, reply)
        assert caught.value.summary == "Empty domain identifier"
        assert await world.client.domains(DomainId("")) == {}

    play(story)


def test_an_answer_with_a_reset_that_is_lost_is_given_again_and_nothing_stays(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        # Longer than the time-out of the request, so that the domain stays known.
        edge.ttl_s = 60
        edge.listen()
        # Left over from a life of which this ε-CON knows nothing.
        edge.running[STRAY] = object()
        with (
            world.network.install(between(loss(1.0), lambda source, _: source == "con")),
            pytest.raises(UnreachableError),
        ):
            await edge.register()
        assert list(edge.running) == [STRAY]
        assert (await edge.register()).reset
        assert edge.running == {}
        assert not (await edge.register()).reset
        await world.start("f")
        await world.sleep(3)
        assert edge.names() == ["f"]

    play(story)


def test_the_reset_of_a_restarted_process_is_given_again_too(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain(refresh=False)
        status = await world.start("f")
        edge.crash()
        restarted = world.orchestrator("edge", nonce=2)
        restarted.ttl_s = 60
        restarted.listen()
        restarted.running[STRAY] = object()
        with (
            world.network.install(between(loss(1.0), lambda source, _: source == "con")),
            pytest.raises(UnreachableError),
        ):
            await restarted.register()
        (orphan,) = await world.client.list_workflows()
        assert orphan.mapping == ()
        assert "edge: it has not confirmed its reset yet" in orphan.reason
        assert restarted.told == []
        assert (await restarted.register()).reset
        assert not (await restarted.register()).reset
        await world.settled()
        assert restarted.names() == ["f"]
        (listed,) = await world.client.list_workflows()
        assert (listed.workflow_id, len(listed.mapping)) == (status.workflow_id, 1)

    play(story)


def test_workflows_of_a_restarted_process_go_at_once_where_they_can_run(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain("edge")
        status = await world.start("f")
        lab = await world.domain("lab")
        edge.crash()
        restarted = world.orchestrator("edge", nonce=2)
        restarted.listen()
        assert (await restarted.register(obey=False)).reset
        await world.settled()
        # Its deadline has not passed, and it has not confirmed its reset.
        assert world.clock.now_ns() == 0
        assert (restarted.told, lab.names()) == ([], ["f"])
        (listed,) = await world.client.list_workflows()
        assert listed.workflow_id == status.workflow_id
        assert [m.domain_id for m in listed.mapping] == ["lab"]

    play(story)


def test_a_domain_of_edgeless_itself_that_restarts_gets_its_workflows_again(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.foreign = True
        edge.listen()
        await edge.register()
        status = await world.start("f", resources=("r",))
        edge.crash()
        restarted = world.orchestrator("edge", nonce=2)
        restarted.foreign = True
        restarted.ttl_s = 60
        restarted.listen()
        assert (await restarted.register()).reset
        await world.sleep(1.5)
        assert restarted.names() == ["f", "r"]
        (listed,) = await world.client.list_workflows()
        assert listed.workflow_id == status.workflow_id
        assert {m.logical_id for m in listed.mapping} == set(restarted.running)

    play(story)


def test_an_orphan_that_is_stopped_while_it_is_deployed_again_leaves_nothing(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain("edge")
        status = await world.start("f", name="game")
        lab = await world.domain("lab")
        lab.slow_s = 2.0
        edge.crash()
        while not lab.running:
            await world.clock.sleep(0.5)
        (orphan,) = await world.client.list_workflows()
        assert orphan.mapping == ()
        await world.client.stop(status.workflow_id)
        assert await world.client.list_workflows() == ()
        await world.sleep(30)
        assert lab.running == {}
        assert lab.starts() == ["f"]
        assert world.store.load() == ()
        await world.restart_controller()
        await world.sleep(5)
        assert await world.client.list_workflows() == ()
        assert (lab.running, lab.starts()) == ({}, ["f"])

    play(story)
