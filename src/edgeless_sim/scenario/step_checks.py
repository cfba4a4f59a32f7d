"""Whether the steps of a scenario make sense: names that exist, times within the run, outages.

Pure; see `checks`.
"""

from collections.abc import Iterator
from typing import Final

from edgeless_sim.model.names import quoted
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.model.worlds import SIM
from edgeless_sim.scenario import steps as do
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.references import References, ScenarioFault
from edgeless_sim.scenario.units import duration_text
from edgeless_sim.scenario.workload_checks import (
    question_faults,
    simulated_url_faults,
    web_url_faults,
)

__all__ = ["later", "outage_faults", "step_faults"]

_DEGRADING: Final = ("loss", "latency", "jitter", "bandwidth", "duplicate", "reorder")
_OF_NODES: Final = (do.CrashNode, do.StopNode, do.RestartNode)
_OF_BALANCERS: Final = (do.CrashBalancer, do.RestartBalancer)
_OUTAGES: Final = (*_OF_NODES, *_OF_BALANCERS, do.CrashOrchestrator, do.RestartOrchestrator)


def step_faults(
    path: TomlPath, step: do.Step, scenario: Scenario, known: References
) -> Iterator[ScenarioFault]:
    """What is wrong with one step."""
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
        case do.CrashBalancer() | do.RestartBalancer():
            yield from known.balancer((*path, "domain"), step.domain, step.portal)
        case do.Partition() | do.Degrade():
            yield from _side_faults((*path, "between"), step, known)
            yield from _degrade_faults(path, step, scenario)
        case do.Migrate():
            yield from known.node((*path, "to"), step.to, step.at)
            yield from _component_faults((*path, "component"), step.component, step.at, known)
        case do.Send() | do.CallComponent():
            yield from _component_faults((*path, "to"), step.to, step.at, known)
            if isinstance(step, do.Send) and step.count > 1 and not step.every:
                yield path, "'count' needs 'every', such as every = \"10ms\""
        case _:
            yield from _world_faults(path, step, scenario, known)


def _component_faults(
    path: TomlPath, name: str, at: int, known: References
) -> Iterator[ScenarioFault]:
    workflow, slash, component = name.partition("/")
    if slash:
        yield from known.component(path, workflow, component, at)
    else:
        yield path, f"{quoted(name)} is not WORKFLOW/COMPONENT"


def _world_faults(
    path: TomlPath, step: do.Step, scenario: Scenario, known: References
) -> Iterator[ScenarioFault]:
    match step:
        case do.HttpRequest():
            yield from question_faults(path, step, scenario, known)
        case do.Backend() | do.HttpReply():
            yield from _backend_faults(path, step, scenario)
        case _:
            return


def _backend_faults(
    path: TomlPath, step: do.Backend | do.HttpReply, scenario: Scenario
) -> Iterator[ScenarioFault]:
    yield from simulated_url_faults((*path, "url"), step.url, scenario)
    if isinstance(step, do.HttpReply):
        yield from web_url_faults((*path, "url"), step.url)
    elif step.condition == "slow" and step.delay is None:
        yield path, "'slow' needs 'delay', such as delay = \"2s\""
    elif step.condition != "slow" and step.delay is not None:
        yield (*path, "delay"), f"it has no meaning for {quoted(step.condition)}"


def _side_faults(
    path: TomlPath, step: do.Partition | do.Degrade, known: References
) -> Iterator[ScenarioFault]:
    for side, names in enumerate(step.between):
        for index, name in enumerate(names):
            yield from known.side((*path, side, index), name, step.at)
    if isinstance(step, do.Partition) and not any(step.between):
        yield path, "at least one side must name somebody"


def _degrade_faults(
    path: TomlPath, step: do.Partition | do.Degrade, scenario: Scenario
) -> Iterator[ScenarioFault]:
    if isinstance(step, do.Partition):
        return
    if not any(getattr(step, key) for key in _DEGRADING):
        yield path, f"one of {', '.join(map(repr, _DEGRADING))} is needed"
    sockets = [world for world in scenario.worlds if world != SIM]
    for key in ("duplicate", "reorder"):
        if getattr(step, key) and sockets:
            reason = f"a stream of bytes cannot, and the scenario is for {', '.join(sockets)}, too"
            yield (*path, key), f"{reason} (the key 'worlds')"
    if "reorder_window" in step.model_fields_set and not step.reorder:
        yield (*path, "reorder_window"), "it has no meaning without 'reorder'"


def outage_faults(scenario: Scenario) -> Iterator[ScenarioFault]:
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
        subject = _subject(step)
        if subject.startswith("@"):
            continue
        is_down = subject in down and _lasts(down[subject], step.at)
        if isinstance(step, do.RestartNode | do.RestartOrchestrator | do.RestartBalancer):
            if not is_down:
                yield path, f"{quoted(subject)} is up at {duration_text(step.at)}"
            down.pop(subject, None)
        elif is_down:
            yield path, f"{quoted(subject)} is down already at {duration_text(step.at)}"
        else:
            after = step.restart_after
            down[subject] = None if after is None else step.at + after


def _subject(
    step: do.CrashNode
    | do.StopNode
    | do.RestartNode
    | do.CrashOrchestrator
    | do.RestartOrchestrator
    | do.CrashBalancer
    | do.RestartBalancer,
) -> str:
    """Whose outage it is."""
    match step:
        case do.CrashNode() | do.StopNode() | do.RestartNode():
            return step.node
        case do.CrashBalancer() | do.RestartBalancer():
            return f"bal/{step.domain}/{step.portal}"
        case _:
            return f"orc/{step.domain}"


def _lasts(until: int | None, at: int) -> bool:
    return until is None or at < until


def later(step: do.Step) -> tuple[str, int] | None:
    """The key of *step* that makes something happen later, and how much later, in ns."""
    for key in ("restart_after", "heal_after"):
        value = getattr(step, key, None)
        if value is not None:
            return key, value
    if isinstance(step, do.Send) and step.count > 1:
        return "count", (step.count - 1) * step.every
    return None
