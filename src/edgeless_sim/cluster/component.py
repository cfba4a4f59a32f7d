"""One ε-CON, ε-ORC, ε-BAL or node of a deployment, as a process of its own or beside others in one.

With supervision it belongs to a cluster on this machine (`supervision`); without, it is a part of a
deployment and obeys signals alone. Not here: its file (`settings`), many in one process (`box`).
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeAlias

from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.cluster.balancer_component import BalancerProcess
from edgeless_sim.cluster.component_settings import (
    BalancerComponent,
    ComponentSettings,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.cluster.lifeline import Lifeline, StopSignal, read_charter, take_output
from edgeless_sim.cluster.orchestrator_component import OrchestratorProcess
from edgeless_sim.cluster.status.opening import open_status
from edgeless_sim.cluster.supervision import Charter, Order
from edgeless_sim.cluster.surroundings import Surroundings
from edgeless_sim.controller.controller import Controller, ControllerSettings
from edgeless_sim.controller.poller import StaticDomain
from edgeless_sim.controller.workflow_database import DatabaseWorkflowStore
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.kernel.journal import Journal, JournalReader
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.ids import DomainId
from edgeless_sim.node.node import Node, NodeSettings
from edgeless_sim.node.providers import make_providers
from edgeless_sim.node.state_store import FileStateStore
from edgeless_sim.resources.base import ResourceProvider
from edgeless_sim.resources.files import SandboxedFiles
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog

if TYPE_CHECKING:
    from edgeless_sim.cluster.status.server import StatusServer

__all__ = ["OnStop", "run_component", "start_component"]

#: Takes a name, and what to await at the end.
OnStop: TypeAlias = Callable[[str, Callable[[], Awaitable[None]]], None]

_FLUSH_NS: Final = 100_000_000

# In EDGELESS's words: people and scripts look for them.
_log = logging.getLogger(__name__)


def run_component(
    settings: ComponentSettings,
    *,
    supervised: bool = False,
    reader: JournalReader | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Run the component until it is told to stop; *on_ready* is called when it listens.

    *reader* gets its journal, a tenth of a second late, where it is not supervised.

    Raises `EdgelessError` or a transport's `AddressError` if it cannot begin.
    """
    charter, sink = None, None
    if supervised:
        # Before anything can print, or read on.
        charter, sink = read_charter(), take_output()

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            stop = StopSignal()
            await start_component(
                settings,
                supervisor.spawn,
                supervisor.on_stop,
                charter=charter,
                sink=sink,
                reader=reader,
            )
            if on_ready is not None:
                on_ready()
            await stop.wait()

    run(main, world="real", started_ns=None if charter is None else charter.started_ns)


async def start_component(
    settings: ComponentSettings,
    spawn: Spawn,
    on_stop: OnStop,
    *,
    log: logging.Logger = _log,
    charter: Charter | None = None,
    sink: BinaryIO | None = None,
    reader: JournalReader | None = None,
) -> None:
    """Start the component on the running loop and return when it listens.

    *on_stop* is told how to end it, the last one told being the first to do; *log* gets what it
    says of itself. Raises as `run_component`; what *on_stop* was told is to be done then, too.
    """
    clock = LoopClock.running()
    serials_after = 0 if charter is None else charter.serials_after
    journal = Journal(clock.scheduler, sink=sink, serials_after=serials_after)
    context = ActorContext(
        settings.name,
        clock,
        clock.scheduler,
        Entropy(secrets.randbits(62) if settings.seed is None else settings.seed),
        journal,
        spawn,
    )
    around = Surroundings(context, clock, settings, charter, log)
    component = _made(settings, around)
    lifeline = None
    if sink is not None:
        lifeline = Lifeline(clock.scheduler, journal, sink, component.obey)
        # Registered first, closed last: the journal has the stop hooks.
        on_stop("lifeline", lifeline.close)
    elif reader is not None:
        journal.subscribe(reader)
        on_stop("journal", partial(_tell_rest, journal))
    on_stop("capture", around.end_capture)
    on_stop(settings.name, component.stop)
    await component.start()
    if lifeline is not None:
        await lifeline.open()
    elif reader is not None:
        _flush(journal, clock.scheduler)


async def _tell_rest(journal: Journal) -> None:
    journal.flush()


def _flush(journal: Journal, scheduler: Scheduler) -> None:
    """Tell the reader what has happened, again and again."""
    journal.flush()
    scheduler.background_at(scheduler.now_ns() + _FLUSH_NS, _flush, journal, scheduler)


class _Component(Protocol):
    """What a component does, whichever it is."""

    async def start(self) -> None:
        """Listen and begin."""
        ...

    async def stop(self) -> None:
        """End in order. Once."""
        ...

    def obey(self, request: Order) -> None:
        """Do what the cluster asks."""
        ...


def _made(settings: ComponentSettings, around: Surroundings) -> _Component:
    match settings:
        case ControllerComponent():
            return _ControllerProcess(settings, around)
        case OrchestratorComponent():
            return OrchestratorProcess(settings, around)
        case NodeComponent():
            return _NodeProcess(settings, around)
        case BalancerComponent():
            return BalancerProcess(settings, around)


class _ControllerProcess:
    def __init__(self, settings: ControllerComponent, around: Surroundings) -> None:
        self._settings = settings
        self._endpoint = around.endpoint
        self._log = around.log
        name = settings.persistence_filename
        self._store = DatabaseWorkflowStore(Path(name)) if name else None
        self._status: StatusServer | None = None
        self._controller = Controller(
            around.context,
            ControllerSettings(
                url=settings.url,
                domains=tuple(StaticDomain(DomainId(name), url) for name, url in settings.domains),
            ),
            around.connect,
            wires=around.wires,
            store=self._store,
        )

    async def start(self) -> None:
        """See `_Component.start`."""
        controller = self._controller
        self._log.info("Starting Edgeless Controller at %s", self._settings.url)
        for url in dict.fromkeys((self._settings.url, self._settings.domain_url)):
            if url:
                await self._endpoint.listen(url, controller.handler_for(url))
        await controller.start()
        if self._settings.metrics_url:
            from edgeless_sim.cluster.status.control_metrics import controller_registry

            registry = controller_registry(controller)
            self._status = await open_status(self._settings, "ε-CON", registry, lambda: "")

    async def stop(self) -> None:
        """See `_Component.stop`."""
        if self._status is not None:
            await self._status.close()
        await self._controller.stop()
        self._endpoint.crash()
        await self._endpoint.ended()
        if self._store is not None:
            self._store.close()

    def obey(self, request: Order) -> None:
        """See `_Component.obey`: nobody asks anything of it."""
        raise RejectedError("an ε-CON has no nodes", str(request.node))


class _NodeProcess:
    def __init__(self, settings: NodeComponent, around: Surroundings) -> None:
        self._settings = settings
        self._endpoint = around.endpoint
        self._log = around.log
        self._context = context = around.context
        self._runtimes = RuntimeCatalog(
            RuntimeSettings(
                fuel_per_event=settings.fuel_per_event,
                fuel_per_init=5 * settings.fuel_per_event,
                python_folders=settings.python_folders,
                module_cache=settings.module_cache,
            )
        )
        self._files: SandboxedFiles | None = None
        dice = context.entropy.stream(f"{settings.name}/life/{around.life}")
        self._node = Node(
            context,
            NodeSettings(
                node_id=settings.node_id,
                url=settings.invocation_announced_url or settings.invocation_url,
                agent_url=settings.agent_announced_url or settings.agent_url,
                orchestrator_url=settings.orchestrator_url,
                capabilities=settings.capabilities,
                performance_samples=settings.performance_samples,
                call_timeout_s=settings.call_timeout_s,
                refresh_interval_s=settings.refresh_interval_s,
                real_time=True,
                measures_health=True,
            ),
            around.connect,
            runtimes=self._runtimes,
            providers=self._providers(),
            states=FileStateStore(settings.state_folder),
            nonce=dice.getrandbits(63),
            wires=around.wires,
        )
        self._status: StatusServer | None = None

    async def start(self) -> None:
        """See `_Component.start`."""
        settings, node = self._settings, self._node
        self._log.info("Starting Edgeless Node")
        await node.open()
        if settings.agent_url == settings.invocation_url:
            await self._endpoint.listen(settings.agent_url, node.handler, node.plane.receive)
        else:
            await self._endpoint.listen(settings.agent_url, node.handler)
            await self._endpoint.listen(settings.invocation_url, Dispatcher({}), node.plane.receive)
        self._log.info("Start InvocationAPI GRPC Server at %s", settings.invocation_url)
        for provider_id, class_type in settings.providers:
            at = f" at {settings.http_ingress_url}" if class_type == "http-ingress" else ""
            self._log.info("Creating resource '%s'%s", provider_id, at)
        self._log.info("Starting Edgeless Runner")
        self._log.info("Starting Edgeless Agent")
        self._log.info("Start AgentAPI GRPC Server at %s", settings.agent_url)
        self._log.info(
            "Registering this node '%s' on e-ORC %s, capabilities: %s",
            settings.node_id,
            settings.orchestrator_url,
            settings.capabilities,
        )
        if settings.metrics_url:
            from edgeless_sim.cluster.status.node_metrics import NodeMetrics

            registry = NodeMetrics(node).registry
            ready = node.subscriber.unready_reason
            self._status = await open_status(settings, "node", registry, ready)
        node.start()

    async def stop(self) -> None:
        """See `_Component.stop`: instances get their stop hooks."""
        await self._node.stop()
        if self._status is not None:
            await self._status.close()
        self._node.crash("the node was stopped")
        self._endpoint.crash()
        await self._endpoint.ended()
        self._runtimes.close()
        if self._files is not None:
            self._files.close()

    def obey(self, request: Order) -> None:
        """See `_Component.obey`: nobody asks anything of it."""
        raise RejectedError("a node does not cordon itself", str(request.node))

    def _providers(self) -> dict[str, ResourceProvider]:
        settings, context = self._settings, self._context
        if not settings.providers:
            return {}
        self._files = SandboxedFiles(settings.files_folder)
        return make_providers(
            dict(settings.providers),
            context,
            self._files,
            settings.resource_settings(),
        )
