"""What must hold when everything has healed and had its time, and when everything has stopped.

The placement checks ask the oracle, and not the ε-ORC, what is feasible.
"""

from collections.abc import Iterable

from edgeless_sim.api.messages import ComponentMapping, ComponentState, WorkflowStatus
from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import EdgelessError
from edgeless_sim.exploration.hands import Hands
from edgeless_sim.exploration.oracle import Part, parts_of
from edgeless_sim.model.ids import DomainId
from edgeless_sim.testing.checkers import cluster_violations, residue

__all__ = ["empty_violations", "settled_violations"]


async def settled_violations(hands: Hands) -> list[str]:
    """What is wrong with a cluster that has healed T_settle ago."""
    cluster = hands.cluster
    try:
        listed = await cluster.controller.list_workflows()
        found = hands.promises.settle(listed)
        found += await cluster_violations(cluster)
        domains = await cluster.controller.domains(DomainId(""))
    except EdgelessError as error:
        return [f"G01: the ε-CON does not answer: {error}"]
    if sorted(domains) != sorted(cluster.domains):
        found.append(f"I11: the domains are {sorted(domains)}, not {sorted(cluster.domains)}")
    for status in listed:
        found += _workflow_violations(hands, status)
    found += _inventory_violations(cluster, listed)
    hands.tally.checks.update(
        ("I01", "I02", "I03", "I07", "I08", "I10", "I11", "I12", "I13", "I16", "I17")
    )
    return found


def empty_violations(cluster: Cluster) -> list[str]:
    """What is left when everything was stopped (I39)."""
    found = [f"I39: {count} {what}" for what, count in residue(cluster).items() if count]
    for name, domain in cluster.domains.items():
        left = len(domain.orchestrator.snapshot().components)
        if left:
            found.append(f"I39: ε-ORC {name} still wants {left} components")
    workflows, _ = cluster.con.controller.census()
    if workflows.total():
        found.append(f"I39: the ε-CON still has {workflows.total()} workflows")
    return found


def _workflow_violations(hands: Hands, status: WorkflowStatus) -> list[str]:
    request = hands.promises.requests.get(status.name)
    if request is None:
        return []
    parts = {part.name: part for part in parts_of(request)}
    if not status.mapping:
        hosts = hands.oracle.hosts(request, hands.cordons.nodes)
        if parts and hosts:
            return [f"I12: {status.name} is an orphan ({status.reason}), and {hosts} could host it"]
        return [] if status.reason or not parts else [f"I03: {status.name} does not say why"]
    found = []
    if sorted(parts) != sorted(component.name for component in status.mapping):
        found.append(f"I08: {status.name} has not all of its components")
    if len({component.domain_id for component in status.mapping}) > 1:
        found.append(f"I11: {status.name} is in several domains")
    for component in status.mapping:
        if component.name in parts:
            found += _component_violations(hands, status, component, parts[component.name])
    return found


def _component_violations(
    hands: Hands, status: WorkflowStatus, component: ComponentMapping, part: Part
) -> list[str]:
    name = f"{status.name}/{component.name}"
    feasible = hands.oracle.feasible(part, component.domain_id, hands.cordons.nodes)
    if component.state is ComponentState.PENDING:
        if feasible:
            why = f"is pending ({component.reason}), and {feasible} could host it"
            return [f"I01: {name} {why}"]
        return []
    if component.node not in hands.oracle.domains[component.domain_id]:
        return [f"I11: {name} is on {component.node}, not in {component.domain_id}"]
    if not hands.oracle.fits(part, component.node):
        return [f"I06: {name} is on {component.node}, which lacks what it wants"]
    return []


def _inventory_violations(cluster: Cluster, listed: Iterable[WorkflowStatus]) -> list[str]:
    """I13: what the ε-CON wants of a domain is what its ε-ORC wants of its nodes."""
    wanted: dict[str, list[str]] = {name: [] for name in cluster.domains}
    for status in listed:
        for component in status.mapping:
            wanted.setdefault(component.domain_id, []).append(str(component.logical_id))
    found = []
    for name, domain in cluster.domains.items():
        known = [
            str(component.logical_id) for component in domain.orchestrator.snapshot().components
        ]
        if sorted(known) != sorted(wanted[name]):
            found.append(
                f"I13: ε-ORC {name} has {len(known)} components, of which the ε-CON knows "
                f"{len(set(known) & set(wanted[name]))} of its {len(wanted[name])}"
            )
    try:
        cluster.con.controller.check_invariants()
    except AssertionError as error:
        found.append(f"I13: the ε-CON's books contradict each other: {error}")
    return found
