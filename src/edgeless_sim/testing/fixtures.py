"""The fixtures of the pytest plugin. Loaded only where pytest-asyncio runs them."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.kernel.loop import current_scheduler
from edgeless_sim.kernel.pump import PumpedScheduler
from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.model.worlds import SIM, WORLDS
from edgeless_sim.scenario.loader import SCENARIO_FILE, load_scenario
from edgeless_sim.scenario.model import SEED_MAX, Scenario
from edgeless_sim.scenario.runner import open_cluster
from edgeless_sim.scenario.shipped import find_scenario
from edgeless_sim.testing.stash import seed_key, tail_key, world_key
from edgeless_sim.testing.world import world_of

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
    """A running cluster, up and ready: in virtual time, or in this process over real sockets.

    In real time a test fails at its end with the first bug that a callback of the kernel raised.
    """
    seed = _marked(request).get("seed")
    if seed is None:
        seed = request.config.getoption("--edgeless-seed")
    if seed is None:
        seed = 0 if scenario is None else scenario.seed
    world = world_of(request.node)
    if world != SIM and "virtual_time" in request.fixturenames:
        pytest.fail(f"virtual_time: a cluster in the world {world} is in real time", pytrace=False)
    request.node.stash[seed_key] = seed
    request.node.stash[world_key] = world
    bugs: list[Exception] = []
    scheduler = current_scheduler()
    if isinstance(scheduler, PumpedScheduler):
        scheduler.on_bug = bugs.append
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
    if bugs:
        raise bugs[0]


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the ``edgeless`` markers say, the closest one first; what they must not say fails the
    test."""
    said: dict[str, Any] = {}
    for marker in request.node.iter_markers("edgeless"):
        reason = ""
        if marker.args:
            reason = "takes keywords only: edgeless(scenario=PATH, seed=N, world=WORLD)"
        for key, value in marker.kwargs.items():
            reason = reason or _marker_fault(key, value)
            said.setdefault(key, value)
        if reason:
            pytest.fail(f"the marker edgeless: {reason}", pytrace=False)
    return said


def _marker_fault(key: str, value: object) -> str:
    """Why the marker must not say that; empty if it may."""
    match key:
        case "scenario":
            good = isinstance(value, str | Path)
            return "" if good else f"'scenario' is a path or a name, not {quoted(repr(value))}"
        case "seed":
            good = type(value) is int and 0 <= value <= SEED_MAX
            wanted = f"a whole number from 0 to {SEED_MAX}"
            return "" if good else f"'seed' is {wanted}, not {quoted(repr(value))}"
        case "world":
            wanted = f"one of {', '.join(WORLDS)}"
            return "" if value in WORLDS else f"'world' is {wanted}, not {quoted(repr(value))}"
        case _:
            known = ("scenario", "seed", "world")
            hint = suggestion(key, known) or f"; known: {', '.join(known)}"
            return f"unknown keyword {quoted(key)}{hint}"
