"""The ε-CON, a domain, a node, a balancer as tests and scenarios see them: crash, restart, cordon.

Where they live, in this process or in ones of their own, is their host's (`local_host`,
`process_host`).
"""

from abc import ABC, abstractmethod
from collections import Counter

from edgeless_sim.cluster.topology import BalancerTopology, DomainTopology
from edgeless_sim.controller.controller import Controller
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import LogicalId, NodeId
from edgeless_sim.node.node import Node
from edgeless_sim.orchestrator.orchestrator import Orchestrator

__all__ = ["BalancerHandle", "ControllerHandle", "DomainHandle", "NodeHandle"]


class ControllerHandle(ABC):
    """The ε-CON, which can crash and come back with the workflows that it has stored."""

    @property
    def controller(self) -> Controller:
        """The ε-CON itself, for checkers; raise `RejectedError` if it is down, or not in this
        process."""
        raise RejectedError("the controller is in another process")

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it runs."""

    @abstractmethod
    async def start(self) -> None:
        """Start the ε-CON."""

    @abstractmethod
    async def crash(self) -> None:
        """The ε-CON vanishes, its store stays. Raise `RejectedError` if it is down already."""

    @abstractmethod
    async def restart(self) -> None:
        """Start the ε-CON anew, with its store; raise `RejectedError` if it is up."""

    @abstractmethod
    def close(self) -> None:
        """End it with the cluster; nothing of this is observable."""


class DomainHandle(ABC):
    """One domain: its ε-ORC, which can crash and come back."""

    def __init__(self, topology: DomainTopology) -> None:
        self.name = topology.name
        self.topology = topology

    @property
    def orchestrator(self) -> Orchestrator:
        """The ε-ORC that is alive; raise `RejectedError` if none is, or not in this process."""
        raise RejectedError("the orchestrator is in another process", self.name)

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether the ε-ORC runs."""

    @abstractmethod
    async def start(self) -> None:
        """Start the ε-ORC."""

    @abstractmethod
    async def crash(self) -> None:
        """The ε-ORC vanishes; its nodes go on. Raise `RejectedError` if it is down already."""

    @abstractmethod
    async def restart(self) -> None:
        """Start the ε-ORC anew, with an empty memory; raise `RejectedError` if it is up."""

    @abstractmethod
    def cordon(self, node: NodeId, *, cordoned: bool) -> None:
        """Let no new component be placed on *node*, or end that; what runs stays."""

    @abstractmethod
    def migrate(self, component: LogicalId, node: NodeId) -> None:
        """Ask for a component to be moved to *node*; raise `RejectedError` if it is down."""

    @abstractmethod
    def close(self) -> None:
        """End it with the cluster; nothing of this is observable."""


class NodeHandle(ABC):
    """One node, which can crash, stop, come back, be cordoned."""

    def __init__(self, name: str, node_id: NodeId, url: str, domain: DomainHandle) -> None:
        """*url* is where it takes control requests and events."""
        self.name = name
        self.node_id = node_id
        self.url = url
        self.domain = domain

    @property
    def node(self) -> Node:
        """The node itself, for checkers; raise `RejectedError` if it is down, or not in this
        process."""
        raise RejectedError("the node is in another process", self.name)

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether the node runs."""

    @property
    @abstractmethod
    def registered(self) -> bool:
        """Whether its ε-ORC has taken it, as far as is known here."""

    @abstractmethod
    async def start(self) -> None:
        """Start the node; it registers with its ε-ORC by itself."""

    @abstractmethod
    async def crash(self) -> None:
        """The node vanishes with all that it hosts; nobody is told."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop gracefully: every instance gets its stop hook before the node leaves."""

    @abstractmethod
    async def restart(self) -> None:
        """Start the node again, with its disk and a new nonce."""

    def cordon(self) -> None:
        """Let no new component be placed here; what runs stays."""
        self.domain.cordon(self.node_id, cordoned=True)

    def uncordon(self) -> None:
        """Let components be placed here again."""
        self.domain.cordon(self.node_id, cordoned=False)

    @property
    def http_ingress_url(self) -> str:
        """Where its http-ingress listens; empty if it has none, is down, or time is virtual."""
        return ""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """What resources of this node wrote, by path."""

    @abstractmethod
    def counters(self) -> Counter[str]:
        """Losses and oddities by cause, of its present life."""

    @abstractmethod
    def close(self) -> None:
        """End it with the cluster; nothing of this is observable."""


class BalancerHandle(ABC):
    """An ε-BAL, whose two nodes crash, stop and come back together."""

    def __init__(self, topology: BalancerTopology) -> None:
        self.name = topology.name
        self.topology = topology

    @property
    @abstractmethod
    def nodes(self) -> tuple[NodeHandle, NodeHandle]:
        """Its nodes: in the local domain, in the portal domain."""

    @abstractmethod
    async def start(self) -> None:
        """Start it; its nodes register by themselves."""

    @abstractmethod
    async def crash(self) -> None:
        """It vanishes with all that it hosts; raise `RejectedError` if it is down already."""

    @abstractmethod
    async def restart(self) -> None:
        """Start it again; raise `RejectedError` if it is up."""
