"""Small systems of the product's own parts that several benchmarks drive.

A ring is nodes without a control plane: each function casts to the next one, on the next node. The
parts are the product's; only their wiring, which is `edgeless_sim.cluster`'s otherwise, is here.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from measure import FUNCTIONS, cpu

from edgeless_sim.cluster.network import NetworkHandle
from edgeless_sim.cluster.topology import LinkTopology, NodeGroup
from edgeless_sim.kernel import Entropy, Journal, LoopClock, Supervisor
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.event import Target
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.node.movable import MovableFunction
from edgeless_sim.node.node import Node, NodeSettings
from edgeless_sim.node.state_store import MemoryStateStore
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog
from edgeless_transports import Address, MemoryTransport

__all__ = ["LATENCY_NS", "MODELLED", "PAYLOAD", "Ring", "guest", "open_ring", "spawn_request"]

#: Of every link.
LATENCY_NS: Final = 5_000_000
#: Sixteen bytes, as in "canonical event".
PAYLOAD: Final = "0123456789abcdef"
MODELLED: Final = FunctionClassSpecification("modelled", "MODELLED", "1.0", outputs=("out",))


def guest(name: str) -> FunctionClassSpecification:
    """The example guest called *name*, with its code."""
    return FunctionClassSpecification(name, "RUST_WASM", "0.1", binary=guest_code(name))


def guest_code(name: str) -> bytes:
    """The WebAssembly of the example guest called *name*."""
    return Path(FUNCTIONS, name, f"{name}.wasm").read_bytes()


def spawn_request(
    code: FunctionClassSpecification,
    pid: InstanceId,
    init_payload: str = "",
    outputs: dict[str, Target] | None = None,
) -> SpawnFunctionRequest:
    """A request to start *code* as the instance *pid*."""
    return SpawnFunctionRequest(
        code=code,
        annotations={"init-payload": init_payload} if init_payload else {},
        state_specification=StateSpecification(UUID(int=1)),
        workflow_id=WorkflowId(UUID(int=1)),
        name=code.id,
        instance_id=pid,
        output_mapping={} if outputs is None else outputs,
    )


@dataclass(slots=True)
class Ring:
    """Functions that cast in a circle."""

    clock: LoopClock
    journal: Journal
    functions: list[MovableFunction]

    def put_in(self, in_flight: int) -> None:
        """Send *in_flight* events on their way, evenly over the ring; they circle for ever."""
        step = len(self.functions) / in_flight
        for number in range(in_flight):
            self.functions[int(number * step)].handle.cast("out", PAYLOAD)

    async def events_per_cpu_s(self, virtual_s: float) -> float:
        """Events sent and handled per CPU second while *virtual_s* pass."""
        before = self.journal.serial()
        with cpu() as watch:
            await self.clock.sleep(virtual_s)
        return (self.journal.serial() - before - 1) / watch.seconds


@asynccontextmanager
async def open_ring(
    code: FunctionClassSpecification,
    *,
    functions: int,
    nodes: int,
    init_payload: str = "",
    journal_enabled: bool = True,
) -> AsyncGenerator[Ring]:
    """Yield a started ring of *functions* on *nodes*; neighbours are on different nodes.

    A node has a core for each of its functions, so that events queue at functions only.
    """
    clock = LoopClock.running()
    scheduler = clock.scheduler
    async with Supervisor.open() as supervisor:
        journal = Journal(scheduler, enabled=journal_enabled)
        entropy = Entropy(1)
        links = (LinkTopology(latency_ns=LATENCY_NS),)
        network = NetworkHandle(scheduler, journal, entropy.stream("network"), links)
        runtimes = RuntimeCatalog(RuntimeSettings())
        group = NodeGroup(count=nodes, cpus=max(1, functions // nodes))
        made = []
        for number in range(nodes):
            context = ActorContext(
                f"ring/{number}", clock, scheduler, entropy, journal, supervisor.spawn
            )
            made.append(_node(context, NodeId(UUID(int=number + 1)), group, network, runtimes))
        pids = [
            InstanceId(made[number % nodes].settings.node_id, FunctionId(UUID(int=number + 1)))
            for number in range(functions)
        ]
        hosted = []
        for number, pid in enumerate(pids):
            after = (number + 1) % functions
            out = Target(pids[after], made[after % nodes].settings.url)
            agent = made[number % nodes].agent
            await agent.start_function(spawn_request(code, pid, init_payload, {"out": out}))
            hosted.append(agent.functions[pid])
        await clock.sleep(1)
        yield Ring(clock, journal, hosted)
        journal.close()
        for node in made:
            node.crash()
        runtimes.close()


def _node(
    context: ActorContext,
    node_id: NodeId,
    group: NodeGroup,
    network: NetworkHandle,
    runtimes: RuntimeCatalog,
) -> Node:
    location = context.name
    url = f"memory://{location}"
    node = Node(
        context,
        NodeSettings(node_id, url, "memory://nobody", group.capabilities()),
        lambda to: network.connection(location, to),
        runtimes=runtimes,
        providers={},
        states=MemoryStateStore(),
        nonce=1,
    )
    transport = MemoryTransport(context.scheduler, network.memory, location)
    transport.attach(Address.parse(url), node.handler, on_cast=node.plane.receive)
    return node
