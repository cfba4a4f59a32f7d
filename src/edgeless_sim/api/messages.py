"""What components say to each other: requests and replies of EDGELESS's services (spec 10.2).

Fields that EDGELESS's own wire cannot carry are marked *ours* (design, decision 5): other peers
skip them. Durations are relative and in seconds: deadlines count on the receiver's clock.
"""

from enum import StrEnum

import msgspec

from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.ids import DomainId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.mirror import DomainMirror
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus, NodePerformanceSamples
from edgeless_sim.model.resource import ResourceProviderSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest

__all__ = [
    "ComponentInventory",
    "ComponentMapping",
    "ComponentState",
    "InstanceInventory",
    "InstanceState",
    "MigrateWorkflow",
    "MirrorPage",
    "MirrorPart",
    "MirrorQuery",
    "StartReply",
    "StartWorkflow",
    "StopReply",
    "UpdateDomainRequest",
    "UpdateDomainResponse",
    "UpdateNodeRequest",
    "UpdateNodeResponse",
    "UpdatePeersRequest",
    "UpdatePeersType",
    "WorkflowInfo",
    "WorkflowStatus",
]


class InstanceState(StrEnum):
    """Where an instance on a node is in its life."""

    RUNNING = "running"
    BACKOFF = "backoff"
    FAILED = "failed"


class ComponentState(StrEnum):
    """Where a component of a workflow is in its life, as ``inspect`` shows it."""

    PENDING = "pending"
    RUNNING = "running"
    DEGRADED = "degraded"


class StartReply(msgspec.Struct, frozen=True):
    """A component was started, or had been by an earlier request with the same id.

    ``revision`` is ours: the node's count of control operations (see `UpdateNodeRequest`).
    """

    instance_id: InstanceId
    revision: int = 0


class StopReply(msgspec.Struct, frozen=True):
    """A component is gone, or never was there."""

    revision: int = 0


class StartWorkflow(msgspec.Struct, frozen=True):
    """Start a workflow. ``name`` is ours: what people call it."""

    request: SpawnWorkflowRequest
    name: str = ""


class MigrateWorkflow(msgspec.Struct, frozen=True):
    """Move a workflow (``component`` empty) or one of its components to another domain."""

    workflow_id: WorkflowId
    domain_id: DomainId
    component: str = ""


class ComponentMapping(msgspec.Struct, frozen=True):
    """Where one component of a workflow is. State, reason and instance are ours."""

    name: str
    logical_id: LogicalId
    domain_id: DomainId
    state: ComponentState = ComponentState.RUNNING
    reason: str = ""
    instance: InstanceId | None = None
    node: str = ""
    further: tuple[InstanceId, ...] = ()
    """Its other instances, of a function that may have several; ours."""


class WorkflowStatus(msgspec.Struct, frozen=True):
    """A workflow and where its components are; an orphan has none (spec 3.3)."""

    workflow_id: WorkflowId
    mapping: tuple[ComponentMapping, ...]
    name: str = ""
    reason: str = ""
    """Why it is an orphan; ours, as is the name."""


class WorkflowInfo(msgspec.Struct, frozen=True):
    """What ``inspect`` answers: the request as it is deployed, and where."""

    request: SpawnWorkflowRequest
    status: WorkflowStatus


class ComponentInventory(msgspec.Struct, frozen=True):
    """One component that a domain runs, or tries to."""

    logical_id: LogicalId
    state: ComponentState
    reason: str = ""
    instance: InstanceId | None = None
    node: str = ""
    further: tuple[InstanceId, ...] = ()
    """Its other instances, of a function that may have several."""


class UpdateDomainRequest(msgspec.Struct, frozen=True):
    """A domain registers, or refreshes its registration (spec 4.6).

    ``components`` is ours: what the domain runs now, so that the ε-CON can repair a difference.
    ``epoch`` is ours: the last reset that this domain has carried out.
    ``base``, ``version``, ``gone`` and ``more`` are ours, because a domain may run too much for
    one message. The inventory of a domain has versions, and this tells it up to ``version``. With
    a ``base``, ``components`` are only those that have changed since that version, and ``gone``
    those that are not there any more. ``more`` = there are later changes, to be told next.
    """

    domain_id: DomainId
    orchestrator_url: str
    capabilities: DomainCapabilities
    ttl_s: float
    counter: int
    nonce: int
    components: tuple[ComponentInventory, ...] | None = None
    epoch: int = 0
    base: int | None = None
    version: int = 0
    gone: tuple[LogicalId, ...] = ()
    more: bool = False


class UpdateDomainResponse(msgspec.Struct, frozen=True):
    """``reset`` = stop everything first. ``epoch`` names the reset and is repeated until the
    domain echoes it (defect U38). ``version`` is that of the inventory that the ε-CON has: later
    changes suffice; None = it has none."""

    reset: bool
    epoch: int = 0
    version: int | None = None


class InstanceInventory(msgspec.Struct, frozen=True):
    """One instance that a node hosts. ``generation`` is that of the last patch; 0 before any."""

    instance_id: InstanceId
    generation: int
    state: InstanceState
    reason: str = ""


class UpdateNodeRequest(msgspec.Struct, frozen=True):
    """A node registers, or refreshes its registration (spec 4.1).

    ``name``, ``inventory`` and ``revision`` are ours. ``revision`` counts the control operations
    that the node has carried out; replies carry it too, so that the ε-ORC can tell whether an
    inventory was taken before or after an operation.
    """

    node_id: NodeId
    agent_url: str
    invocation_url: str
    resource_providers: tuple[ResourceProviderSpecification, ...]
    capabilities: NodeCapabilities
    ttl_s: float
    nonce: int
    health_status: NodeHealthStatus
    performance_samples: NodePerformanceSamples
    name: str = ""
    inventory: tuple[InstanceInventory, ...] | None = None
    revision: int = 0


class UpdateNodeResponse(msgspec.Struct, frozen=True):
    """Accepted. ``refresh_interval_s`` is ours: when the next refresh is wanted (decision 4)."""

    refresh_interval_s: float | None = None


class UpdatePeersType(StrEnum):
    """What to do with a node's table of peers."""

    ADD = "add"
    DEL = "del"
    CLEAR = "clear"


class UpdatePeersRequest(msgspec.Struct, frozen=True):
    """Changes a node's table of peers."""

    kind: UpdatePeersType
    node_id: NodeId | None = None
    invocation_url: str = ""


class MirrorPart(StrEnum):
    """What of a domain is asked for."""

    NODES = "nodes"
    COMPONENTS = "components"
    SERIES = "series"


class MirrorQuery(msgspec.Struct, frozen=True):
    """Asks an ε-ORC for a part of what it shows of its domain; ours."""

    part: MirrorPart
    after: str = ""
    """What the page before said comes next; empty = from the beginning."""
    since_s: float = 0.0
    """No health and no measurements from before that time (seconds since 1970)."""


class MirrorPage(msgspec.Struct, frozen=True):
    """A part of the mirror, and where the rest of it begins; empty = that was all."""

    mirror: DomainMirror
    next: str = ""
