"""Domains come, go and lose their memory (cases D07, D08, U02, U03, U04, U06, U38, F06)."""

from itertools import pairwise
from typing import Any

import pytest

from edgeless_sim.errors import NoFeasibleDomainError, RejectedError, UnreachableError
from edgeless_sim.model.ids import DomainId


def test_a_domain_without_a_name_is_refused(play: Any) -> None:
    async def story(world: Any) -> None:
        error = await world.refused(world.orchestrator("").register())
        assert error.summary == "Empty domain identifier"

    play(story)


def test_a_reset_is_repeated_until_it_is_confirmed(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.listen()
        orders = [await edge.register(obey=False) for _ in range(3)]
        assert [order.reset for order in orders] == [True, True, True]
        assert len({order.epoch for order in orders}) == 1
        await edge.register()
        assert not (await edge.register()).reset
        assert not (await edge.register()).reset

    play(story)


def test_a_domain_gets_nothing_before_it_has_confirmed_its_reset(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.listen()
        order = await edge.register(obey=False)
        started: list[Any] = []

        async def start() -> None:
            started.append(await world.start("f"))

        world.supervisor.spawn(start(), "client")
        await world.clock.sleep(0.5)
        assert edge.told == []
        edge.epoch = order.epoch
        await edge.register()
        await world.settled()
        assert edge.names() == ["f"]
        assert len(started) == 1

    play(story)


def test_a_start_waits_three_seconds_for_a_domain_that_never_confirms(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.listen()
        await edge.register(obey=False)
        before = world.clock.now_ns()
        error = await world.refused(world.start("f"))
        assert isinstance(error, NoFeasibleDomainError)
        assert "edge: it has not confirmed its reset yet" in (error.detail or "")
        assert world.clock.now_ns() - before == 3_000_000_000

    play(story)


def test_a_domain_of_edgeless_itself_is_trusted_after_a_second(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.foreign = True
        edge.listen()
        assert (await edge.register()).reset
        await world.start("f")
        assert world.clock.now_ns() == 1_000_000_000
        assert not (await edge.register()).reset

    play(story)


def test_a_domain_of_edgeless_itself_chooses_ids_and_is_patched(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.foreign = True
        edge.listen()
        await edge.register()
        status = await world.start(make_function("f", out="r"), resources=("r",))
        lids = {mapping.name: mapping.logical_id for mapping in status.mapping}
        assert {lid: request.name for lid, request in edge.running.items()} == {
            lids["f"]: "f",
            lids["r"]: "r",
        }
        ((method, patch),) = [told for told in edge.told if told[0].startswith("patch")]
        assert method == "patch_function"
        assert patch.function_id.function_id == lids["f"]
        assert patch.output_mapping["out"].instance.function_id == lids["r"]
        await world.client.stop(status.workflow_id)
        await world.settled()
        assert edge.running == {}

    play(story)


def test_a_silent_domain_is_removed_and_its_workflows_go_elsewhere_with_the_same_id(
    play: Any,
) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain("edge")
        status = await world.start("f", name="game")
        state = edge.told[0][1].state_specification.state_id
        lab = await world.domain("lab")
        edge.crash()
        await world.sleep(7)
        assert list(await world.client.domains(DomainId(""))) == ["lab"]
        (listed,) = await world.client.list_workflows()
        assert (listed.workflow_id, listed.name) == (status.workflow_id, "game")
        assert [m.domain_id for m in listed.mapping] == ["lab"]
        assert listed.mapping[0].logical_id != status.mapping[0].logical_id
        assert lab.told[0][1].state_specification.state_id == state
        assert [s for s, _ in world.states() if s in ("lost", "orphan", "redeployed")] == [
            "lost",
            "orphan",
            "redeployed",
        ]

    play(story)


def test_detection_takes_no_longer_than_the_deadline_and_one_tick(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.ttl_s = 3
        await edge.join(refresh=False)
        await world.sleep(2.9)
        assert list(await world.client.domains(DomainId(""))) == ["edge"]
        await world.sleep(1.2)
        assert await world.client.domains(DomainId("")) == {}

    play(story)


def test_a_shorter_deadline_counts_at_once(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.ttl_s = 1000
        await edge.join(refresh=False)
        edge.ttl_s = -5
        await edge.register()
        await world.sleep(1.1)
        assert await world.client.domains(DomainId("")) == {}

    play(story)


def test_a_domain_that_comes_back_is_reset_before_it_gets_its_workflows_again(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        status = await world.start("f")
        edge._refreshing = False
        await world.sleep(8)
        (orphan,) = await world.client.list_workflows()
        assert (orphan.workflow_id, orphan.mapping) == (status.workflow_id, ())
        assert (await world.client.inspect(status.workflow_id)).request.functions[0].name == "f"
        response = await edge.register()
        assert response.reset
        assert edge.running == {}
        await edge.register()
        await world.settled()
        assert edge.names() == ["f"]

    play(story)


def test_a_restarted_orchestrator_gets_its_workflows_at_once_under_new_logical_ids(
    play: Any,
) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        status = await world.start("f", "g")
        edge.crash()
        restarted = world.orchestrator("edge", nonce=2)
        await restarted.join()
        await world.settled()
        assert world.clock.now_ns() == 0
        assert sorted(restarted.names()) == ["f", "g"]
        (listed,) = await world.client.list_workflows()
        assert listed.workflow_id == status.workflow_id
        assert {m.logical_id for m in listed.mapping} == set(restarted.running)

    play(story)


def test_an_orchestrator_that_forgets_its_epoch_is_reset_and_given_its_workflows(
    play: Any,
) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain(refresh=False)
        await world.start("f")
        edge.epoch = 0
        edge.running.clear()
        assert (await edge.register()).reset
        assert not (await edge.register()).reset
        await world.settled()
        assert edge.names() == ["f"]

    play(story)


def test_a_registration_that_was_overtaken_resets_nothing(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        early = edge.registration()
        await edge.join(refresh=False)
        await world.start("f")
        assert (await edge._client.update_domain(early)).reset
        assert not (await edge.register()).reset
        await world.settled()
        assert edge.names() == ["f"]
        assert edge.starts() == ["f"]

    play(story)


def test_of_two_processes_with_one_domain_id_the_later_wins_once(play: Any) -> None:
    async def story(world: Any) -> None:
        first = await world.domain("edge")
        await world.start("f")
        first.crash()
        second = world.orchestrator("edge", nonce=2)
        await second.join()
        for _ in range(3):
            error = await world.refused(first.register())
            assert error.summary == "Superseded domain process"
            assert not (await second.register()).reset
        assert second.starts() == ["f"]

    play(story)


def test_a_late_registration_from_before_a_domain_was_lost_does_not_push_out_the_present_one(
    play: Any,
) -> None:
    async def story(world: Any) -> None:
        first = await world.domain("edge")
        first.crash()
        await world.clock.sleep(30)
        second = world.orchestrator("edge", nonce=2)
        await second.join()
        error = await world.refused(first.register())
        assert error.summary == "Superseded domain process"
        assert not (await second.register()).reset

    play(story)


def test_an_orphan_is_placed_when_a_domain_begins_to_offer_what_it_needs(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain("edge")
        await world.start("f")
        lab = world.orchestrator("lab")
        lab.offer(num_nodes=0)
        await lab.join(refresh=False)
        lab.ttl_s = 600
        await lab.register()
        edge.crash()
        await world.sleep(100)
        assert lab.told == []
        lab.offer(num_nodes=1, runtimes=("RUST_WASM",))
        await lab.register()
        await world.settled()
        assert lab.names() == ["f"]

    play(story)


def test_orphans_are_tried_again_after_1_2_4_and_at_most_30_seconds(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain("edge")
        await world.start("f")
        lab = world.orchestrator("lab")
        lab.refusals["f"] = RejectedError("full")
        await lab.join()
        edge.crash()
        await world.sleep(110)
        tries = lab.started_ns
        gaps = [(after - before) // 1_000_000_000 for before, after in pairwise(tries)]
        assert gaps == [1, 2, 4, 8, 16, 30, 30]

    play(story)


def test_an_orphan_can_be_stopped_and_never_comes_back(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain("edge")
        status = await world.start("f")
        edge.crash()
        await world.sleep(8)
        await world.client.stop(status.workflow_id)
        assert await world.client.list_workflows() == ()
        lab = await world.domain("lab")
        await world.sleep(60)
        assert lab.told == []

    play(story)


def test_the_ids_of_a_restarted_controller_are_new(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        status = await world.start("f")
        first_epoch = edge.epoch
        await world.sleep(1)
        world.crash_controller()
        await world.start_controller()
        assert (await edge.register()).reset
        assert edge.epoch != first_epoch
        await edge.register()
        again = await world.start("f")
        assert again.workflow_id != status.workflow_id
        assert again.mapping[0].logical_id != status.mapping[0].logical_id

    play(story)


def test_a_controller_that_stops_tells_the_clients_that_wait(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        edge.hung = True
        refusals: list[RejectedError] = []

        async def start() -> None:
            refusals.append(await world.refused(world.start("f")))

        world.supervisor.spawn(start(), "client")
        await world.clock.sleep(1)
        await world.controller.stop()
        await world.clock.sleep(0.1)
        assert [error.detail for error in refusals] == ["the controller has stopped"]

    play(story)


def test_a_crashed_controller_says_and_writes_nothing_more(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        edge.hung = True
        unanswered: list[UnreachableError] = []

        async def start() -> None:
            with pytest.raises(UnreachableError) as caught:
                await world.start("f")
            unanswered.append(caught.value)

        world.supervisor.spawn(start(), "client")
        await world.clock.sleep(1)
        world.crash_controller()
        world.journal.flush()
        sent, written = world.network.counters.sent, len(world.records)
        edge.crash()
        await world.clock.sleep(100)
        world.journal.flush()
        assert (world.network.counters.sent, len(world.records)) == (sent, written)
        assert len(unanswered) == 1

    play(story)
