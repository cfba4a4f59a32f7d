"""What is kept while a domain changes is what counting it all anew would give."""

from dataclasses import replace as replaced
from random import Random
from uuid import UUID

import pytest

from edgeless_sim.model.annotations import DeploymentRequirements
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.orchestrator.changes import ChangeLog
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.invariants import check_state
from edgeless_sim.orchestrator.live_view import LiveView
from edgeless_sim.orchestrator.placement import create_strategy
from edgeless_sim.orchestrator.ranking import Rankings
from edgeless_sim.orchestrator.records import Component, Node, Placement
from edgeless_sim.orchestrator.requirements import Needs, feasible_nodes
from edgeless_sim.orchestrator.view import ComponentKind, NodeView

CODE = FunctionClassSpecification("m", "MODELLED", "1.0", outputs=("out",))
LABELS = ("red", "green")
STRATEGIES = ("LeastLoaded", "Spread", "BinPack", "LatencyAware", "Random", "RoundRobin")


def needs(*labels: str) -> Needs:
    return Needs(ComponentKind.FUNCTION, "MODELLED", DeploymentRequirements(labels=labels))


class History:
    """A domain to which something happens, and strategies that see all of it."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.state = DomainState()
        self.strategies = {name: create_strategy(name) for name in STRATEGIES}
        self._ids = 0

    def number(self) -> int:
        self._ids += 1
        return self._ids

    def node(self) -> None:
        dice = self.dice
        capabilities = NodeCapabilities(
            num_cpus=dice.choice((1, 2, 4)),
            num_cores=1,
            runtimes=("MODELLED",),
            labels=tuple(label for label in LABELS if dice.random() < 0.6),
        )
        node_id = NodeId(UUID(int=dice.getrandbits(128)))
        view = NodeView(node_id, f"edge/{self.number()}", capabilities)
        self.state.add_node(Node(view, "memory://n", "memory://n", own=True))

    def component(self) -> None:
        number = self.number()
        request = SpawnFunctionRequest(
            CODE, {}, StateSpecification(UUID(int=1)), WorkflowId(UUID(int=number % 4)), name="f"
        )
        running = list(self.state.components)
        mapping = {"out": self.dice.choice(running)} if running and self.dice.random() < 0.7 else {}
        wanted = needs(*([self.dice.choice(LABELS)] * (self.dice.random() < 0.5)))
        lid = LogicalId(UUID(int=number))
        self.state.add(Component(lid, ComponentKind.FUNCTION, request, wanted, mapping))

    def happen(self) -> None:
        """One thing."""
        state, dice = self.state, self.dice
        nodes, components = list(state.nodes.values()), list(state.components.values())
        what = dice.random()
        if what < 0.1 or len(nodes) < 2:
            self.node()
        elif what < 0.15:
            state.remove_node(dice.choice(nodes))
        elif what < 0.25:
            node = dice.choice(nodes)
            state.set_view(node, replaced(node.view, reachable=not node.view.reachable))
        elif what < 0.75 or not components:
            self.component()
        elif what < 0.85:
            state.remove(dice.choice(components))
        else:
            component = dice.choice(components)
            if component.current is not None:
                state.drop(component, component.current, may_run=True)

    def place_all(self) -> None:
        """Place what waits, each where some strategy says; all of them are asked."""
        state = self.state
        for lid in list(state.waiting.unplaced):
            component = state.components[lid]
            found = state.feasible(component.needs)
            assert found == feasible_nodes(component.needs, state.views())
            if not found.nodes:
                state.hold(component, "nowhere")
                continue
            choices = self.choices(component)
            node_id = self.dice.choice(choices)
            instance = InstanceId(node_id, FunctionId(UUID(int=self.number())))
            state.place(component, Placement(instance))

    def choices(self, component: Component) -> list[NodeId]:
        """What each strategy chooses, which is what it would choose if it had seen nothing yet."""
        state = self.state
        feasible = state.feasible(component.needs).nodes
        seen = component.view("")
        past = state.view(components=True)
        choices = []
        for name, strategy in self.strategies.items():
            chosen = strategy.choose(feasible, seen, LiveView(state), Random(1))
            if name != "RoundRobin":
                anew = create_strategy(name).choose(feasible, seen, past, Random(1))
                assert chosen == anew, name
            choices.append(chosen)
        return choices


@pytest.mark.parametrize("seed", range(8))
def test_strategies_that_follow_changes_choose_as_if_they_counted_anew(seed: int) -> None:
    history = History(seed)
    for _ in range(120):
        history.happen()
        history.place_all()
        check_state(history.state)
    assert len(history.state.components) > 10
    assert sum(len(node.instances) for node in history.state.nodes.values()) > 5


def test_a_view_is_equal_to_the_one_that_lasts() -> None:
    history = History(1)
    for _ in range(60):
        history.happen()
        history.place_all()
    assert LiveView(history.state) == history.state.view(components=True)


def test_a_log_tells_each_change_once_in_order_and_no_more_than_wanted() -> None:
    log: ChangeLog[str] = ChangeLog()
    for key in "abcab":
        log.note(key)
    assert log.since(0) == (["c", "a", "b"], 5)
    assert log.since(0, 2) == (["c", "a"], 4)
    assert log.since(4) == (["b"], 5)
    assert log.since(5) == ([], 5)
    log.forget("a")
    assert (log.since(0), log.floor) == ((["c", "b"], 5), 4)


def test_an_order_of_nodes_stays_as_small_as_there_are_nodes() -> None:
    history = History(2)
    for _ in range(3):
        history.node()
    state = history.state
    rankings = Rankings(lambda _, instances: float(instances))
    views = state.views()
    history.component()
    (component,) = state.components.values()
    component.needs = needs()
    for number in range(2_000):
        first = rankings.first(views, state.loads)
        assert first is not None
        instance = InstanceId(first.node_id, FunctionId(UUID(int=number)))
        placement = Placement(instance)
        state.place(component, placement)
        assert rankings.first(views, state.loads) is not first
        state.drop(component, placement, may_run=False)
    (ranking,) = rankings._rankings.values()
    assert len(ranking._heap) < 100
