"""A balancer as a component of a deployment; see `component`."""

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.cluster.balancing import SideParts, make_balancer
from edgeless_sim.cluster.component_settings import BalancerComponent, BalancerSide
from edgeless_sim.cluster.supervision import Order
from edgeless_sim.cluster.surroundings import Surroundings
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.node.node import Node, NodeSettings

if TYPE_CHECKING:
    from edgeless_sim.cluster.status.server import StatusServer

__all__ = ["BalancerProcess"]


class BalancerProcess:
    """Its two nodes, each with sockets of its own."""

    def __init__(self, settings: BalancerComponent, around: Surroundings) -> None:
        """*around* are those of the local side."""
        self._settings = settings
        self._log = around.log
        sides = (settings.local, around), (settings.portal, around.other_side(settings.portal))
        parts = [_parts(side, settings, its) for side, its in sides]
        nodes = make_balancer(settings.domain, settings.portal_domain, *parts)
        self._sides = [
            (side, its, node) for (side, its), node in zip(sides, nodes.both, strict=True)
        ]
        self._status: StatusServer | None = None

    async def start(self) -> None:
        """Listen and begin."""
        settings = self._settings
        self._log.info("Starting Edgeless Balancer of domain '%s'", settings.domain)
        for side, around, node in self._sides:
            await node.open()
            await _listen(side, around, node)
            self._log.info("Start AgentAPI GRPC Server at %s", side.agent_url)
            self._log.info("Start InvocationAPI GRPC Server at %s", side.invocation_url)
            self._log.info(
                "Registering this node '%s' on e-ORC %s, capabilities: %s",
                side.node_id,
                side.orchestrator_url,
                node.settings.capabilities,
            )
        if settings.metrics_url:
            await self._open_status()
        for _, _, node in self._sides:
            node.start()

    async def stop(self) -> None:
        """End in order. Once."""
        for _, _, node in self._sides:
            await node.stop()
        if self._status is not None:
            await self._status.close()
        for _, around, node in self._sides:
            node.crash("the node was stopped")
            around.endpoint.crash()
            await around.endpoint.ended()

    def obey(self, request: Order) -> None:
        """Nobody asks anything of it."""
        raise RejectedError("a balancer does not cordon itself", str(request.node))

    async def _open_status(self) -> None:
        # Loaded where it is wanted: a tenth of a second.
        from edgeless_sim.cluster.status.node_metrics import joined_registry
        from edgeless_sim.cluster.status.server import StatusServer

        settings = self._settings
        nodes = [node for _, _, node in self._sides]

        def unready_reason() -> str:
            return "; ".join(filter(None, (node.subscriber.unready_reason() for node in nodes)))

        title = f"balancer {settings.name}"
        self._status = StatusServer(
            settings.metrics_url, title, joined_registry(nodes), unready_reason
        )
        await self._status.open()


def _parts(side: BalancerSide, settings: BalancerComponent, around: Surroundings) -> SideParts:
    context = replace(around.context, name=side.name or str(side.node_id))
    dice = context.entropy.stream(f"{context.name}/life/{around.life}")
    return SideParts(
        context,
        NodeSettings(
            node_id=side.node_id,
            url=side.invocation_announced_url or side.invocation_url,
            agent_url=side.agent_announced_url or side.agent_url,
            orchestrator_url=side.orchestrator_url,
            capabilities=NodeCapabilities(),
            performance_samples=settings.performance_samples,
            call_timeout_s=settings.call_timeout_s,
            refresh_interval_s=side.refresh_interval_s,
            real_time=True,
        ),
        around.connect,
        around.wires,
        dice.getrandbits(63),
    )


async def _listen(side: BalancerSide, around: Surroundings, node: Node) -> None:
    endpoint = around.endpoint
    if side.agent_url == side.invocation_url:
        await endpoint.listen(side.agent_url, node.handler, node.plane.receive)
    else:
        await endpoint.listen(side.agent_url, node.handler)
        await endpoint.listen(side.invocation_url, Dispatcher({}), node.plane.receive)
