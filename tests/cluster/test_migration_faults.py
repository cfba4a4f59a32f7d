"""A node or the ε-ORC dies at some moment of a migration: the invariants hold all the same."""

from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource
from edgeless_sim.testing.checkers import cluster_violations, rival_targets
from edgeless_sim.testing.journal_checker import JournalChecker

HERE: Final = Path(__file__).parent
#: With links of 1 ms a migration takes 6 ms from the intent on, and 3 more until all know of it.
MOMENTS_US: Final = [
    pytest.param(us, marks=() if us % 1200 == 0 else pytest.mark.slow)
    for us in range(0, 12_000, 400)
]


@pytest.fixture
def topology() -> Topology:
    """Two nodes between which a function moves, and one with everything else, which stays up."""
    groups = (NodeGroup(count=2, cpus=4), NodeGroup(count=1, cpus=4, providers=("file-log",)))
    edge = DomainTopology("edge", groups, strategy="RoundRobin")
    return Topology(
        domains=(edge,), links=(LinkTopology(latency_ns=1_000_000),), python_folders=(HERE,)
    )


def function(name: str, kind: str, nodes: str, payload: str, **outputs: str) -> WorkflowFunction:
    code = FunctionClassSpecification(
        kind, "PYTHON", "1", code=f"travellers.py:{kind}", outputs=tuple(outputs)
    )
    return WorkflowFunction(
        name, code, outputs, {"init-payload": payload, "node_id_match_any": nodes}
    )


WORKFLOW: Final = SpawnWorkflowRequest(
    (
        function("ticker", "Ticker", "edge/2", "4 200", out="counter"),
        function("asker", "Asker", "edge/2", "7 100", out="counter", log="answers"),
        function("counter", "Counter", "edge/0,edge/1", "sync", out="counts"),
    ),
    (
        WorkflowResource("counts", "file-log", {}, {"filename": "counts"}),
        WorkflowResource("answers", "file-log", {}, {"filename": "answers"}),
    ),
    {},
)


def happened(records: list[Record], what: str) -> bool:
    return any(record[1] == "state" and record[3] == what for record in records)


async def quiet(cluster: Cluster, seconds: float) -> None:
    """Let *seconds* pass; nobody has two reachable instances meanwhile (I04)."""
    for _ in range(round(seconds * 20)):
        await cluster.clock.sleep(0.05)
        assert rival_targets(cluster) == []


async def disturbed(cluster: Cluster, victim: str, old: str, new: str) -> None:
    """Crash *victim* for nine seconds, or let nothing pass between two of them."""
    if victim in ("way", "answers"):
        network = cluster.network
        # Without answers the ε-ORC gives the new node up, and stops what it finds there later.
        fault = (
            network.partition([old], [new])
            if victim == "way"
            else network.one_way([new], ["orc/edge"])
        )
        await quiet(cluster, 9)
        fault.heal()
        return
    nodes = {"old": old, "new": new}
    dying = cluster.node(nodes[victim]) if victim in nodes else cluster.domain("edge")
    await dying.crash()
    await quiet(cluster, 9)
    await dying.restart()


@pytest.mark.parametrize("moment_us", MOMENTS_US)
@pytest.mark.parametrize("victim", ["old", "new", "orc", "way", "answers"])
async def test_whoever_dies_whenever_nothing_is_doubled_stuck_or_lost_in_silence(
    cluster: Cluster, victim: str, moment_us: int
) -> None:
    records: list[Record] = []
    checker = JournalChecker()
    cluster.journal.subscribe(checker)
    cluster.journal.subscribe(records.extend)
    await cluster.start_workflow(WORKFLOW, name="w")
    await cluster.clock.sleep(0.2)
    old = await cluster.host_of("w/counter")
    new = "edge/1" if old == "edge/0" else "edge/0"

    await cluster.migrate("w/counter", new)
    await cluster.clock.sleep(moment_us / 1e6)
    await disturbed(cluster, victim, old, new)
    await cluster.clock.sleep(30)
    await cluster.settled()
    await cluster.clock.sleep(1)

    cluster.journal.flush()
    checker.check()
    assert checker.unexplained() == []
    assert await cluster_violations(cluster) == []
    assert [len(node.node.agent.handovers) for node in cluster.nodes.values()] == [0, 0, 0]
    survives = {
        "old": happened(records, "took over"),
        "new": not happened(records, "handed over"),
        "orc": False,
        "way": True,
        "answers": False,
    }
    if survives[victim]:
        # Whoever had the state is alive: it was not lost.
        lines = cluster.files()["edge/2/counts"].decode().splitlines()
        counts = [int(line.split()[1]) for line in lines]
        assert counts == sorted(set(counts))
        assert len(counts) > 40
