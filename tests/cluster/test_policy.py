"""A placement policy is a few lines of Python, named in the topology."""

import sys
from collections.abc import Sequence
from random import Random

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.kernel import run
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction
from edgeless_sim.orchestrator.view import ComponentView, DomainView, NodeView
from edgeless_sim.testing.checkers import running_instances


class LastNode:
    """Always the last of the feasible nodes."""

    def choose(
        self, feasible: Sequence[NodeView], component: ComponentView, view: DomainView, dice: Random
    ) -> NodeId:
        return feasible[-1].node_id


def test_a_policy_of_ones_own_decides_where_functions_run() -> None:
    sys.modules["own_policy"] = sys.modules[__name__]
    code = FunctionClassSpecification("m", "MODELLED", "1.0")
    functions = tuple(
        WorkflowFunction(f"f{n}", code, {}, {"init-payload": "service=c(1)"}) for n in range(6)
    )

    async def main() -> None:
        domain = DomainTopology("edge", (NodeGroup(count=4),), strategy="own_policy:LastNode")
        async with open_topology(Topology((domain,))) as cluster:
            await cluster.start_workflow(SpawnWorkflowRequest(functions, (), {}), name="w")
            await cluster.settled()
            last = max(cluster.nodes.values(), key=lambda node: node.node_id)
            assert set(running_instances(cluster).values()) == {last.name}

    run(main)
