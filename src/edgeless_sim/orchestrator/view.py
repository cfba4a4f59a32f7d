"""What a placement strategy, a scenario or a test sees of a domain: frozen values, never the state.

Not here: who makes them (`domain_state`) and who decides by them (`requirements`, `placement`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edgeless_sim.api.messages import ComponentState
from edgeless_sim.model.ids import InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus
from edgeless_sim.model.resource import ResourceProviderSpecification

__all__ = ["ComponentKind", "ComponentView", "DomainView", "NodeView"]


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


@dataclass(frozen=True, slots=True)
class DomainView:
    """A domain at one moment. Nodes and components are sorted by id.

    What a component sends to is in its ``outputs``: together they are the dependency graph.
    """

    nodes: tuple[NodeView, ...]
    components: tuple[ComponentView, ...] = ()
    health: Mapping[NodeId, NodeHealthStatus] = field(default_factory=dict)
    """What each node said of itself last."""
