"""Whether a scenario makes sense: names that exist, times within the run, faults that can happen.

Pure. The shape is right already (`model`). A fault is a path into the TOML document and a reason;
the loader adds the line. What is odd but allowed is a warning.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from edgeless_sim.cluster.topology import NODES_MAX
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.names import quoted
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.model.worlds import WORLDS
from edgeless_sim.orchestrator.placement import strategy_fault
from edgeless_sim.resources.catalog import simulation_fault
from edgeless_sim.resources.redis_rules import url_fault
from edgeless_sim.scenario import steps as do
from edgeless_sim.scenario.expectation_checks import expectation_faults
from edgeless_sim.scenario.model import Link, Network, NodeTable, Scenario, ScenarioFiles
from edgeless_sim.scenario.references import References, ScenarioFault, entry_names, unknown
from edgeless_sim.scenario.step_checks import later, outage_faults, step_faults
from edgeless_sim.scenario.units import duration_text
from edgeless_sim.scenario.workload_checks import backend_faults, workload_faults

__all__ = ["ScenarioFault", "scenario_faults", "scenario_warnings"]

_RESERVED: Final = ("con", "client", "orc", "node", "bal")
_SERVERLESS: Final = "serverless"
_PUSHER: Final = "file-pusher"


def scenario_faults(scenario: Scenario, files: ScenarioFiles) -> Iterator[ScenarioFault]:
    """What is wrong with *scenario*; *files* are those that could be read."""
    known = References(scenario, files)
    yield from _domain_faults(scenario)
    yield from _balancer_faults(scenario, known)
    for place, world in enumerate(scenario.worlds):
        if world not in WORLDS:
            yield ("worlds", place), unknown("world", world, WORLDS)
    yield from _jitter_faults(("network",), scenario.network)
    for place, link in enumerate(scenario.network.link):
        yield from _jitter_faults(("network", "link", place), link)
        for side, name in enumerate(link.between):
            yield from known.side(("network", "link", place, "between", side), name)
    for place, step in enumerate(scenario.steps):
        yield from step_faults(("step", place), step, scenario, known)
    yield from outage_faults(scenario)
    yield from backend_faults(scenario)
    yield from workload_faults(scenario, known)
    for place, expectation in enumerate(scenario.expectations):
        yield from expectation_faults(("expect", place), expectation, scenario, known)


def scenario_warnings(scenario: Scenario) -> list[str]:
    """What is allowed in *scenario* but probably not meant."""
    warnings = []
    if not scenario.expectations:
        warnings.append("no [[expect]]: nothing is checked, the result will be inconclusive")
    starts = any(isinstance(step, do.StartWorkflow) for step in scenario.steps)
    if not (starts or scenario.workloads):
        warnings.append("no start_workflow: without a workload the result will be inconclusive")
    for place, step in enumerate(scenario.steps):
        after = later(step)
        if after is not None and step.at + after[1] > scenario.duration:
            warnings.append(f"step[{place}].{after[0]}: the run ends before that")
    return warnings


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


def _balancer_faults(scenario: Scenario, known: References) -> Iterator[ScenarioFault]:
    seen: set[tuple[str, str]] = set()
    for place, each in enumerate(scenario.balancers):
        path: TomlPath = ("balancer", place)
        yield from known.domain((*path, "domain"), each.domain)
        yield from known.domain((*path, "portal"), each.portal)
        if each.domain == each.portal:
            yield (*path, "portal"), f"{quoted(each.domain)} is joined to itself"
        if (each.domain, each.portal) in seen:
            yield path, f"two balancers join {quoted(each.domain)} to {quoted(each.portal)}"
        seen.add((each.domain, each.portal))


def _class_faults(scenario: Scenario) -> Iterator[ScenarioFault]:
    classes = {
        "providers": entry_names("edgeless.resources"),
        "runtimes": entry_names("edgeless.runtimes"),
    }
    for place, domain in enumerate(scenario.domains):
        for group, nodes in enumerate(domain.nodes):
            path: TomlPath = ("domain", place, "nodes", group)
            for key, known in classes.items():
                for index, name in enumerate(getattr(nodes, key)):
                    if name not in known:
                        yield (*path, key, index), unknown(f"class in {key!r}", name, known)
            for index, each in enumerate(nodes.serverless):
                if each.class_type in classes["providers"]:
                    fault = f"{quoted(each.class_type)} is a class of its own; take another name"
                    yield (*path, "serverless", index, "class_type"), fault
            if _SERVERLESS in nodes.providers:
                fault = "name the function: serverless = [{class_type = ..., function_url = ...}]"
                yield (*path, "providers", nodes.providers.index(_SERVERLESS)), fault
            yield from _pusher_faults(path, nodes)
            yield from _collector_faults(path, nodes)
            if "sim" in scenario.worlds:
                yield from _simulation_faults((*path, "providers"), nodes.providers)


def _pusher_faults(path: TomlPath, nodes: NodeTable) -> Iterator[ScenarioFault]:
    offered, told = _PUSHER in nodes.providers, nodes.file_pusher_directory is not None
    if offered and not told:
        place = nodes.providers.index(_PUSHER)
        yield (*path, "providers", place), "name the folder of its files: file_pusher_directory"
    elif told and not offered:
        yield (*path, "file_pusher_directory"), f"{_PUSHER!r} is not among the providers"


def _collector_faults(path: TomlPath, nodes: NodeTable) -> Iterator[ScenarioFault]:
    # It may have a password, so that it is not shown.
    fault = url_fault(nodes.collector_redis_url)
    if fault is not None:
        yield (*path, "collector_redis_url"), fault


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
    known = entry_names("edgeless.strategies")
    return None if name in known else unknown("strategy", name, known)


def _jitter_faults(path: TomlPath, link: Network | Link) -> Iterator[ScenarioFault]:
    if link.jitter > link.latency:
        jitter, latency = duration_text(link.jitter), duration_text(link.latency)
        remedy = f"raise 'latency' to {jitter}, or lower 'jitter'"
        yield (*path, "jitter"), f"more than the latency, {latency}: {remedy}"
