"""EDGELESS's services, one Protocol each (spec 10.1).

Both sides implement them: actors serve them, `edgeless_sim.api.clients` calls them over a
connection. Methods raise `RejectedError` when the peer says no and, on the client side,
`UnreachableError` when it does not answer.
"""

from typing import Final, Protocol

from edgeless_sim.api.messages import (
    MigrateWorkflow,
    StartReply,
    StartWorkflow,
    StopReply,
    UpdateDomainRequest,
    UpdateDomainResponse,
    UpdateNodeRequest,
    UpdateNodeResponse,
    UpdatePeersRequest,
    WorkflowInfo,
    WorkflowStatus,
)
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import DomainId, InstanceId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification

__all__ = [
    "HANDLE",
    "UPDATE_NODE",
    "ComponentApi",
    "DomainPollApi",
    "DomainRegistrationApi",
    "NodeManagementApi",
    "NodeRegistrationApi",
    "WorkflowInstanceApi",
]

#: Path of the one-way method that carries data-plane events between nodes.
HANDLE: Final = "/edgeless_api.FunctionInvocation/Handle"
UPDATE_NODE: Final = "/edgeless_api.NodeRegistration/UpdateNode"


class WorkflowInstanceApi(Protocol):
    """Served by the ε-CON to clients (spec 3.2, 3.3)."""

    async def start(self, request: StartWorkflow) -> WorkflowStatus:
        """Start a workflow; all of it or nothing."""
        ...

    async def stop(self, workflow_id: WorkflowId) -> None:
        """Stop a workflow in whatever state; an unknown one is no error."""
        ...

    async def list_workflows(self) -> tuple[WorkflowStatus, ...]:
        """All workflows, orphans included, in the order in which they were started."""
        ...

    async def inspect(self, workflow_id: WorkflowId) -> WorkflowInfo:
        """One workflow; raise `UnknownComponentError` if there is none."""
        ...

    async def domains(self, domain_id: DomainId) -> dict[str, DomainCapabilities]:
        """The capabilities of one domain, or of all if *domain_id* is empty."""
        ...

    async def migrate(self, request: MigrateWorkflow) -> WorkflowStatus:
        """Move a workflow or a component to another domain."""
        ...


class DomainRegistrationApi(Protocol):
    """Served by the ε-CON to orchestrators (spec 3.1)."""

    async def update_domain(self, request: UpdateDomainRequest) -> UpdateDomainResponse:
        """Register a domain or refresh its registration."""
        ...


class DomainPollApi(Protocol):
    """Served by an ε-ORC to the ε-CON that has it in a static list (decision 3); ours.

    A registration turned around: the ε-CON asks, and brings its answer to the last one.
    """

    async def poll(self, answer: UpdateDomainResponse) -> UpdateDomainRequest:
        """Obey *answer*, then announce the domain; before any, *answer* orders nothing."""
        ...


class ComponentApi(Protocol):
    """Functions and resources: start, stop, patch.

    Served by the ε-ORC to the ε-CON, where ids are logical (the node half is all zeroes), and by
    a node's agent to the ε-ORC, where they are physical (spec 4.3, 5.4).
    """

    async def start_function(self, request: SpawnFunctionRequest) -> StartReply:
        """Start a function instance; the same id twice is one instance."""
        ...

    async def stop_function(self, instance_id: InstanceId) -> StopReply:
        """Stop it; an unknown one is no error."""
        ...

    async def patch_function(self, request: PatchRequest) -> StopReply:
        """Replace its outputs."""
        ...

    async def start_resource(self, request: ResourceInstanceSpecification) -> StartReply:
        """Start a resource instance; the same id twice is one instance."""
        ...

    async def stop_resource(self, instance_id: InstanceId) -> StopReply:
        """Stop it; an unknown one is no error."""
        ...

    async def patch_resource(self, request: PatchRequest) -> StopReply:
        """Replace its outputs."""
        ...


class NodeManagementApi(Protocol):
    """Served by a node's agent to its ε-ORC (spec 5.4)."""

    async def update_peers(self, request: UpdatePeersRequest) -> None:
        """Add or remove a peer node."""
        ...

    async def reset(self) -> StopReply:
        """Stop everything that runs on the node."""
        ...


class NodeRegistrationApi(Protocol):
    """Served by the ε-ORC to nodes (spec 4.1)."""

    async def update_node(self, request: UpdateNodeRequest) -> UpdateNodeResponse:
        """Register a node or refresh its registration."""
        ...
