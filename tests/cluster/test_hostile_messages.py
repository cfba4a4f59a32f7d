"""Whoever can reach a cluster's sockets can send garbage; it refuses, counts, and works on."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import UUID

import anyio
import pytest

from edgeless_sim.api.methods import BY_PATH, METHODS
from edgeless_sim.api.services import HANDLE
from edgeless_sim.api.wire import Wire
from edgeless_sim.api.wires import Role
from edgeless_sim.cluster.addresses import CONTROLLER, node_location, orchestrator_location
from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_sim.model.event import CallReturn, Event, EventType
from edgeless_sim.model.function import SpawnFunctionRequest, StateSpecification
from edgeless_sim.model.ids import WorkflowId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction
from edgeless_sim.testing.checkers import cluster_violations
from edgeless_transports import Address, Connection, RemoteError, create_transport

MakeFunction = Callable[..., WorkflowFunction]

TWO_NODES = Topology((DomainTopology("edge", nodes=(NodeGroup(2),)),))
NODE = "edge/0"
EVERYBODY = (CONTROLLER, orchestrator_location("edge"), node_location(NODE))
#: A request without content is a request to do it.
RESET = METHODS["NodeManagement"]["reset"].path

real_worlds = pytest.mark.parametrize("world", ["tcp", "grpc"])


def in_world(
    world: str, compiled: MakeFunction, main: Callable[[Cluster], Coroutine[Any, Any, None]]
) -> None:
    """Run *main* with a workflow running; afterwards it must still run, where it was."""

    async def bounded() -> None:
        with anyio.fail_after(60):
            async with open_topology(TWO_NODES, world=world) as cluster:
                workflow = SpawnWorkflowRequest((compiled("pong", "pong"),), (), {})
                await cluster.start_workflow(workflow, name="w")
                host = await cluster.host_of("w/pong")
                await main(cluster)
                assert await cluster.call("w/pong", "PING-1") == CallReturn.reply("PONG")
                assert await cluster.host_of("w/pong") == host
                assert await cluster_violations(cluster) == []

    run(bounded, world=world)


@asynccontextmanager
async def stranger(cluster: Cluster, location: str) -> AsyncGenerator[Connection]:
    """Frames of anything to *location*."""
    address = Address.parse(cluster.network.url(location))
    transport: Any = create_transport(address.scheme, scheduler=current_scheduler())
    async with transport.connect(address) as connection:
        yield connection


async def is_refused(connection: Connection, wire: Wire, path: str, payload: bytes) -> bool:
    """Whether the answer is a refusal, as a status or as a reply; there must be one."""
    try:
        wire.decode_reply(path, await connection.call(path, payload, timeout_s=10))
    except (RemoteError, RejectedError):
        return True
    return False


@real_worlds
def test_every_method_of_everybody_refuses_garbage(world: str, compiled: MakeFunction) -> None:
    async def main(cluster: Cluster) -> None:
        dice = Random(11)
        wire = cluster.network.wires(Role.CLIENT).calling(cluster.network.url(CONTROLLER))
        refused = 0
        for location in EVERYBODY:
            async with stranger(cluster, location) as connection:
                for path in sorted(set(BY_PATH) - {RESET}):
                    # None of them is a message of either wire.
                    for payload in (b"\xff", b"\xc1" + dice.randbytes(300), b"\xff" * 100_000):
                        refused += await is_refused(connection, wire, path, payload)
        # What has no request has no garbage: it is served where it exists.
        served = sum(method.request is None for method in BY_PATH.values()) - 1
        assert refused >= 3 * (3 * (len(BY_PATH) - 1) - served)

    in_world(world, compiled, main)


@real_worlds
def test_a_request_cut_anywhere_starts_nothing(world: str, compiled: MakeFunction) -> None:
    async def main(cluster: Cluster) -> None:
        method = METHODS["FunctionInstance"]["start_function"]
        url = cluster.network.url(node_location(NODE))
        wire = cluster.network.wires(Role.ORCHESTRATOR).calling(url)
        code = compiled("noop", "noop").class_specification
        assert code.binary is not None
        request = SpawnFunctionRequest(
            code, {"a": "b"}, StateSpecification(UUID(int=3)), WorkflowId(UUID(int=4))
        )
        whole = wire.encode_request(method.path, request)
        # Protobuf knows no end: what is cut between two fields behind the code is another request.
        code_end = whole.index(code.binary) + len(code.binary)
        before = cluster.counters()
        async with stranger(cluster, node_location(NODE)) as connection:
            for end in range(0, code_end, 41):
                assert await is_refused(connection, wire, method.path, whole[:end])
        assert cluster.counters() == before

    in_world(world, compiled, main)


@real_worlds
def test_garbage_on_the_data_plane_is_counted_and_delivered_to_nobody(
    world: str, compiled: MakeFunction
) -> None:
    async def main(cluster: Cluster) -> None:
        dice = Random(12)
        url = cluster.network.url(node_location(NODE))
        wire = cluster.network.wires(Role.CLIENT).calling(url)
        event = Event(EventType.CAST, bytes(32), bytes(32), 0, "payload", 1, bytes(24), 1)
        whole = wire.encode_event(event)
        # A cut behind the header is an event with another payload, unless lengths are told.
        cut = [whole[:end] for end in range(0, 60, 7)]
        garbage = [b"\xff", b"\xc1" * 5000, bytes(3), *cut]
        garbage += [b"\xff" + dice.randbytes(dice.randrange(200)) for _ in range(200)]
        before = cluster.counters()["malformed event"]
        async with stranger(cluster, node_location(NODE)) as connection:
            for payload in garbage:
                await connection.cast(HANDLE, payload)
            await cluster.wait_for(
                lambda: cluster.counters()["malformed event"] == before + len(garbage)
            )

    in_world(world, compiled, main)


@real_worlds
def test_events_to_those_that_take_none_harm_nobody(world: str, compiled: MakeFunction) -> None:
    async def main(cluster: Cluster) -> None:
        for location in (CONTROLLER, orchestrator_location("edge")):
            async with stranger(cluster, location) as connection:
                for payload in (b"", b"\xff" * 1000):
                    await connection.cast(HANDLE, payload)
                    await connection.cast("/no/such", payload)
                with pytest.raises(RemoteError, match="no such method"):
                    await connection.call("/no/such", b"", timeout_s=10)

    in_world(world, compiled, main)
