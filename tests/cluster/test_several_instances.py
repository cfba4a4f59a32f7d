"""A function with several instances in a whole cluster, in simulation and over both wires."""

from collections import Counter
from collections.abc import Callable

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction
from edgeless_sim.testing.checkers import cluster_violations, residue, running_instances

MakeFunction = Callable[..., WorkflowFunction]


def spread(modelled: MakeFunction) -> SpawnWorkflowRequest:
    functions = (modelled("source", {"out": "worker"}), modelled("worker", max_instances="3"))
    return SpawnWorkflowRequest(functions, (), {})


async def test_events_are_spread_over_the_instances_in_turn(
    cluster: Cluster, modelled: MakeFunction
) -> None:
    begun: Counter[int] = Counter()
    await cluster.start_workflow(spread(modelled), name="w")
    await cluster.settled()
    assert Counter(running_instances(cluster).values()).total() == 4
    cluster.journal.subscribe(
        lambda records: begun.update(r[3] for r in records if r[1] == "begin" and r[2])
    )
    for number in range(30):
        await cluster.cast("w/source", str(number))
    await cluster.settled()
    await cluster.caught_up()
    assert sorted(begun.values()) == [10, 10, 10, 30]
    assert await cluster_violations(cluster) == []


async def test_a_lost_instance_is_not_missed_and_comes_back_with_its_node(
    cluster: Cluster, modelled: MakeFunction
) -> None:
    await cluster.start_workflow(spread(modelled), name="w")
    await cluster.settled()
    source = await cluster.host_of("w/source")
    node = cluster.node(next(name for name in cluster.nodes if name != source))

    await node.crash()
    await cluster.clock.sleep(10)
    await cluster.settled()
    assert await cluster_violations(cluster) == []
    assert len(running_instances(cluster)) == 3

    await node.restart()
    await cluster.clock.sleep(10)
    await cluster.settled()
    assert await cluster_violations(cluster) == []
    assert len(running_instances(cluster)) == 4

    await cluster.stop_workflow("w")
    await cluster.settled()
    assert set(residue(cluster).values()) == {0}
