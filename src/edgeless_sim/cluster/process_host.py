"""Components in processes of their own on this machine, speaking over real sockets.

Each is started with a TOML file, as in a deployment. Its journal comes through a pipe and is merged
with the others'. A crash is a SIGKILL, a stop a SIGTERM.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from edgeless_sim.cluster.addresses import CONTROLLER, node_location, orchestrator_location
from edgeless_sim.cluster.capture import Capture
from edgeless_sim.cluster.component_files import KINDS, write_component
from edgeless_sim.cluster.component_settings import ComponentSettings
from edgeless_sim.cluster.deployment_plan import (
    controller_component,
    node_component,
    orchestrator_component,
)
from edgeless_sim.cluster.disk import files_below
from edgeless_sim.cluster.handles import (
    BalancerHandle,
    ControllerHandle,
    DomainHandle,
    NodeHandle,
)
from edgeless_sim.cluster.hosts import ComponentHost
from edgeless_sim.cluster.process_balancer import ProcessBalancer
from edgeless_sim.cluster.process_lives import Lives
from edgeless_sim.cluster.supervision import Charter, ComponentProcess, Cordon, Move, Order
from edgeless_sim.cluster.topology import BalancerTopology, DomainTopology, NodeGroup, Topology
from edgeless_sim.cluster.wire_network import WireNetwork
from edgeless_sim.errors import RejectedError, SettingsError, SimulationError
from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.merge import MergedJournal
from edgeless_sim.kernel.pump import PumpedScheduler
from edgeless_sim.model.ids import LogicalId, NodeId

__all__ = ["PROCESSES_MAX", "ProcessHost"]

#: Most components: each is a process of 60 MiB.
PROCESSES_MAX: Final = 64
#: Events of each life of each component are numbered apart from all others'.
_SERIAL_BITS: Final = 40
_POLL_S: Final = 0.01
_CAUGHT_UP_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 3.0


class ProcessHost(ComponentHost):
    """See `ComponentHost`. Raises `SettingsError` for more than `PROCESSES_MAX` components."""

    def __init__(
        self,
        topology: Topology,
        network: WireNetwork,
        journal: MergedJournal,
        clock: LoopClock,
        spawn: Spawn,
        seed: int,
        capture: Capture | None = None,
        folder: Path | None = None,
    ) -> None:
        """*folder* is where components have their files and disks; None = a temporary one."""
        total = 1 + len(topology.domains) + topology.nodes_total + len(topology.balancers)
        if total > PROCESSES_MAX:
            raise SettingsError(
                f"{total} components, at most {PROCESSES_MAX} in processes of their own; "
                "one process has room for more"
            )
        self.topology = topology
        self.network = network
        self.journal = journal
        self.clock = clock
        self.seed = seed
        self._spawn = spawn
        self._capture = capture
        self._lives = count(1)
        self._temporary = None
        if folder is None:
            self._temporary = TemporaryDirectory(prefix="edgeless-sim-")
            folder = Path(self._temporary.name)
        self._folder = folder.resolve()
        self._processes: list[ComponentProcess] = []

    def controller(self) -> ControllerHandle:
        """See `ComponentHost.controller`."""
        return _ControllerProcess(self)

    def domain(self, topology: DomainTopology) -> DomainHandle:
        """See `ComponentHost.domain`."""
        return _DomainProcess(topology, self)

    def node(
        self, name: str, node_id: NodeId, group: NodeGroup, domain: DomainHandle
    ) -> NodeHandle:
        """See `ComponentHost.node`."""
        return _NodeProcess(name, node_id, group, domain, self)

    def balancer(
        self,
        topology: BalancerTopology,
        node_ids: tuple[NodeId, NodeId],
        domains: tuple[DomainHandle, DomainHandle],
    ) -> BalancerHandle:
        """See `ComponentHost.balancer`."""
        return ProcessBalancer(topology, node_ids, domains, self)

    @property
    def url_of(self) -> Callable[[str], str]:
        """From a location to its URL."""
        return self.network.url

    def folder(self, location: str) -> Path:
        """Where the component at *location* has its file, and its disk if it is a node."""
        return self._folder / location

    async def launch(
        self, location: str, settings: ComponentSettings, speaking: Sequence[str] = ()
    ) -> ComponentProcess:
        """Begin a new life of the component at *location*.

        *speaking* are the locations by which others know it, if there are several.
        """
        folder = self.folder(location)
        folder.mkdir(parents=True, exist_ok=True)
        file = write_component(settings, folder)
        life = next(self._lives)
        process = ComponentProcess(location, KINDS[type(settings)], file, self.journal)
        scheduler = self.clock.scheduler
        assert isinstance(scheduler, PumpedScheduler), "processes live in real time"
        routes: dict[str, str] = {}
        for each in speaking or [location]:
            routes |= self.network.routes(each)
        charter = Charter(
            scheduler.started_ns,
            life << _SERIAL_BITS,
            life,
            routes,
            None if self._capture is None else self._capture.part(location, self.network.names()),
        )
        await process.start(charter, self._spawn)
        self._processes.append(process)
        return process

    def check(self) -> None:
        """See `ComponentHost.check`."""
        for process in self._processes:
            process.check()

    async def caught_up(self) -> None:
        """See `ComponentHost.caught_up`. Raise `SimulationError` if a process sends nothing."""
        until_ns = self.clock.now_ns()
        deadline_ns = until_ns + round(_CAUGHT_UP_TIMEOUT_S * 1e9)
        while self.journal.reached_ns < until_ns:
            if self.clock.now_ns() > deadline_ns:
                raise SimulationError(
                    f"a component has sent no journal for {_CAUGHT_UP_TIMEOUT_S:g} s"
                )
            await self.clock.sleep(_POLL_S)
        self.journal.flush()

    async def close(self) -> None:
        """See `ComponentHost.close`."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            await process.ended(_CLOSE_TIMEOUT_S)
        if self._temporary is not None:
            self._temporary.cleanup()


class _ControllerProcess(ControllerHandle):
    """See `ControllerHandle`."""

    def __init__(self, host: ProcessHost) -> None:
        settings = controller_component(host.network.url, host.seed)
        store = host.folder(CONTROLLER) / "workflows"
        self._settings = replace(settings, persistence_filename=str(store))
        self._lives = Lives((CONTROLLER,), CONTROLLER, host)

    @property
    def alive(self) -> bool:
        """See `ControllerHandle.alive`."""
        return self._lives.alive

    async def start(self) -> None:
        """See `ControllerHandle.start`."""
        await self._lives.begin(self._settings)

    async def crash(self) -> None:
        """See `ControllerHandle.crash`."""
        await self._lives.crash()

    async def restart(self) -> None:
        """See `ControllerHandle.restart`."""
        await self._lives.restart(self._settings)

    def close(self) -> None:
        """See `ControllerHandle.close`: the host ends all processes together."""


class _DomainProcess(DomainHandle):
    """See `DomainHandle`."""

    def __init__(self, topology: DomainTopology, host: ProcessHost) -> None:
        super().__init__(topology)
        location = orchestrator_location(topology.name)
        self._settings = orchestrator_component(topology, host.network.url, host.seed)
        self._lives = Lives([location], location, host)

    @property
    def alive(self) -> bool:
        """See `DomainHandle.alive`."""
        return self._lives.alive

    async def start(self) -> None:
        """See `DomainHandle.start`."""
        await self._lives.begin(self._settings)

    async def crash(self) -> None:
        """See `DomainHandle.crash`."""
        await self._lives.crash()

    async def restart(self) -> None:
        """See `DomainHandle.restart`."""
        await self._lives.restart(self._settings)

    def cordon(self, node: NodeId, *, cordoned: bool) -> None:
        """See `DomainHandle.cordon`."""
        self._tell(Cordon(node, cordoned))

    def migrate(self, component: LogicalId, node: NodeId) -> None:
        """See `DomainHandle.migrate`."""
        self._tell(Move(component, node))

    def _tell(self, order: Order) -> None:
        if not self._lives.alive or self._lives.present is None:
            raise RejectedError("the orchestrator is down", self.name)
        self._lives.present.tell(order)

    def close(self) -> None:
        """See `DomainHandle.close`: the host ends all processes together."""


class _NodeProcess(NodeHandle):
    """See `NodeHandle`."""

    def __init__(
        self, name: str, node_id: NodeId, group: NodeGroup, domain: DomainHandle, host: ProcessHost
    ) -> None:
        location = node_location(name)
        super().__init__(name, node_id, host.network.url(location), domain)
        self._disk = host.folder(location)
        self._lives = Lives([name], location, host)
        self._settings = node_component(
            name,
            node_id,
            group,
            topology=host.topology,
            url_of=host.network.url,
            seed=host.seed,
            folder=self._disk,
        )

    @property
    def alive(self) -> bool:
        """See `NodeHandle.alive`."""
        return self._lives.alive

    @property
    def registered(self) -> bool:
        """See `NodeHandle.registered`: it listens; that it is registered the ε-CON will say."""
        return self._lives.present is not None and self._lives.present.ready

    @property
    def http_ingress_url(self) -> str:
        """See `NodeHandle.http_ingress_url`."""
        return self._settings.http_ingress_url if self.alive else ""

    async def start(self) -> None:
        """See `NodeHandle.start`."""
        await self._lives.begin(self._settings)

    async def crash(self) -> None:
        """See `NodeHandle.crash`."""
        await self._lives.crash()

    async def stop(self) -> None:
        """See `NodeHandle.stop`."""
        await self._lives.stop()

    async def restart(self) -> None:
        """See `NodeHandle.restart`."""
        await self._lives.restart(self._settings)

    def files(self) -> dict[str, bytes]:
        """See `NodeHandle.files`."""
        return files_below(self._settings.files_folder)

    def counters(self) -> Counter[str]:
        """See `NodeHandle.counters`: what it lost is in the journal."""
        return Counter()

    def close(self) -> None:
        """See `NodeHandle.close`: the host ends all processes together."""
