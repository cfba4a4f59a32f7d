"""What a placement strategy, a scenario or a test sees of a domain: frozen values, never the state.

Not here: who makes them (`domain_state`) and who decides by them (`requirements`, `placement`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from edgeless_sim.api.messages import ComponentState
from edgeless_sim.model.ids import InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus
from edgeless_sim.model.resource import ResourceProviderSpecification
from edgeless_sim.orchestrator.changes import ChangeLog

__all__ = ["ComponentKind", "ComponentView", "DomainView", "Loads", "NodeView"]


class ComponentKind(StrEnum):
    """Which of the two services a component belongs to."""

    FUNCTION = "function"
    RESOURCE = "resource"


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as placement sees it: what it advertised, and whether it may be given anything."""

    node_id: NodeId
    name: str
    capabilities: NodeCapabilities
    providers: tuple[ResourceProviderSpecification, ...] = ()
    cordoned: bool = False
    reachable: bool = True
    """False for a while after it did not answer."""


@dataclass(frozen=True, slots=True)
class ComponentView:
    """A component as it is now."""

    logical_id: LogicalId
    name: str
    workflow_id: WorkflowId
    kind: ComponentKind
    type_name: str
    """``function_type`` of a function, ``class_type`` of a resource."""
    outputs: tuple[tuple[str, LogicalId], ...] = ()
    """Channel and target, as the ε-CON asked for them; sorted by channel."""
    state: ComponentState = ComponentState.PENDING
    reason: str = ""
    instance: InstanceId | None = None
    node: str = ""
    """Name of the node that hosts it; empty while it is pending."""
    further: tuple[InstanceId, ...] = ()
    """Other instances of a function that may have several."""


class Loads(Protocol):
    """How many components each node hosts. The same object tells it again and again."""

    @property
    def changes(self) -> ChangeLog[NodeId]:
        """Which nodes host more or fewer than before."""
        ...

    def count(self, node: NodeView) -> int:
        """How many components *node* hosts."""
        ...


class DomainView:
    """A domain at one moment. Nodes and components are sorted by id.

    What a component sends to is in its ``outputs``: together they are the dependency graph.
    `loads`, `workflow_hosts` and `partner_hosts` say what could be counted among the components,
    and do not need to look at all of them in the view that a strategy gets.
    """

    def __init__(
        self,
        nodes: tuple[NodeView, ...],
        components: tuple[ComponentView, ...] = (),
        health: Mapping[NodeId, NodeHealthStatus] = MappingProxyType({}),
    ) -> None:
        self._nodes = nodes
        self._components = components
        self._health = health

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DomainView):
            return NotImplemented
        return (self.nodes, self.components) == (other.nodes, other.components)

    def __repr__(self) -> str:
        return f"DomainView(nodes={self.nodes!r}, components={self.components!r})"

    @property
    def nodes(self) -> tuple[NodeView, ...]:
        """All nodes."""
        return self._nodes

    @property
    def components(self) -> tuple[ComponentView, ...]:
        """All components; making them takes as long as there are many."""
        return self._components

    @property
    def health(self) -> Mapping[NodeId, NodeHealthStatus]:
        """What each node said of itself last."""
        return self._health

    @property
    def loads(self) -> Loads:
        """How many components each node hosts."""
        return _CountedLoads(self.components)

    def workflow_hosts(self, workflow_id: WorkflowId) -> Counter[str]:
        """Names of the nodes that host components of a workflow, and how many each."""
        return _hosts(each for each in self.components if each.workflow_id == workflow_id)

    def partner_hosts(self, component: ComponentView) -> Counter[str]:
        """Names of the nodes that host what *component* sends to or gets from, and how many."""
        return _hosts(each for each in self.components if _touch(component, each))


class _CountedLoads:
    """The loads of a view of the past."""

    def __init__(self, components: tuple[ComponentView, ...]) -> None:
        self.changes: ChangeLog[NodeId] = ChangeLog()
        self._counts = _hosts(components)

    def count(self, node: NodeView) -> int:
        """See `Loads.count`."""
        return self._counts[node.name]


def _hosts(components: Iterable[ComponentView]) -> Counter[str]:
    return Counter(each.node for each in components if each.node)


def _touch(one: ComponentView, other: ComponentView) -> bool:
    """Whether one of them sends to the other."""
    return one.logical_id != other.logical_id and (
        _sends(one, other.logical_id) or _sends(other, one.logical_id)
    )


def _sends(component: ComponentView, target: LogicalId) -> bool:
    return any(each == target for _, each in component.outputs)
