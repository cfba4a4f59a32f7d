"""Whole clusters whose domains are joined: events go through, faults pass (I13, I16, I18)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import (
    BalancerTopology,
    DomainTopology,
    LinkTopology,
    NodeGroup,
    Topology,
)
from edgeless_sim.kernel import run
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource
from edgeless_sim.testing.checkers import cluster_violations, residue
from edgeless_sim.testing.journal_checker import JournalChecker

#: Functions run in edge, files are in lab, and hub joins them.
JOINED = Topology(
    (
        DomainTopology("edge", (NodeGroup(count=2),)),
        DomainTopology("hub", (NodeGroup(runtimes=()),)),
        DomainTopology("lab", (NodeGroup(count=2, runtimes=("PYTHON",), providers=("file-log",)),)),
    ),
    links=(LinkTopology(latency_ns=1_000_000),),
    balancers=(BalancerTopology("edge", "hub"), BalancerTopology("lab", "hub")),
)
MODELLED = FunctionClassSpecification("m", "MODELLED", "1.0", outputs=("out",))


def workflow() -> SpawnWorkflowRequest:
    """A function that forwards what it gets to a file."""
    return SpawnWorkflowRequest(
        (WorkflowFunction("f", MODELLED, {"out": "log"}, {"init-payload": "service=c(1)"}),),
        (WorkflowResource("log", "file-log", {}, {"filename": "log.txt"}),),
    )


@asynccontextmanager
async def joined(topology: Topology = JOINED, seed: int = 1) -> AsyncGenerator[Any]:
    """A cluster, and the checker of its journal."""
    async with open_topology(topology, seed=seed) as cluster:
        checker = JournalChecker()
        cluster.journal.subscribe(checker)
        yield cluster
        await cluster.settled()
        cluster.journal.flush()
        checker.check()
        assert checker.unexplained() == []


def lines(cluster: Cluster) -> list[str]:
    """What was logged, wherever."""
    content = b"".join(cluster.files().values()).decode()
    return [line.rpartition(" ")[2] for line in content.splitlines()]


async def settle(cluster: Cluster, seconds: float = 12) -> None:
    await cluster.clock.sleep(seconds)
    await cluster.settled()
    assert await cluster_violations(cluster) == []


def test_events_cross_domains_in_order_and_none_is_lost() -> None:
    async def main() -> None:
        async with joined() as cluster:
            await cluster.start_workflow(workflow(), name="w")
            await cluster.settled()
            for number in range(50):
                await cluster.cast("w/f", str(number))
            await settle(cluster)
            assert lines(cluster) == [str(number) for number in range(50)]
            assert [cause for cause in cluster.counters() if cluster.counters()[cause]] == []
            info = await cluster.inspect("w")
            homes = {part.name: part.node for part in info.status.mapping if "-" in part.name}
            assert sorted(homes.values()) == [
                "edge/bal-hub",
                "hub/bal-edge",
                "hub/bal-lab",
                "lab/bal-hub",
            ]
            await cluster.stop_workflow("w")
            await settle(cluster)
            assert not any(residue(cluster).values())

    run(main)
