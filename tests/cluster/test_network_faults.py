"""Faults of a cluster's network do what they are called, and count it."""

import pytest

from edgeless_sim.api.methods import METHODS
from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.controller.workflow_store import MemoryWorkflowStore
from edgeless_sim.errors import RejectedError, UnreachableError
from edgeless_sim.kernel import run
from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.testing.checkers import cluster_violations
from edgeless_sim.testing.journal_checker import JournalChecker

TOPOLOGY = Topology(
    domains=(DomainTopology("edge", (NodeGroup(count=2, providers=("file-log",)),)),),
    links=(LinkTopology(latency_ns=2_000_000),),
)
SECOND_NS = 1_000_000_000


async def events(cluster: Cluster, count: int) -> None:
    for number in range(count):
        await cluster.cast("w/first", str(number))
    await cluster.settled()


async def checked(cluster: Cluster, checker: JournalChecker) -> None:
    cluster.journal.flush()
    checker.check()
    assert checker.unexplained() == []
    assert await cluster_violations(cluster) == []


@pytest.mark.parametrize("kind", ["duplicate", "reorder", "bandwidth"])
def test_events_are_handled_once_and_in_order_whatever_the_network_does(
    kind: str, chain: SpawnWorkflowRequest
) -> None:
    effects = {
        "duplicate": "frames duplicated",
        "reorder": "frames that overtook others",
        "bandwidth": "frames slowed by bandwidth",
    }

    async def main() -> None:
        async with open_topology(TOPOLOGY, seed=3) as cluster:
            checker = JournalChecker()
            cluster.journal.subscribe(checker)
            await cluster.start_workflow(chain, name="w")
            match kind:
                case "duplicate":
                    fault = cluster.network.duplicate(0.5)
                case "reorder":
                    fault = cluster.network.reorder(20_000_000, 0.5)
                case _:
                    fault = cluster.network.bandwidth(50_000)
            await events(cluster, 40)
            fault.heal()
            await cluster.clock.sleep(20)
            await checked(cluster, checker)
            counted = cluster.counters()
            assert counted[effects[kind]] > 5
            await events(cluster, 5)
            assert cluster.counters()[effects[kind]] == counted[effects[kind]]

    run(main)


def test_an_answer_is_lost_after_the_work_is_done(chain: SpawnWorkflowRequest) -> None:
    async def main() -> None:
        async with open_topology(TOPOLOGY) as cluster:
            start = METHODS["WorkflowInstance"]["start"].path
            cluster.network.lose_answers(start, ["client"], ["con"])
            with pytest.raises(UnreachableError):
                await cluster.start_workflow(chain, name="w")
            assert cluster.counters()["answer lost: WorkflowInstance/Start"] == 1
            assert await cluster.host_of("w/first") in cluster.nodes
            await cluster.start_workflow(chain, name="another")

    run(main)


@pytest.mark.parametrize("again", [False, True])
def test_a_late_start_of_an_instance_brings_back_nothing(
    again: bool, chain: SpawnWorkflowRequest
) -> None:
    async def main() -> None:
        async with open_topology(TOPOLOGY) as cluster:
            checker = JournalChecker()
            cluster.journal.subscribe(checker)
            start = METHODS["FunctionInstance"]["start_function"].path
            cluster.network.late_requests(
                start, 20 * SECOND_NS, ["orc/edge"], ["edge"], again=again
            )
            if again:
                await cluster.start_workflow(chain, name="w")
                await cluster.stop_workflow("w")
            else:
                with pytest.raises(RejectedError, match="did not answer"):
                    await cluster.start_workflow(chain, name="w")
            await cluster.clock.sleep(30)
            await checked(cluster, checker)
            effect = "requests again" if again else "late requests"
            assert cluster.counters()[f"{effect}: FunctionInstance/Start"] == 1
            assert all(not node.node.agent.inventory() for node in cluster.nodes.values())

    run(main)


def test_the_controller_comes_back_with_what_it_promised(chain: SpawnWorkflowRequest) -> None:
    async def main() -> None:
        async with open_topology(TOPOLOGY) as cluster:
            await cluster.start_workflow(chain, name="kept")
            await cluster.start_workflow(chain, name="stopped")
            await cluster.stop_workflow("stopped")
            await cluster.con.crash()
            assert not cluster.con.alive
            with pytest.raises(RejectedError, match="down"):
                await cluster.con.crash()
            await cluster.clock.sleep(3)
            await cluster.con.restart()
            with pytest.raises(RejectedError, match="up"):
                await cluster.con.restart()
            await cluster.clock.sleep(10)
            assert [w.name for w in await cluster.controller.list_workflows()] == ["kept"]
            assert await cluster_violations(cluster) == []

    run(main)


def test_a_controller_with_an_empty_disk_has_everything_stopped(
    chain: SpawnWorkflowRequest,
) -> None:
    """F08: what nobody can stop any more must not run on."""

    async def main() -> None:
        async with open_topology(TOPOLOGY) as cluster:
            await cluster.start_workflow(chain, name="forgotten")
            assert any(node.node.agent.inventory() for node in cluster.nodes.values())
            await cluster.con.crash()
            cluster.con._store = MemoryWorkflowStore()  # type: ignore[attr-defined]  # its disk
            await cluster.con.restart()
            await cluster.clock.sleep(10)
            assert await cluster.controller.list_workflows() == ()
            assert not any(node.node.agent.inventory() for node in cluster.nodes.values())
            await cluster.start_workflow(chain, name="new")
            await cluster.settled()
            assert await cluster_violations(cluster) == []

    run(main)


def test_a_stream_of_bytes_doubles_nothing_and_may_be_narrow() -> None:
    async def main() -> None:
        async with open_topology(TOPOLOGY, world="tcp") as cluster:
            network = cluster.network
            with pytest.raises(RejectedError, match="doubled; only the world sim"):
                network.duplicate(0.1)
            with pytest.raises(RejectedError, match="reordered; only the world sim"):
                network.reorder(1, 0.1)
            with pytest.raises(RejectedError, match="lost one by one; only the world sim"):
                network.lose_answers("/a/B", [], [])
            with pytest.raises(RejectedError, match="delayed one by one; only the world sim"):
                network.late_requests("/a/B", 1, [], [])
            network.bandwidth(1_000_000)
            await cluster.clock.sleep(2)
            assert cluster.counters()["pieces slowed by bandwidth"] > 0

    run(main, world="tcp")
