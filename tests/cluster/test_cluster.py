"""A whole cluster: workflows start, events flow, nodes crash and come back."""

from collections.abc import Callable

import anyio
import pytest

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import (
    NoFeasibleDomainError,
    SimulationError,
    UnknownComponentError,
)
from edgeless_sim.model.event import NO_REPLY, CallReturn
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource
from edgeless_sim.testing.checkers import cluster_violations, residue, running_instances
from edgeless_sim.testing.journal_checker import JournalChecker

MakeFunction = Callable[..., WorkflowFunction]


async def test_a_ready_cluster_has_all_its_nodes_in_the_domain(cluster: Cluster) -> None:
    domains = await cluster.controller.domains(DomainId(""))

    assert {name: d.num_nodes for name, d in domains.items()} == {"edge": 3}


async def test_an_event_goes_through_a_chain_into_a_file(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")

    await cluster.cast("w/first", "hello")
    await cluster.settled()

    assert list(cluster.files().values()) == [b"hello\n"]


async def test_a_call_from_outside_is_answered(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()

    assert await cluster.call("w/second", "ping") == CallReturn.reply("ping")
    assert await cluster.call("w/log", "line") == CallReturn.reply("")


async def test_every_instance_is_where_inspect_says_and_wired_as_the_workflow_says(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.clock.sleep(3)
    await cluster.settled()

    assert await cluster_violations(cluster) == []
    assert len(running_instances(cluster)) == 4


async def test_nothing_is_left_over_when_all_workflows_have_stopped(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    for number in range(5):
        await cluster.start_workflow(chain, name=f"w{number}")
    for number in range(5):
        await cluster.stop_workflow(f"w{number}")
    await cluster.clock.sleep(5)
    await cluster.settled()

    assert await cluster.controller.list_workflows() == ()
    assert set(residue(cluster).values()) == {0}
    assert cluster.domain("edge").orchestrator.snapshot().components == ()


async def test_the_functions_of_a_crashed_node_run_elsewhere_within_ten_seconds(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    host = await cluster.host_of("w/second")

    await cluster.node(host).crash()
    await cluster.clock.sleep(10)
    await cluster.settled()

    assert await cluster.host_of("w/second") != host
    assert await cluster_violations(cluster) == []


async def test_events_flow_again_after_a_crash(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    hosts = [await cluster.host_of(f"w/{name}") for name in ("first", "second", "third")]
    log_host = await cluster.host_of("w/log")
    host = next(host for host in hosts if host != log_host)

    await cluster.node(host).crash()
    await cluster.clock.sleep(10)
    await cluster.cast("w/first", "after")
    await cluster.settled()

    assert b"after\n" in cluster.files().values()


async def test_the_journal_explains_every_event_that_a_crash_lost(
    cluster: Cluster, modelled: MakeFunction
) -> None:
    checker = JournalChecker()
    cluster.journal.subscribe(checker)
    slow = {"init-payload": "service=c(100)"}
    workflow = SpawnWorkflowRequest(
        (modelled("first", {"out": "second"}), modelled("second", **slow)), (), {}
    )
    await cluster.start_workflow(workflow, name="w")
    await cluster.settled()
    for number in range(50):
        await cluster.cast("w/first", str(number))

    await cluster.clock.sleep(0.02)
    await cluster.node(await cluster.host_of("w/second")).crash()
    await cluster.clock.sleep(10)
    await cluster.settled()
    cluster.journal.flush()

    checker.check()
    assert checker.unexplained() == []
    assert checker.dropped > 0


async def test_a_node_that_comes_back_takes_components_again(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    for name in ("edge/1", "edge/2"):
        await cluster.node(name).crash()
    await cluster.clock.sleep(10)
    await cluster.start_workflow(chain, name="w")
    await cluster.node("edge/1").restart()
    await cluster.clock.sleep(3)

    await cluster.node("edge/0").crash()
    await cluster.clock.sleep(10)
    await cluster.settled()

    assert {await cluster.host_of(f"w/{c}") for c in ("first", "second", "third", "log")} == {
        "edge/1"
    }


async def test_a_quick_restart_loses_no_component(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    host = await cluster.host_of("w/second")

    await cluster.node(host).crash()
    await cluster.node(host).restart()
    await cluster.clock.sleep(15)
    await cluster.settled()

    assert await cluster_violations(cluster) == []


async def test_a_partitioned_node_is_replaced_and_its_strays_are_stopped_after_the_heal(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    host = await cluster.host_of("w/second")

    fault = cluster.network.partition([host])
    await cluster.clock.sleep(20)
    moved_to = await cluster.host_of("w/second")
    fault.heal()
    await cluster.clock.sleep(20)
    await cluster.settled()

    assert moved_to != host
    assert await cluster_violations(cluster) == []


async def test_a_one_way_partition_that_hides_the_refreshes_is_a_dead_node(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    host = await cluster.host_of("w/second")

    fault = cluster.network.one_way([host], ["orc/edge"])
    await cluster.clock.sleep(20)
    assert await cluster.host_of("w/second") != host
    fault.heal()
    await cluster.clock.sleep(20)
    await cluster.settled()

    assert await cluster_violations(cluster) == []


async def test_a_cordoned_node_gets_no_new_functions(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    cluster.node("edge/0").cordon()
    cluster.node("edge/1").cordon()
    await cluster.settled()

    await cluster.start_workflow(chain, name="w")
    await cluster.clock.sleep(3)

    assert set(running_instances(cluster).values()) == {"edge/2"}


async def test_a_component_without_a_feasible_node_is_pending_and_says_why(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    for name in ("edge/0", "edge/1", "edge/2"):
        await cluster.node(name).crash()
    await cluster.clock.sleep(20)

    info = await cluster.inspect("w")

    assert {part.state.value for part in info.status.mapping} == {"pending"}
    assert all(part.reason for part in info.status.mapping)
    await cluster.node("edge/1").restart()
    await cluster.clock.sleep(60)
    await cluster.settled()
    assert await cluster_violations(cluster) == []
    assert len(running_instances(cluster)) == 4


async def test_an_orchestrator_that_restarts_gets_its_workflows_back(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()

    await cluster.domain("edge").crash()
    await cluster.clock.sleep(1)
    await cluster.domain("edge").restart()
    await cluster.clock.sleep(60)
    await cluster.settled()

    assert await cluster_violations(cluster) == []
    await cluster.cast("w/first", "again")
    await cluster.settled()
    assert b"again\n" in [content[-6:] for content in cluster.files().values()]


async def test_a_workflow_that_nobody_can_host_is_refused_with_the_reason(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    strange = SpawnWorkflowRequest(
        chain.functions, (WorkflowResource("log", "no-such-class", {}, {}),), {}
    )

    with pytest.raises(NoFeasibleDomainError, match="no-such-class"):
        await cluster.start_workflow(strange, name="w")
    assert await cluster.controller.list_workflows() == ()


async def test_a_name_that_does_not_exist_is_answered_with_the_nearest(cluster: Cluster) -> None:
    with pytest.raises(UnknownComponentError, match="did you mean 'edge/1'"):
        cluster.node("edgy/1")


async def test_a_cluster_that_never_settles_says_what_still_moves(
    cluster: Cluster, compiled: MakeFunction
) -> None:
    generator = compiled("generator", "message_generator")
    await cluster.start_workflow(SpawnWorkflowRequest((generator,), (), {}))

    with pytest.raises(SimulationError, match=r"not settled after 5 s: .*_fire at"):
        await cluster.settled(timeout_s=5)


async def test_compiled_functions_call_and_cast_across_nodes(
    cluster: Cluster, compiled: MakeFunction
) -> None:
    workflow = SpawnWorkflowRequest(
        (
            compiled("relay", "relay", {"out": "counter"}),
            compiled("counter", "pong"),
        ),
        (),
        {},
    )
    await cluster.start_workflow(workflow, name="w")
    await cluster.settled()
    assert await cluster.host_of("w/relay") != await cluster.host_of("w/counter")

    answer = await cluster.call("w/relay", "PING-1")

    assert answer == CallReturn.reply("PONG")
    assert answer != NO_REPLY


async def test_an_orphan_workflow_is_listed_with_the_reason(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()

    await cluster.domain("edge").crash()
    await cluster.clock.sleep(20)

    (status,) = await cluster.controller.list_workflows()
    assert status.mapping == ()
    assert "domain" in status.reason


async def test_events_that_were_delayed_are_not_overtaken_after_the_heal(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    fault = cluster.network.delay(500_000_000)

    await cluster.cast("w/first", "slow")
    await cluster.clock.sleep(0.01)
    fault.heal()
    await cluster.cast("w/first", "quick")
    await cluster.settled()

    assert list(cluster.files().values()) == [b"slow\nquick\n"]
    assert cluster.counters()["duplicate or overtaken"] == 0


async def test_a_node_that_is_stopped_runs_its_stop_hooks_first(
    cluster: Cluster, compiled: MakeFunction
) -> None:
    await cluster.start_workflow(
        SpawnWorkflowRequest((compiled("noop", "noop"),), (), {}), name="w"
    )
    await cluster.settled()
    host = await cluster.host_of("w/noop")

    await cluster.node(host).stop()

    assert any("Noop stopped" in record for record in map(str, cluster.journal.tail()))
    assert not cluster.node(host).alive


async def test_a_few_lost_refreshes_cost_no_domain_and_move_no_component(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    before = set(running_instances(cluster))

    cluster.network.loss(0.05, ["con"], ["orc/edge"])
    await cluster.clock.sleep(600)

    assert set(running_instances(cluster)) == before


async def test_a_domain_survives_two_seconds_without_its_controller(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    before = set(running_instances(cluster))

    fault = cluster.network.partition(["con"], ["orc/edge"])
    await cluster.clock.sleep(2)
    fault.heal()
    await cluster.clock.sleep(30)

    assert set(running_instances(cluster)) == before


async def test_a_stop_that_a_crash_overtakes_ends_and_leaves_the_next_life_alone(
    cluster: Cluster, modelled: MakeFunction
) -> None:
    slow = {"init-payload": "service=c(1000)"}
    await cluster.start_workflow(SpawnWorkflowRequest((modelled("a", **slow),), (), {}), name="w")
    await cluster.settled()
    await cluster.cast("w/a", "x")
    node = cluster.node(await cluster.host_of("w/a"))
    await cluster.clock.sleep(0.01)

    async with anyio.create_task_group() as group:
        group.start_soon(node.stop)
        group.start_soon(node.stop)
        await cluster.clock.sleep(0.1)
        await node.crash()
        await node.restart()

    assert node.alive
