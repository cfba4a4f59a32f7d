"""Which node could host which component: worked out from the topology and the cordons alone.

Not with the code of the ε-ORC or the ε-CON, whose decisions it judges (reliability 4).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from edgeless_sim.cluster.topology import NodeGroup, Topology
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

__all__ = ["Oracle", "Part", "parts_of"]

Part = WorkflowFunction | WorkflowResource


@dataclass(frozen=True, slots=True)
class Oracle:
    """Knows the nodes as they were built, each with its id."""

    topology: Topology
    ids: Mapping[str, str]
    """Node's name -> its id."""
    groups: dict[str, NodeGroup] = field(init=False)
    domains: dict[str, tuple[str, ...]] = field(init=False)
    """Domain's name -> its nodes' names."""

    def __post_init__(self) -> None:
        groups: dict[str, NodeGroup] = {}
        domains: dict[str, tuple[str, ...]] = {}
        for domain in self.topology.domains:
            kinds = [group for group in domain.nodes for _ in range(group.count)]
            names = tuple(f"{domain.name}/{index}" for index in range(len(kinds)))
            domains[domain.name] = names
            groups.update(zip(names, kinds, strict=True))
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "domains", domains)

    def fits(self, part: Part, node: str) -> bool:
        """Whether *node* has all that *part* wants, cordons aside."""
        group = self.groups[node]
        if isinstance(part, WorkflowFunction):
            wanted = part.annotations
            able = group.cpus > 0 and part.class_specification.function_type in group.runtimes
        else:
            wanted = part.configurations
            able = part.class_type in (
                *group.providers,
                *(each.class_type for each in group.serverless),
            )
        return able and self._allowed(wanted, node, group)

    def feasible(self, part: Part, domain: str, cordoned: Collection[str]) -> list[str]:
        """The nodes of *domain* that could take *part* now."""
        return [
            node for node in self.domains[domain] if node not in cordoned and self.fits(part, node)
        ]

    def hosts(self, request: SpawnWorkflowRequest, cordoned: Collection[str]) -> list[str]:
        """The domains that could take the whole workflow now."""
        return [
            domain
            for domain in self.domains
            if all(self.feasible(part, domain, cordoned) for part in parts_of(request))
        ]

    def _allowed(self, wanted: Mapping[str, str], node: str, group: NodeGroup) -> bool:
        nodes = _items(wanted.get("node_id_match_any", ""))
        providers = group.providers_of(node)
        return (
            (not nodes or node in nodes or self.ids[node] in nodes)
            and all(label in group.labels for label in _items(wanted.get("label_match_all", "")))
            and all(each in providers for each in _items(wanted.get("resource_match_all", "")))
            and (group.tee or wanted.get("tee", "").lower() != "required")
            and (group.tpm or wanted.get("tpm", "").lower() != "required")
        )


def parts_of(request: SpawnWorkflowRequest) -> list[Part]:
    """The components of a workflow: functions, then resources."""
    return [*request.functions, *request.resources]


def _items(text: str) -> list[str]:
    return text.split(",") if text else []
