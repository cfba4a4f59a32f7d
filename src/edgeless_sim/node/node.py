"""A node: agent, data plane, cores and subscriber, put together (spec 5)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from edgeless_sim.api.clients import HandoverClient
from edgeless_sim.api.dispatch import Dispatcher, Request
from edgeless_sim.api.messages import UpdateNodeRequest
from edgeless_sim.api.refresh import RefreshPort
from edgeless_sim.api.wires import OUR_WIRES, Wires
from edgeless_sim.dataplane.correlation import CALL_TIMEOUT_S
from edgeless_sim.dataplane.links import EventPort
from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus
from edgeless_sim.node.agent import Agent
from edgeless_sim.node.arrival import Clients
from edgeless_sim.node.health import LoadMeter, modelled_health
from edgeless_sim.node.hosting import HostingContext
from edgeless_sim.node.machine_health import MachineHealth
from edgeless_sim.node.processor import Processor, RealProcessor
from edgeless_sim.node.state_store import StateStore
from edgeless_sim.node.subscriber import REFRESH_INTERVAL_S, NodeSubscriber
from edgeless_sim.node.telemetry import Telemetry
from edgeless_sim.resources.base import ResourceProvider
from edgeless_sim.runtimes.catalog import RuntimeCatalog

__all__ = ["AGENTS_MAX", "Node", "NodeSettings"]

#: Most agents of other nodes from which functions come.
AGENTS_MAX: Final = 10_000


class _Port(EventPort, RefreshPort, Protocol):
    """A connection: events one way, refreshes both ways."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Who a node is and what it offers."""

    node_id: NodeId
    url: str
    """At which its data plane listens, as others are told."""
    orchestrator_url: str
    """Where the ε-ORC takes registrations."""
    capabilities: NodeCapabilities
    performance_samples: bool = False
    call_timeout_s: float = CALL_TIMEOUT_S
    agent_url: str = ""
    """At which its agent listens; empty = at `url`."""
    refresh_interval_s: float = REFRESH_INTERVAL_S
    """How often it tells the ε-ORC that it is there, until the ε-ORC asks for another interval."""
    real_time: bool = False
    """Whether running a function takes the time it takes, or the time that its fuel stands for."""
    measures_health: bool = False
    """Whether it tells how its machine fares, or how one would that did nothing else."""


class Node:
    """Hosts function and resource instances. One object per life: a restart makes a new one."""

    def __init__(
        self,
        context: ActorContext,
        settings: NodeSettings,
        connect: Callable[[str], _Port],
        *,
        runtimes: RuntimeCatalog,
        providers: Mapping[str, ResourceProvider],
        states: StateStore,
        nonce: int,
        wires: Wires = OUR_WIRES,
    ) -> None:
        self.settings = settings
        self.context = context
        self.nonce = nonce
        capabilities = settings.capabilities
        self._providers = dict(providers)
        self.plane = Dataplane(
            settings.node_id,
            context.scheduler,
            context.journal,
            partial(context.entropy.stream, f"{context.name}/calls/{nonce}"),
            connect,
            call_timeout_s=settings.call_timeout_s,
            wires=wires,
            wire=wires.serving(settings.url),
        )
        kind = RealProcessor if settings.real_time else Processor
        self.processor = kind(context.scheduler, capabilities.num_cpus, capabilities.clock_freq_cpu)
        self._machine = MachineHealth() if settings.measures_health else None
        self._load = LoadMeter(context.scheduler, capabilities.num_cpus)
        self.telemetry = Telemetry(context.clock, performance_samples=settings.performance_samples)
        hosting = HostingContext(context, self.plane, self.processor, self.telemetry, states)
        self.agent = Agent(
            settings.node_id,
            hosting,
            runtimes,
            capabilities.runtimes,
            self._providers,
            on_change=self._changed,
            clients=_handover_clients(connect, wires),
        )
        served = ("FunctionInstance", "ResourceConfiguration", "NodeManagement")
        services: dict[str, object] = dict.fromkeys(served, self.agent)
        services["Handover"] = self.agent.handovers
        wire = wires.serving(settings.agent_url or settings.url)
        self._dispatcher = Dispatcher(services, wire)
        self.subscriber = self._make_subscriber(wires, connect)

    async def open(self) -> None:
        """Open the resource providers, before `start`; raise `EdgelessError` if one cannot."""
        try:
            for provider in self._providers.values():
                await provider.open()
        except BaseException:
            self._close_providers()
            raise

    @property
    def http_ingress_url(self) -> str:
        """Where requests are taken, if a provider does that at a socket; else empty."""
        for provider in self._providers.values():
            if provider.class_type == "http-ingress":
                return str(getattr(provider, "url", ""))
        return ""

    def start(self) -> None:
        """Register with the ε-ORC, and go on doing so."""
        self.subscriber.start()

    async def stop(self) -> None:
        """Stop gracefully: return when every instance has run its stop hook, or T_stop is over."""
        self.subscriber.stop()
        await self.agent.close()

    def crash(self, cause: str = "node crashed") -> None:
        """Vanish: nobody is told, nothing is sent. Call it once the network is cut."""
        self.subscriber.stop()
        self.processor.crash()
        self.plane.calls.forget_all()
        self.agent.crash(cause)
        self._close_providers()

    def _close_providers(self) -> None:
        for provider in self._providers.values():
            provider.close()

    def handler(self, incoming: Request) -> bytes | Awaitable[bytes]:
        """Serve a control request."""
        return self._dispatcher(incoming)

    def _make_subscriber(self, wires: Wires, connect: Callable[[str], _Port]) -> NodeSubscriber:
        above = self.settings.orchestrator_url
        return NodeSubscriber(
            self.context,
            wires.calling(above),
            connect(above),
            self._describe,
            self._version,
            (str(self.settings.node_id), above),
            interval_s=self.settings.refresh_interval_s,
        )

    def _changed(self) -> None:
        self.subscriber.prompt()

    def _version(self) -> object:
        self._load.look(self.processor.busy_ns)
        if self.settings.performance_samples or self._machine is not None:
            return self.context.scheduler.now_ns()
        return self.agent.changes, self.agent.revision, self._load.percent

    def _describe(self, ttl_s: float) -> UpdateNodeRequest:
        settings = self.settings
        agent = self.agent
        inventory = agent.inventory()
        return UpdateNodeRequest(
            node_id=settings.node_id,
            agent_url=settings.agent_url or settings.url,
            invocation_url=settings.url,
            resource_providers=tuple(each.specification for each in self._providers.values()),
            capabilities=settings.capabilities,
            ttl_s=ttl_s,
            nonce=self.nonce,
            health_status=self._health(len(inventory)),
            performance_samples=self.telemetry.take(),
            name=self.context.name,
            inventory=inventory,
            revision=agent.revision,
        )

    def _health(self, instances: int) -> NodeHealthStatus:
        if self._machine is not None:
            return self._machine.look()
        return modelled_health(self.settings.capabilities, instances, self._load.percent)


def _handover_clients(connect: Callable[[str], Any], wires: Wires) -> Clients:
    """Clients of the agents of other nodes, over one connection each, which stays open."""
    # Any: the type of a transport's connection is for `api` alone.
    connections: dict[str, Any] = {}

    def client(url: str, timeout_s: float) -> HandoverClient:
        if url not in connections:
            if len(connections) >= AGENTS_MAX:
                raise ValueError(f"{AGENTS_MAX} other agents are known already")
            connections[url] = connect(url)
        return HandoverClient(connections[url], wires.calling(url), timeout_s=timeout_s)

    return client
