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
from edgeless_sim.model.portal import PORTAL_BY_LABEL, PORTAL_LABEL, PortalSide
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


def balancer_capabilities(domain: str, portal: str, side: PortalSide) -> NodeCapabilities:
    """What the node on *side* of a balancer announces; the name of the *portal* domain may be
    unknown: empty."""
    if side is PortalSide.PORTAL:
        return NodeCapabilities(labels=(f"{PORTAL_LABEL}{domain}",))
    return NodeCapabilities(labels=(f"{PORTAL_BY_LABEL}{portal}",) if portal else ())


def make_balancer(
    domain: str, portal_domain: str, local: SideParts, portal: SideParts
) -> BalancerNodes:
    """The two nodes of the balancer of *domain*, which are not open yet.

    The name of the *portal_domain* may be unknown: empty.
    """
    exchange = Exchange(domain, local.context.scheduler, wait_s=local.settings.call_timeout_s)
    nodes = [
        _node(parts, exchange, side, balancer_capabilities(domain, portal_domain, side))
        for parts, side in ((local, PortalSide.LOCAL), (portal, PortalSide.PORTAL))
    ]
    return BalancerNodes(nodes[0], nodes[1])


def _node(
    parts: SideParts, exchange: Exchange, side: PortalSide, capabilities: NodeCapabilities
) -> Node:
    provider = PortalProvider(exchange, side)
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
