"""Client, wire and dispatcher together, over the real memory transport."""

from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import anyio
import pytest

from edgeless_sim.api.clients import RPC_TIMEOUT_S, AgentClient, ControllerClient
from edgeless_sim.api.codec import MESSAGE_BYTES_MAX
from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.api.messages import (
    ComponentMapping,
    MigrateWorkflow,
    StartReply,
    StartWorkflow,
    StopReply,
    UpdatePeersRequest,
    UpdatePeersType,
    WorkflowInfo,
    WorkflowStatus,
)
from edgeless_sim.errors import (
    EdgelessError,
    NoFeasibleNodeError,
    RejectedError,
    UnknownComponentError,
    UnreachableError,
)
from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.event import PatchRequest, Target
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import DomainId, FunctionId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction
from edgeless_transports import Address, Incoming, MemoryConnection, MemoryTransport, RemoteError

ADDRESS = Address("memory", "server")
NODE = NodeId(UUID(int=1))
INSTANCE = InstanceId(NODE, FunctionId(UUID(int=2)))
WORKFLOW = WorkflowId(UUID(int=3))
CLASS = FunctionClassSpecification("f", "RUST_WASM", "0.1", binary=b"\x00asm", outputs=("out",))
FUNCTION = SpawnFunctionRequest(
    CLASS, {"init-payload": "ε"}, StateSpecification(UUID(int=9)), WORKFLOW, instance_id=INSTANCE
)
RESOURCE = ResourceInstanceSpecification("file-log", {"filename": "a.log"}, WORKFLOW)
PATCH = PatchRequest(INSTANCE, {"out": Target(INSTANCE, "memory://node")}, 3)
PEERS = UpdatePeersRequest(UpdatePeersType.ADD, NODE, "memory://node")
START = StartWorkflow(SpawnWorkflowRequest((WorkflowFunction("f", CLASS),)), "w")
STATUS = WorkflowStatus(
    WORKFLOW, (ComponentMapping("f", LogicalId(UUID(int=4)), DomainId("edge")),), "w"
)


class Agent:
    """Answers every method of a node's agent, and keeps what it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[object] = []
        self.error = error

    def _answer(self, request: object) -> int:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return len(self.asked)

    async def start_function(self, request: SpawnFunctionRequest) -> StartReply:
        return StartReply(INSTANCE, self._answer(request))

    async def stop_function(self, instance_id: InstanceId) -> StopReply:
        return StopReply(self._answer(instance_id))

    async def patch_function(self, request: PatchRequest) -> StopReply:
        return StopReply(self._answer(request))

    async def start_resource(self, request: ResourceInstanceSpecification) -> StartReply:
        return StartReply(INSTANCE, self._answer(request))

    async def stop_resource(self, instance_id: InstanceId) -> StopReply:
        return StopReply(self._answer(instance_id))

    async def patch_resource(self, request: PatchRequest) -> StopReply:
        return StopReply(self._answer(request))

    async def update_peers(self, request: UpdatePeersRequest) -> None:
        self._answer(request)

    async def reset(self) -> StopReply:
        return StopReply(self._answer("reset"))


class Controller:
    """Answers every method of an ε-CON."""

    async def start(self, request: StartWorkflow) -> WorkflowStatus:
        return STATUS if request == START else WorkflowStatus(WORKFLOW, ())

    async def stop(self, workflow_id: WorkflowId) -> None:
        if workflow_id != WORKFLOW:
            raise UnknownComponentError("unknown workflow", str(workflow_id))

    async def list_workflows(self) -> tuple[WorkflowStatus, ...]:
        return (STATUS, WorkflowStatus(WORKFLOW, ()))

    async def inspect(self, workflow_id: WorkflowId) -> WorkflowInfo:
        return WorkflowInfo(START.request, STATUS)

    async def domains(self, domain_id: DomainId) -> dict[str, DomainCapabilities]:
        return {domain_id: DomainCapabilities(num_nodes=3, labels=("gpu",))}

    async def migrate(self, request: MigrateWorkflow) -> WorkflowStatus:
        return WorkflowStatus(request.workflow_id, (), request.component)


def serve(
    services: dict[str, object], main: Callable[[MemoryConnection], Coroutine[Any, Any, None]]
) -> None:
    """Run *main* with a connection to a dispatcher for *services*, in virtual time."""

    async def outer() -> None:
        transport = MemoryTransport(current_scheduler())
        async with transport.listen(ADDRESS, Dispatcher(services)):
            await main(transport.open(ADDRESS))

    run(outer)


def serve_agent(agent: object, main: Callable[[AgentClient], Coroutine[Any, Any, None]]) -> None:
    names = ("FunctionInstance", "ResourceConfiguration", "NodeManagement")
    serve(dict.fromkeys(names, agent), lambda connection: main(AgentClient(connection)))


def test_every_method_of_an_agent_arrives_with_its_request_and_is_answered() -> None:
    agent = Agent()

    async def main(client: AgentClient) -> None:
        assert await client.start_function(FUNCTION) == StartReply(INSTANCE, 1)
        assert await client.stop_function(INSTANCE) == StopReply(2)
        assert await client.patch_function(PATCH) == StopReply(3)
        assert await client.start_resource(RESOURCE) == StartReply(INSTANCE, 4)
        assert await client.stop_resource(INSTANCE) == StopReply(5)
        assert await client.patch_resource(PATCH) == StopReply(6)
        await client.update_peers(PEERS)
        assert await client.reset() == StopReply(8)

    serve_agent(agent, main)
    expected = [FUNCTION, INSTANCE, PATCH, RESOURCE, INSTANCE, PATCH, PEERS, "reset"]
    assert agent.asked == expected


def test_every_method_of_a_controller_is_answered() -> None:
    async def main(connection: MemoryConnection) -> None:
        client = ControllerClient(connection)
        assert await client.start(START) == STATUS
        await client.stop(WORKFLOW)
        assert await client.list_workflows() == (STATUS, WorkflowStatus(WORKFLOW, ()))
        assert await client.inspect(WORKFLOW) == WorkflowInfo(START.request, STATUS)
        domains = await client.domains(DomainId("edge"))
        assert domains == {"edge": DomainCapabilities(num_nodes=3, labels=("gpu",))}
        moved = await client.migrate(MigrateWorkflow(WORKFLOW, DomainId("far"), "f"))
        assert moved == WorkflowStatus(WORKFLOW, (), "f")
        with pytest.raises(UnknownComponentError, match="unknown workflow"):
            await client.stop(WorkflowId(UUID(int=8)))

    serve({"WorkflowInstance": Controller()}, main)


@pytest.mark.parametrize(
    "error",
    [
        RejectedError("no", "because"),
        NoFeasibleNodeError("no valid node found"),
        UnknownComponentError("unknown", "x"),
    ],
)
def test_a_refusal_is_raised_again_at_the_client(error: RejectedError) -> None:
    async def main(client: AgentClient) -> None:
        with pytest.raises(RejectedError) as caught:
            await client.reset()
        assert type(caught.value) is type(error)
        assert str(caught.value) == str(error)

    serve_agent(Agent(error), main)


def test_any_other_edgeless_error_becomes_a_refusal_that_names_it() -> None:
    async def main(client: AgentClient) -> None:
        with pytest.raises(RejectedError) as caught:
            await client.reset()
        assert caught.value.summary == "UnreachableError"
        assert caught.value.detail == "the peer is down"

    serve_agent(Agent(UnreachableError("the peer is down")), main)


def test_a_bug_of_the_server_is_not_taken_for_a_refusal_by_the_dispatcher() -> None:
    async def main() -> None:
        dispatch = Dispatcher({"NodeManagement": Agent(KeyError("a bug"))})
        with pytest.raises(KeyError, match="a bug"):
            await dispatch(Incoming("/edgeless_api.NodeManagement/Reset", b"\xc0", "peer", None))

    run(main)


def test_a_failure_of_the_server_is_a_refusal_at_the_client() -> None:
    async def main(client: AgentClient) -> None:
        with pytest.raises(RejectedError, match="the peer failed to serve the request"):
            await client.reset()

    serve_agent(Agent(KeyError("a bug")), main)


def test_a_broken_invariant_of_the_server_ends_the_run() -> None:
    async def main(client: AgentClient) -> None:
        await client.reset()

    with pytest.raises(AssertionError, match="an invariant"):
        serve_agent(Agent(AssertionError("an invariant")), main)


def test_a_method_that_nobody_serves_is_refused() -> None:
    async def main(connection: MemoryConnection) -> None:
        with pytest.raises(RejectedError) as caught:
            await ControllerClient(connection).list_workflows()
        assert caught.value.detail is not None
        assert "no such method: /edgeless_api.WorkflowInstance/List" in caught.value.detail
        with pytest.raises(RemoteError) as remote:
            await connection.call("/x", b"", timeout_s=1)
        assert remote.value.code == "unimplemented"

    serve({"NodeManagement": Agent()}, main)


def test_a_malformed_request_is_refused_and_not_served() -> None:
    agent = Agent()

    async def main() -> None:
        dispatch = Dispatcher({"FunctionInstance": agent})
        method = "/edgeless_api.FunctionInstance/Stop"
        for payload in (b"", b"\xc1", b"\x81", b"\x81\xa7node_id\xa1x", bytes(100)):
            reply = await dispatch(Incoming(method, payload, "peer", None))
            assert reply[:1] == b"\x01"
            assert b"malformed message" in reply

    run(main)
    assert agent.asked == []


def test_a_result_that_is_too_large_is_refused() -> None:
    class Talkative(Controller):
        async def inspect(self, workflow_id: WorkflowId) -> WorkflowInfo:
            return WorkflowInfo(
                START.request, WorkflowStatus(WORKFLOW, (), "x" * MESSAGE_BYTES_MAX)
            )

    async def main(connection: MemoryConnection) -> None:
        with pytest.raises(RejectedError, match="message too large"):
            await ControllerClient(connection).inspect(WORKFLOW)

    serve({"WorkflowInstance": Talkative()}, main)


def test_a_request_that_is_too_large_is_not_sent() -> None:
    agent = Agent()

    async def main(client: AgentClient) -> None:
        with pytest.raises(RejectedError, match="message too large"):
            await client.update_peers(
                UpdatePeersRequest(UpdatePeersType.ADD, NODE, "x" * MESSAGE_BYTES_MAX)
            )

    serve_agent(agent, main)
    assert agent.asked == []


def test_a_peer_that_does_not_answer_is_unreachable_after_the_deadline() -> None:
    class Slow(Agent):
        async def reset(self) -> StopReply:
            await anyio.sleep(3600)
            return StopReply()

    async def main(client: AgentClient) -> None:
        start_ns = current_scheduler().now_ns()
        with pytest.raises(UnreachableError, match="NodeManagement/Reset"):
            await client.reset()
        assert current_scheduler().now_ns() - start_ns == round(RPC_TIMEOUT_S * 1e9)

    serve_agent(Slow(), main)


def test_a_deadline_of_ones_own_counts() -> None:
    async def outer() -> None:
        transport = MemoryTransport(current_scheduler())
        async with transport.listen(ADDRESS, Dispatcher({})):
            connection = transport.open(ADDRESS)
        client = AgentClient(connection, timeout_s=0.25)
        # Nobody listens any more: frames vanish.
        with pytest.raises(UnreachableError):
            await client.reset()
        assert current_scheduler().now_ns() == 250_000_000

    run(outer)


def test_a_closed_connection_is_unreachable() -> None:
    async def main(connection: MemoryConnection) -> None:
        connection.close()
        with pytest.raises(UnreachableError, match="closed") as caught:
            await ControllerClient(connection).list_workflows()
        assert isinstance(caught.value, EdgelessError)

    serve({"WorkflowInstance": Controller()}, main)


def test_a_reply_that_makes_no_sense_is_rejected() -> None:
    async def main() -> None:
        transport = MemoryTransport(current_scheduler())
        async with transport.listen(ADDRESS, lambda frame: b"\x00\xc1"):
            with pytest.raises(RejectedError, match="malformed message"):
                await AgentClient(transport.open(ADDRESS)).reset()

    run(main)


def test_many_calls_of_one_connection_do_not_mix() -> None:
    async def main(connection: MemoryConnection) -> None:
        client = ControllerClient(connection)
        seen: dict[str, str] = {}

        async def move(name: str) -> None:
            moved = await client.migrate(MigrateWorkflow(WORKFLOW, DomainId("far"), name))
            seen[name] = moved.name

        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(move, f"f{number}")
        assert seen == {f"f{number}": f"f{number}" for number in range(200)}

    serve({"WorkflowInstance": Controller()}, main)
