"""What must be true of an ε-ORC's state between any two of its changes. Slow; for tests and checks.

A violation is a bug of ours: an `AssertionError` that names what is wrong.
"""

from edgeless_sim.model.domain import sum_capabilities
from edgeless_sim.model.ids import LogicalId
from edgeless_sim.orchestrator.domain_state import DomainState

__all__ = ["check_state"]


def check_state(state: DomainState) -> None:
    """Raise AssertionError unless the tables of *state* agree with each other."""
    _check_placements(state)
    _check_nodes(state)
    _check_wiring(state)
    offers = [(node.view.capabilities, node.view.providers) for node in state.nodes.values()]
    assert state.totals.capabilities() == sum_capabilities(offers), "totals differ from the nodes"


def _check_placements(state: DomainState) -> None:
    for logical_id, component in state.components.items():
        placements = component.placements()
        for placement in placements:
            node = state.nodes.get(placement.instance_id.node_id)
            assert node is not None, f"{logical_id} is on a node that is not there"
            assert node.instances.get(placement.instance_id) == logical_id, placement
        waits = (logical_id in state.waiting.unplaced) + (logical_id in state.waiting.held)
        assert waits == (component.current is None), f"{logical_id}: {waits} places to wait"
        assert component.current is not None or not component.placements(), logical_id
        assert len(component.further) < component.wanted, f"{logical_id} has too many instances"
        hosts = component.hosts()
        assert len({*hosts}) == len(hosts), f"{logical_id} is twice on a node"
        short = (logical_id in state.waiting.short) + (logical_id in state.waiting.sated)
        assert short == component.short, f"{logical_id}: {short} places to wait for more"
    for waiting in (
        *state.waiting.unplaced,
        *state.waiting.held,
        *state.waiting.short,
        *state.waiting.sated,
    ):
        assert waiting in state.components, f"{waiting} waits and is not wanted"


def _check_nodes(state: DomainState) -> None:
    for node_id, node in state.nodes.items():
        assert node_id == node.node_id, node_id
        assert node.view.cordoned == (node_id in state.cordoned), node_id
        for instance_id, logical_id in node.instances.items():
            assert instance_id.node_id == node_id, instance_id
            assert instance_id not in node.garbage, f"{instance_id} is wanted and unwanted"
            component = state.components.get(logical_id)
            assert component is not None, f"{logical_id} runs and is not wanted"
            assert component.placement_of(instance_id) is not None, instance_id


def _check_wiring(state: DomainState) -> None:
    wanted: dict[LogicalId, dict[LogicalId, None]] = {}
    for component in state.components.values():
        for target in component.mapping.values():
            wanted.setdefault(target, {})[component.logical_id] = None
        expected = state.resolved(component)
        assert component.targets == expected, f"{component.logical_id} is wired to what is gone"
        for placement in component.placements():
            assert placement.generation <= component.generation, placement
    assert state.predecessors == wanted, "predecessors differ from the mappings"
