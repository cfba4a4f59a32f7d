"""From a topology to what each of its components is told, wherever they live.

*url_of* maps a location (``con``, ``orc/edge``, ``node/edge/0``) to the URL at which that component
listens. Not here: the files (`component_files`), and starting anything.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from edgeless_sim.cluster.addresses import CONTROLLER, node_location, orchestrator_location
from edgeless_sim.cluster.component_settings import (
    BalancerComponent,
    BalancerSide,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.cluster.ports import free_ports
from edgeless_sim.cluster.topology import BalancerTopology, DomainTopology, NodeGroup, Topology
from edgeless_sim.kernel.entropy import Entropy, uuid4_from
from edgeless_sim.model.ids import NodeId

__all__ = [
    "balancer_component",
    "balancer_node_ids",
    "controller_component",
    "node_component",
    "node_ids",
    "nodes_of",
    "orchestrator_component",
]


def nodes_of(domain: DomainTopology) -> Iterator[tuple[str, NodeGroup]]:
    """Name and kind of each node of *domain*, in order."""
    index = 0
    for group in domain.nodes:
        for _ in range(group.count):
            yield f"{domain.name}/{index}", group
            index += 1


def node_ids(domain: DomainTopology, entropy: Entropy) -> Iterator[NodeId]:
    """The ids of the nodes of *domain*, in order; the same in every world."""
    dice: Random = entropy.stream(f"{domain.name}/node ids")
    while True:
        yield NodeId(uuid4_from(dice))


def balancer_node_ids(balancer: BalancerTopology, entropy: Entropy) -> tuple[NodeId, NodeId]:
    """The ids of the nodes of *balancer*, local and portal; the same in every world."""
    dice: Random = entropy.stream(f"{balancer.name}/node ids")
    return NodeId(uuid4_from(dice)), NodeId(uuid4_from(dice))


def controller_component(url_of: Callable[[str], str], seed: int | None) -> ControllerComponent:
    """The ε-CON."""
    return ControllerComponent(url=url_of(CONTROLLER), name=CONTROLLER, seed=seed)


def orchestrator_component(
    domain: DomainTopology, url_of: Callable[[str], str], seed: int | None
) -> OrchestratorComponent:
    """The ε-ORC of *domain*."""
    location = orchestrator_location(domain.name)
    return OrchestratorComponent(
        domain_id=domain.name,
        url=url_of(location),
        domain_register_url=url_of(CONTROLLER),
        strategy=domain.strategy,
        keep_alive_s=domain.keep_alive_s,
        name=location,
        seed=seed,
    )


def node_component(
    name: str,
    node_id: NodeId,
    group: NodeGroup,
    *,
    topology: Topology,
    url_of: Callable[[str], str],
    seed: int | None,
    folder: Path,
) -> NodeComponent:
    """The node called *name*, whose disk is *folder*."""
    domain, _, _ = name.rpartition("/")
    url = url_of(node_location(name))
    return NodeComponent(
        node_id=node_id,
        agent_url=url,
        invocation_url=url,
        orchestrator_url=url_of(orchestrator_location(domain)),
        capabilities=group.capabilities(),
        providers=tuple(group.providers_of(name).items()),
        http_ingress_url=_ingress_url(group),
        http_egress_allow=group.http_egress_allow,
        ollama=group.ollama,
        serverless=group.serverless_of(name),
        redis_allow=group.redis_allow,
        kafka_allow=group.kafka_allow,
        file_pusher_directory=(
            group.file_pusher_directory if "file-pusher" in group.providers else None
        ),
        collector_redis_url=(
            group.collector_redis_url if "metrics-collector" in group.providers else ""
        ),
        performance_samples=topology.performance_samples,
        call_timeout_s=topology.call_timeout_s,
        fuel_per_event=topology.fuel_per_event,
        python_folders=topology.python_folders if "PYTHON" in group.runtimes else (),
        module_cache=topology.module_cache,
        state_folder=folder / "function_state",
        files_folder=folder / "file-log",
        database_folder=folder / "databases",
        name=name,
        seed=seed,
    )


def balancer_component(
    balancer: BalancerTopology,
    ids: tuple[NodeId, NodeId],
    *,
    topology: Topology,
    url_of: Callable[[str], str],
    seed: int | None,
) -> BalancerComponent:
    """The *balancer* whose nodes have those *ids*: local, then portal."""

    def side(node_id: NodeId, name: str) -> BalancerSide:
        url = url_of(node_location(name))
        domain, _, _ = name.rpartition("/")
        return BalancerSide(
            node_id=node_id,
            agent_url=url,
            invocation_url=url,
            orchestrator_url=url_of(orchestrator_location(domain)),
            name=name,
        )

    return BalancerComponent(
        domain=balancer.domain,
        portal_domain=balancer.portal,
        local=side(ids[0], balancer.local_node),
        portal=side(ids[1], balancer.portal_node),
        performance_samples=topology.performance_samples,
        call_timeout_s=topology.call_timeout_s,
        name=balancer.name,
        seed=seed,
    )


def _ingress_url(group: NodeGroup) -> str:
    """Where a node of *group* takes requests, with a port that can stand in a file."""
    url = group.http_ingress_url
    if "http-ingress" not in group.providers:
        return ""
    if not url.endswith(":0"):
        return url
    [port] = free_ports(1)
    return f"{url.removesuffix('0')}{port}"
