"""A node's agent served and asked over real gRPC, as EDGELESS's programs would."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from edgeless_sim.api.clients import AgentClient
from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.api.messages import StartReply, StopReply, UpdatePeersRequest
from edgeless_sim.api.protobuf import Place, ProtobufWire
from edgeless_sim.errors import (
    GuestError,
    NoFeasibleNodeError,
    RejectedError,
    UnknownComponentError,
    UnreachableError,
)
from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_transports import Address, Connection, RemoteError
from edgeless_transports.grpc import GrpcTransport

PID = InstanceId(NodeId(UUID(int=1 << 80)), FunctionId(UUID(int=2 << 80)))
REQUEST = SpawnFunctionRequest(
    code=FunctionClassSpecification("f", "RUST_WASM", "0.1", b"\0asm"),
    annotations={"a": "b"},
    state_specification=StateSpecification(UUID(int=3)),
    workflow_id=WorkflowId(UUID(int=4)),
)
START = "/edgeless_api.FunctionInstance/Start"
STOP = "/edgeless_api.FunctionInstance/Stop"


class OneFunctionAgent:
    """Takes one function, and no second."""

    def __init__(self) -> None:
        self.started: list[SpawnFunctionRequest] = []

    async def start_function(self, request: SpawnFunctionRequest) -> StartReply:
        if self.started:
            raise NoFeasibleNodeError("no room", "one function is running")
        self.started.append(request)
        return StartReply(PID, revision=1)

    async def stop_function(self, instance_id: InstanceId) -> StopReply:
        raise UnknownComponentError("no such instance", str(instance_id))

    async def patch_function(self, request: PatchRequest) -> StopReply:
        raise GuestError(f"generation {request.generation}")

    async def update_peers(self, request: UpdatePeersRequest) -> None:
        pass

    async def reset(self) -> StopReply:
        self.started.clear()
        return StopReply(revision=2)


def with_agent(body: Callable[[Connection, AgentClient], Awaitable[None]]) -> OneFunctionAgent:
    agent, wire = OneFunctionAgent(), ProtobufWire(Place(unix_s=lambda: 0.0))

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        services = {"FunctionInstance": agent, "NodeManagement": agent}
        async with (
            transport.listen(Address("http", "127.0.0.1:0"), Dispatcher(services, wire)) as address,
            transport.connect(address) as connection,
        ):
            await body(connection, AgentClient(connection, wire))

    run(main, world="real")
    return agent


def test_a_function_is_started_and_the_node_reset() -> None:
    async def body(connection: Connection, agent: AgentClient) -> None:
        started = await agent.start_function(REQUEST)
        assert started == StartReply(PID, revision=1)
        assert await agent.reset() == StopReply(2)
        assert await agent.start_function(REQUEST) == started

    assert with_agent(body).started == [REQUEST]


def test_refusals_arrive_in_replies_and_as_statuses() -> None:
    async def body(connection: Connection, agent: AgentClient) -> None:
        await agent.start_function(REQUEST)
        with pytest.raises(NoFeasibleNodeError, match=r"no room .detail: one function is running"):
            await agent.start_function(REQUEST)
        with pytest.raises(UnknownComponentError, match="no such instance"):
            await agent.stop_function(PID)
        with pytest.raises(RejectedError, match=r"GuestError .detail: generation 7"):
            await agent.patch_function(PatchRequest(PID, {}, 7))

    with_agent(body)


def test_garbage_is_an_invalid_argument_and_an_unknown_method_unimplemented() -> None:
    async def body(connection: Connection, agent: AgentClient) -> None:
        for path, payload, code in (
            (STOP, b"\xff", "invalid_argument"),
            (START, b"\xff", "invalid_argument"),
            ("/edgeless_api.NodeManagement/KeepAlive", b"", "unimplemented"),
            ("/edgeless_api.FunctionInstance/start", b"", "unimplemented"),
            ("nonsense", b"", "unimplemented"),
        ):
            with pytest.raises(RemoteError) as caught:
                await connection.call(path, payload, timeout_s=5)
            assert caught.value.code == code
        # And the agent lives.
        await agent.start_function(REQUEST)

    with_agent(body)


def test_an_agent_that_has_gone_is_unreachable() -> None:
    async def main() -> None:
        transport, wire = (
            GrpcTransport(current_scheduler()),
            ProtobufWire(Place(unix_s=lambda: 0.0)),
        )
        address = Address("http", "127.0.0.1:0")
        async with transport.listen(address, Dispatcher({}, wire)) as bound:
            connection_context = transport.connect(bound)
            connection = await connection_context.__aenter__()
        with pytest.raises(UnreachableError, match="FunctionInstance/Start"):
            await AgentClient(connection, wire, timeout_s=0.5).start_function(REQUEST)
        await connection_context.__aexit__(None, None, None)

    run(main, world="real")
