"""EDGELESS's services, one Protocol each (spec 10.1).

Both sides implement them: actors serve them, `edgeless_sim.api.clients` calls them over a
connection. Methods raise `RejectedError` when the peer says no and, on the client side,
`UnreachableError` when it does not answer.
"""

from typing import Final, Protocol

from edgeless_sim.api.handover import Collect, Collected, GiveBack, HandedState, TakeOver
from edgeless_sim.api.messages import (
    MigrateWorkflow,
    MirrorPage,
    MirrorQuery,
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
from edgeless_sim.model.decision import Decision
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import DomainId, InstanceId, LogicalId, WorkflowId
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.resource import ResourceInstanceSpecification

__all__ = [
    "HANDLE",
    "UPDATE_NODE",
    "ComponentApi",
    "DomainMirrorApi",
    "DomainPollApi",
    "DomainRegistrationApi",
    "HandoverApi",
    "NodeManagementApi",
    "NodeRegistrationApi",
    "WorkflowExplanationApi",
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


class WorkflowExplanationApi(Protocol):
    """Served by the ε-CON to clients; ours."""

    async def explain(self, workflow_id: WorkflowId) -> tuple[Decision, ...]:
        """The last decisions about a workflow: first the ε-CON's, then those of its domains.

        Raise `UnknownComponentError` if there is no such workflow.
        """
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


class DomainMirrorApi(Protocol):
    """Served by an ε-ORC to whoever wants to look at its domain, or to change it; ours.

    What EDGELESS has in a Redis (spec 7), without one.
    """

    async def mirror(self, query: MirrorQuery) -> MirrorPage:
        """A page of what the domain shows; raise `RejectedError` for an unknown ``after``."""
        ...

    async def submit(self, intent: Intent) -> None:
        """Leave an intent, which is obeyed at the next tick; raise `RejectedError` if it cannot
        be, or if too many wait."""
        ...

    async def explain(self, components: tuple[LogicalId, ...]) -> tuple[Decision, ...]:
        """The last decisions about *components*, as far as they are remembered."""
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


class HandoverApi(Protocol):
    """Served by a node's agent to the node to which a function migrates; ours."""

    async def take_over(self, request: TakeOver) -> HandedState:
        """Stop the guest and give its state; raise `RejectedError` if it goes on instead."""
        ...

    async def collect(self, request: Collect) -> Collected:
        """Give up the instance for good, and hand on what came for it and still comes."""
        ...

    async def give_back(self, request: GiveBack) -> None:
        """Answer calls in the name of the old instance."""
        ...


class NodeRegistrationApi(Protocol):
    """Served by the ε-ORC to nodes (spec 4.1)."""

    async def update_node(self, request: UpdateNodeRequest) -> UpdateNodeResponse:
        """Register a node or refresh its registration."""
        ...
