"""Whatever happens to a cluster, it comes back to what its workflows ask for, and loses nothing
without saying so.

Each example is a random list of operations and faults; afterwards the faults end, the cluster gets
the time that the reliability contract allows (T_settle), and the invariants are checked.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.errors import EdgelessError
from edgeless_sim.kernel import run
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource
from edgeless_sim.testing.checkers import cluster_violations, residue, rival_targets
from edgeless_sim.testing.journal_checker import JournalChecker

NODES = ("edge/0", "edge/1", "edge/2", "cloud/0", "cloud/1")
T_SETTLE_S = 60
ISOLATING = ("partition", "one_way", "loss")
TOPOLOGY = Topology(
    domains=(
        DomainTopology(
            "edge", (NodeGroup(count=3, providers=("file-log",)),), strategy="RoundRobin"
        ),
        DomainTopology("cloud", (NodeGroup(count=2, providers=("file-log",)),)),
    ),
    links=(LinkTopology(latency_ns=5_000_000, jitter_ns=2_000_000),),
)


@dataclass(frozen=True)
class Operation:
    """One thing that happens, and how long nothing else happens after it."""

    what: str
    where: str
    pause_s: float


OPERATIONS = st.lists(
    st.builds(
        Operation,
        st.sampled_from(
            [
                *("start", "stop", "cast", "migrate", "crash", "restart"),
                *("partition", "one_way", "loss", "heal"),
            ]
        ),
        st.sampled_from(NODES),
        st.sampled_from([0.0, 0.01, 0.5, 3.0, 12.0]),
    ),
    min_size=1,
    max_size=14,
)


def workflow() -> SpawnWorkflowRequest:
    code = FunctionClassSpecification("relay", "MODELLED", "1.0", outputs=("out",))
    service = {"init-payload": "service=c(2)"}
    return SpawnWorkflowRequest(
        (
            WorkflowFunction("a", code, {"out": "b"}, service),
            WorkflowFunction("b", code, {"out": "log"}, service),
        ),
        (WorkflowResource("log", "file-log", {}, {"filename": "a.log"}),),
        {},
    )


async def perform(cluster: Cluster, operation: Operation, number: int) -> None:
    """Do it; what the cluster refuses in its present state is no violation."""
    node = cluster.node(operation.where)
    match operation.what:
        case "crash":
            await node.crash()
        case "restart":
            await node.restart()
        case "start" | "stop" | "cast":
            await perform_on_workflows(cluster, operation.what, f"w{number}")
        case "migrate":
            for status in await cluster.controller.list_workflows():
                await cluster.cast(f"{status.name}/a", "before it moves")
                await cluster.migrate(f"{status.name}/{'ab'[number % 2]}", operation.where)
        case _:
            disturb(cluster, operation)


async def perform_on_workflows(cluster: Cluster, what: str, name: str) -> None:
    if what == "start":
        await cluster.start_workflow(workflow(), name=name)
        return
    running = await cluster.controller.list_workflows()
    if what == "stop" and running:
        await cluster.stop_workflow(running[0].name)
    elif what == "cast":
        for status in running:
            await cluster.cast(f"{status.name}/a", name)


def disturb(cluster: Cluster, operation: Operation) -> None:
    match operation.what:
        case "partition":
            cluster.network.partition([operation.where])
        case "one_way":
            cluster.network.one_way([operation.where])
        case "loss":
            cluster.network.loss(0.2, [operation.where])
        case _:
            cluster.network.heal_all()


async def recover(cluster: Cluster) -> None:
    cluster.network.heal_all()
    for node in cluster.nodes.values():
        if not node.alive:
            await node.restart()
    await cluster.clock.sleep(T_SETTLE_S)
    await cluster.settled()


def watch_rivals(cluster: Cluster, found: list[str]) -> None:
    """Look for rival targets every 7 ms of virtual time."""
    found += rival_targets(cluster)
    when_ns = cluster.clock.now_ns() + 7_000_000
    cluster.scheduler.background_at(when_ns, watch_rivals, cluster, found)


async def violations_of(operations: Sequence[Operation], seed: int) -> list[str]:
    unhandled: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: unhandled.append(f"I37: {context['message']}")
    )
    async with open_topology(TOPOLOGY, seed=seed) as cluster:
        rivals: list[str] = []
        if not any(operation.what in ISOLATING for operation in operations):
            watch_rivals(cluster, rivals)
        checker = JournalChecker()
        cluster.journal.subscribe(checker)
        for number, operation in enumerate(operations):
            try:
                await perform(cluster, operation, number)
            except EdgelessError as error:
                note(f"{operation}: {error}")
            await cluster.clock.sleep(operation.pause_s)
        await recover(cluster)
        violations = await cluster_violations(cluster)
        for status in await cluster.controller.list_workflows():
            await cluster.controller.stop(status.workflow_id)
        await cluster.clock.sleep(30)
        await cluster.settled()
        violations += [f"I39: {count} {what}" for what, count in residue(cluster).items() if count]
        cluster.journal.flush()
        violations += checker.violations
        violations += [f"I24: event {serial} is unexplained" for serial in checker.unexplained()]
        return violations + rivals + unhandled


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=OPERATIONS, seed=st.integers(0, 2**16))
def test_a_cluster_recovers_from_whatever_happened(operations: list[Operation], seed: int) -> None:
    assert run(lambda: violations_of(operations, seed)) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    operations=st.lists(
        st.builds(
            Operation,
            st.sampled_from(["start", "stop", "migrate", "crash", "restart"]),
            st.sampled_from(NODES),
            st.sampled_from([0.0, 0.01, 0.5, 3.0]),
        ),
        min_size=2,
        max_size=12,
    ),
    seed=st.integers(0, 2**16),
)
def test_no_component_ever_has_two_instances_that_others_send_to(
    operations: list[Operation], seed: int
) -> None:
    started = [Operation("start", "edge/0", 0.0), *operations]
    assert run(lambda: violations_of(started, seed)) == []
