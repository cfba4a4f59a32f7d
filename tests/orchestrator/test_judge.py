"""A strategy that fails in whatever way is blamed by name, and its domain goes on."""

import sys
import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import LogicalId, NodeId, WorkflowId
from edgeless_sim.model.intent import Migrate
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.orchestrator.judge import MIGRATIONS_PER_TICK_MAX, Judge
from edgeless_sim.orchestrator.view import ComponentKind, ComponentView, DomainView, NodeView

FIRST, SECOND = (
    NodeView(NodeId(UUID(int=n)), f"edge/{n}", NodeCapabilities(num_cpus=n)) for n in (1, 2)
)
COMPONENT = ComponentView(
    LogicalId(UUID(int=7)), "f", WorkflowId(UUID(int=9)), ComponentKind.FUNCTION, "RUST_WASM"
)
VIEW = DomainView((FIRST, SECOND), (COMPONENT,))
MIGRATION = Migrate(COMPONENT.logical_id, (SECOND.node_id,))


class Endless:
    """Thinks for ever, in the way that it is told."""

    def __init__(self, how: str) -> None:
        self._how = how
        self.asked = 0

    def choose(self, feasible: Any, component: Any, view: Any, dice: Any) -> Any:
        self.asked += 1
        while True:
            try:
                if self._how == "sleep":
                    time.sleep(60)
            except Exception:  # noqa: BLE001 - as a bad strategy does
                continue


class Rebalancing:
    """Chooses the first, and proposes what it is told."""

    def __init__(self, proposed: Any) -> None:
        self._proposed = proposed

    def choose(self, feasible: Sequence[NodeView], component: Any, view: Any, dice: Any) -> NodeId:
        return feasible[0].node_id

    def rebalance(self, view: DomainView, dice: Random) -> Any:
        if isinstance(self._proposed, Exception):
            raise self._proposed
        return self._proposed


@pytest.mark.parametrize("how", ["loop", "sleep"])
def test_a_strategy_that_takes_for_ever_is_interrupted_and_left_alone_for_a_while(how: str) -> None:
    now_ns = 0
    strategy = Endless(how)
    judge = Judge("Endless", strategy, lambda: now_ns, seconds_max=0.05)
    for _ in range(3):
        with pytest.raises(RejectedError, match=r"Endless has failed: it took longer than 0.05 s"):
            judge.choose((FIRST, SECOND), COMPONENT, VIEW, Random(1))
    assert strategy.asked == 1
    now_ns = 31_000_000_000
    with pytest.raises(RejectedError, match=r"took longer"):
        judge.choose((FIRST, SECOND), COMPONENT, VIEW, Random(1))
    assert strategy.asked == 2


def test_what_a_strategy_thinks_of_the_candidates_is_kept_as_far_as_it_is_a_number() -> None:
    class Scoring:
        def choose(self, feasible: Any, component: Any, view: Any, dice: Any) -> NodeId:
            return SECOND.node_id

        def score(self, node: NodeView, component: Any, view: Any) -> Any:
            return float("nan") if node is FIRST else 2

    choice = Judge("Scoring", Scoring()).choose((FIRST, SECOND), COMPONENT, VIEW, Random(1))
    assert (choice.node_id, choice.scores) == (SECOND.node_id, {"edge/2": 2.0})


@pytest.mark.parametrize(
    ("proposed", "said"),
    [
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh"),
        (float("nan"), "TypeError"),
        (["edge/1"], "no Migrate"),
        ([Migrate("f", ())], "no Migrate"),  # type: ignore[arg-type]  # a user's mistake
    ],
    ids=str,
)
def test_a_strategy_that_proposes_nonsense_is_blamed(proposed: Any, said: str) -> None:
    judge = Judge("Odd", Rebalancing(proposed))
    with pytest.raises(RejectedError, match=r"the strategy Odd has failed") as caught:
        judge.rebalance(VIEW, Random(1))
    assert said in caught.value.summary


def test_of_endless_proposals_some_are_taken() -> None:
    def endless() -> Iterator[Migrate]:
        while True:
            yield MIGRATION

    proposed = Judge("Many", Rebalancing(endless())).rebalance(VIEW, Random(1))
    assert len(proposed) == MIGRATIONS_PER_TICK_MAX


class Gathering:
    """Moves everything to the node with the largest id, as an example of a rebalancing policy."""

    def choose(self, feasible: Sequence[NodeView], component: Any, view: Any, dice: Any) -> NodeId:
        return feasible[0].node_id

    def rebalance(self, view: DomainView, dice: Random) -> list[Migrate]:
        last = view.nodes[-1]
        assert set(view.health) == {node.node_id for node in view.nodes}
        return [
            Migrate(each.logical_id, (last.node_id,))
            for each in view.components
            if each.node not in ("", last.name)
        ]


class Stuck(Gathering):
    """Places, and never comes to a proposal."""

    def rebalance(self, view: DomainView, dice: Random) -> list[Migrate]:
        raise RuntimeError("no idea")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """What a strategy of this file is called by."""
    monkeypatch.setitem(sys.modules, "own_judge", sys.modules[__name__])
    return "own_judge"


def test_a_strategy_may_move_what_runs(play: Any, here: str) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(3)
        for number in range(1, 5):
            await world.function(number)
        await world.clock.sleep(5)
        await world.settled()
        assert [len(node.instances) for node in nodes] == [0, 0, 4]

    play(story, strategy=f"{here}:Gathering")


def test_a_strategy_that_cannot_rebalance_is_blamed_once_and_places_on(
    play: Any, here: str
) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2)
        await world.clock.sleep(5)
        await world.function(1)
        assert [len(node.instances) for node in nodes] == [1, 0]
        blamed = [record for record in world.said("state") if "no idea" in str(record)]
        assert len(blamed) == 1

    play(story, strategy=f"{here}:Stuck")
