"""A balancer in this process: two nodes that share one life."""

from collections import Counter
from itertools import count

from edgeless_sim.api.wires import Role
from edgeless_sim.cluster.addresses import node_location, orchestrator_location
from edgeless_sim.cluster.balancing import SideParts, make_balancer
from edgeless_sim.cluster.handles import BalancerHandle, DomainHandle, NodeHandle
from edgeless_sim.cluster.local_surroundings import LocalSurroundings
from edgeless_sim.cluster.network_base import Crash
from edgeless_sim.cluster.topology import BalancerTopology
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.node.node import Node, NodeSettings

__all__ = ["LocalBalancer"]


class LocalBalancer(BalancerHandle):
    """See `BalancerHandle`. *node_ids* and *domains*: local, then portal."""

    def __init__(
        self,
        topology: BalancerTopology,
        node_ids: tuple[NodeId, NodeId],
        domains: tuple[DomainHandle, DomainHandle],
        around: LocalSurroundings,
    ) -> None:
        super().__init__(topology)
        self._lives = count(1)
        names = (topology.local_node, topology.portal_node)
        self._sides = (
            _Side(names[0], node_ids[0], domains[0], self, around),
            _Side(names[1], node_ids[1], domains[1], self, around),
        )

    @property
    def nodes(self) -> tuple[NodeHandle, NodeHandle]:
        """See `BalancerHandle.nodes`."""
        return self._sides

    async def start(self) -> None:
        """See `BalancerHandle.start`."""
        life = next(self._lives)
        local, portal = self._sides
        nodes = make_balancer(
            self.topology.domain, self.topology.portal, local.parts(life), portal.parts(life)
        )
        for side, node in zip(self._sides, nodes.both, strict=True):
            await side.begin(node)

    async def crash(self) -> None:
        """See `BalancerHandle.crash`."""
        for side in self._sides:
            side.fault("crash")
        self.close()

    async def stop(self) -> None:
        """End in order: who waits for an answer from what it hosts is told."""
        lives = [side.node for side in self._sides]
        for side in self._sides:
            side.fault("stop")
        for life in lives:
            await life.stop()
        # It may have crashed meanwhile, and another life may have begun.
        if [side.life for side in self._sides] == lives:
            self.close()

    async def restart(self) -> None:
        """See `BalancerHandle.restart`."""
        if any(side.alive for side in self._sides):
            raise RejectedError("the balancer is up", self.name)
        for side in self._sides:
            side.fault("restart")
        await self.start()

    def close(self) -> None:
        """It vanishes."""
        for side in self._sides:
            side.vanish()


class _Side(NodeHandle):
    """See `NodeHandle`; what happens to one of the two happens to both."""

    def __init__(
        self,
        name: str,
        node_id: NodeId,
        domain: DomainHandle,
        balancer: LocalBalancer,
        around: LocalSurroundings,
    ) -> None:
        self._location = node_location(name)
        super().__init__(name, node_id, around.network.url(self._location), domain)
        self._balancer = balancer
        self._around = around
        self._context = around.make_context(name)
        self._crash_listener: Crash | None = None
        self.life: Node | None = None

    def parts(self, life: int) -> SideParts:
        """What the node of its next life is made with."""
        network, topology = self._around.network, self._around.topology
        dice = self._context.entropy.stream(f"{self.name}/life/{life}")
        return SideParts(
            self._context,
            NodeSettings(
                node_id=self.node_id,
                url=self.url,
                orchestrator_url=network.url(orchestrator_location(self.domain.name)),
                capabilities=NodeCapabilities(),
                performance_samples=topology.performance_samples,
                call_timeout_s=topology.call_timeout_s,
                real_time=self._around.backends is None,
            ),
            lambda url: network.connection(self._location, url),
            network.wires(Role.NODE, self.node_id),
            dice.getrandbits(63),
        )

    async def begin(self, node: Node) -> None:
        """Its node listens and registers."""
        assert self.life is None, "started twice"
        await node.open()
        self.life = node
        self._crash_listener = await self._around.network.attach(
            self._location, node.handler, node.plane.receive
        )
        node.start()

    def fault(self, kind: str) -> None:
        """Put it into the journal that this is done to it; raise `RejectedError` if it cannot."""
        if kind != "restart" and self.life is None:
            raise RejectedError("the balancer is down", self.name)
        self._context.journal.record("fault", kind, self.name)

    def vanish(self) -> None:
        """Its node is gone."""
        if self._crash_listener is not None:
            self._crash_listener()
        if self.life is not None:
            self.life.crash()
        self.life = None

    @property
    def alive(self) -> bool:
        """See `NodeHandle.alive`."""
        return self.life is not None

    @property
    def node(self) -> Node:
        """See `NodeHandle.node`."""
        if self.life is None:
            raise RejectedError("the balancer is down", self.name)
        return self.life

    @property
    def registered(self) -> bool:
        """See `NodeHandle.registered`."""
        return self.life is not None and self.life.subscriber.registered

    async def start(self) -> None:
        """See `NodeHandle.start`."""
        await self._balancer.start()

    async def crash(self) -> None:
        """See `NodeHandle.crash`."""
        await self._balancer.crash()

    async def stop(self) -> None:
        """See `NodeHandle.stop`; who stops both nodes of a balancer has stopped it once."""
        if self.life is not None:
            await self._balancer.stop()

    async def restart(self) -> None:
        """See `NodeHandle.restart`."""
        await self._balancer.restart()

    def files(self) -> dict[str, bytes]:
        """See `NodeHandle.files`: it has no disk."""
        return {}

    def counters(self) -> Counter[str]:
        """See `NodeHandle.counters`."""
        return Counter() if self.life is None else self.life.plane.counters

    def close(self) -> None:
        """See `NodeHandle.close`."""
        self.vanish()
