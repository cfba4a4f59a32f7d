"""I18: each channel that crosses domains has exactly four portal resources, and none is idle.

Read from what the ε-CON answers to ``inspect`` alone.
"""

from collections.abc import Mapping

from edgeless_sim.api.messages import WorkflowInfo
from edgeless_sim.model.portal import PORTAL_CLASS, PORTAL_OUTPUT
from edgeless_sim.model.workflow import WorkflowResource

__all__ = ["portal_faults"]


def portal_faults(title: str, info: WorkflowInfo) -> list[str]:
    """What is wrong with the portals of the workflow called *title*; empty if nothing is."""
    homes = {part.name: part.domain_id for part in info.status.mapping}
    portals = {
        resource.name: resource
        for resource in info.request.resources
        if resource.class_type == PORTAL_CLASS
    }
    faults: list[str] = []
    used: list[str] = []
    parts = [(part.name, part.output_mapping) for part in info.request.functions]
    parts += [(part.name, part.output_mapping) for part in info.request.resources]
    for name, mapping in parts:
        for channel, target in mapping.items():
            if homes.get(name) != homes.get(target):
                faults.append(f"{name}.{channel} leaves its domain for {target}")
            if target in portals and name not in portals:
                chain = _chain(target, portals)
                used += chain
                faults += [f"{name}.{channel}: {why}" for why in _faults(chain, portals, homes)]
    faults += [
        f"{name} carries {used.count(name)} channels" for name in portals if used.count(name) != 1
    ]
    return [f"I18: {title}: {fault}" for fault in faults]


def _chain(first: str, portals: dict[str, WorkflowResource]) -> list[str]:
    """The names of the halves that an event passes which enters *first*."""
    chain: list[str] = []
    name: str | None = first
    while name in portals and name not in chain:
        assert name is not None
        chain.append(name)
        there = portals[name].configurations
        opposite = {"local": "portal", "portal": "local"}.get(there.get("domain", ""))
        other = f"portal-{there.get('id')}-{there.get('role')}-{opposite}"
        if other not in portals or other in chain:
            break
        chain.append(other)
        name = portals[other].output_mapping.get(PORTAL_OUTPUT)
    return chain


def _faults(
    chain: list[str], portals: dict[str, WorkflowResource], homes: Mapping[str, str]
) -> list[str]:
    kinds = [name.split("-", 2)[-1] for name in chain]
    if kinds != ["sink-local", "sink-portal", "source-portal", "source-local"]:
        return [f"it leads through {', '.join(chain)}"]
    origin, hub, hub_again, destination = (homes[name] for name in chain)
    faults = []
    if hub != hub_again:
        faults.append(f"it is lost between the portal domains {hub} and {hub_again}")
    if origin == destination:
        faults.append(f"it leaves {origin} and comes back")
    for half, domain in ((chain[1], origin), (chain[2], destination)):
        if portals[half].configurations.get("domain_name") != domain:
            faults.append(f"{half} is not that of {domain}")
    if PORTAL_OUTPUT not in portals[chain[3]].output_mapping:
        faults.append(f"{chain[3]} leads nowhere")
    return faults
