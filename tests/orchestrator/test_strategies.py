"""The further strategies choose as they say, among literals."""

from random import Random
from uuid import UUID

import pytest

from edgeless_sim.model.ids import LogicalId, NodeId, WorkflowId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.orchestrator.placement import create_strategy
from edgeless_sim.orchestrator.view import ComponentKind, ComponentView, DomainView, NodeView

GAME, OTHER = WorkflowId(UUID(int=1)), WorkflowId(UUID(int=2))


def node(number: int, cpus: int = 1) -> NodeView:
    capabilities = NodeCapabilities(num_cpus=cpus, num_cores=cpus, runtimes=("RUST_WASM",))
    return NodeView(NodeId(UUID(int=number)), f"edge/{number}", capabilities)


def component(
    number: int, where: int | None = None, workflow: WorkflowId = GAME, sends_to: int = 0
) -> ComponentView:
    return ComponentView(
        LogicalId(UUID(int=number)),
        f"f{number}",
        workflow,
        ComponentKind.FUNCTION,
        "RUST_WASM",
        (("out", LogicalId(UUID(int=sends_to))),) if sends_to else (),
        node="" if where is None else f"edge/{where}",
    )


def chosen(strategy: str, nodes: list[NodeView], there: list[ComponentView], new: int = 99) -> int:
    made = create_strategy(strategy)
    view = DomainView(tuple(nodes), tuple(there))
    return made.choose(tuple(nodes), component(new, sends_to=5), view, Random(1)).int


@pytest.mark.parametrize("strategy", ["LeastLoaded", "Spread", "BinPack", "LatencyAware"])
def test_an_empty_domain_is_begun_at_its_first_node(strategy: str) -> None:
    assert chosen(strategy, [node(1), node(2), node(3)], []) == 1


def test_least_loaded_counts_components_per_core() -> None:
    there = [component(1, 1), component(2, 2), component(3, 2)]
    assert chosen("LeastLoaded", [node(1), node(2)], there) == 1
    assert chosen("LeastLoaded", [node(1), node(2, cpus=4)], there) == 2


def test_spread_keeps_a_workflow_apart_even_from_an_emptier_node() -> None:
    there = [component(1, 1), *(component(n, 2, OTHER) for n in (2, 3, 4))]
    assert chosen("Spread", [node(1), node(2)], there) == 2
    assert chosen("LeastLoaded", [node(1), node(2)], there) == 1


def test_bin_pack_fills_a_node_before_it_begins_another() -> None:
    nodes = [node(1, cpus=2), node(2, cpus=2)]
    assert chosen("BinPack", nodes, [component(1, 2)]) == 2
    assert chosen("BinPack", nodes, [component(1, 2), component(2, 2)]) == 1
    full = [component(n, 1 + n % 2) for n in range(4)]
    assert chosen("BinPack", nodes, [*full, component(9, 1)]) == 2


def test_latency_aware_goes_where_its_neighbours_are() -> None:
    target, source = component(5, 2), component(6, 2, sends_to=99)
    crowd = [component(n, 2, OTHER) for n in range(20, 30)]
    nodes = [node(1), node(2), node(3)]
    assert chosen("LatencyAware", nodes, [target, source, *crowd]) == 2
    assert chosen("LatencyAware", nodes, [component(5, 3), component(6, 2, sends_to=99)]) == 2
    assert chosen("LatencyAware", nodes, crowd) == 1
