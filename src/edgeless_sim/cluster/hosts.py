"""Where the components of a cluster live."""

from abc import ABC, abstractmethod

from edgeless_sim.cluster.handles import (
    BalancerHandle,
    ControllerHandle,
    DomainHandle,
    NodeHandle,
)
from edgeless_sim.cluster.topology import BalancerTopology, DomainTopology, NodeGroup
from edgeless_sim.model.ids import NodeId

__all__ = ["ComponentHost"]


class ComponentHost(ABC):
    """Makes the components of one cluster, in this process or in others."""

    @abstractmethod
    def controller(self) -> ControllerHandle:
        """The ε-CON, not started yet."""

    @abstractmethod
    def domain(self, topology: DomainTopology) -> DomainHandle:
        """A domain whose ε-ORC is not started yet."""

    @abstractmethod
    def node(
        self, name: str, node_id: NodeId, group: NodeGroup, domain: DomainHandle
    ) -> NodeHandle:
        """A node that is not started yet."""

    @abstractmethod
    def balancer(
        self,
        topology: BalancerTopology,
        node_ids: tuple[NodeId, NodeId],
        domains: tuple[DomainHandle, DomainHandle],
    ) -> BalancerHandle:
        """A balancer that is not started yet. Its nodes' ids and domains: local, then portal."""

    @abstractmethod
    def check(self) -> None:
        """Raise `EdgelessError` if a component has not come up and never will."""

    @abstractmethod
    async def caught_up(self) -> None:
        """Return when the journal knows what has happened until now."""

    @abstractmethod
    async def close(self) -> None:
        """End what is not closed by its handle; nothing of this is observable."""
