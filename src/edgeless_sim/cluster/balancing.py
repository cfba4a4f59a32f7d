"""A balancer: two nodes that share one exchange of events (spec 6.13).

Neither has a CPU, so that neither ever hosts a function (case D15). Not here: where a balancer
lives (`local_balancer`, `balancer_component`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgeless_sim.api.wires import Wires
from edgeless_sim.balancer.exchange import Exchange
from edgeless_sim.balancer.provider import PortalProvider
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.model.portal import PORTAL_LABEL, PortalSide
from edgeless_sim.node.node import Node, NodeSettings
from edgeless_sim.node.state_store import MemoryStateStore
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog
from edgeless_transports import Connection

__all__ = ["BalancerNodes", "SideParts", "balancer_capabilities", "make_balancer"]


@dataclass(frozen=True, slots=True)
class SideParts:
    """What one of the two nodes is made with; its capabilities are given here."""

    context: ActorContext
    settings: NodeSettings
    connect: Callable[[str], Connection]
    wires: Wires
    nonce: int


@dataclass(frozen=True, slots=True)
class BalancerNodes:
    """One life of a balancer."""

    local: Node
    portal: Node

    @property
    def both(self) -> tuple[Node, Node]:
        """Its nodes."""
        return self.local, self.portal


def balancer_capabilities(domain: str, side: PortalSide) -> NodeCapabilities:
    """What the node of *domain*'s balancer announces on *side*."""
    labels = (f"{PORTAL_LABEL}{domain}",) if side is PortalSide.PORTAL else ()
    return NodeCapabilities(labels=labels)


def make_balancer(domain: str, local: SideParts, portal: SideParts) -> BalancerNodes:
    """The two nodes of the balancer of *domain*, which are not open yet."""
    exchange = Exchange(domain, local.context.scheduler, wait_s=local.settings.call_timeout_s)
    return BalancerNodes(
        _node(local, exchange, PortalSide.LOCAL), _node(portal, exchange, PortalSide.PORTAL)
    )


def _node(parts: SideParts, exchange: Exchange, side: PortalSide) -> Node:
    provider = PortalProvider(exchange, side)
    capabilities = balancer_capabilities(exchange.domain, side)
    return Node(
        parts.context,
        replace(parts.settings, capabilities=capabilities),
        parts.connect,
        # It runs nothing: without run-times among its capabilities, none is ever made.
        runtimes=RuntimeCatalog(RuntimeSettings()),
        providers={provider.specification.provider_id: provider},
        states=MemoryStateStore(),
        nonce=parts.nonce,
        wires=parts.wires,
    )
