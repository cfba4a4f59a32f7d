"""A call to a function whose node dies ends when that is known, not by its deadline."""

from collections.abc import Callable
from typing import Final

import anyio
import pytest

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.model.event import ERR, CallReturn
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction
from edgeless_sim.testing.checkers import cluster_violations

MakeFunction = Callable[..., WorkflowFunction]
CRASH_S: Final = 1.0
#: Until a silent node is given up: two keep-alives of 2 s, and a tick.
GIVEN_UP_S: Final = 5.0
#: Requests and events on their way.
MARGIN_S: Final = 0.1


@pytest.mark.parametrize(
    ("comes_back", "known_s"), [(False, GIVEN_UP_S), (True, 0.0)], ids=["dead", "restarted"]
)
async def test_who_waits_for_a_function_of_a_node_that_crashes_hears_of_it_in_seconds(
    cluster: Cluster,
    compiled: MakeFunction,
    modelled: MakeFunction,
    comes_back: bool,
    known_s: float,
) -> None:
    slow = modelled("slow", **{"init-payload": "service=c(20000)"})
    desk = compiled("desk", "relay", {"out": "slow"})
    await cluster.start_workflow(SpawnWorkflowRequest((desk, slow), (), {}), name="w")
    await cluster.settled()
    host = await cluster.host_of("w/slow")
    assert host != await cluster.host_of("w/desk")

    async def crash() -> None:
        await cluster.clock.sleep(CRASH_S)
        await cluster.node(host).crash()
        if comes_back:
            await cluster.node(host).restart()

    began_ns = cluster.clock.now_ns()
    async with anyio.create_task_group() as group:
        group.start_soon(crash)
        assert await cluster.call("w/desk", "m") == ERR
    took_s = (cluster.clock.now_ns() - began_ns) / 1e9
    assert CRASH_S < took_s < CRASH_S + known_s + MARGIN_S

    # The next call waits for the successor, and then for its answer.
    assert await cluster.call("w/desk", "again") == CallReturn.reply("again")
    await cluster.settled()
    assert await cluster_violations(cluster) == []
