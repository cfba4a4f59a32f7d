"""A small world: one ε-ORC, scripted nodes and an ε-CON over the real memory transport."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.orchestrator.fake_controller import FakeController

from edgeless_sim.api.clients import ComponentClient, DomainMirrorClient
from edgeless_sim.api.codec import MsgpackCodec, decode_reply
from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.api.messages import (
    InstanceInventory,
    InstanceState,
    StartReply,
    StopReply,
    UpdateNodeRequest,
    UpdateNodeResponse,
    UpdatePeersRequest,
)
from edgeless_sim.api.services import UPDATE_NODE
from edgeless_sim.errors import EdgelessError, RejectedError
from edgeless_sim.kernel import Entropy, Journal, LoopClock, Supervisor, current_scheduler
from edgeless_sim.kernel import run as run_on_loop
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.loop import VirtualTimeLoop
from edgeless_sim.model.event import UNPLACED, PatchRequest, Target
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import DomainId, FunctionId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.node import INVALID_HEALTH, NodeCapabilities, NodePerformanceSamples
from edgeless_sim.model.resource import (
    ResourceInstanceSpecification,
    ResourceProviderSpecification,
)
from edgeless_sim.orchestrator import Orchestrator, OrchestratorSettings
from edgeless_transports import Address, Frame, MemoryListener, MemoryNetwork, MemoryTransport
from edgeless_transports.memory import MemoryConnection

NIL = NodeId(UUID(int=0))
WORKFLOW = WorkflowId(UUID(int=0xF1))


def logical(number: int) -> InstanceId:
    return InstanceId(NIL, FunctionId(UUID(int=number)))


def placed(outputs: dict[str, Target] | None) -> dict[str, Target]:
    """Only the channels that lead to an instance."""
    return {c: target for c, target in (outputs or {}).items() if target.instance != UNPLACED}


def mapping(outputs: dict[str, int] | None) -> dict[str, Target] | None:
    if outputs is None:
        return None
    return {channel: Target(logical(number), "") for channel, number in outputs.items()}


class FakeNode:
    """A node that obeys, remembers what it was told, and can be told to misbehave."""

    def __init__(
        self,
        world: "World",
        number: int,
        *,
        labels: tuple[str, ...] = (),
        resources: tuple[str, ...] = (),
        foreign: bool = False,
        cpus: int = 1,
    ) -> None:
        self.world = world
        self.node_id = NodeId(UUID(int=0x1000 + number))
        self.name = f"edge/{number}"
        self.capabilities = NodeCapabilities(
            num_cpus=cpus, num_cores=cpus, labels=labels, runtimes=("RUST_WASM",)
        )
        self.providers = tuple(
            ResourceProviderSpecification(f"node-{number}-resource-{i}-provider", class_type)
            for i, class_type in enumerate(resources)
        )
        self.foreign = foreign
        self.location = f"node/{self.name}"
        self.calls: list[tuple[str, Any]] = []
        self.instances: dict[InstanceId, int] = {}
        #: Which of them are resources.
        self.resources: dict[InstanceId, None] = {}
        self.outputs: dict[InstanceId, dict[str, Target]] = {}
        self.states: dict[InstanceId, tuple[InstanceState, str]] = {}
        self.revision = 0
        self.nonce = 7
        self.refusal: RejectedError | None = None
        self.hangs = False
        self.alive = False
        self.listener: MemoryListener | None = None
        self.answers: list[bytes] = []

    def begin(self) -> None:
        """Listen, register, and refresh every second."""
        self.alive = True
        names = ("FunctionInstance", "ResourceConfiguration", "NodeManagement")
        services = dict.fromkeys(names, self)
        transport = MemoryTransport(self.world.scheduler, self.world.network, self.location)
        address = Address("memory", self.location)
        self.listener = transport.attach(address, Dispatcher(services))
        self._refresh_soon()

    def crash(self) -> None:
        self.alive = False
        assert self.listener is not None
        self.listener.crash()

    def restart(self) -> None:
        """A new process under the old id: nothing runs any more."""
        if self.alive:
            self.crash()
        self.nonce += 1
        self.revision = 0
        self.instances.clear()
        self.outputs.clear()
        self.begin()

    def _refresh_soon(self) -> None:
        if self.alive:
            self.send_refresh()
            scheduler = self.world.scheduler
            nonce = self.nonce
            scheduler.background_at(scheduler.now_ns() + 1_000_000_000, self._again, nonce)

    def _again(self, nonce: int) -> None:
        if nonce == self.nonce:
            self._refresh_soon()

    def send_refresh(self, **changes: Any) -> None:
        request = msgspec.structs.replace(self.request(), **changes)
        connection = self.world.connection(self.location, "orc/edge")
        payload = self.world.codec.encode(request)
        connection.call_nowait(UPDATE_NODE, payload, self._answered, timeout_s=5)

    def _answered(self, answer: Any) -> None:
        if isinstance(answer, bytes):
            self.answers.append(answer)

    def last_answer(self) -> UpdateNodeResponse:
        """Raises the refusal that came instead."""
        return decode_reply(self.world.codec, self.answers[-1], UpdateNodeResponse)

    def request(self) -> UpdateNodeRequest:
        fine = (InstanceState.RUNNING, "")
        inventory = tuple(
            InstanceInventory(pid, generation, *self.states.get(pid, fine))
            for pid, generation in self.instances.items()
        )
        return UpdateNodeRequest(
            self.node_id,
            f"memory://{self.location}",
            f"memory://{self.location}",
            self.providers,
            self.capabilities,
            4.0,
            self.nonce,
            INVALID_HEALTH,
            NodePerformanceSamples(),
            self.name,
            None if self.foreign else inventory,
            self.revision,
        )

    def told(self, method: str) -> list[Any]:
        """The requests of this kind that arrived, in order."""
        return [request for name, request in self.calls if name == method]

    async def _obey(self, method: str, request: Any) -> None:
        self.calls.append((method, request))
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.refusal is not None and method.startswith(("start", "patch")):
            raise self.refusal

    async def _start(self, method: str, request: Any) -> StartReply:
        await self._obey(method, request)
        pid = request.instance_id
        if self.foreign:
            pid = InstanceId(self.node_id, FunctionId(UUID(int=0xABC000 + len(self.calls))))
        self.revision += 1
        self.instances.setdefault(pid, request.generation)
        if method == "start_resource":
            self.resources[pid] = None
        self.outputs.setdefault(pid, {} if self.foreign else placed(request.output_mapping))
        return StartReply(pid, self.revision)

    async def _stop(self, method: str, instance_id: InstanceId) -> StopReply:
        await self._obey(method, instance_id)
        if (instance_id in self.resources) is not (method == "stop_resource"):
            return StopReply(self.revision)
        self.resources.pop(instance_id, None)
        if self.instances.pop(instance_id, None) is not None:
            self.outputs.pop(instance_id, None)
            self.revision += 1
        return StopReply(self.revision)

    async def _patch(self, method: str, request: PatchRequest) -> StopReply:
        await self._obey(method, request)
        if request.generation >= self.instances.get(request.function_id, 1 << 60):
            self.instances[request.function_id] = request.generation
            self.outputs[request.function_id] = placed(request.output_mapping)
            self.revision += 1
        return StopReply(self.revision)

    async def start_function(self, request: SpawnFunctionRequest) -> StartReply:
        return await self._start("start_function", request)

    async def stop_function(self, instance_id: InstanceId) -> StopReply:
        return await self._stop("stop_function", instance_id)

    async def patch_function(self, request: PatchRequest) -> StopReply:
        return await self._patch("patch_function", request)

    async def start_resource(self, request: ResourceInstanceSpecification) -> StartReply:
        return await self._start("start_resource", request)

    async def stop_resource(self, instance_id: InstanceId) -> StopReply:
        return await self._stop("stop_resource", instance_id)

    async def patch_resource(self, request: PatchRequest) -> StopReply:
        return await self._patch("patch_resource", request)

    async def update_peers(self, request: UpdatePeersRequest) -> None:
        await self._obey("update_peers", request)

    async def reset(self) -> StopReply:
        await self._obey("reset", None)
        self.instances.clear()
        return StopReply()


class World:
    """One domain. Times are virtual unless its loop is real."""

    def __init__(self, supervisor: Supervisor, make_proxies: Any = None, **settings: Any) -> None:
        self.scheduler = current_scheduler()
        self.clock = LoopClock.running()
        self.codec = MsgpackCodec()
        self.network = MemoryNetwork(self.scheduler, Random(1))
        self.journal = Journal(self.scheduler)
        self.records: list[tuple[Any, ...]] = []
        self.journal.subscribe(self.records.extend)
        self.supervisor = supervisor
        self.make_proxies = make_proxies or (lambda context: ())
        self.settings = OrchestratorSettings(
            domain_id=DomainId("edge"),
            url="memory://orc/edge",
            domain_register_url="memory://con",
            **settings,
        )
        self.controller = FakeController()
        transport = MemoryTransport(self.scheduler, self.network, "con")
        transport.attach(
            Address("memory", "con"), Dispatcher({"DomainRegistration": self.controller})
        )
        self.orchestrator = self.make_orchestrator()
        self.mirror = DomainMirrorClient(self.connection("con", "orc/edge"))
        self.client = ComponentClient(self.connection("con", "orc/edge"), timeout_s=60)

    def make_orchestrator(self) -> Orchestrator:
        around = (self.clock, self.scheduler, Entropy(42), self.journal, self.supervisor.spawn)
        context = ActorContext("orc/edge", *around)
        orchestrator = Orchestrator(
            context,
            self.settings,
            lambda url: self.connection("orc/edge", url.split("://")[1]),
            proxies=self.make_proxies(context),
        )
        transport = MemoryTransport(self.scheduler, self.network, "orc/edge")
        self.listener = transport.attach(Address("memory", "orc/edge"), orchestrator.handler)
        return orchestrator

    def connection(self, here: str, there: str) -> MemoryConnection:
        return MemoryConnection(self.network, here, self.network.place(there))

    async def nodes(self, count: int, **features: Any) -> list[FakeNode]:
        made = [FakeNode(self, number, **features) for number in range(count)]
        for node in made:
            node.begin()
        await self.settled()
        return made

    async def node(self, number: int, **features: Any) -> FakeNode:
        node = FakeNode(self, number, **features)
        node.begin()
        await self.settled()
        return node

    async def settled(self) -> None:
        """Wait until nothing but refreshes is pending."""
        # A frame that a background timer sent is background work; let it arrive.
        await self.clock.sleep(0.001)
        loop = asyncio.get_running_loop()
        await (loop.settled() if isinstance(loop, VirtualTimeLoop) else self.clock.sleep(0.05))
        self.orchestrator.check_invariants()

    async def function(
        self,
        number: int,
        outputs: dict[str, int] | None = None,
        annotations: dict[str, str] | None = None,
        **changes: Any,
    ) -> StartReply:
        code = FunctionClassSpecification(f"fc-{number}", "RUST_WASM", "0.1", b"function_code")
        request = SpawnFunctionRequest(
            code,
            annotations or {},
            StateSpecification(UUID(int=0x57A7E000 + number)),
            WORKFLOW,
            f"f{number}",
            logical(number),
            mapping(outputs),
        )
        return await self.client.start_function(msgspec.structs.replace(request, **changes))

    async def resource(self, number: int, class_type: str = "rc-1", **wanted: str) -> StartReply:
        told = (class_type, wanted, WORKFLOW, f"r{number}", logical(number))
        return await self.client.start_resource(ResourceInstanceSpecification(*told))

    async def patch(self, number: int, outputs: dict[str, int], **changes: Any) -> None:
        request = PatchRequest(logical(number), mapping(outputs) or {}, 1)
        await self.client.patch_function(msgspec.structs.replace(request, **changes))

    async def stop(self, number: int) -> None:
        await self.client.stop_function(logical(number))

    async def refused(self, request: Coroutine[Any, Any, Any]) -> EdgelessError:
        try:
            await request
        except EdgelessError as error:
            return error
        raise AssertionError("it was not refused")

    def component(self, number: int) -> Any:
        """The `ComponentView` of a component; None if it is not there."""
        wanted = LogicalId(UUID(int=number))
        views = self.orchestrator.snapshot().components
        return next((view for view in views if view.logical_id == wanted), None)

    def lose_next(self, method: str, kind: str, peer: str = "node/") -> list[Frame]:
        """Lose the next frame of this kind from or to *peer*; return what was lost."""
        lost: list[Frame] = []
        wanted = f"/edgeless_api.{method}"

        def rule(frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:
            ours = frame.source.startswith(peer) or frame.destination.startswith(peer)
            if ours and not lost and (frame.kind.value, frame.method) == (kind, wanted):
                lost.append(frame)
                return ()
            return times

        self.network.install(rule)
        return lost

    def said(self, kind: str) -> list[tuple[Any, ...]]:
        """The journal's records of one kind, without the time."""
        self.journal.flush()
        return [record[2:] for record in self.records if record[1] == kind]


@pytest.fixture
def play() -> Callable[..., None]:
    """Play a story in a fresh `World`: ``play(story, strategy=...)``; time is virtual."""

    def play_story(
        story: Callable[[World], Coroutine[Any, Any, None]], loop: str = "sim", **settings: Any
    ) -> None:
        async def main() -> None:
            async with Supervisor.open() as supervisor:
                world = World(supervisor, **settings)
                await world.orchestrator.start()
                await world.settled()
                await story(world)
                await world.settled()
                world.orchestrator.crash()

        run_on_loop(main, world=loop)

    return play_story
