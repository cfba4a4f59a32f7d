"""The ε-CON says why a workflow is where it is, down to the nodes that its domains chose."""

from collections.abc import Callable

import pytest

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import NoFeasibleDomainError, UnknownComponentError
from edgeless_sim.model.ids import WORKFLOW_ID_NONE
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction

MakeFunction = Callable[..., WorkflowFunction]


async def test_a_workflow_is_explained_from_the_domain_down_to_the_node(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    status = await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    domain, *nodes = await cluster.controller.explain(status.workflow_id)
    assert (domain.component, domain.outcome, domain.chosen) == ("w", "placed", "edge")
    assert [each.name for each in domain.candidates] == ["edge"]
    assert {each.component.rpartition("/")[2]: each.chosen for each in nodes} == {
        name: await cluster.host_of(f"w/{name}") for name in ("first", "second", "third", "log")
    }
    assert all(each.decided_by == "ε-ORC of edge, RoundRobin" for each in nodes)


async def test_what_happened_to_a_component_after_a_crash_is_explained(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    status = await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    lost = await cluster.host_of("w/second")
    await cluster.node(lost).crash()
    await cluster.clock.sleep(10)
    await cluster.settled()
    decisions = await cluster.controller.explain(status.workflow_id)
    mine = [each for each in decisions if each.component.endswith("/second")]
    assert [each.chosen for each in mine] == [lost, await cluster.host_of("w/second")]
    assert lost not in [each.name for each in mine[-1].candidates]


async def test_an_orphan_is_explained_once_however_often_it_is_tried(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    status = await cluster.start_workflow(chain, name="w")
    await cluster.domain("edge").crash()
    await cluster.clock.sleep(60)
    decisions = await cluster.controller.explain(status.workflow_id)
    assert [each.outcome for each in decisions] == ["placed", "pending"]
    assert "no domain is registered" in decisions[-1].reason


async def test_a_domain_that_does_not_answer_is_said_to(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    status = await cluster.start_workflow(chain, name="w")
    await cluster.settled()
    cluster.network.partition(["orc/edge"])
    *_, last = await cluster.controller.explain(status.workflow_id)
    assert (last.outcome, last.decided_by) == ("unknown", "ε-ORC of edge")


async def test_what_is_unknown_or_was_refused_is_not_explained(
    cluster: Cluster, modelled: MakeFunction
) -> None:
    with pytest.raises(UnknownComponentError):
        await cluster.controller.explain(WORKFLOW_ID_NONE)
    impossible = SpawnWorkflowRequest((modelled("f", label_match_all="none"),), (), {})
    with pytest.raises(NoFeasibleDomainError, match="none"):
        await cluster.start_workflow(impossible, name="w")
