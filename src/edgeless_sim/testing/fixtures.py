"""The fixtures of the pytest plugin. Loaded only where pytest-asyncio runs them."""

from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.runner import open_cluster
from edgeless_sim.testing.stash import seed_key, tail_key

__all__ = ["DEFAULT_TOPOLOGY", "cluster", "scenario", "topology", "virtual_time"]

#: One domain of three nodes, each with a file-log, 1 ms apart.
DEFAULT_TOPOLOGY = Topology(
    domains=(
        DomainTopology(
            "edge",
            nodes=(NodeGroup(count=3, cpus=2, providers=("file-log",)),),
            strategy="RoundRobin",
        ),
    ),
    links=(LinkTopology(latency_ns=1_000_000),),
)


@pytest.fixture
def virtual_time() -> None:
    """Run this coroutine test on the virtual loop, without a cluster."""


@pytest.fixture
def topology() -> Topology:
    """What the cluster fixture starts where no scenario is given; override it at will."""
    return DEFAULT_TOPOLOGY


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Scenario | None:
    """The scenario of the ``edgeless`` marker; a path is relative to the test file.

    Only its domains, nodes and network are used: what happens is the test's to say.
    """
    marker = request.node.get_closest_marker("edgeless")
    path = marker.kwargs.get("scenario") if marker else None
    if path is None:
        return None
    return load_scenario(request.path.parent / Path(path))


@pytest_asyncio.fixture(loop_scope="function")
async def cluster(
    request: pytest.FixtureRequest, scenario: Scenario | None, topology: Topology
) -> AsyncGenerator[Cluster]:
    """A running cluster, up and ready, in virtual time."""
    marker = request.node.get_closest_marker("edgeless")
    seed = request.config.getoption("--edgeless-seed")
    if marker is not None and "seed" in marker.kwargs:
        seed = marker.kwargs["seed"]
    world = request.config.getoption("--edgeless-world")
    request.node.stash[seed_key] = seed
    opened = (
        open_topology(topology, world=world, seed=seed)
        if scenario is None
        else open_cluster(scenario, world=world, seed=seed)
    )
    async with opened as cluster:
        encoder = msgspec.json.Encoder()
        request.node.stash[tail_key] = lambda: [
            encoder.encode(record).decode() for record in cluster.journal.tail()[-12:]
        ]
        yield cluster
