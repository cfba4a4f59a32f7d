"""A node and a domain of a cluster as tests and scenarios see them: crash, restart, cordon."""

from collections.abc import Callable
from itertools import count

from edgeless_sim.cluster.addresses import (
    CONTROLLER,
    node_location,
    orchestrator_location,
    url_of,
)
from edgeless_sim.cluster.network import NetworkHandle
from edgeless_sim.cluster.topology import DomainTopology, Topology
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import DomainId, NodeId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.node.node import Node, NodeSettings
from edgeless_sim.node.state_store import MemoryStateStore
from edgeless_sim.orchestrator.orchestrator import Orchestrator, OrchestratorSettings
from edgeless_sim.resources.base import ResourceHost, ResourceProvider
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.runtimes.catalog import RuntimeCatalog
from edgeless_transports import Address, MemoryListener, MemoryTransport

__all__ = ["DomainHandle", "MakeContext", "NodeHandle"]

MakeContext = Callable[[str], ActorContext]


class DomainHandle:
    """One domain: its ε-ORC, which can crash and come back."""

    def __init__(
        self, domain: DomainTopology, make_context: MakeContext, network: NetworkHandle
    ) -> None:
        self.name = domain.name
        self.topology = domain
        self._make_context = make_context
        self._network = network
        self._location = orchestrator_location(domain.name)
        self._listener: MemoryListener | None = None
        self._orchestrator: Orchestrator | None = None

    @property
    def orchestrator(self) -> Orchestrator:
        """The ε-ORC that is alive; raise `RejectedError` if none is."""
        if self._orchestrator is None:
            raise RejectedError("the orchestrator is down", self.name)
        return self._orchestrator

    async def start(self) -> None:
        """Start the ε-ORC."""
        assert self._orchestrator is None, "started twice"
        context = self._make_context(self._location)
        settings = OrchestratorSettings(
            domain_id=DomainId(self.name),
            url=url_of(self._location),
            domain_register_url=url_of(CONTROLLER),
            strategy=self.topology.strategy,
            keep_alive_s=self.topology.keep_alive_s,
        )
        orchestrator = Orchestrator(
            context, settings, lambda url: self._network.connection(self._location, url)
        )
        transport = MemoryTransport(context.scheduler, self._network.memory, self._location)
        self._listener = transport.attach(
            Address.parse(url_of(self._location)), orchestrator.handler
        )
        self._orchestrator = orchestrator
        await orchestrator.start()

    async def crash(self) -> None:
        """The ε-ORC vanishes; its nodes go on. Raise `RejectedError` if it is down already."""
        orchestrator = self.orchestrator
        assert self._listener is not None
        self._listener.crash()
        orchestrator.crash()
        self._orchestrator = None
        self._make_context(self._location).journal.record("fault", "crash", self._location)

    async def restart(self) -> None:
        """Start the ε-ORC anew, with an empty memory."""
        if self._orchestrator is not None:
            raise RejectedError("the orchestrator is up", self.name)
        self._make_context(self._location).journal.record("fault", "restart", self._location)
        await self.start()

    def close(self) -> None:
        """End it with the cluster; nothing of this is observable."""
        if self._orchestrator is not None and self._listener is not None:
            self._listener.crash()
            self._orchestrator.crash()


class NodeHandle:
    """One node, which can crash, stop, come back, be cordoned."""

    def __init__(
        self,
        name: str,
        node_id: NodeId,
        capabilities: NodeCapabilities,
        providers: tuple[str, ...],
        domain: DomainHandle,
        topology: Topology,
        runtimes: RuntimeCatalog,
        make_context: MakeContext,
        network: NetworkHandle,
    ) -> None:
        self.name = name
        self.node_id = node_id
        self.domain = domain
        self._capabilities = capabilities
        self._provider_classes = providers
        self._topology = topology
        self._runtimes = runtimes
        self._context = make_context(name)
        self._network = network
        self._location = node_location(name)
        self._lives = count(1)
        # The node's disk: it outlives a crash.
        self._states = MemoryStateStore()
        self._files = VirtualFiles() if providers else None
        self._listener: MemoryListener | None = None
        self._node: Node | None = None

    @property
    def alive(self) -> bool:
        """Whether the node runs."""
        return self._node is not None

    @property
    def node(self) -> Node:
        """The node itself, for checkers; raise `RejectedError` if it is down."""
        if self._node is None:
            raise RejectedError("the node is down", self.name)
        return self._node

    @property
    def url(self) -> str:
        """Where it takes control requests and events."""
        return url_of(self._location)

    def start(self) -> None:
        """Start the node; it registers with its ε-ORC by itself."""
        assert self._node is None, "started twice"
        context = self._context
        dice = context.entropy.stream(f"{self.name}/life/{next(self._lives)}")
        settings = NodeSettings(
            node_id=self.node_id,
            url=self.url,
            orchestrator_url=url_of(orchestrator_location(self.domain.name)),
            capabilities=self._capabilities,
            performance_samples=self._topology.performance_samples,
            call_timeout_s=self._topology.call_timeout_s,
        )
        node = Node(
            context,
            settings,
            lambda url: self._network.connection(self._location, url),
            runtimes=self._runtimes,
            providers=self._providers(),
            states=self._states,
            nonce=dice.getrandbits(63),
        )
        transport = MemoryTransport(context.scheduler, self._network.memory, self._location)
        self._listener = transport.attach(
            Address.parse(self.url), node.handler, on_cast=node.plane.receive
        )
        self._node = node
        node.start()

    async def crash(self) -> None:
        """The node vanishes with all that it hosts; nobody is told."""
        node = self.node
        self._context.journal.record("fault", "crash", self.name)
        self._vanish(node)

    async def stop(self) -> None:
        """Stop gracefully: every instance gets its stop hook before the node leaves."""
        node = self.node
        self._context.journal.record("fault", "stop", self.name)
        await node.stop()
        # It may have crashed meanwhile, and another life may have begun.
        if self._node is node:
            self._vanish(node)

    async def restart(self) -> None:
        """Start the node again, with its disk and a new nonce."""
        if self._node is not None:
            raise RejectedError("the node is up", self.name)
        self._context.journal.record("fault", "restart", self.name)
        self.start()

    def cordon(self) -> None:
        """Let no new component be placed here; what runs stays."""
        self.domain.orchestrator.cordon(self.node_id)

    def uncordon(self) -> None:
        """Let components be placed here again."""
        self.domain.orchestrator.uncordon(self.node_id)

    def files(self) -> dict[str, bytes]:
        """What resources of this node wrote, by path."""
        return {} if self._files is None else self._files.contents()

    def close(self) -> None:
        """End it with the cluster; nothing of this is observable."""
        if self._node is not None:
            self._vanish(self._node)

    def _vanish(self, node: Node) -> None:
        assert self._listener is not None
        self._listener.crash()
        node.crash()
        self._node = None

    def _providers(self) -> dict[str, ResourceProvider]:
        if self._files is None:
            return {}
        context = self._context
        host = ResourceHost(self.name, context.clock, context.scheduler, self._files)
        made: dict[str, ResourceProvider] = {}
        for class_type in self._provider_classes:
            provider_id = f"{self.name}/{class_type}"
            made[provider_id] = create_provider(class_type, provider_id, host)
        return made
