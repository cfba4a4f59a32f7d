"""What all components of one cluster in this process have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeless_sim.cluster.disk import FolderDisk, NodeDisk, VirtualDisk
from edgeless_sim.cluster.network_base import Network
from edgeless_sim.cluster.site import node_folder
from edgeless_sim.cluster.topology import Topology
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.resources.simulated.backends import Backends
from edgeless_sim.runtimes.catalog import RuntimeCatalog

__all__ = ["LocalSurroundings", "MakeContext"]

MakeContext = Callable[[str], ActorContext]


@dataclass(frozen=True, slots=True)
class LocalSurroundings:
    """What all components of one cluster in this process have in common."""

    topology: Topology
    network: Network
    make_context: MakeContext
    runtimes: RuntimeCatalog
    backends: Backends | None
    """The world of resources; None = there is a real one, and time is real too."""
    folder: Path | None

    def disk(self, name: str) -> NodeDisk:
        """A disk for the node called *name*."""
        return VirtualDisk() if self.folder is None else FolderDisk(node_folder(self.folder, name))
