"""A small world: one ε-CON, scripted ε-ORCs and a client over the real memory transport."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.api.clients import ControllerClient, DomainRegistrationClient
from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.api.messages import (
    ComponentInventory,
    ComponentState,
    StartReply,
    StartWorkflow,
    StopReply,
    UpdateDomainRequest,
    UpdateDomainResponse,
    WorkflowStatus,
)
from edgeless_sim.controller import Controller, ControllerSettings
from edgeless_sim.controller.poller import StaticDomain
from edgeless_sim.controller.workflow_store import MemoryWorkflowStore, StoredWorkflow
from edgeless_sim.errors import EdgelessError, RejectedError, ResourceError
from edgeless_sim.kernel import Entropy, Journal, LoopClock, Supervisor, current_scheduler
from edgeless_sim.kernel import run as run_on_loop
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.function import FunctionClassSpecification, SpawnFunctionRequest
from edgeless_sim.model.ids import (
    DomainId,
    FunctionId,
    InstanceId,
    LogicalId,
    NodeId,
    WorkflowId,
)
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource
from edgeless_transports import Address, MemoryListener, MemoryNetwork, MemoryTransport
from edgeless_transports.memory import MemoryConnection

CONTROLLER = "memory://con"
NIL = NodeId(UUID(int=0))
CAPABILITIES = DomainCapabilities(
    num_nodes=1, runtimes=("RUST_WASM",), resource_classes=("test-res",)
)


def function(name: str, annotations: dict[str, str] | None = None, **outputs: str) -> Any:
    code = FunctionClassSpecification("fc", "RUST_WASM", "0.1", b"code", outputs=tuple(outputs))
    return WorkflowFunction(name, code, outputs, annotations or {})


def workflow(*functions: Any, resources: tuple[str, ...] = ()) -> SpawnWorkflowRequest:
    """Functions by name or as made by `function`, and resources of class test-res by name."""
    return SpawnWorkflowRequest(
        tuple(function(f) if isinstance(f, str) else f for f in functions),
        tuple(WorkflowResource(name, "test-res") for name in resources),
    )


class ScriptedOrchestrator:
    """An ε-ORC that does as it is told, writes down what it is asked for, and can misbehave."""

    def __init__(self, world: "World", domain: str, nonce: int = 1) -> None:
        self.world = world
        self.domain = DomainId(domain)
        self.location = f"orc/{domain}"
        self.nonce = nonce
        self.counter = 0
        self.epoch = 0
        self.capabilities = CAPABILITIES
        self.ttl_s = 5.0
        self.told: list[tuple[str, Any]] = []
        #: When starts were asked for.
        self.started_ns: list[int] = []
        #: Name and start request of what runs.
        self.running: dict[LogicalId, Any] = {}
        #: By the name of a component, or the method of a patch.
        self.refusals: dict[str, EdgelessError] = {}
        #: Names of components and methods whose requests are carried out, but not answered.
        self.mute: set[str] = set()
        #: Nothing is carried out and nothing is answered.
        self.hung = False
        #: How long an answer takes.
        self.slow_s = 0.0
        #: When it was polled.
        self.polled_ns: list[int] = []
        #: As EDGELESS's own: it draws logical ids, and reports neither inventory nor epoch.
        self.foreign = False
        self._drawn = 0xF000
        self._client = DomainRegistrationClient(world.connection(self.location, CONTROLLER))
        self._listener: MemoryListener | None = None
        self._refreshing = False

    def listen(self) -> None:
        transport = MemoryTransport(self.world.scheduler, self.world.network, self.location)
        services = dict.fromkeys(("FunctionInstance", "ResourceConfiguration", "DomainPoll"), self)
        address = Address.parse(f"memory://{self.location}")
        self._listener = transport.attach(address, Dispatcher(services))

    def crash(self) -> None:
        """The process dies: nobody is told."""
        self._refreshing = False
        if self._listener is not None:
            self._listener.crash()

    async def join(self, *, refresh: bool = True) -> None:
        """Register, carry out the reset, confirm it, and refresh from now on."""
        self.listen()
        assert (await self.register()).reset
        assert not (await self.register()).reset
        if refresh:
            self._refreshing = True
            self._refresh_soon()

    async def register(self, *, obey: bool = True) -> UpdateDomainResponse:
        """Send one registration, and do the reset that the answer may order."""
        response = await self._client.update_domain(self.registration())
        if response.reset and obey:
            self.running.clear()
            self.epoch = response.epoch
        return response

    def registration(self) -> UpdateDomainRequest:
        inventory = tuple(
            ComponentInventory(
                lid, ComponentState.RUNNING, instance=InstanceId(NIL, FunctionId(lid)), node="n"
            )
            for lid in self.running
        )
        return UpdateDomainRequest(
            self.domain,
            f"memory://{self.location}",
            self.capabilities,
            self.ttl_s,
            self.counter,
            self.nonce,
            None if self.foreign else inventory,
            0 if self.foreign else self.epoch,
        )

    async def poll(self, answer: UpdateDomainResponse) -> UpdateDomainRequest:
        if self.hung:
            await self._for_ever()
        self.polled_ns.append(self.world.scheduler.now_ns())
        if answer.reset and answer.epoch != self.epoch:
            self.running.clear()
            self.epoch = answer.epoch
        return self.registration()

    def offer(self, **capabilities: Any) -> None:
        self.capabilities = DomainCapabilities(**capabilities)
        self.counter += 1

    def starts(self) -> list[str]:
        return [argument.name for method, argument in self.told if method.startswith("start")]

    def stops(self) -> list[tuple[str, LogicalId]]:
        return [(method, lid) for method, lid in self.told if method.startswith("stop")]

    def names(self) -> list[str]:
        """Names of the components that run, in the order of their start."""
        return [request.name for request in self.running.values()]

    async def start_function(self, request: SpawnFunctionRequest) -> StartReply:
        return await self._start("start_function", request)

    async def start_resource(self, request: ResourceInstanceSpecification) -> StartReply:
        return await self._start("start_resource", request)

    async def stop_function(self, instance_id: InstanceId) -> StopReply:
        return await self._stop("stop_function", instance_id)

    async def stop_resource(self, instance_id: InstanceId) -> StopReply:
        return await self._stop("stop_resource", instance_id)

    async def patch_function(self, request: PatchRequest) -> StopReply:
        return self._patch("patch_function", request)

    async def patch_resource(self, request: PatchRequest) -> StopReply:
        return self._patch("patch_resource", request)

    def _patch(self, method: str, request: PatchRequest) -> StopReply:
        self.told.append((method, request))
        if method in self.refusals:
            raise self.refusals[method]
        return StopReply()

    async def _start(self, method: str, request: Any) -> StartReply:
        if self.hung:
            await self._for_ever()
        self.told.append((method, request))
        self.started_ns.append(self.world.scheduler.now_ns())
        if request.name in self.refusals:
            raise self.refusals[request.name]
        instance = request.instance_id
        if self.foreign:
            self._drawn += 1
            instance = InstanceId(NIL, FunctionId(UUID(int=self._drawn)))
        self.running[LogicalId(instance.function_id)] = request
        await self._answer(method, request.name)
        return StartReply(instance)

    async def _stop(self, method: str, instance_id: InstanceId) -> StopReply:
        if self.hung:
            await self._for_ever()
        lid = LogicalId(instance_id.function_id)
        self.told.append((method, lid))
        request = self.running.get(lid)
        if isinstance(request, ResourceInstanceSpecification) and method == "stop_function":
            raise RejectedError("not a function")
        self.running.pop(lid, None)
        await self._answer(method, "")
        return StopReply()

    async def _answer(self, method: str, name: str) -> None:
        if self.slow_s:
            await self.world.clock.sleep(self.slow_s)
        if method in self.mute or name in self.mute:
            await self._for_ever()

    async def _for_ever(self) -> None:
        await asyncio.get_running_loop().create_future()

    def _refresh_soon(self) -> None:
        when_ns = self.world.scheduler.now_ns() + 2_000_000_000
        self.world.scheduler.background_at(when_ns, self._refresh)

    def _refresh(self) -> None:
        if self._refreshing:
            self.world.supervisor.spawn(self._register_again(), self.location)
            self._refresh_soon()

    async def _register_again(self) -> None:
        try:
            await self.register()
        except EdgelessError:
            return


class BreakableStore(MemoryWorkflowStore):
    """A disk that can be broken."""

    broken = False

    def put(self, workflow: StoredWorkflow) -> None:
        self._check()
        super().put(workflow)

    def remove(self, workflow_id: WorkflowId) -> None:
        self._check()
        super().remove(workflow_id)

    def _check(self) -> None:
        if self.broken:
            raise ResourceError("the disk is broken")


class World:
    def __init__(self, supervisor: Supervisor, seed: int) -> None:
        self.scheduler = current_scheduler()
        self.clock = LoopClock.running()
        self.supervisor = supervisor
        self.network = MemoryNetwork(self.scheduler, Random(7))
        self.journal = Journal(self.scheduler)
        self.records: list[Record] = []
        self.journal.subscribe(self.records.extend)
        self.entropy = Entropy(seed)
        self.client = ControllerClient(self.connection("client", CONTROLLER), timeout_s=60)
        #: The disk of the ε-CON.
        self.store = BreakableStore()
        self._listener: MemoryListener | None = None

    def connection(self, here: str, url: str) -> MemoryConnection:
        location = Address.parse(url).location
        return MemoryConnection(self.network, here, self.network.place(location))

    async def start_controller(self, *domains: str) -> None:
        """The ε-CON asks *domains* by itself."""
        context = ActorContext(
            "con", self.clock, self.scheduler, self.entropy, self.journal, self.supervisor.spawn
        )
        static = tuple(StaticDomain(DomainId(name), f"memory://orc/{name}") for name in domains)
        settings = ControllerSettings(url=CONTROLLER, domains=static)
        self.controller = Controller(
            context, settings, lambda url: self.connection("con", url), store=self.store
        )
        transport = MemoryTransport(self.scheduler, self.network, "con")
        self._listener = transport.attach(Address.parse(CONTROLLER), self.controller.handler)
        await self.controller.start()

    def crash_controller(self) -> None:
        assert self._listener is not None
        self._listener.crash()
        self.controller.crash()

    async def restart_controller(self) -> None:
        """Its process dies, and begins anew with the same disk."""
        self.crash_controller()
        await self.clock.sleep(0.5)
        await self.start_controller()

    async def domain(self, name: str = "edge", **join: Any) -> ScriptedOrchestrator:
        orchestrator = ScriptedOrchestrator(self, name)
        await orchestrator.join(**join)
        return orchestrator

    def orchestrator(self, name: str = "edge", nonce: int = 1) -> ScriptedOrchestrator:
        """One that has not joined yet."""
        return ScriptedOrchestrator(self, name, nonce)

    async def start(self, *functions: Any, name: str = "", **more: Any) -> WorkflowStatus:
        return await self.client.start(StartWorkflow(workflow(*functions, **more), name))

    def start_later(self, *functions: Any, **more: Any) -> None:
        """Start a workflow from a client that does not wait, and wants no answer."""

        async def start() -> None:
            try:
                await self.start(*functions, **more)
            except EdgelessError:
                return

        self.supervisor.spawn(start(), "client")

    async def refused(self, coroutine: Coroutine[Any, Any, Any]) -> RejectedError:
        """The refusal with which *coroutine* ends."""
        with pytest.raises(RejectedError) as caught:
            await coroutine
        return caught.value

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self.controller.check_invariants()

    async def settled(self) -> None:
        loop: Any = asyncio.get_running_loop()
        await loop.settled()
        self.controller.check_invariants()

    def states(self) -> list[tuple[str, str]]:
        """State and reason of each ``state`` record so far."""
        self.journal.flush()
        return [(record[3], record[4]) for record in self.records if record[1] == "state"]


@pytest.fixture
def play() -> Callable[..., None]:
    """Runs a story in a fresh world, in virtual time."""

    def run(
        story: Callable[[Any], Coroutine[Any, Any, None]],
        seed: int = 1,
        domains: tuple[str, ...] = (),
    ) -> None:
        async def main() -> None:
            async with Supervisor.open() as supervisor:
                world = World(supervisor, seed)
                await world.start_controller(*domains)
                await story(world)
                world.journal.close()
                world.crash_controller()

        run_on_loop(main)

    return run


@pytest.fixture
def make_workflow() -> Callable[..., SpawnWorkflowRequest]:
    return workflow


@pytest.fixture
def make_function() -> Callable[..., Any]:
    return function
