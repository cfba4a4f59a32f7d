"""Where a cluster that people work with lives: ports that are known beforehand, files that stay.

Not here: the cluster (`cluster`), and what a person is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edgeless_sim.cluster.addresses import CLIENT, node_location
from edgeless_sim.cluster.ports import ReservedPorts
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.cluster.ways import locations_of
from edgeless_sim.errors import SettingsError

__all__ = ["COMPONENTS_MAX", "Site", "claim_site", "node_folder"]

#: Each takes some file descriptors, and ports that people see.
COMPONENTS_MAX: Final = 256
_INGRESS: Final = "http-ingress"
_ANY_PORT: Final = ":0"


@dataclass(frozen=True, slots=True)
class Site:
    """Ports by location, held until `close`, and the folder of all disks."""

    ports: dict[str, int]
    folder: Path
    reserved: ReservedPorts

    def close(self) -> None:
        """Let the ports go. Idempotent."""
        self.reserved.close()


def claim_site(topology: Topology, folder: Path, first_port: int) -> tuple[Topology, Site]:
    """A site for *topology*, and the topology that knows where its http-ingresses listen there.

    The ε-CON has *first_port*; ε-ORCs with their nodes, and then http-ingresses, the free ones
    behind it. Raise `ListenError` if *first_port* is taken, `SettingsError` for too many
    components.
    """
    locations = [location for location in locations_of(topology) if location != CLIENT]
    if len(locations) > COMPONENTS_MAX:
        raise SettingsError(f"{len(locations)} components, at most {COMPONENTS_MAX} stay up")
    groups = [group for domain in topology.domains for group in domain.nodes]
    ingresses = sum(group.count for group in groups if _asks_for_port(group))
    reserved = ReservedPorts.from_port(first_port, len(locations) + ingresses + 1)
    ports = iter(reserved.ports)
    placed = dict(zip(locations, ports, strict=False))
    domains = tuple(_with_ingresses(domain, ports) for domain in topology.domains)
    placed[CLIENT] = next(ports)
    return replace(topology, domains=domains), Site(placed, folder, reserved)


def node_folder(folder: Path, name: str) -> Path:
    """The disk of the node called *name*."""
    return folder / node_location(name)


def _asks_for_port(group: NodeGroup) -> bool:
    return _INGRESS in group.providers and group.http_ingress_url.endswith(_ANY_PORT)


def _with_ingresses(domain: DomainTopology, ports: Iterator[int]) -> DomainTopology:
    """*domain*, each http-ingress without a port having the next one of *ports*."""
    groups: list[NodeGroup] = []
    for group in domain.nodes:
        if not _asks_for_port(group):
            groups.append(group)
            continue
        host = group.http_ingress_url.removesuffix(_ANY_PORT)
        groups += [
            replace(group, count=1, http_ingress_url=f"{host}:{next(ports)}")
            for _ in range(group.count)
        ]
    return replace(domain, nodes=tuple(groups))
