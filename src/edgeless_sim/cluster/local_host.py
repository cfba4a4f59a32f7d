"""Components in this process: actor objects on one loop, in any world."""

from collections import Counter
from itertools import count
from pathlib import Path

from edgeless_sim.api.wires import Role
from edgeless_sim.cluster.addresses import CONTROLLER, node_location, orchestrator_location
from edgeless_sim.cluster.handles import (
    BalancerHandle,
    ControllerHandle,
    DomainHandle,
    NodeHandle,
)
from edgeless_sim.cluster.hosts import ComponentHost
from edgeless_sim.cluster.local_balancer import LocalBalancer
from edgeless_sim.cluster.local_surroundings import LocalSurroundings, MakeContext
from edgeless_sim.cluster.network_base import Crash, Network
from edgeless_sim.cluster.topology import (
    BalancerTopology,
    DomainTopology,
    NodeGroup,
    Topology,
)
from edgeless_sim.controller.controller import Controller, ControllerSettings
from edgeless_sim.controller.workflow_store import MemoryWorkflowStore
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.model.ids import DomainId, LogicalId, NodeId
from edgeless_sim.node.node import Node, NodeSettings
from edgeless_sim.node.providers import make_providers
from edgeless_sim.orchestrator.orchestrator import Orchestrator, OrchestratorSettings
from edgeless_sim.resources.base import ResourceProvider, ResourceSettings
from edgeless_sim.resources.catalog import check_simulated
from edgeless_sim.resources.simulated.backends import Backends
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog

__all__ = ["LocalHost"]


class LocalHost(ComponentHost):
    """See `ComponentHost`. Disks are in *folder*; None = virtual."""

    def __init__(
        self,
        topology: Topology,
        network: Network,
        make_context: MakeContext,
        *,
        backends: Backends | None,
        folder: Path | None = None,
    ) -> None:
        """Without *backends*, resources meet the real world in real time."""
        settings = RuntimeSettings(
            fuel_per_event=topology.fuel_per_event,
            fuel_per_init=5 * topology.fuel_per_event,
            python_folders=topology.python_folders,
            module_cache=topology.module_cache,
        )
        self._around = LocalSurroundings(
            topology, network, make_context, RuntimeCatalog(settings), backends, folder
        )

    def controller(self) -> ControllerHandle:
        """See `ComponentHost.controller`."""
        return _LocalController(self._around)

    def domain(self, topology: DomainTopology) -> DomainHandle:
        """See `ComponentHost.domain`."""
        return _LocalDomain(topology, self._around)

    def node(
        self, name: str, node_id: NodeId, group: NodeGroup, domain: DomainHandle
    ) -> NodeHandle:
        """See `ComponentHost.node`."""
        return _LocalNode(name, node_id, group, domain, self._around)

    def balancer(
        self,
        topology: BalancerTopology,
        node_ids: tuple[NodeId, NodeId],
        domains: tuple[DomainHandle, DomainHandle],
    ) -> BalancerHandle:
        """See `ComponentHost.balancer`."""
        return LocalBalancer(topology, node_ids, domains, self._around)

    def check(self) -> None:
        """See `ComponentHost.check`: what fails here has raised already."""

    async def caught_up(self) -> None:
        """See `ComponentHost.caught_up`: it always does."""

    async def close(self) -> None:
        """See `ComponentHost.close`."""
        self._around.runtimes.close()


class _LocalController(ControllerHandle):
    """See `ControllerHandle`: the machine, of which each life is a `Controller`."""

    def __init__(self, around: LocalSurroundings) -> None:
        self._around = around
        # It outlives a crash.
        self._store = MemoryWorkflowStore()
        self._controller: Controller | None = None
        self._crash: Crash | None = None

    @property
    def alive(self) -> bool:
        """See `ControllerHandle.alive`."""
        return self._controller is not None

    @property
    def controller(self) -> Controller:
        """See `ControllerHandle.controller`."""
        if self._controller is None:
            raise RejectedError("the controller is down")
        return self._controller

    async def start(self) -> None:
        """See `ControllerHandle.start`."""
        assert self._controller is None, "started twice"
        network = self._around.network
        controller = Controller(
            self._around.make_context(CONTROLLER),
            ControllerSettings(url=network.url(CONTROLLER)),
            lambda url: network.connection(CONTROLLER, url),
            wires=network.wires(Role.CONTROLLER),
            store=self._store,
        )
        self._crash = await network.attach(CONTROLLER, controller.handler)
        self._controller = controller
        await controller.start()

    async def crash(self) -> None:
        """See `ControllerHandle.crash`."""
        self._vanish(self.controller)
        self._journal.record("fault", "crash", CONTROLLER)

    async def restart(self) -> None:
        """See `ControllerHandle.restart`."""
        if self._controller is not None:
            raise RejectedError("the controller is up")
        self._journal.record("fault", "restart", CONTROLLER)
        await self.start()

    def close(self) -> None:
        """See `ControllerHandle.close`."""
        if self._controller is not None:
            self._vanish(self._controller)

    def _vanish(self, controller: Controller) -> None:
        assert self._crash is not None
        self._crash()
        controller.crash()
        self._controller = None

    @property
    def _journal(self) -> Journal:
        return self._around.make_context(CONTROLLER).journal


class _LocalDomain(DomainHandle):
    """See `DomainHandle`."""

    def __init__(self, topology: DomainTopology, around: LocalSurroundings) -> None:
        super().__init__(topology)
        self._around = around
        self._location = orchestrator_location(topology.name)
        self._orchestrator: Orchestrator | None = None
        self._crash: Crash | None = None

    @property
    def alive(self) -> bool:
        """See `DomainHandle.alive`."""
        return self._orchestrator is not None

    @property
    def orchestrator(self) -> Orchestrator:
        """See `DomainHandle.orchestrator`."""
        if self._orchestrator is None:
            raise RejectedError("the orchestrator is down", self.name)
        return self._orchestrator

    async def start(self) -> None:
        """See `DomainHandle.start`."""
        assert self._orchestrator is None, "started twice"
        network, location = self._around.network, self._location
        settings = OrchestratorSettings(
            domain_id=DomainId(self.name),
            url=network.url(location),
            domain_register_url=network.url(CONTROLLER),
            strategy=self.topology.strategy,
            keep_alive_s=self.topology.keep_alive_s,
        )
        orchestrator = Orchestrator(
            self._around.make_context(location),
            settings,
            lambda url: network.connection(location, url),
            wires=network.wires(Role.ORCHESTRATOR),
        )
        self._crash = await network.attach(location, orchestrator.handler)
        self._orchestrator = orchestrator
        await orchestrator.start()

    async def crash(self) -> None:
        """See `DomainHandle.crash`."""
        orchestrator = self.orchestrator
        self._vanish(orchestrator)
        self._journal.record("fault", "crash", self._location)

    async def restart(self) -> None:
        """See `DomainHandle.restart`."""
        if self._orchestrator is not None:
            raise RejectedError("the orchestrator is up", self.name)
        self._journal.record("fault", "restart", self._location)
        await self.start()

    def cordon(self, node: NodeId, *, cordoned: bool) -> None:
        """See `DomainHandle.cordon`."""
        if cordoned:
            self.orchestrator.cordon(node)
        else:
            self.orchestrator.uncordon(node)

    def migrate(self, component: LogicalId, node: NodeId) -> None:
        """See `DomainHandle.migrate`."""
        self.orchestrator.migrate(component, [node])

    def close(self) -> None:
        """See `DomainHandle.close`."""
        if self._orchestrator is not None:
            self._vanish(self._orchestrator)

    def _vanish(self, orchestrator: Orchestrator) -> None:
        assert self._crash is not None
        self._crash()
        orchestrator.crash()
        self._orchestrator = None

    @property
    def _journal(self) -> Journal:
        return self._around.make_context(self._location).journal


class _LocalNode(NodeHandle):
    """See `NodeHandle`: the machine, of which each life is a `Node`."""

    def __init__(
        self,
        name: str,
        node_id: NodeId,
        group: NodeGroup,
        domain: DomainHandle,
        around: LocalSurroundings,
    ) -> None:
        self._location = node_location(name)
        super().__init__(name, node_id, around.network.url(self._location), domain)
        self._group = group
        self._capabilities = group.capabilities()
        self._around = around
        self._context = around.make_context(name)
        self._lives = count(1)
        # It outlives a crash.
        self._disk = around.disk(name)
        self._crash_listener: Crash | None = None
        self._node: Node | None = None

    @property
    def alive(self) -> bool:
        """See `NodeHandle.alive`."""
        return self._node is not None

    @property
    def node(self) -> Node:
        """See `NodeHandle.node`."""
        if self._node is None:
            raise RejectedError("the node is down", self.name)
        return self._node

    @property
    def registered(self) -> bool:
        """See `NodeHandle.registered`."""
        return self._node is not None and self._node.subscriber.registered

    @property
    def http_ingress_url(self) -> str:
        """See `NodeHandle.http_ingress_url`."""
        return "" if self._node is None else self._node.http_ingress_url

    async def start(self) -> None:
        """See `NodeHandle.start`."""
        assert self._node is None, "started twice"
        network, topology = self._around.network, self._around.topology
        dice = self._context.entropy.stream(f"{self.name}/life/{next(self._lives)}")
        settings = NodeSettings(
            node_id=self.node_id,
            url=self.url,
            orchestrator_url=network.url(orchestrator_location(self.domain.name)),
            capabilities=self._capabilities,
            performance_samples=topology.performance_samples,
            call_timeout_s=topology.call_timeout_s,
            real_time=self._around.backends is None,
        )
        node = Node(
            self._context,
            settings,
            lambda url: network.connection(self._location, url),
            runtimes=self._around.runtimes,
            providers=self._providers(),
            states=self._disk.states,
            nonce=dice.getrandbits(63),
            wires=network.wires(Role.NODE, self.node_id),
        )
        await node.open()
        self._node = node
        self._crash_listener = await network.attach(
            self._location, node.handler, node.plane.receive
        )
        node.start()

    async def crash(self) -> None:
        """See `NodeHandle.crash`."""
        node = self.node
        self._context.journal.record("fault", "crash", self.name)
        self._vanish(node)

    async def stop(self) -> None:
        """See `NodeHandle.stop`."""
        node = self.node
        self._context.journal.record("fault", "stop", self.name)
        await node.stop()
        # It may have crashed meanwhile, and another life may have begun.
        if self._node is node:
            self._vanish(node)

    async def restart(self) -> None:
        """See `NodeHandle.restart`."""
        if self._node is not None:
            raise RejectedError("the node is up", self.name)
        self._context.journal.record("fault", "restart", self.name)
        await self.start()

    def files(self) -> dict[str, bytes]:
        """See `NodeHandle.files`."""
        return self._disk.contents()

    def counters(self) -> Counter[str]:
        """See `NodeHandle.counters`."""
        return Counter() if self._node is None else self._node.plane.counters

    def close(self) -> None:
        """See `NodeHandle.close`."""
        if self._node is not None:
            self._vanish(self._node)
        self._disk.close()

    def _vanish(self, node: Node) -> None:
        if self._crash_listener is not None:
            self._crash_listener()
        node.crash()
        self._node = None

    def _providers(self) -> dict[str, ResourceProvider]:
        group = self._group
        classes = group.providers_of(self.name)
        if not classes:
            return {}
        if self._around.backends is not None:
            check_simulated(classes.values())
        return make_providers(
            classes,
            self._context,
            self._disk.files,
            ResourceSettings(
                group.http_ingress_url,
                group.http_egress_allow,
                group.redis_allow,
                self._around.topology.call_timeout_s,
                group.ollama,
                group.serverless_of(self.name),
                group.kafka_allow,
                file_pusher_directory=group.file_pusher_directory,
                database_folder=self._disk.databases,
                collector_redis_url=group.collector_redis_url,
            ),
            backends=self._around.backends,
        )
