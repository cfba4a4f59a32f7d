"""Full nodes from nothing to ready: registered, known to their ε-ORC and to the ε-CON.

Each size in a process of its own, because memory is measured too. There is no baseline: no other
simulator registers nodes with the platform's own control plane.
"""

import time
from typing import Final

from measure import Figure, Figures, Sample, in_child, main, resident_mib

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.kernel import run

#: Nodes, floor in CPU seconds, floor in MiB.
FLOORS: Final = (
    (100, None, None),
    (316, None, None),
    (1_000, 1.0, None),
    (3_162, None, None),
    (10_000, 10.0, 300.0),
)
NODES_PER_DOMAIN: Final = 1_000


def topology(nodes: int, *, keep_alive_s: float = 4.0, cpus: int = 1) -> Topology:
    """Domains of at most a thousand nodes, which refresh every half of *keep_alive_s*."""
    domains = max(1, nodes // NODES_PER_DOMAIN)
    counts = [nodes // domains + (place < nodes % domains) for place in range(domains)]
    return Topology(
        tuple(
            DomainTopology(
                f"domain{place}",
                (NodeGroup(count=count, cpus=cpus),),
                "RoundRobin",
                keep_alive_s,
            )
            for place, count in enumerate(counts)
        ),
        links=(LinkTopology(latency_ns=5_000_000),),
    )


def bring_up(nodes: int) -> dict[str, float]:
    """CPU seconds until *nodes* are ready, and by how many MiB the process has grown."""

    async def measured() -> dict[str, float]:
        before_mib = resident_mib()
        began = time.process_time()
        async with open_topology(topology(nodes)) as cluster:
            seconds = time.process_time() - began
            assert len(cluster.nodes) == nodes
            return {"seconds": seconds, "mib": resident_mib() - before_mib}

    return run(measured)


def figures(quick: bool) -> Figures:
    """The curve over two decades, and the floors at 1,000 and 10,000 nodes."""
    repeats = 1 if quick else 3
    for nodes, seconds_max, mib_max in FLOORS:
        taken = [in_child("nodes", "bring_up", nodes) for _ in range(repeats)]
        seconds = Sample(tuple(each["seconds"] for each in taken), lower_is_better=True)
        mib = Sample(tuple(each["mib"] for each in taken), lower_is_better=True)
        per_node = Sample(tuple(value / nodes * 1e6 for value in seconds.values), True)
        yield Figure(f"{nodes:,} nodes, start to ready", "CPU s", seconds, seconds_max)
        yield Figure(f"{nodes:,} nodes, per node", "us", per_node)
        yield Figure(f"{nodes:,} nodes, resident", "MiB", mib, mib_max)


if __name__ == "__main__":
    main(figures)
