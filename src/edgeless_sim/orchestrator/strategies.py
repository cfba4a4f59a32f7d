"""Further placement strategies, as examples of what one may look at. Pure; see `placement`.

They count what runs where at each placement, which takes as long as the domain has components.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random

from edgeless_sim.model.ids import LogicalId, NodeId
from edgeless_sim.orchestrator.view import ComponentView, DomainView, NodeView

__all__ = ["BinPackPlacement", "LatencyAwarePlacement", "LeastLoadedPlacement", "SpreadPlacement"]


def _load(node: NodeView, instances: Counter[str]) -> float:
    """Components per core."""
    return instances[node.name] / (node.capabilities.num_cpus or 1)


class LeastLoadedPlacement:
    """The node with the fewest components per core."""

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,  # noqa: ARG002 - the shape of a strategy
        view: DomainView,
        dice: Random,  # noqa: ARG002 - the shape of a strategy
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        instances = Counter(each.node for each in view.components)
        return min(feasible, key=lambda node: (_load(node, instances), node.node_id)).node_id


class SpreadPlacement:
    """The node with the fewest components of the same workflow, then with the least load."""

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,
        view: DomainView,
        dice: Random,  # noqa: ARG002 - the shape of a strategy
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        instances = Counter(each.node for each in view.components)
        siblings = Counter(
            each.node for each in view.components if each.workflow_id == component.workflow_id
        )
        return min(
            feasible,
            key=lambda node: (siblings[node.name], _load(node, instances), node.node_id),
        ).node_id


class BinPackPlacement:
    """The fullest node that has less than one component per core; else the least full one.

    So that nodes are left empty, and could be switched off.
    """

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,  # noqa: ARG002 - the shape of a strategy
        view: DomainView,
        dice: Random,  # noqa: ARG002 - the shape of a strategy
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        instances = Counter(each.node for each in view.components)
        loads = {node.node_id: _load(node, instances) for node in feasible}
        room = [node for node in feasible if loads[node.node_id] < 1]
        if room:
            return max(room, key=lambda node: (loads[node.node_id], -node.node_id.int)).node_id
        return min(feasible, key=lambda node: (loads[node.node_id], node.node_id)).node_id


class LatencyAwarePlacement:
    """The node with the most components that this one sends to or gets from; then the least load.

    An event that stays on its node takes no link.
    """

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,
        view: DomainView,
        dice: Random,  # noqa: ARG002 - the shape of a strategy
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        instances = Counter(each.node for each in view.components)
        neighbours = Counter(each.node for each in view.components if _touch(component, each))
        return min(
            feasible,
            key=lambda node: (-neighbours[node.name], _load(node, instances), node.node_id),
        ).node_id


def _touch(one: ComponentView, other: ComponentView) -> bool:
    """Whether one of them sends to the other."""
    return one.logical_id != other.logical_id and (
        _sends(one, other.logical_id) or _sends(other, one.logical_id)
    )


def _sends(component: ComponentView, target: LogicalId) -> bool:
    return any(each == target for _, each in component.outputs)
