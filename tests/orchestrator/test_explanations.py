"""Why a component is where it is: the last decisions, with candidates, reasons and scores."""

from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.api.clients import DomainMirrorClient
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.decision import CANDIDATES_SHOWN_MAX, Decision
from edgeless_sim.model.ids import LogicalId
from edgeless_sim.orchestrator.decisions import EXPLAINED_MAX, REMEMBERED_MAX


def lid(number: int) -> LogicalId:
    return LogicalId(UUID(int=number))


async def explain(world: Any, number: int) -> tuple[Decision, ...]:
    return await DomainMirrorClient(world.connection("con", "orc/edge")).explain((lid(number),))


def test_a_placement_names_candidates_and_what_spoke_against_the_others(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(1, labels=("ssd",))
        await world.node(2)
        cordoned = await world.node(3, labels=("ssd",))
        world.orchestrator.cordon(cordoned.node_id)
        await world.settled()
        await world.function(7, annotations={"label_match_all": "ssd"})
        (decision,) = await explain(world, 7)
        assert (decision.outcome, decision.chosen) == ("placed", "edge/1")
        assert decision.component.endswith("/f7")
        assert decision.decided_by == "ε-ORC of edge, Random"
        assert {each.name: each.against for each in decision.candidates} == {
            "edge/1": "",
            "edge/2": "label ssd missing",
            "edge/3": "cordoned",
        }
        assert (decision.feasible_total, decision.candidates_total) == (1, 3)

    play(story)


def test_a_move_a_refused_move_and_a_wait_are_explained_too(play: Any) -> None:
    async def story(world: Any) -> None:
        first, second = await world.nodes(2)
        await world.function(7, annotations={"node_id_match_any": str(first.node_id)})
        world.orchestrator.migrate(lid(7), [second.node_id])
        await world.settled()
        first.crash()
        await world.clock.sleep(10)
        outcomes = [each.outcome for each in await explain(world, 7)]
        assert outcomes == ["placed", "declined", "pending"]
        assert "not among the wanted nodes" in (await explain(world, 7))[-1].candidates[0].against

    play(story)


def test_the_scores_of_the_strategy_are_shown(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.nodes(2, cpus=2)
        for number in range(1, 4):
            await world.function(number)
        (decision,) = await explain(world, 3)
        # Components per core: fewer is better, so they count as negative.
        assert [each.score for each in decision.candidates] == [-0.5, -0.5]
        assert world.said("place")[-1][2].endswith("; scores edge/0 -0.5, edge/1 -0.5")

    play(story, strategy="LeastLoaded")


def test_explanations_are_bounded_however_many_nodes_and_moves_there_are(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(CANDIDATES_SHOWN_MAX + 10)
        await world.function(7)
        for step in range(REMEMBERED_MAX + 3):
            world.orchestrator.migrate(lid(7), [node.node_id for node in nodes[step : step + 2]])
            await world.settled()
        decisions = await explain(world, 7)
        assert len(decisions) == REMEMBERED_MAX
        assert all(len(each.candidates) <= CANDIDATES_SHOWN_MAX for each in decisions)
        assert all(
            each.chosen in {candidate.name for candidate in each.candidates}
            for each in decisions
            if each.chosen
        )
        client = DomainMirrorClient(world.connection("con", "orc/edge"))
        with pytest.raises(RejectedError, match="too many components"):
            await client.explain((lid(7),) * (EXPLAINED_MAX + 1))

    play(story)


def test_what_has_stopped_is_not_remembered(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.nodes(1)
        reply = await world.function(7)
        await world.client.stop_function(reply.instance_id)
        assert await explain(world, 7) == ()

    play(story)
