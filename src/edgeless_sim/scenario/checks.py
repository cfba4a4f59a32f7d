"""Whether a scenario makes sense: names that exist, times within the run, faults that can happen.

Pure. The shape is right already (`model`). A fault is a path into the TOML document and a reason;
the loader adds the line. What is odd but allowed is a warning.
"""

from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Final

from edgeless_sim.cluster.topology import NODES_MAX
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.model.worlds import WORLDS
from edgeless_sim.orchestrator.placement import strategy_fault
from edgeless_sim.resources.catalog import simulation_fault
from edgeless_sim.scenario import expectations as expect
from edgeless_sim.scenario import steps as do
from edgeless_sim.scenario.model import Link, Network, Scenario
from edgeless_sim.scenario.units import duration_text

__all__ = ["ScenarioFault", "scenario_faults", "scenario_warnings"]

ScenarioFault = tuple[TomlPath, str]

#: As many names are looked through for a suggestion.
_SUGGESTED_FROM: Final = 500
_RESERVED: Final = ("con", "client", "orc", "node", "bal")
_OF_NODES: Final = (do.CrashNode, do.StopNode, do.RestartNode)
_OUTAGES: Final = (*_OF_NODES, do.CrashOrchestrator, do.RestartOrchestrator)


def scenario_faults(
    scenario: Scenario, workflows: dict[str, SpawnWorkflowRequest]
) -> Iterator[ScenarioFault]:
    """What is wrong with *scenario*; *workflows* by file name, those that could be read."""
    known = _Names(scenario, workflows)
    yield from _domain_faults(scenario)
    for place, world in enumerate(scenario.worlds):
        if world not in WORLDS:
            yield ("worlds", place), _unknown("world", world, WORLDS)
    yield from _jitter_faults(("network",), scenario.network)
    for place, link in enumerate(scenario.network.link):
        yield from _jitter_faults(("network", "link", place), link)
        for side, name in enumerate(link.between):
            yield from known.side(("network", "link", place, "between", side), name)
    for place, step in enumerate(scenario.steps):
        yield from _step_faults(("step", place), step, scenario, known)
    yield from _outage_faults(scenario)
    for place, expectation in enumerate(scenario.expectations):
        yield from _expectation_faults(("expect", place), expectation, scenario, known)


def scenario_warnings(scenario: Scenario) -> list[str]:
    """What is allowed in *scenario* but probably not meant."""
    warnings = []
    if not scenario.expectations:
        warnings.append("no [[expect]]: nothing is checked, the result will be inconclusive")
    if not any(isinstance(step, do.StartWorkflow) for step in scenario.steps):
        warnings.append("no start_workflow: without a workload the result will be inconclusive")
    for place, step in enumerate(scenario.steps):
        later = _later(step)
        if later is not None and step.at + later[1] > scenario.duration:
            warnings.append(f"step[{place}].{later[0]}: the run ends before that")
    return warnings


class _Names:
    """What a step or an expectation may refer to."""

    def __init__(self, scenario: Scenario, workflows: dict[str, SpawnWorkflowRequest]) -> None:
        self.domains = {domain.name: domain.nodes_total for domain in scenario.domains}
        self.starts: dict[str, int] = {}
        self.components: dict[str, list[str] | None] = {}
        for step in scenario.steps:
            if isinstance(step, do.StartWorkflow):
                at = self.starts.get(step.workflow, step.at)
                self.starts[step.workflow] = min(at, step.at)
                self.components[step.workflow] = _component_names(workflows.get(step.file))

    def node(self, path: TomlPath, name: str, at: int | None = None) -> Iterator[ScenarioFault]:
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
        yield path, _unknown("node", name, self._node_names())

    def domain(self, path: TomlPath, name: str) -> Iterator[ScenarioFault]:
        if name not in self.domains:
            yield path, _unknown("domain", name, self.domains)

    def side(self, path: TomlPath, name: str, at: int | None = None) -> Iterator[ScenarioFault]:
        if name in self.domains or name in ("con", "client"):
            return
        if name.startswith("orc/"):
            yield from self.domain(path, name.removeprefix("orc/"))
        elif "/" in name:
            yield from self.node(path, name, at)
        else:
            yield path, _unknown("domain, node or 'con'", name, (*self.domains, "con"))

    def workflow(self, path: TomlPath, name: str, at: int | None = None) -> Iterator[ScenarioFault]:
        start = self.starts.get(name)
        if start is None:
            yield path, _unknown("workflow (the 'as' of a start_workflow)", name, self.starts)
        elif at is not None and at < start:
            yield path, f"{quoted(name)} is started later, at {duration_text(start)}"

    def component(
        self, path: TomlPath, workflow: str, component: str, at: int | None = None
    ) -> Iterator[ScenarioFault]:
        yield from self.workflow(path, workflow, at)
        names = self.components.get(workflow)
        if names is not None and component not in names:
            yield path, _unknown(f"component of {quoted(workflow)}", component, names)

    def _node_names(self) -> Iterator[str]:
        for domain, total in self.domains.items():
            yield from (f"{domain}/{index}" for index in range(min(total, _SUGGESTED_FROM)))


def _domain_faults(scenario: Scenario) -> Iterator[ScenarioFault]:
    seen: set[str] = set()
    for place, domain in enumerate(scenario.domains):
        path: TomlPath = ("domain", place)
        if domain.name in seen:
            yield (*path, "name"), f"two domains are called {quoted(domain.name)}"
        if domain.name in _RESERVED:
            yield (*path, "name"), f"{quoted(domain.name)} is reserved"
        seen.add(domain.name)
        fault = _strategy_fault(domain.strategy)
        if fault is not None:
            yield (*path, "strategy"), fault
    yield from _class_faults(scenario)
    total = sum(domain.nodes_total for domain in scenario.domains)
    if total > NODES_MAX:
        yield ("domain",), f"{total} nodes, at most {NODES_MAX}"


def _class_faults(scenario: Scenario) -> Iterator[ScenarioFault]:
    classes = {
        "providers": _entry_names("edgeless.resources"),
        "runtimes": _entry_names("edgeless.runtimes"),
    }
    for place, domain in enumerate(scenario.domains):
        for group, nodes in enumerate(domain.nodes):
            path: TomlPath = ("domain", place, "nodes", group)
            for key, known in classes.items():
                for index, name in enumerate(getattr(nodes, key)):
                    if name not in known:
                        yield (*path, key, index), _unknown(f"class in {key!r}", name, known)
            if "sim" in scenario.worlds:
                yield from _simulation_faults((*path, "providers"), nodes.providers)


def _simulation_faults(path: TomlPath, providers: Iterable[str]) -> Iterator[ScenarioFault]:
    """Classes of *providers* that need the real world."""
    for index, name in enumerate(providers):
        try:
            fault = simulation_fault(name)
        except SettingsError:
            continue  # Unknown, which is said already, or a package is missing: said when made.
        if fault is not None:
            yield (*path, index), f'{fault}; write worlds = ["tcp"], or "grpc", or remove it'


def _strategy_fault(name: str) -> str | None:
    if ":" in name:
        return strategy_fault(name)
    known = _entry_names("edgeless.strategies")
    return None if name in known else _unknown("strategy", name, known)


def _jitter_faults(path: TomlPath, link: Network | Link) -> Iterator[ScenarioFault]:
    if link.jitter > link.latency:
        jitter, latency = duration_text(link.jitter), duration_text(link.latency)
        remedy = f"raise 'latency' to {jitter}, or lower 'jitter'"
        yield (*path, "jitter"), f"more than the latency, {latency}: {remedy}"


def _step_faults(
    path: TomlPath, step: do.Step, scenario: Scenario, known: _Names
) -> Iterator[ScenarioFault]:
    if step.at > scenario.duration:
        end = duration_text(scenario.duration)
        yield (*path, "at"), f"the run ends before that, at {end} (the key 'duration')"
    match step:
        case do.StopWorkflow():
            yield from known.workflow((*path, "workflow"), step.workflow, step.at)
        case do.CrashNode() | do.StopNode() | do.RestartNode() | do.Cordon() | do.Uncordon():
            yield from known.node((*path, "node"), step.node, step.at)
        case do.CrashOrchestrator() | do.RestartOrchestrator():
            yield from known.domain((*path, "domain"), step.domain)
        case do.Partition() | do.Degrade():
            yield from _side_faults((*path, "between"), step, known)
        case do.Send() | do.CallComponent():
            workflow, slash, component = step.to.partition("/")
            if not slash:
                yield (*path, "to"), f"{quoted(step.to)} is not WORKFLOW/COMPONENT"
                return
            yield from known.component((*path, "to"), workflow, component, step.at)
            if isinstance(step, do.Send) and step.count > 1 and not step.every:
                yield path, "'count' needs 'every', such as every = \"10ms\""
        case _:
            return


def _side_faults(
    path: TomlPath, step: do.Partition | do.Degrade, known: _Names
) -> Iterator[ScenarioFault]:
    for side, names in enumerate(step.between):
        for index, name in enumerate(names):
            yield from known.side((*path, side, index), name, step.at)
    if isinstance(step, do.Partition) and not any(step.between):
        yield path, "at least one side must name somebody"
    if isinstance(step, do.Degrade) and not (step.loss or step.latency or step.jitter):
        yield path[:-1], "one of 'loss', 'latency', 'jitter' is needed"


def _outage_faults(scenario: Scenario) -> Iterator[ScenarioFault]:
    """Crashes of what is down, restarts of what is up, second starts of one name."""
    down: dict[str, int | None] = {}
    running: set[str] = set()
    for place, step in sorted(enumerate(scenario.steps), key=lambda item: item[1].at):
        path: TomlPath = ("step", place)
        if isinstance(step, do.StartWorkflow):
            if step.workflow in running:
                yield (*path, "as"), f"{quoted(step.workflow)} is running already"
            running.add(step.workflow)
        elif isinstance(step, do.StopWorkflow):
            running.discard(step.workflow)
        if step.may_fail or not isinstance(step, _OUTAGES):
            continue
        subject = step.node if isinstance(step, _OF_NODES) else f"orc/{step.domain}"
        if subject.startswith("@"):
            continue
        is_down = subject in down and _lasts(down[subject], step.at)
        if isinstance(step, do.RestartNode | do.RestartOrchestrator):
            if not is_down:
                yield path, f"{quoted(subject)} is up at {duration_text(step.at)}"
            down.pop(subject, None)
        elif is_down:
            yield path, f"{quoted(subject)} is down already at {duration_text(step.at)}"
        else:
            after = step.restart_after
            down[subject] = None if after is None else step.at + after


def _lasts(until: int | None, at: int) -> bool:
    return until is None or at < until


def _expectation_faults(
    path: TomlPath, expectation: expect.Expectation, scenario: Scenario, known: _Names
) -> Iterator[ScenarioFault]:
    if expectation.at is not None and expectation.at > scenario.duration:
        end = duration_text(scenario.duration)
        yield (*path, "at"), f"the run ends before that, at {end} (the key 'duration')"
    workflow = getattr(expectation, "workflow", None)
    component = getattr(expectation, "component", None)
    if workflow is not None and component is not None:
        inner = (*path, "component") if workflow in known.starts else (*path, "workflow")
        yield from known.component(inner, workflow, component)
    elif workflow is not None:
        yield from known.workflow((*path, "workflow"), workflow)
    yield from _needed_keys(path, expectation, scenario, known)


def _needed_keys(
    path: TomlPath, expectation: expect.Expectation, scenario: Scenario, known: _Names
) -> Iterator[ScenarioFault]:
    match expectation:
        case expect.ComponentOn():
            yield from _component_on_faults(path, expectation, known)
        case expect.EventsHandled():
            yield from _count_faults(path, expectation)
        case expect.LossesMax():
            cause = expectation.cause
            if cause is not None and not expect.is_cause(cause):
                yield (*path, "cause"), _unknown("cause", cause, expect.CAUSES)
        case expect.FileContains():
            if expectation.node is not None:
                yield from known.node((*path, "node"), expectation.node)
            if expectation.text is None and expectation.lines_min is None:
                yield path, "one of 'text', 'lines_min' is needed"
        case expect.AllComponentsRunning():
            if expectation.after + expectation.within > scenario.duration:
                end = duration_text(scenario.duration)
                yield path, f"'after' and 'within' reach beyond the end of the run, {end}"
        case _:
            return


def _count_faults(path: TomlPath, expectation: expect.EventsHandled) -> Iterator[ScenarioFault]:
    low, high = expectation.min, expectation.max
    if low is None and high is None and expectation.exactly is None:
        yield path, "one of 'min', 'max', 'exactly' is needed"
    if expectation.exactly is not None and (low is not None or high is not None):
        yield (*path, "exactly"), "'exactly' says it all: remove 'min' and 'max'"
    if low is not None and high is not None and low > high:
        yield path, f"min = {low} is more than max = {high}"


def _component_on_faults(
    path: TomlPath, expectation: expect.ComponentOn, known: _Names
) -> Iterator[ScenarioFault]:
    given = [key for key in ("node", "domain", "not_node") if getattr(expectation, key) is not None]
    if len(given) != 1:
        yield path, "exactly one of 'node', 'domain', 'not_node' is needed"
    for key in given:
        check = known.domain if key == "domain" else known.node
        yield from check((*path, key), getattr(expectation, key))


def _later(step: do.Step) -> tuple[str, int] | None:
    """The key of *step* that makes something happen later, and how much later, in ns."""
    for key in ("restart_after", "heal_after"):
        value = getattr(step, key, None)
        if value is not None:
            return key, value
    if isinstance(step, do.Send) and step.count > 1:
        return "count", (step.count - 1) * step.every
    return None


def _component_names(request: SpawnWorkflowRequest | None) -> list[str] | None:
    if request is None:
        return None
    functions = [function.name for function in request.functions]
    return functions + [resource.name for resource in request.resources]


def _entry_names(group: str) -> list[str]:
    return sorted({entry.name for entry in entry_points(group=group)})


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    hint = suggestion(name, names)
    if not hint:
        shown = ", ".join(repr(each[:64]) for each in names[:8])
        hint = f"; known: {shown}" if shown else "; there is none"
    return f"unknown {what} {quoted(name)}{hint}"
