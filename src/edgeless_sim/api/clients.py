"""Each service over a connection. Only here does `TransportError` become `UnreachableError`."""

from typing import Any, Final

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
from edgeless_sim.api.methods import METHODS
from edgeless_sim.api.wire import OUR_WIRE, Wire
from edgeless_sim.errors import UnreachableError
from edgeless_sim.model.decision import Decision
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import DomainId, InstanceId, LogicalId, WorkflowId
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_transports import Connection, RemoteError, TransportError

__all__ = [
    "RPC_TIMEOUT_S",
    "AgentClient",
    "ComponentClient",
    "ControllerClient",
    "DomainMirrorClient",
    "DomainPollClient",
    "DomainRegistrationClient",
    "HandoverClient",
    "NodeRegistrationClient",
]

#: Default deadline of one control request, in seconds (reliability 3, c).
RPC_TIMEOUT_S: Final = 5.0


class _Client:
    """Encodes, calls, decodes; tells a refusal from silence."""

    def __init__(
        self, connection: Connection, wire: Wire = OUR_WIRE, *, timeout_s: float = RPC_TIMEOUT_S
    ) -> None:
        self._connection = connection
        self._wire = wire
        self._timeout_s = timeout_s

    async def _call(self, service: str, name: str, request: object) -> Any:
        path = METHODS[service][name].path
        payload = self._wire.encode_request(path, request)
        try:
            answer = await self._connection.call(path, payload, timeout_s=self._timeout_s)
        except RemoteError as error:
            raise self._wire.decode_refusal(path, error) from None
        except TransportError as error:
            raise UnreachableError(f"{path}: {error}") from error
        return self._wire.decode_reply(path, answer)


class ControllerClient(_Client):
    """`WorkflowInstanceApi` of an ε-CON, and `WorkflowExplanationApi` of ours."""

    async def start(self, request: StartWorkflow) -> WorkflowStatus:
        """See `WorkflowInstanceApi.start`."""
        reply: WorkflowStatus = await self._call("WorkflowInstance", "start", request)
        return reply

    async def stop(self, workflow_id: WorkflowId) -> None:
        """See `WorkflowInstanceApi.stop`."""
        await self._call("WorkflowInstance", "stop", workflow_id)

    async def list_workflows(self) -> tuple[WorkflowStatus, ...]:
        """See `WorkflowInstanceApi.list_workflows`."""
        result: tuple[WorkflowStatus, ...] = await self._call(
            "WorkflowInstance", "list_workflows", None
        )
        return result

    async def inspect(self, workflow_id: WorkflowId) -> WorkflowInfo:
        """See `WorkflowInstanceApi.inspect`."""
        reply: WorkflowInfo = await self._call("WorkflowInstance", "inspect", workflow_id)
        return reply

    async def domains(self, domain_id: DomainId) -> dict[str, DomainCapabilities]:
        """See `WorkflowInstanceApi.domains`."""
        result: dict[str, DomainCapabilities] = await self._call(
            "WorkflowInstance", "domains", domain_id
        )
        return result

    async def migrate(self, request: MigrateWorkflow) -> WorkflowStatus:
        """See `WorkflowInstanceApi.migrate`."""
        reply: WorkflowStatus = await self._call("WorkflowInstance", "migrate", request)
        return reply

    async def explain(self, workflow_id: WorkflowId) -> tuple[Decision, ...]:
        """See `WorkflowExplanationApi.explain`; EDGELESS's own ε-CON refuses."""
        found: tuple[Decision, ...] = await self._call(
            "WorkflowExplanation", "explain", workflow_id
        )
        return found


class DomainRegistrationClient(_Client):
    """`DomainRegistrationApi` of an ε-CON."""

    async def update_domain(self, request: UpdateDomainRequest) -> UpdateDomainResponse:
        """See `DomainRegistrationApi.update_domain`."""
        reply: UpdateDomainResponse = await self._call(
            "DomainRegistration", "update_domain", request
        )
        return reply


class DomainPollClient(_Client):
    """`DomainPollApi` of an ε-ORC."""

    async def poll(self, answer: UpdateDomainResponse) -> UpdateDomainRequest:
        """See `DomainPollApi.poll`."""
        reply: UpdateDomainRequest = await self._call("DomainPoll", "poll", answer)
        return reply


class DomainMirrorClient(_Client):
    """`DomainMirrorApi` of an ε-ORC."""

    async def mirror(self, query: MirrorQuery) -> MirrorPage:
        """See `DomainMirrorApi.mirror`."""
        reply: MirrorPage = await self._call("DomainMirror", "mirror", query)
        return reply

    async def submit(self, intent: Intent) -> None:
        """See `DomainMirrorApi.submit`."""
        await self._call("DomainMirror", "submit", intent)

    async def explain(self, components: tuple[LogicalId, ...]) -> tuple[Decision, ...]:
        """See `DomainMirrorApi.explain`."""
        reply: tuple[Decision, ...] = await self._call("DomainMirror", "explain", components)
        return reply


class ComponentClient(_Client):
    """`ComponentApi` of an ε-ORC (logical ids) or of a node (physical ids)."""

    async def start_function(self, request: SpawnFunctionRequest) -> StartReply:
        """See `ComponentApi.start_function`."""
        reply: StartReply = await self._call("FunctionInstance", "start_function", request)
        return reply

    async def stop_function(self, instance_id: InstanceId) -> StopReply:
        """See `ComponentApi.stop_function`."""
        reply: StopReply = await self._call("FunctionInstance", "stop_function", instance_id)
        return reply

    async def patch_function(self, request: PatchRequest) -> StopReply:
        """See `ComponentApi.patch_function`."""
        reply: StopReply = await self._call("FunctionInstance", "patch_function", request)
        return reply

    async def start_resource(self, request: ResourceInstanceSpecification) -> StartReply:
        """See `ComponentApi.start_resource`."""
        reply: StartReply = await self._call("ResourceConfiguration", "start_resource", request)
        return reply

    async def stop_resource(self, instance_id: InstanceId) -> StopReply:
        """See `ComponentApi.stop_resource`."""
        reply: StopReply = await self._call("ResourceConfiguration", "stop_resource", instance_id)
        return reply

    async def patch_resource(self, request: PatchRequest) -> StopReply:
        """See `ComponentApi.patch_resource`."""
        reply: StopReply = await self._call("ResourceConfiguration", "patch_resource", request)
        return reply


class AgentClient(ComponentClient):
    """All that a node's agent serves: `ComponentApi` and `NodeManagementApi`."""

    async def update_peers(self, request: UpdatePeersRequest) -> None:
        """See `NodeManagementApi.update_peers`."""
        await self._call("NodeManagement", "update_peers", request)

    async def reset(self) -> StopReply:
        """See `NodeManagementApi.reset`."""
        reply: StopReply = await self._call("NodeManagement", "reset", None)
        return reply


class HandoverClient(_Client):
    """`HandoverApi` of the node that a function leaves."""

    async def take_over(self, request: TakeOver) -> HandedState:
        """See `HandoverApi.take_over`."""
        reply: HandedState = await self._call("Handover", "take_over", request)
        return reply

    async def collect(self, request: Collect) -> Collected:
        """See `HandoverApi.collect`."""
        reply: Collected = await self._call("Handover", "collect", request)
        return reply

    async def give_back(self, request: GiveBack) -> None:
        """See `HandoverApi.give_back`."""
        await self._call("Handover", "give_back", request)


class NodeRegistrationClient(_Client):
    """`NodeRegistrationApi` of an ε-ORC."""

    async def update_node(self, request: UpdateNodeRequest) -> UpdateNodeResponse:
        """See `NodeRegistrationApi.update_node`."""
        reply: UpdateNodeResponse = await self._call("NodeRegistration", "update_node", request)
        return reply
