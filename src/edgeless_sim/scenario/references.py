"""What the tables of a scenario may refer to: nodes, domains, workflows, components.

Pure. A fault is a path into the TOML document and a reason; the loader adds the line.
"""

from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Final, TypeAlias

from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.scenario import steps as do
from edgeless_sim.scenario.http_tables import INGRESS
from edgeless_sim.scenario.model import Domain, NodeTable, Scenario, ScenarioFiles
from edgeless_sim.scenario.units import duration_text
from edgeless_sim.scenario.workloads import WorkflowWorkload

__all__ = ["References", "ScenarioFault", "entry_names", "unknown"]

ScenarioFault: TypeAlias = tuple[TomlPath, str]

#: As many names are looked through for a suggestion.
_SUGGESTED_FROM: Final = 500


class References:
    """What a step or an expectation may refer to."""

    def __init__(self, scenario: Scenario, files: ScenarioFiles) -> None:
        self.domains = {domain.name: domain.nodes_total for domain in scenario.domains}
        balancers = [balancer.topology() for balancer in scenario.balancers]
        #: By the names of the domains that they join: the local, the portal domain.
        self.balancers = {(each.domain, each.portal) for each in balancers}
        self._balancer_nodes = {each.local_node for each in balancers}
        self._balancer_nodes |= {each.portal_node for each in balancers}
        self.starts: dict[str, int] = {}
        self.components: dict[str, list[str] | None] = {}
        #: Workloads that start workflows, by the prefix of their names.
        self.families: dict[str, WorkflowWorkload] = {}
        self.workloads = [table.name for table in scenario.workloads]
        self.ingress_nodes = {
            name
            for domain in scenario.domains
            for name, nodes in _nodes_of(domain)
            if INGRESS in nodes.providers
        }
        self._templates = files.templates
        for step in scenario.steps:
            if isinstance(step, do.StartWorkflow):
                at = self.starts.get(step.workflow, step.at)
                self.starts[step.workflow] = min(at, step.at)
                request = files.workflows.get(step.file)
                self.components[step.workflow] = _component_names(request)
        for table in scenario.workloads:
            if isinstance(table, WorkflowWorkload):
                self.families[table.prefix or table.name] = table

    def node(self, path: TomlPath, name: str, at: int | None = None) -> Iterator[ScenarioFault]:
        """A fault unless *name* is that of a node; with *at*, ``@WORKFLOW/COMPONENT`` is one."""
        if name.startswith("@") and at is not None:
            workflow, _, component = name[1:].partition("/")
            yield from self.component(path, workflow, component, at)
            return
        domain, _, index = name.rpartition("/")
        total = self.domains.get(domain)
        if total is not None and index.isascii() and index.isdigit() and len(index) < 8:
            if int(index) < total and index == str(int(index)):
                return
            yield path, f"{quoted(domain)} has the nodes '{domain}/0' to '{domain}/{total - 1}'"
            return
        yield path, unknown("node", name, self._node_names())

    def domain(self, path: TomlPath, name: str) -> Iterator[ScenarioFault]:
        """A fault unless *name* is that of a domain."""
        if name not in self.domains:
            yield path, unknown("domain", name, self.domains)

    def balancer(self, path: TomlPath, domain: str, portal: str) -> Iterator[ScenarioFault]:
        """A fault unless a balancer joins *domain* to *portal*."""
        if (domain, portal) not in self.balancers:
            known = (
                ", ".join(f"{a} to {b}" for a, b in sorted(self.balancers)[:8]) or "there is none"
            )
            yield path, f"no balancer joins {quoted(domain)} to {quoted(portal)}; known: {known}"

    def side(self, path: TomlPath, name: str, at: int | None = None) -> Iterator[ScenarioFault]:
        """A fault unless *name* is somebody at an end of a link."""
        if name in self.domains or name in self._balancer_nodes or name in ("con", "client"):
            return
        if name.startswith("orc/"):
            yield from self.domain(path, name.removeprefix("orc/"))
        elif "/" in name:
            yield from self.node(path, name, at)
        else:
            yield path, unknown("domain, node or 'con'", name, (*self.domains, "con"))

    def workflow(self, path: TomlPath, name: str, at: int | None = None) -> Iterator[ScenarioFault]:
        """A fault unless a workflow is called *name*, and started by *at*."""
        start = self.starts.get(name)
        family = self.family(name)
        if start is None and family is not None:
            start = family.start
        if start is None:
            yield path, unknown("workflow (the 'as' of a start_workflow)", name, self.starts)
        elif at is not None and at < start:
            yield path, f"{quoted(name)} is started later, at {duration_text(start)}"

    def component(
        self, path: TomlPath, workflow: str, component: str, at: int | None = None
    ) -> Iterator[ScenarioFault]:
        """A fault unless *workflow* has the *component*, and is started by *at*."""
        yield from self.workflow(path, workflow, at)
        names = self.components.get(workflow)
        family = self.family(workflow)
        if names is None and family is not None and family.map_reduce is None:
            template = self._templates.get(family.file)
            names = _component_names(None if template is None else template.first)
        if names is not None and component not in names:
            yield path, unknown(f"component of {quoted(workflow)}", component, names)

    def workload(self, path: TomlPath, name: str) -> Iterator[ScenarioFault]:
        """A fault unless *name* is that of a workload."""
        if name not in self.workloads:
            yield path, unknown("workload", name, self.workloads)

    def family(self, workflow: str) -> WorkflowWorkload | None:
        """The workload that gives such a name to a workflow."""
        prefix, dash, number = workflow.rpartition("-")
        is_number = number.isascii() and number.isdigit() and number == str(int(number))
        return self.families.get(prefix) if dash and is_number else None

    def _node_names(self) -> Iterator[str]:
        for domain, total in self.domains.items():
            yield from (f"{domain}/{index}" for index in range(min(total, _SUGGESTED_FROM)))


def _nodes_of(domain: Domain) -> Iterator[tuple[str, NodeTable]]:
    kinds = (nodes for nodes in domain.nodes for _ in range(nodes.count))
    yield from ((f"{domain.name}/{index}", nodes) for index, nodes in enumerate(kinds))


def _component_names(request: SpawnWorkflowRequest | None) -> list[str] | None:
    if request is None:
        return None
    functions = [function.name for function in request.functions]
    return functions + [resource.name for resource in request.resources]


def entry_names(group: str) -> list[str]:
    """What is installed under an entry point."""
    return sorted({entry.name for entry in entry_points(group=group)})


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """That *name* is no *what*, with the nearest match among those that are *known*."""
    names = list(known)
    hint = suggestion(name, names)
    if not hint:
        shown = ", ".join(repr(each[:64]) for each in names[:8])
        hint = f"; known: {shown}" if shown else "; there is none"
    return f"unknown {what} {quoted(name)}{hint}"
