"""Who talks to whom in a cluster, as pairs of locations."""

from collections.abc import Iterator

from edgeless_sim.cluster.addresses import (
    CLIENT,
    CONTROLLER,
    node_location,
    orchestrator_location,
)
from edgeless_sim.cluster.topology import Topology

__all__ = ["locations_of", "ways_of"]


def locations_of(topology: Topology) -> list[str]:
    """All locations of a cluster, the experimenter's included."""
    locations = [CONTROLLER, CLIENT]
    for domain in topology.domains:
        locations.append(orchestrator_location(domain.name))
        locations += map(node_location, topology.node_names(domain))
    return locations


def ways_of(topology: Topology) -> Iterator[tuple[str, list[str]]]:
    """Each location, and those that it opens connections to.

    Nodes of different domains do not talk: what joins domains is inside balancers.
    """
    everywhere = [CONTROLLER]
    for domain in topology.domains:
        orchestrator = orchestrator_location(domain.name)
        nodes = [node_location(name) for name in topology.node_names(domain)]
        everywhere += nodes
        yield CONTROLLER, [orchestrator]
        yield orchestrator, [CONTROLLER, *nodes]
        for node in nodes:
            yield node, [orchestrator, CLIENT, *(other for other in nodes if other != node)]
    yield CLIENT, everywhere
