"""An ε-ORC of a deployment: its sockets, its mirrors, its collector, its status (`component`)."""

import re
from typing import TYPE_CHECKING

from edgeless_sim.cluster.collector_host import CollectorHost
from edgeless_sim.cluster.component_settings import OrchestratorComponent
from edgeless_sim.cluster.mirrors import make_mirrors
from edgeless_sim.cluster.status.opening import open_status
from edgeless_sim.cluster.supervision import Move, Order
from edgeless_sim.cluster.surroundings import Surroundings
from edgeless_sim.model.ids import DomainId
from edgeless_sim.orchestrator.orchestrator import Orchestrator, OrchestratorSettings

if TYPE_CHECKING:
    from edgeless_sim.cluster.status.server import StatusServer

__all__ = ["OrchestratorProcess"]


class OrchestratorProcess:
    """One ε-ORC; see `component`."""

    def __init__(self, settings: OrchestratorComponent, around: Surroundings) -> None:
        self._settings = settings
        self._endpoint = around.endpoint
        self._log = around.log
        self._orchestrator = Orchestrator(
            around.context,
            OrchestratorSettings(
                domain_id=DomainId(settings.domain_id),
                url=settings.announced_url or settings.url,
                domain_register_url=settings.domain_register_url,
                strategy=settings.strategy,
                keep_alive_s=settings.keep_alive_s,
                subscription_interval_s=settings.subscription_interval_s,
                gc_period_s=settings.mirror_gc_period_s,
            ),
            around.connect,
            proxies=make_mirrors(settings, around.context),
            wires=around.wires,
        )
        self._collector = CollectorHost(settings, around)
        self._status: StatusServer | None = None

    async def start(self) -> None:
        """See `component.start`."""
        settings, orchestrator = self._settings, self._orchestrator
        self._log.info("Starting Edgeless Orchestrator at %s", settings.url)
        self._log.info("node keep-alive enabled every %g seconds", settings.keep_alive_s)
        self._log.info("Orchestration logic strategy: %s", _spelt(settings.strategy))
        for url in dict.fromkeys((settings.url, settings.node_url)):
            if url:
                await self._endpoint.listen(url, orchestrator.handler_for(url))
                self._log.info("Start OrchestratorAPIServer GRPC Server at %s", url)
        await orchestrator.start()
        await self._collector.start()
        if settings.metrics_url:
            from edgeless_sim.cluster.status.control_metrics import orchestrator_registry

            registry = orchestrator_registry(orchestrator)
            ready = orchestrator.unready_reason
            self._status = await open_status(settings, "ε-ORC", registry, ready)

    async def stop(self) -> None:
        """See `component.stop`."""
        if self._status is not None:
            await self._status.close()
        await self._collector.stop()
        await self._orchestrator.stop()
        self._endpoint.crash()
        await self._endpoint.ended()

    def obey(self, request: Order) -> None:
        """See `component.obey`."""
        if isinstance(request, Move):
            self._orchestrator.migrate(request.component, [request.node])
        elif request.cordoned:
            self._orchestrator.cordon(request.node)
        else:
            self._orchestrator.uncordon(request.node)


def _spelt(strategy: str) -> str:
    """As EDGELESS's log has it: ``random``, ``round-robin``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", strategy).lower()
