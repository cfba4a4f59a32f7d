"""Properties that hold in a simulated cluster at every settled moment.

The codes are those of the invariants in the reliability contract: I01, I02 exactly one instance per
component, I03 a component that cannot be placed says why, I13 the inventories agree, I16 and I17
outputs lead to living instances, I18 portals (`portal_checker`), and I39 nothing is left over.
"""

from itertools import chain

from edgeless_sim.api.messages import ComponentMapping, ComponentState, WorkflowInfo
from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.model.annotations import parse_requirements
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.phase import Phase
from edgeless_sim.testing.portal_checker import portal_faults

__all__ = ["cluster_violations", "residue", "rival_targets", "running_instances"]


def running_instances(cluster: Cluster) -> dict[InstanceId, str]:
    """Every instance that lives on a living node, with the node's name. Failed ones count."""
    return {
        pid: name
        for name, handle in cluster.nodes.items()
        if handle.alive
        for pid in (*_functions(cluster, name), *handle.node.agent.resources)
    }


async def cluster_violations(cluster: Cluster) -> list[str]:
    """What is wrong with a cluster that had time to settle; empty if nothing is."""
    violations: list[str] = []
    running = running_instances(cluster)
    wanted: dict[InstanceId, str] = {}
    for status in await cluster.controller.list_workflows():
        info = await cluster.controller.inspect(status.workflow_id)
        title = status.name or str(status.workflow_id)
        for component in info.status.mapping:
            violations += _component_faults(title, component, running, wanted)
        violations += _output_faults(title, info, cluster, running)
        violations += portal_faults(title, info)
    violations += [
        f"I13: {running[pid]} runs {pid}, which belongs to no component"
        for pid in running
        if pid not in wanted
    ]
    for name, domain in cluster.domains.items():
        try:
            domain.orchestrator.check_invariants()
        except AssertionError as error:
            violations.append(f"ε-ORC {name}: {error}")
    return violations


def rival_targets(cluster: Cluster) -> list[str]:
    """Components of which more living instances in one domain than they may have are outputs of
    living instances (I04): two, unless they ask for several.

    Holds at every moment, unless a partition leaves an isolated node its instances: without
    fencing it cannot know better (design, decision 31).
    """
    by_key: dict[bytes, str] = {}
    most: dict[str, int] = {}
    for handle in cluster.nodes.values():
        if handle.alive:
            for pid, hosted in handle.node.agent.functions.items():
                request = hosted.request
                name = f"{handle.domain.name}: {request.workflow_id}/{request.name}"
                most[name] = max(1, parse_requirements(request.annotations).max_instances)
                if not hosted.stopping:
                    by_key[pid.key] = name
    reached: dict[str, dict[bytes, None]] = {}
    for handle in cluster.nodes.values():
        if handle.alive:
            for hosted in handle.node.agent.functions.values():
                for key in chain.from_iterable(hosted.handle.all_targets.values()):
                    if key in by_key and not hosted.stopping:
                        reached.setdefault(by_key[key], {})[key] = None
    return [
        f"I04: {name} has {len(keys)}" for name, keys in reached.items() if len(keys) > most[name]
    ]


def residue(cluster: Cluster) -> dict[str, int]:
    """What is left on the nodes; all zero when every workflow has stopped (I39)."""
    left = {"instances": 0, "inboxes": 0, "pending calls": 0, "waiting segments": 0}
    for handle in cluster.nodes.values():
        if handle.alive:
            node = handle.node
            left["instances"] += len(node.agent.functions) + len(node.agent.resources)
            left["inboxes"] += len(node.plane.local)
            left["pending calls"] += len(node.plane.calls)
            left["waiting segments"] += node.processor.waiting
    return left


def _functions(cluster: Cluster, name: str) -> list[InstanceId]:
    functions = cluster.nodes[name].node.agent.functions
    return [pid for pid, hosted in functions.items() if hosted.phase is not Phase.GONE]


def _component_faults(
    title: str,
    component: ComponentMapping,
    running: dict[InstanceId, str],
    wanted: dict[InstanceId, str],
) -> list[str]:
    name = f"{title}/{component.name}"
    if component.state is ComponentState.PENDING:
        if component.instance is not None:
            return [f"I03: {name} is pending and has the instance {component.instance}"]
        return [] if component.reason else [f"I03: {name} is pending without a reason"]
    if component.instance is None:
        return [f"I01: {name} is {component.state} without an instance"]
    faults = []
    for instance in (component.instance, *component.further):
        if instance in wanted:
            faults.append(f"I01: {name} and {wanted[instance]} share an instance")
        wanted[instance] = name
        if instance not in running:
            faults.append(f"I01: an instance of {name} does not run: {instance}")
    if running.get(component.instance, component.node) != component.node:
        faults.append(f"I11: {name} is said to be on {component.node}")
    return faults


def _output_faults(
    title: str, info: WorkflowInfo, cluster: Cluster, running: dict[InstanceId, str]
) -> list[str]:
    """I16 and I17: channels lead where the workflow says, and to nobody who is dead."""
    instances = {
        part.name: tuple(sorted(pid.key for pid in (part.instance, *part.further)))
        for part in info.status.mapping
        if part.instance is not None
    }
    placed = {part.name: (part.instance, *part.further) for part in info.status.mapping}
    faults = []
    functions = [(part.name, part.output_mapping) for part in info.request.functions]
    resources = [(part.name, part.output_mapping) for part in info.request.resources]
    for component, mapping in (*functions, *resources):
        expected = {
            channel: instances[name] for channel, name in mapping.items() if name in instances
        }
        for pid in placed.get(component, ()):
            if pid is None or pid not in running:
                continue
            agent = cluster.nodes[running[pid]].node.agent
            hosted = agent.functions.get(pid) or agent.resources[pid]
            actual = {
                channel: keys
                for channel, keys in hosted.handle.all_targets.items()
                if mapping.get(channel, "") in instances or channel not in mapping
            }
            if actual != expected:
                faults.append(
                    f"I16: {title}/{component} has outputs {sorted(actual)} "
                    f"that do not match {sorted(expected)}"
                )
    return faults
