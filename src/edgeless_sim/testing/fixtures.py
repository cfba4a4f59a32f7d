"""The fixtures of the pytest plugin. Loaded only where pytest-asyncio runs them."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.scenario.loader import SCENARIO_FILE, load_scenario
from edgeless_sim.scenario.model import SEED_MAX, Scenario
from edgeless_sim.scenario.runner import open_cluster
from edgeless_sim.scenario.shipped import find_scenario
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
    """The scenario of the ``edgeless`` marker: a path beside the test file, or a shipped name.

    Only its domains, nodes and network are used: what happens is the test's to say.
    """
    wanted = _marked(request).get("scenario")
    if wanted is None:
        return None
    path = request.path.parent / wanted
    if path.is_file() or (path / SCENARIO_FILE).is_file():
        return load_scenario(path)
    return load_scenario(find_scenario(str(wanted)))


@pytest_asyncio.fixture(loop_scope="function")
async def cluster(
    request: pytest.FixtureRequest, scenario: Scenario | None, topology: Topology
) -> AsyncGenerator[Cluster]:
    """A running cluster, up and ready, in virtual time."""
    seed = _marked(request).get("seed")
    if seed is None:
        seed = request.config.getoption("--edgeless-seed")
    if seed is None:
        seed = 0 if scenario is None else scenario.seed
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


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the ``edgeless`` marker says; a marker that says something else fails the test."""
    marker = request.node.get_closest_marker("edgeless")
    if marker is None:
        return {}
    known = ("scenario", "seed")
    reason = ""
    if marker.args:
        reason = "takes keywords only: edgeless(scenario=PATH, seed=N)"
    for key, value in marker.kwargs.items():
        if key not in known:
            hint = suggestion(key, known) or f"; known: {', '.join(known)}"
            reason = f"unknown keyword {quoted(key)}{hint}"
        elif key == "scenario" and not isinstance(value, str | Path):
            reason = f"'scenario' is a path or a name, not {quoted(repr(value))}"
        elif key == "seed" and (type(value) is not int or not 0 <= value <= SEED_MAX):
            reason = f"'seed' is a whole number from 0 to {SEED_MAX}, not {quoted(repr(value))}"
    if reason:
        pytest.fail(f"the marker edgeless: {reason}", pytrace=False)
    return dict(marker.kwargs)
