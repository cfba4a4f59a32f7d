"""Whole nodes on the virtual loop and the real memory network, without an ε-ORC.

``play`` runs a story: a coroutine function that gets a `Rig`. Peers of the harness are end points
of the data plane of their own. Every story is also read by a `JournalChecker`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from edgeless_sim.cluster.network import NetworkHandle
from edgeless_sim.cluster.topology import LinkTopology
from edgeless_sim.dataplane import Dataplane, DataplaneHandle
from edgeless_sim.kernel import Entropy, Journal, LoopClock, Supervisor, run
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.event import CallReturn, Event, EventType, Target
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StatePolicy,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.node.node import Node, NodeSettings
from edgeless_sim.node.state_store import MemoryStateStore, StateStore
from edgeless_sim.node.subscriber import REFRESH_INTERVAL_S
from edgeless_sim.node.telemetry import TelemetryEvent
from edgeless_sim.resources.base import ResourceProvider
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog
from edgeless_sim.testing.journal_checker import JournalChecker
from edgeless_transports import Address, Incoming, MemoryListener, MemoryTransport

HERE: Final = Path(__file__).parent
FUNCTIONS: Final = HERE.parents[1] / "functions"
WORKFLOW: Final = WorkflowId(UUID(int=0xF0))
OK: Final = CallReturn.reply("ok")
Story = Callable[["Rig"], Awaitable[None]]


class Peer:
    """An end point of the harness: remembers what comes, answers calls with ``reply``."""

    def __init__(self, rig: "Rig", name: str, number: int) -> None:
        self.rig = rig
        self.url = f"memory://{name}"
        node_id = NodeId(UUID(int=0xAA00 + number))
        self.instance = InstanceId(node_id, FunctionId(UUID(int=0xBB00 + number)))
        self.plane = Dataplane(
            node_id,
            rig.scheduler,
            rig.journal,
            lambda: rig.entropy.stream(name),
            lambda url: rig.network.connection(name, url),
        )
        self.handle = DataplaneHandle(self.instance.key, self.plane, rig.journal)
        self.handle.attach(self)
        self.received: list[Event] = []
        self.times_ns: list[int] = []
        #: What calls get; None = no answer at all.
        self.reply: CallReturn | None = OK
        self.listener = MemoryTransport(rig.scheduler, rig.network.memory, name).attach(
            Address.parse(self.url), _refused, on_cast=self.plane.receive
        )

    @property
    def target(self) -> Target:
        return Target(self.instance, self.url)

    @property
    def payloads(self) -> list[str]:
        return [event.payload for event in self.received]

    def deliver(self, event: Event) -> None:
        journal, number = self.rig.journal, self.handle.number
        journal.record("recv", event.serial, number)
        journal.record("begin", event.serial, number, 1, 0)
        journal.record("end", event.serial, number, 0, 0, "ok")
        self.received.append(event)
        self.times_ns.append(self.rig.scheduler.now_ns())
        if event.kind == EventType.CALL and self.reply is not None:
            self.plane.answer(event, self.reply)

    def knows(self, node: Node) -> None:
        self.plane.add_peer(node.settings.node_id.bytes, node.settings.url)

    def cast(self, to: InstanceId, payload: str, metadata: bytes = bytes(24)) -> None:
        self.knows(self.rig.nodes[to.node_id])
        self.handle.cast_raw(to.key, payload, metadata)

    def call(self, to: InstanceId, payload: str) -> "asyncio.Future[CallReturn]":
        self.knows(self.rig.nodes[to.node_id])
        reply: asyncio.Future[CallReturn] = asyncio.get_running_loop().create_future()
        self.handle.call_raw_nowait(to.key, payload, reply.set_result)
        return reply


class Rig:
    """Some nodes, some peers, and everything that was recorded."""

    def __init__(self, supervisor: Supervisor, options: dict[str, Any]) -> None:
        self.clock = LoopClock.running()
        self.scheduler = self.clock.scheduler
        self.records: list[Record] = []
        self.journal = Journal(self.scheduler)
        self.journal.subscribe(self.records.extend)
        self.checker = JournalChecker()
        self.journal.subscribe(self.checker)
        self.entropy = Entropy(options.get("seed", 1))
        self.network = NetworkHandle(
            self.scheduler,
            self.journal,
            self.entropy.stream("network"),
            [LinkTopology(latency_ns=1_000_000)],
        )
        self.runtimes = RuntimeCatalog(
            RuntimeSettings(
                fuel_per_event=options.get("fuel", 10**8),
                python_folders=(HERE,),
                instances_max=64,
            )
        )
        self.nodes: dict[NodeId, Node] = {}
        self.listeners: dict[NodeId, MemoryListener] = {}
        self._spawn = supervisor.spawn
        self._instances = 0
        self._peers = 0

    # -- who is there ---------------------------------------------------------------------------

    def node(
        self,
        *,
        cores: int = 1,
        mhz: float = 3000,
        states: StateStore | None = None,
        providers: Mapping[str, ResourceProvider] | None = None,
        runtimes: tuple[str, ...] = ("MODELLED", "PYTHON", "RUST_WASM"),
        call_timeout_s: float = 30,
        refresh_interval_s: float = REFRESH_INTERVAL_S,
    ) -> Node:
        number = len(self.nodes)
        name = f"edge/{number}"
        node_id = NodeId(UUID(int=0xA0 + number))
        node = Node(
            ActorContext(name, self.clock, self.scheduler, self.entropy, self.journal, self._spawn),
            NodeSettings(
                node_id,
                f"memory://node/{name}",
                "memory://orc/edge",
                NodeCapabilities(num_cpus=cores, clock_freq_cpu=mhz, runtimes=runtimes),
                call_timeout_s=call_timeout_s,
                refresh_interval_s=refresh_interval_s,
            ),
            lambda url: self.network.connection(f"node/{name}", url),
            runtimes=self.runtimes,
            providers=providers or {},
            states=MemoryStateStore() if states is None else states,
            nonce=1,
        )
        transport = MemoryTransport(self.scheduler, self.network.memory, f"node/{name}")
        self.listeners[node_id] = transport.attach(
            Address.parse(node.settings.url), node.handler, on_cast=node.plane.receive
        )
        self.nodes[node_id] = node
        return node

    def peer(self, reply: CallReturn | None = OK) -> Peer:
        self._peers += 1
        peer = Peer(self, f"peer/{self._peers}", self._peers)
        peer.reply = reply
        return peer

    def request(
        self,
        node: Node,
        kind: str,
        outputs: Mapping[str, Target | Peer | InstanceId] | None,
        *,
        payload: str | None = None,
        policy: StatePolicy = StatePolicy.NODE_LOCAL,
        state: int = 0xEE,
        instance: InstanceId | None = None,
    ) -> SpawnFunctionRequest:
        """*kind* is ``wasm:relay``, ``Relay`` (of guests.py) or ``c(5)``."""
        self._instances += 1
        pid = instance or InstanceId(
            node.settings.node_id, FunctionId(UUID(int=0xF000 + self._instances))
        )
        annotations = {} if payload is None else {"init-payload": payload}
        function_type, binary, code = "PYTHON", None, f"guests.py:{kind}"
        if kind.startswith("wasm:"):
            name = kind.removeprefix("wasm:")
            function_type, code = "RUST_WASM", name
            binary = (FUNCTIONS / name / f"{name}.wasm").read_bytes()
        elif "(" in kind:
            function_type, annotations = "MODELLED", {"init-payload": f"service={kind}"}
        return SpawnFunctionRequest(
            FunctionClassSpecification(kind, function_type, "1", binary=binary, code=code),
            annotations,
            StateSpecification(UUID(int=state), policy),
            WORKFLOW,
            kind,
            pid,
            None if outputs is None else self.mapping(outputs),
            0,
        )

    async def start(
        self,
        node: Node,
        kind: str,
        outputs: Mapping[str, Target | Peer | InstanceId] | None = None,
        **options: Any,
    ) -> InstanceId:
        """As `request`, and give it to the node. No *outputs* = mapped to nothing."""
        request = self.request(node, kind, {} if outputs is None else outputs, **options)
        return (await node.agent.start_function(request)).instance_id

    def mapping(self, outputs: Mapping[str, Target | Peer | InstanceId]) -> dict[str, Target]:
        return {channel: self._target(to) for channel, to in outputs.items()}

    def _target(self, to: Target | Peer | InstanceId) -> Target:
        if isinstance(to, InstanceId):
            return Target(to, self.nodes[to.node_id].settings.url)
        return to.target if isinstance(to, Peer) else to

    # -- what happens ---------------------------------------------------------------------------

    async def after(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    def crash(self, node: Node) -> None:
        self.listeners[node.settings.node_id].crash()
        node.crash()

    def watch(self, node: Node) -> list[TelemetryEvent]:
        seen: list[TelemetryEvent] = []
        node.telemetry.observe(seen.append)
        return seen

    def told(self, kind: str) -> list[tuple[Any, ...]]:
        """The journal's records of one kind, without time and kind."""
        self.journal.flush()
        return [record[2:] for record in self.records if record[1] == kind]

    def close(self) -> None:
        self.journal.close()
        for node in self.nodes.values():
            self.listeners[node.settings.node_id].crash()
            node.crash()
        self.runtimes.close()


def _refused(incoming: Incoming) -> bytes:
    raise AssertionError(f"nobody asks a peer of the harness: {incoming.method}")


@pytest.fixture
def play() -> Callable[..., None]:
    """Run a story in virtual time. Options: seed, fuel, checked=False for faulty networks."""

    def run_story(story: Story, **options: Any) -> None:
        async def main() -> None:
            async with Supervisor.open() as supervisor:
                rig = Rig(supervisor, options)
                try:
                    await story(rig)
                finally:
                    rig.close()
                if options.get("checked", True):
                    rig.checker.check()

        run(main)

    return run_story
