"""What a test harness must do, in each world: the ``cluster`` fixture does it in all of them.

``--edgeless-world`` chooses one. The real ones are in this process, over real sockets.
"""

import asyncio

import pytest

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import RejectedError, UnknownComponentError
from edgeless_sim.kernel.journal import Record
from edgeless_sim.kernel.loop import VirtualTimeLoop
from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.model.worlds import SIM
from edgeless_sim.testing.checkers import cluster_violations, residue
from edgeless_sim.testing.journal_checker import JournalChecker

pytestmark = pytest.mark.usefixtures("world")


async def placed(cluster: Cluster, component: str, *, not_on: str = "") -> str:
    """Where *component* is, when the ε-CON knows of an instance that is not on *not_on*."""
    host = ""

    async def found() -> bool:
        nonlocal host
        try:
            host = await cluster.host_of(component)
        except (UnknownComponentError, RejectedError):
            return False
        return host != not_on

    await cluster.wait_for(found, timeout_s=20)
    return host


def written(cluster: Cluster) -> list[str]:
    """All lines in all files."""
    return [line for content in cluster.files().values() for line in content.decode().split()]


async def test_the_cluster_is_in_the_world_that_was_asked_for(cluster: Cluster, world: str) -> None:
    assert cluster.world == world
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop) == (world == SIM)
    assert all(handle.alive and handle.registered for handle in cluster.nodes.values())


async def test_events_flow_and_nothing_is_left_when_the_workflow_has_stopped(
    cluster: Cluster, relays: SpawnWorkflowRequest
) -> None:
    checker = JournalChecker()
    cluster.journal.subscribe(checker)
    await cluster.start_workflow(relays, name="w")

    for number in range(20):
        await cluster.cast("w/first", str(number))
    assert await cluster.call("w/desk", "PING") == CallReturn.reply("PONG")
    await cluster.settled()
    assert written(cluster) == [str(number) for number in range(20)]
    assert await cluster_violations(cluster) == []

    await cluster.stop_workflow("w")
    await cluster.settled()
    assert await cluster.controller.list_workflows() == ()
    assert set(residue(cluster).values()) == {0}
    await cluster.caught_up()
    assert checker.unexplained() == []
    assert (checker.handled, checker.violations) == (64, [])


async def test_what_a_crashed_node_hosted_runs_elsewhere_and_the_node_comes_back(
    cluster: Cluster, relays: SpawnWorkflowRequest
) -> None:
    checker = JournalChecker()
    cluster.journal.subscribe(checker)
    await cluster.start_workflow(relays, name="w")
    host = await placed(cluster, "w/second")

    await cluster.node(host).crash()
    assert not cluster.node(host).alive
    with pytest.raises(RejectedError):
        await cluster.node(host).crash()
    assert await placed(cluster, "w/second", not_on=host) != host

    await cluster.node(host).restart()
    await cluster.wait_for(lambda: cluster.node(host).registered, timeout_s=20)
    await cluster.settled()
    await cluster.cast("w/first", "after")
    assert await cluster.call("w/desk", "PING") == CallReturn.reply("PONG")
    await cluster.settled()

    assert written(cluster) == ["after"]
    assert await cluster_violations(cluster) == []
    await cluster.caught_up()
    assert checker.unexplained() == []
    assert checker.handled > 0


async def test_a_node_that_is_stopped_runs_its_stop_hooks_first(
    cluster: Cluster, relays: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(relays, name="w")
    host = await placed(cluster, "w/oracle")

    await cluster.node(host).stop()

    assert not cluster.node(host).alive
    assert any("pong: stopped" in str(record) for record in cluster.journal.tail())


async def test_an_isolated_node_is_replaced_and_its_strays_end_with_the_partition(
    cluster: Cluster, relays: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(relays, name="w")
    host = await placed(cluster, "w/second")

    fault = cluster.network.partition([host])
    assert await placed(cluster, "w/second", not_on=host) != host
    fault.heal()

    async def healed() -> bool:
        return await cluster_violations(cluster) == []

    await cluster.wait_for(healed, timeout_s=30)
    await cluster.cast("w/first", "whole")
    await cluster.settled()
    assert "whole" in written(cluster)


async def test_a_function_that_moves_takes_its_events_along(
    cluster: Cluster, relays: SpawnWorkflowRequest
) -> None:
    checker = JournalChecker()
    cluster.journal.subscribe(checker)
    records: list[Record] = []
    cluster.journal.subscribe(records.extend)
    await cluster.start_workflow(relays, name="w")
    hosts = {"w/second": "", "w/oracle": ""}

    for number in range(120):
        if number % 40 == 20:
            for name, left in hosts.items():
                # What still moves would not move again.
                host = hosts[name] = await placed(cluster, name, not_on=left)
                await cluster.migrate(name, "edge/1" if host != "edge/1" else "edge/2")
        await cluster.cast("w/first", str(number))
        if number % 10 == 0:
            assert await cluster.call("w/desk", "PING") == CallReturn.reply("PONG")
    await cluster.settled()

    # The order in the file is that of its senders: of the old one, which has its own way there,
    # and of the new one. The checker has looked at each of them.
    assert sorted(map(int, written(cluster))) == list(range(120))
    assert await cluster_violations(cluster) == []
    await cluster.caught_up()
    assert checker.unexplained() == []
    assert (checker.dropped, checker.violations) == (0, [])
    told = [record[3] for record in records if record[1] == "state"]
    assert told.count("took over") == told.count("handed over") == 6
    assert "stray" not in told


async def test_a_cordoned_node_gets_nothing_new(
    cluster: Cluster, relays: SpawnWorkflowRequest
) -> None:
    cluster.node("edge/0").cordon()
    cluster.node("edge/1").cordon()
    await cluster.start_workflow(relays, name="w")
    components = [f"w/{each}" for each in ("first", "second", "desk", "oracle", "log")]
    assert {await placed(cluster, each) for each in components} == {"edge/2"}

    cluster.node("edge/1").uncordon()
    await cluster.start_workflow(relays, name="v")
    assert {await placed(cluster, f"v/{each}") for each in ("first", "second")} >= {"edge/1"}
