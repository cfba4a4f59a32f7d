"""The mirror of a simulated domain, asked over its memory network as a program would ask."""

from edgeless_sim.api.clients import DomainMirrorClient
from edgeless_sim.api.messages import MirrorPart, MirrorQuery
from edgeless_sim.api.wires import Role
from edgeless_sim.cluster.addresses import CLIENT, orchestrator_location
from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.model.intent import Migrate
from edgeless_sim.model.mirror import DomainMirror
from edgeless_sim.model.workflow import SpawnWorkflowRequest


async def test_a_simulated_domain_is_shown_and_obeys_intents(
    cluster: Cluster, chain: SpawnWorkflowRequest
) -> None:
    url = cluster.network.url(orchestrator_location("edge"))
    client = DomainMirrorClient(
        cluster.network.connection(CLIENT, url), cluster.network.wires(Role.CLIENT).calling(url)
    )

    async def shown(part: MirrorPart) -> DomainMirror:
        return (await client.mirror(MirrorQuery(part))).mirror

    await cluster.start_workflow(chain, name="w")
    await cluster.clock.sleep(2)
    nodes = (await shown(MirrorPart.NODES)).nodes
    components = {
        (each.function or each.resource).name: each  # type: ignore[union-attr]  # one is there
        for each in (await shown(MirrorPart.COMPONENTS)).components
    }
    assert {node.name for node in nodes} == set(cluster.nodes)
    assert all(node.health[-1].health.mem_used > 0 for node in nodes)
    assert components["first"].outputs == {"out": components["second"].logical_id}
    (place,) = components["first"].instances
    target = next(node.node_id for node in nodes if node.node_id != place.node_id)

    await client.submit(Migrate(components["first"].logical_id, (target,)))
    await cluster.clock.sleep(2)
    await cluster.settled()
    moved = {
        each.logical_id: each.instances for each in (await shown(MirrorPart.COMPONENTS)).components
    }
    assert [found.node_id for found in moved[components["first"].logical_id]] == [target]
