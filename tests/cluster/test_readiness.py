"""A cluster that cannot become ready says who is missing."""

import pytest

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.errors import SettingsError, UnreachableError
from edgeless_sim.kernel import run


def test_a_network_that_loses_everything_is_named_as_the_reason() -> None:
    topology = Topology(
        (DomainTopology("edge", (NodeGroup(count=7),)),), links=(LinkTopology(loss=1.0),)
    )

    async def main() -> None:
        async with open_topology(topology):
            pytest.fail("it cannot become ready")

    with pytest.raises(UnreachableError, match=r"edge/0, .* and 2 more\. Is the network too lossy"):
        run(main)


def test_a_jitter_above_the_latency_is_refused_and_not_cut() -> None:
    with pytest.raises(SettingsError, match="jitter of 2 ns is not between 0 and the latency of 1"):
        LinkTopology(latency_ns=1, jitter_ns=2)
