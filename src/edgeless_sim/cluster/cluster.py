"""A whole EDGELESS cluster, in whichever world: the only place that wires actors and transports.

`Cluster` is what tests and scenarios hold in their hands; `open_topology` makes one. Where its
components live is a `ComponentHost`'s, how they reach one another a `Network`'s.
"""

import gc
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from inspect import isawaitable
from pathlib import Path
from typing import BinaryIO, Final

from edgeless_sim.api.clients import ControllerClient
from edgeless_sim.api.messages import (
    StartWorkflow,
    WorkflowInfo,
    WorkflowStatus,
)
from edgeless_sim.api.wires import Role
from edgeless_sim.cluster.addresses import CLIENT, CONTROLLER
from edgeless_sim.cluster.bereavement import Bereavement
from edgeless_sim.cluster.capture import Capture
from edgeless_sim.cluster.client import EventClient
from edgeless_sim.cluster.deployment_plan import balancer_node_ids, node_ids, nodes_of
from edgeless_sim.cluster.directory import Directory, named
from edgeless_sim.cluster.handles import (
    BalancerHandle,
    ControllerHandle,
    DomainHandle,
    NodeHandle,
)
from edgeless_sim.cluster.hosts import ComponentHost
from edgeless_sim.cluster.network_base import Network
from edgeless_sim.cluster.settling import Settling
from edgeless_sim.cluster.site import Site
from edgeless_sim.cluster.topology import Topology
from edgeless_sim.cluster.ways import ways_of
from edgeless_sim.cluster.worlds import Foundation, lay_foundation
from edgeless_sim.errors import (
    RejectedError,
    SimulationError,
    UnreachableError,
)
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.ids import DomainId, InstanceId
from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.model.worlds import SIM

__all__ = ["Cluster", "open_topology"]

_READY_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
_FREEZE_NODES: Final = 100
#: What is in flight lives longer than the default thresholds take for granted.
_GC_THRESHOLDS: Final = (200_000, 20, 50)


class Cluster:
    """A running cluster. Made by `open_topology`; everything is up when one is handed out."""

    def __init__(self, topology: Topology, foundation: Foundation) -> None:
        self.topology = topology
        self.world = foundation.world
        self.seed = foundation.entropy.seed
        self.clock = foundation.clock
        self.scheduler = self.clock.scheduler
        self.journal = foundation.journal
        self.network: Network = foundation.network
        #: What resources meet in simulation; None in real worlds.
        self.backends = foundation.backends
        self.nodes: dict[str, NodeHandle] = {}
        self.domains: dict[str, DomainHandle] = {}
        #: Their nodes are among `nodes`.
        self.balancers: dict[str, BalancerHandle] = {}
        self._entropy = foundation.entropy
        self._host: ComponentHost = foundation.host
        #: The ε-CON as a machine, which can crash.
        self.con: ControllerHandle = self._host.controller()
        self._settling: Settling = foundation.settling
        self._bereavement: Bereavement | None = None
        self._gc_thresholds: tuple[int, int, int] | None = None
        #: Sends events from outside to instances whose places are known.
        self.client = EventClient(
            self.scheduler, self.journal, self._entropy.stream(CLIENT), self.network
        )
        url = self.network.url(CONTROLLER)
        #: The ε-CON, as a client sees it.
        self.controller = ControllerClient(
            self.network.connection(CLIENT, url),
            self.network.wires(Role.CLIENT).calling(url),
            timeout_s=60,
        )
        self._directory = Directory(self.controller, self.nodes, self.clock)

    # -- who is there ---------------------------------------------------------------------------

    def node(self, name: str) -> NodeHandle:
        """The node called ``domain/index``; raise `UnknownComponentError` if there is none."""
        return named(name, self.nodes, "node")

    def domain(self, name: str) -> DomainHandle:
        """The domain called *name*; raise `UnknownComponentError` if there is none."""
        return named(name, self.domains, "domain")

    def balancer(self, name: str) -> BalancerHandle:
        """The balancer called ``bal/domain/portal``; raise `UnknownComponentError` if there is
        none."""
        return named(name, self.balancers, "balancer")

    # -- workflows ------------------------------------------------------------------------------

    async def start_workflow(
        self, workflow: SpawnWorkflowRequest | Path, *, name: str = ""
    ) -> WorkflowStatus:
        """Start a workflow, or the one in a file, and call it *name*.

        Raises `WorkflowSpecError` for a bad file and `RejectedError` if the ε-CON says no.
        """
        if isinstance(workflow, Path):
            # Reading files needs pydantic, a quarter of the time to start a process.
            from edgeless_sim.model.workflow_file import load_workflow

            workflow, _ = load_workflow(workflow)
        request = workflow
        return await self.controller.start(StartWorkflow(request, name))

    async def stop_workflow(self, name: str) -> None:
        """Stop the workflow with that name or id."""
        await self.controller.stop(await self._directory.workflow_id(name))

    async def inspect(self, name: str) -> WorkflowInfo:
        """The workflow with that name or id, and where its components are."""
        return await self.controller.inspect(await self._directory.workflow_id(name))

    async def host_of(self, component: str) -> str:
        """The name of the node that hosts ``component``, or ``workflow/component``, now.

        Raises `UnknownComponentError` if there is no such component, or no instance of it.
        """
        return (await self._directory.placed(component)).node

    async def migrate(self, component: str, node: str) -> None:
        """Ask the ε-ORC to move ``component``, or ``workflow/component``, to *node*.

        It may decline; the journal says why. Raises `UnknownComponentError` for a name that nobody
        has, and `RejectedError` for a node of another domain.
        """
        handle = self.node(node)
        found = await self._directory.component(component)
        if found.domain_id != handle.domain.name:
            raise RejectedError(
                "a node of another domain", f"{component} is in {found.domain_id}, not {node}"
            )
        handle.domain.migrate(found.logical_id, handle.node_id)

    # -- events ---------------------------------------------------------------------------------

    async def cast(self, component: str, payload: str) -> None:
        """Send an event to a component from outside."""
        instance, url = await self._instance(component)
        self.client.cast(instance, url, payload)

    async def call(self, component: str, payload: str, *, timeout_s: float = 30) -> CallReturn:
        """Call a component from outside and return how the call ended."""
        instance, url = await self._instance(component)
        return await self.client.call(instance, url, payload, timeout_s=timeout_s)

    # -- time -----------------------------------------------------------------------------------

    async def settled(self, timeout_s: float = 60) -> None:
        """Return when nothing but periodic background work is pending.

        Raises `SimulationError` that names what still moves after *timeout_s*. In virtual time the
        answer is exact; in real time, nothing has moved for some tenths of a second.
        """
        await self._settling.settled(timeout_s)

    async def caught_up(self) -> None:
        """Return when readers of the journal have seen what happened until now."""
        await self._host.caught_up()
        self.journal.flush()

    async def wait_for(
        self, predicate: Callable[[], bool | Awaitable[bool]], timeout_s: float = 60
    ) -> None:
        """Return when *predicate* is true; raise `SimulationError` after *timeout_s*."""
        deadline_ns = self.clock.now_ns() + round(timeout_s * 1e9)
        while True:
            result = predicate()
            if await result if isawaitable(result) else result:
                return
            if self.clock.now_ns() >= deadline_ns:
                raise SimulationError(
                    f"{getattr(predicate, '__qualname__', predicate)} is still false after "
                    f"{timeout_s:g} s, at {self.clock.now_ns() / 1e9:.3f} s"
                )
            await self.clock.sleep(_POLL_S)

    # -- what came of it ------------------------------------------------------------------------

    def files(self) -> dict[str, bytes]:
        """What resources wrote: content by ``node/path``."""
        return {
            f"{name}/{path}": content
            for name, node in self.nodes.items()
            for path, content in node.files().items()
        }

    def counters(self) -> Counter[str]:
        """Losses and oddities by cause: the living nodes' and the network's."""
        total = self.network.lost_by_cause() + self.network.effects()
        for node in self.nodes.values():
            if node.alive:
                total.update(node.counters())
        return total

    # -- wiring ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything and wait until every node is registered; `open_topology` calls this."""
        for here, locations in ways_of(self.topology):
            await self.network.introduce(here, *locations)
        await self.client.listen()
        await self.con.start()
        for domain in self.topology.domains:
            handle = self._host.domain(domain)
            self.domains[domain.name] = handle
            await handle.start()
            await self._start_nodes(handle)
        await self._start_balancers()
        if self.world != SIM:
            ids = {name: node.node_id for name, node in self.nodes.items()}
            self._bereavement = Bereavement(self.scheduler, self.journal, ids)
        try:
            await self.wait_for(self._ready, _READY_TIMEOUT_S)
        except SimulationError:
            raise UnreachableError(self._missing()) from None
        if self.topology.nodes_total >= _FREEZE_NODES:
            # What is alive now stays so: full collections would walk it again and again.
            gc.collect()
            gc.freeze()
            self._gc_thresholds = gc.get_threshold()
            gc.set_threshold(*_GC_THRESHOLDS)

    async def _start_nodes(self, domain: DomainHandle) -> None:
        ids = node_ids(domain.topology, self._entropy)
        for (name, group), node_id in zip(nodes_of(domain.topology), ids, strict=False):
            node = self.nodes[name] = self._host.node(name, node_id, group, domain)
            await node.start()

    async def _start_balancers(self) -> None:
        for each in self.topology.balancers:
            ids = balancer_node_ids(each, self._entropy)
            domains = self.domains[each.domain], self.domains[each.portal]
            balancer = self.balancers[each.name] = self._host.balancer(each, ids, domains)
            self.nodes |= {node.name: node for node in balancer.nodes}
            await balancer.start()

    async def _ready(self) -> bool:
        self._host.check()
        if not all(handle.registered for handle in self.nodes.values()):
            return False
        try:
            known = await self.controller.domains(DomainId(""))
        except UnreachableError:
            # A process of its own may listen later than the nodes do.
            return False
        return all(
            name in known
            and known[name].num_nodes == len(self.topology.node_names(handle.topology))
            for name, handle in self.domains.items()
        )

    def _missing(self) -> str:
        """Why the cluster is not ready."""
        nodes = [n for n, handle in self.nodes.items() if not handle.registered]
        names = ", ".join(nodes[:5]) or "the domains, all nodes are registered"
        more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
        return (
            f"the cluster is not ready after {_READY_TIMEOUT_S:g} s of its time; missing: "
            f"{names}{more}. Is the network too lossy or too slow for registrations?"
        )

    def conclude(self) -> None:
        """Close the journal and the capture: nothing that follows is part of what happened."""
        self.journal.close()
        if self.network.recorder is not None:
            self.network.recorder.close()

    async def close(self) -> None:
        """Stop everything; `open_topology` calls this."""
        # First: the order of teardown is not part of what happened (design, section 5).
        self.conclude()
        for node in reversed(self.nodes.values()):
            node.close()
        for domain in reversed(self.domains.values()):
            domain.close()
        self.con.close()
        if self._bereavement is not None:
            self._bereavement.close()
        self.client.close()
        await self._host.close()
        await self.network.close()
        if self._gc_thresholds is not None:
            gc.set_threshold(*self._gc_thresholds)
            gc.unfreeze()

    async def _instance(self, component: str) -> tuple[InstanceId, str]:
        found = await self._directory.placed(component)
        assert found.instance is not None, "a placed component has an instance"
        url = self.nodes[found.node].url
        self.client.found(found.logical_id, found.instance, url)
        return found.instance, url


@asynccontextmanager
async def open_topology(
    topology: Topology,
    *,
    world: str = "sim",
    seed: int = 0,
    journal_sink: BinaryIO | None = None,
    journal_enabled: bool = True,
    processes: bool = False,
    in_path: bool = True,
    capture: Capture | None = None,
    site: Site | None = None,
) -> AsyncGenerator[Cluster]:
    """Bring a cluster up, yield it ready, stop it in reverse order of start.

    *world* is ``sim``, which must run on a `VirtualTimeLoop` (see `edgeless_sim.kernel.run`, or the
    pytest plugin), or ``tcp`` or ``grpc``: real sockets on loopback, in real time. There,
    *processes* gives each component a process of its own, and without *in_path* there can be no
    faults of the network; its ports and files are those of *site*, if there is one. *capture* gets
    all frames. Raises `SettingsError` for a world that does not exist.
    """
    async with Supervisor.open() as supervisor:
        foundation = lay_foundation(
            topology,
            supervisor,
            world=world,
            seed=seed,
            journal_sink=journal_sink,
            journal_enabled=journal_enabled,
            processes=processes,
            in_path=in_path,
            capture=capture,
            site=site,
        )
        cluster = Cluster(topology, foundation)
        supervisor.on_stop("cluster", cluster.close)
        await cluster.start()
        yield cluster
