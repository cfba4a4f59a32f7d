"""A cluster that cannot become ready says who is missing."""

import pytest

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.errors import UnreachableError
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
