"""One ε-CON, ε-ORC or node as a process of its own.

With supervision it belongs to a cluster on this machine (`supervision`); without, it is a part of a
deployment and obeys signals alone. Not here: its file (`settings`).
"""

import logging
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.api.services import HANDLE
from edgeless_sim.api.wire import EventError
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.cluster.capture import open_part
from edgeless_sim.cluster.component_settings import (
    ComponentSettings,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.cluster.endpoint import Endpoint
from edgeless_sim.cluster.lifeline import Lifeline, StopSignal, read_charter, take_output
from edgeless_sim.cluster.supervision import Charter, Cordon
from edgeless_sim.controller.controller import Controller, ControllerSettings
from edgeless_sim.controller.workflow_database import DatabaseWorkflowStore
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.kernel.journal import Journal, JournalReader
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.ids import DomainId, NodeId
from edgeless_sim.node.node import Node, NodeSettings
from edgeless_sim.node.providers import make_providers
from edgeless_sim.node.state_store import FileStateStore
from edgeless_sim.orchestrator.orchestrator import Orchestrator, OrchestratorSettings
from edgeless_sim.resources.base import ResourceProvider, ResourceSettings
from edgeless_sim.resources.files import SandboxedFiles
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog
from edgeless_transports import Connection

__all__ = ["run_component"]

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
            clock = LoopClock.running()
            serials_after = 0 if charter is None else charter.serials_after
            journal = Journal(clock.scheduler, sink=sink, serials_after=serials_after)
            context = ActorContext(
                settings.name,
                clock,
                clock.scheduler,
                Entropy(secrets.randbits(62) if settings.seed is None else settings.seed),
                journal,
                supervisor.spawn,
            )
            stop = StopSignal()
            around = _Surroundings(context, clock, settings, charter)
            component = _made(settings, around)
            lifeline = None
            if sink is not None:
                lifeline = Lifeline(clock.scheduler, journal, sink, component.obey)
                # Registered first, closed last: the journal has the stop hooks.
                supervisor.on_stop("lifeline", lifeline.close)
            supervisor.on_stop("capture", around.end_capture)
            supervisor.on_stop(settings.name, component.stop)
            await component.start()
            if lifeline is not None:
                await lifeline.open()
            elif reader is not None:
                journal.subscribe(reader)
                _flush(journal, clock.scheduler)
            if on_ready is not None:
                on_ready()
            await stop.wait()

    run(main, world="real", started_ns=None if charter is None else charter.started_ns)


def _flush(journal: Journal, scheduler: Scheduler) -> None:
    """Tell the reader what has happened, again and again."""
    journal.flush()
    scheduler.background_at(scheduler.now_ns() + _FLUSH_NS, _flush, journal, scheduler)


class _Surroundings:
    """What a component is made with: its sockets, its wires, its life."""

    def __init__(
        self,
        context: ActorContext,
        clock: LoopClock,
        settings: ComponentSettings,
        charter: Charter | None,
    ) -> None:
        self.context = context
        self.life = 1 if charter is None else charter.life
        self.supervised = charter is not None
        routes = {} if charter is None else charter.routes
        role, home, announced = _identity(settings)
        self.wires = Wires(
            role, epoch_ns=clock.epoch_ns, now_ns=context.scheduler.now_ns, home=home
        )
        self._event_wire = self.wires.serving(announced or "memory://")
        self.endpoint = Endpoint(
            context.scheduler,
            context.spawn,
            announced=announced,
            route=lambda url: routes.get(url, url),
            tls=settings.tls,
            on_cast_lost=self._cast_lost,
        )
        part = None if charter is None else charter.capture
        self._here = "" if part is None else part.here
        self._recorder = None if part is None else open_part(part, clock)

    def connect(self, url: str) -> Connection:
        """A connection of the component; see `Endpoint.connection`."""
        connection = self.endpoint.connection(url)
        if self._recorder is None:
            return connection
        return self._recorder.wrapped(connection, self._here, url)

    async def end_capture(self) -> None:
        """Write down which calls wait, and no frame after that."""
        if self._recorder is not None:
            self._recorder.close()

    def _cast_lost(self, method: str, payload: bytes, cause: str) -> None:
        if method != HANDLE:
            return
        try:
            event = self._event_wire.decode_event(payload)
        except EventError:
            return
        journal = self.context.journal
        number = journal.intern("instance", event.target.hex())
        journal.record("drop", event.serial, number, cause)


class _Component(Protocol):
    """What a component does, whichever it is."""

    async def start(self) -> None:
        """Listen and begin."""
        ...

    async def stop(self) -> None:
        """End in order. Once."""
        ...

    def obey(self, request: Cordon) -> None:
        """Do what the cluster asks."""
        ...


def _identity(settings: ComponentSettings) -> tuple[Role, NodeId | None, str]:
    """Role, id if it is a node, and the URL at which it takes events, if it does."""
    match settings:
        case ControllerComponent():
            return Role.CONTROLLER, None, ""
        case OrchestratorComponent():
            return Role.ORCHESTRATOR, None, ""
        case NodeComponent():
            announced = settings.invocation_announced_url or settings.invocation_url
            return Role.NODE, settings.node_id, announced


def _made(settings: ComponentSettings, around: _Surroundings) -> _Component:
    match settings:
        case ControllerComponent():
            return _ControllerProcess(settings, around)
        case OrchestratorComponent():
            return _OrchestratorProcess(settings, around)
        case NodeComponent():
            return _NodeProcess(settings, around)


def _spelt(strategy: str) -> str:
    """As EDGELESS's log has it: ``random``, ``round-robin``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", strategy).lower()


class _ControllerProcess:
    def __init__(self, settings: ControllerComponent, around: _Surroundings) -> None:
        self._settings = settings
        self._endpoint = around.endpoint
        name = settings.persistence_filename
        self._store = DatabaseWorkflowStore(Path(name)) if name else None
        self._controller = Controller(
            around.context,
            ControllerSettings(url=settings.url),
            around.connect,
            wires=around.wires,
            store=self._store,
        )

    async def start(self) -> None:
        """See `_Component.start`."""
        controller = self._controller
        _log.info("Starting Edgeless Controller at %s", self._settings.url)
        for url in dict.fromkeys((self._settings.url, self._settings.domain_url)):
            if url:
                await self._endpoint.listen(url, controller.handler_for(url))
        await controller.start()

    async def stop(self) -> None:
        """See `_Component.stop`."""
        await self._controller.stop()
        self._endpoint.crash()
        await self._endpoint.ended()
        if self._store is not None:
            self._store.close()

    def obey(self, request: Cordon) -> None:
        """See `_Component.obey`: nobody asks anything of it."""
        raise RejectedError("an ε-CON has no nodes", str(request.node))


class _OrchestratorProcess:
    def __init__(self, settings: OrchestratorComponent, around: _Surroundings) -> None:
        self._settings = settings
        self._endpoint = around.endpoint
        self._orchestrator = Orchestrator(
            around.context,
            OrchestratorSettings(
                domain_id=DomainId(settings.domain_id),
                url=settings.announced_url or settings.url,
                domain_register_url=settings.domain_register_url,
                strategy=settings.strategy,
                keep_alive_s=settings.keep_alive_s,
                subscription_interval_s=settings.subscription_interval_s,
            ),
            around.connect,
            wires=around.wires,
        )

    async def start(self) -> None:
        """See `_Component.start`."""
        settings, orchestrator = self._settings, self._orchestrator
        _log.info("Starting Edgeless Orchestrator at %s", settings.url)
        _log.info("node keep-alive enabled every %g seconds", settings.keep_alive_s)
        _log.info("Orchestration logic strategy: %s", _spelt(settings.strategy))
        for url in dict.fromkeys((settings.url, settings.node_url)):
            if url:
                await self._endpoint.listen(url, orchestrator.handler_for(url))
                _log.info("Start OrchestratorAPIServer GRPC Server at %s", url)
        await orchestrator.start()

    async def stop(self) -> None:
        """See `_Component.stop`."""
        await self._orchestrator.stop()
        self._endpoint.crash()
        await self._endpoint.ended()

    def obey(self, request: Cordon) -> None:
        """See `_Component.obey`."""
        if request.cordoned:
            self._orchestrator.cordon(request.node)
        else:
            self._orchestrator.uncordon(request.node)


class _NodeProcess:
    def __init__(self, settings: NodeComponent, around: _Surroundings) -> None:
        self._settings = settings
        self._endpoint = around.endpoint
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
            ),
            around.connect,
            runtimes=self._runtimes,
            providers=self._providers(),
            states=FileStateStore(settings.state_folder),
            nonce=dice.getrandbits(63),
            wires=around.wires,
        )

    async def start(self) -> None:
        """See `_Component.start`."""
        settings, node = self._settings, self._node
        _log.info("Starting Edgeless Node")
        await node.open()
        if settings.agent_url == settings.invocation_url:
            await self._endpoint.listen(settings.agent_url, node.handler, node.plane.receive)
        else:
            await self._endpoint.listen(settings.agent_url, node.handler)
            await self._endpoint.listen(settings.invocation_url, Dispatcher({}), node.plane.receive)
        _log.info("Start InvocationAPI GRPC Server at %s", settings.invocation_url)
        for provider_id, _ in settings.providers:
            _log.info("Creating resource '%s'", provider_id)
        _log.info("Starting Edgeless Runner")
        _log.info("Starting Edgeless Agent")
        _log.info("Start AgentAPI GRPC Server at %s", settings.agent_url)
        _log.info(
            "Registering this node '%s' on e-ORC %s, capabilities: %s",
            settings.node_id,
            settings.orchestrator_url,
            settings.capabilities,
        )
        node.start()

    async def stop(self) -> None:
        """See `_Component.stop`: instances get their stop hooks."""
        await self._node.stop()
        self._node.crash("the node was stopped")
        self._endpoint.crash()
        await self._endpoint.ended()
        self._runtimes.close()
        if self._files is not None:
            self._files.close()

    def obey(self, request: Cordon) -> None:
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
            ResourceSettings(
                settings.http_ingress_url,
                settings.http_egress_allow,
                settings.redis_allow,
                settings.call_timeout_s,
            ),
        )
