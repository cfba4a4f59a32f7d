"""Further placement strategies, as examples of what one may look at; see `placement`.

They remember the order of the nodes by load (`ranking`), so that a choice takes a few steps.
"""

from collections.abc import Sequence
from random import Random

from edgeless_sim.model.ids import NodeId
from edgeless_sim.orchestrator.ranking import Rankings
from edgeless_sim.orchestrator.view import ComponentView, DomainView, NodeView

__all__ = ["BinPackPlacement", "LatencyAwarePlacement", "LeastLoadedPlacement", "SpreadPlacement"]


def _load(node: NodeView, instances: int) -> float:
    """Components per core."""
    return instances / (node.capabilities.num_cpus or 1)


def _fullness(node: NodeView, instances: int) -> float | None:
    """The fullest first, among those with less than a component per core."""
    load = _load(node, instances)
    return -load if load < 1 else None


class LeastLoadedPlacement:
    """The node with the fewest components per core."""

    def __init__(self) -> None:
        self._emptiest = Rankings(_load)

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,  # noqa: ARG002 - the shape of a strategy
        view: DomainView,
        dice: Random,  # noqa: ARG002 - the shape of a strategy
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        return _some(self._emptiest.first(feasible, view.loads))

    def score(self, node: NodeView, component: ComponentView, view: DomainView) -> float:  # noqa: ARG002 - the shape of a strategy
        """See `PlacementStrategy`."""
        return -_load(node, view.loads.count(node))


class SpreadPlacement:
    """The node with the fewest components of the same workflow, then with the least load."""

    def __init__(self) -> None:
        self._emptiest = Rankings(_load)

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,
        view: DomainView,
        dice: Random,  # noqa: ARG002 - the shape of a strategy
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        siblings = view.workflow_hosts(component.workflow_id)
        loads = view.loads
        found = self._emptiest.first(feasible, loads, besides=siblings)
        if found is not None:
            return found.node_id
        # Each has a sibling already, so there are no more of them than a workflow has components.
        return min(
            feasible,
            key=lambda node: (siblings[node.name], _load(node, loads.count(node)), node.node_id),
        ).node_id

    def score(self, node: NodeView, component: ComponentView, view: DomainView) -> float:
        """See `PlacementStrategy`: minus the siblings there; the load decides between equals."""
        return -view.workflow_hosts(component.workflow_id)[node.name]


class BinPackPlacement:
    """The fullest node that has less than one component per core; else the least full one.

    So that nodes are left empty, and could be switched off.
    """

    def __init__(self) -> None:
        self._fullest = Rankings(_fullness)
        self._emptiest = Rankings(_load)

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,  # noqa: ARG002 - the shape of a strategy
        view: DomainView,
        dice: Random,  # noqa: ARG002 - the shape of a strategy
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        loads = view.loads
        found = self._fullest.first(feasible, loads)
        return _some(found or self._emptiest.first(feasible, loads))

    def score(self, node: NodeView, component: ComponentView, view: DomainView) -> float:  # noqa: ARG002 - the shape of a strategy
        """See `PlacementStrategy`."""
        load = _load(node, view.loads.count(node))
        return load if load < 1 else -load


class LatencyAwarePlacement:
    """The node with the most components that this one sends to or gets from; then the least load.

    An event that stays on its node takes no link.
    """

    def __init__(self) -> None:
        self._emptiest = Rankings(_load)

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,
        view: DomainView,
        dice: Random,  # noqa: ARG002 - the shape of a strategy
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        partners = view.partner_hosts(component)
        loads = view.loads
        near = self._emptiest.named(feasible, loads, partners) if partners else ()
        if near:
            return min(
                near,
                key=lambda node: (
                    -partners[node.name],
                    _load(node, loads.count(node)),
                    node.node_id,
                ),
            ).node_id
        return _some(self._emptiest.first(feasible, loads))

    def score(self, node: NodeView, component: ComponentView, view: DomainView) -> float:
        """See `PlacementStrategy`: the neighbours there; the load decides between equals."""
        return view.partner_hosts(component)[node.name]


def _some(found: NodeView | None) -> NodeId:
    assert found is not None, "feasible is never empty"
    return found.node_id
