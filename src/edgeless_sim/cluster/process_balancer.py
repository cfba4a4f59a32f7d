"""A balancer in a process of its own; see `process_host`."""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from edgeless_sim.cluster.addresses import node_location
from edgeless_sim.cluster.component_settings import BalancerComponent
from edgeless_sim.cluster.deployment_plan import balancer_component
from edgeless_sim.cluster.handles import BalancerHandle, DomainHandle, NodeHandle
from edgeless_sim.cluster.process_lives import Launcher, Lives
from edgeless_sim.cluster.topology import BalancerTopology, Topology
from edgeless_sim.model.ids import NodeId

__all__ = ["ProcessBalancer"]


class _Host(Launcher, Protocol):
    """What makes balancers."""

    @property
    def topology(self) -> Topology:
        """The cluster."""
        ...

    @property
    def seed(self) -> int:
        """Of the dice of all components."""
        ...

    @property
    def url_of(self) -> Callable[[str], str]:
        """From a location to its URL."""
        ...


class ProcessBalancer(BalancerHandle):
    """See `BalancerHandle`. *node_ids* and *domains*: local, then portal."""

    def __init__(
        self,
        topology: BalancerTopology,
        node_ids: tuple[NodeId, NodeId],
        domains: tuple[DomainHandle, DomainHandle],
        host: _Host,
    ) -> None:
        super().__init__(topology)
        names = (topology.local_node, topology.portal_node)
        self._settings = balancer_component(
            topology, node_ids, topology=host.topology, url_of=host.url_of, seed=host.seed
        )
        self._lives = Lives(names, self.name, host, [node_location(name) for name in names])
        self._sides = (
            _Side(names[0], node_ids[0], domains[0], host, self._lives, self._settings),
            _Side(names[1], node_ids[1], domains[1], host, self._lives, self._settings),
        )

    @property
    def nodes(self) -> tuple[NodeHandle, NodeHandle]:
        """See `BalancerHandle.nodes`."""
        return self._sides

    async def start(self) -> None:
        """See `BalancerHandle.start`."""
        await self._lives.begin(self._settings)

    async def crash(self) -> None:
        """See `BalancerHandle.crash`."""
        await self._lives.crash()

    async def restart(self) -> None:
        """See `BalancerHandle.restart`."""
        await self._lives.restart(self._settings)


class _Side(NodeHandle):
    """See `NodeHandle`; what happens to one of the two happens to both."""

    def __init__(
        self,
        name: str,
        node_id: NodeId,
        domain: DomainHandle,
        host: _Host,
        lives: Lives,
        settings: BalancerComponent,
    ) -> None:
        super().__init__(name, node_id, host.url_of(node_location(name)), domain)
        self._lives = lives
        self._settings = settings

    @property
    def alive(self) -> bool:
        """See `NodeHandle.alive`."""
        return self._lives.alive

    @property
    def registered(self) -> bool:
        """See `NodeHandle.registered`: it listens; that it is registered the ε-CON will say."""
        return self._lives.present is not None and self._lives.present.ready

    async def start(self) -> None:
        """See `NodeHandle.start`."""
        await self._lives.begin(self._settings)

    async def crash(self) -> None:
        """See `NodeHandle.crash`."""
        await self._lives.crash()

    async def stop(self) -> None:
        """See `NodeHandle.stop`; who stops both nodes of a balancer has stopped it once."""
        if self.alive:
            await self._lives.stop()

    async def restart(self) -> None:
        """See `NodeHandle.restart`."""
        await self._lives.restart(self._settings)

    def files(self) -> dict[str, bytes]:
        """See `NodeHandle.files`: it has no disk."""
        return {}

    def counters(self) -> Counter[str]:
        """See `NodeHandle.counters`: what it lost is in the journal."""
        return Counter()

    def close(self) -> None:
        """See `NodeHandle.close`: the host ends all processes together."""
