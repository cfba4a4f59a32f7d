"""Whether what comes from outside makes sense: workloads, requests, simulated back-ends.

Pure; see `checks`.
"""

from collections.abc import Iterator
from typing import Final

from edgeless_sim.errors import SettingsError
from edgeless_sim.model.names import quoted
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.model.worlds import SIM
from edgeless_sim.resources.simulated.backends import backend_address
from edgeless_sim.scenario.arrivals import TRACE_MODEL
from edgeless_sim.scenario.http_tables import INGRESS, HttpQuestion
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.references import References, ScenarioFault
from edgeless_sim.scenario.units import duration_text
from edgeless_sim.scenario.workloads import EventWorkload, HttpWorkload, WorkflowWorkload, Workload

__all__ = [
    "backend_faults",
    "question_faults",
    "simulated_url_faults",
    "web_url_faults",
    "workload_faults",
]

#: Keys that only some models know, and must have if there is no default.
_KEYS_OF_MODELS: Final = {
    "burst": (("burst",), True),
    "period": (("diurnal",), False),
    "amplitude": (("diurnal",), False),
    "trace": ((TRACE_MODEL,), True),
}
_WITHOUT_INTERARRIVAL: Final = ("single", TRACE_MODEL)
_WITHOUT_LIFETIME: Final = ("incremental-and-keep", "single", TRACE_MODEL)


def workload_faults(scenario: Scenario, known: References) -> Iterator[ScenarioFault]:
    """What is wrong with the workloads of *scenario*."""
    names: set[str] = set()
    prefixes: set[str] = set()
    for place, table in enumerate(scenario.workloads):
        path: TomlPath = ("workload", place)
        if table.name in names:
            yield (*path, "name"), f"two workloads are called {quoted(table.name)}"
        names.add(table.name)
        if isinstance(table, WorkflowWorkload):
            prefix = table.prefix or table.name
            key = "name" if table.prefix is None else "prefix"
            if prefix in prefixes:
                yield (*path, key), f"two workloads call their workflows {quoted(prefix)}-0 etc."
            prefixes.add(prefix)
            for name in known.starts:
                if known.family(name) is table:
                    yield (*path, key), f"a start_workflow calls a workflow {quoted(name)}, too"
        yield from _time_faults(path, table, scenario.duration)
        yield from _model_faults(path, table)
        if isinstance(table, HttpWorkload):
            yield from question_faults(path, table, scenario, known)
        elif isinstance(table, EventWorkload):
            workflow, slash, component = table.to.partition("/")
            if slash:
                yield from known.component((*path, "to"), workflow, component)
            else:
                yield (*path, "to"), f"{quoted(table.to)} is not WORKFLOW/COMPONENT"


def question_faults(
    path: TomlPath, question: HttpQuestion, scenario: Scenario, known: References
) -> Iterator[ScenarioFault]:
    """What is wrong with a request to an http-ingress."""
    if question.node is not None:
        found = list(known.node((*path, "node"), question.node))
        yield from found
        if not found and question.node not in known.ingress_nodes:
            yield (*path, "node"), f"{quoted(question.node)} offers no http-ingress ('providers')"
    elif not any(INGRESS in nodes.providers for x in scenario.domains for nodes in x.nodes):
        yield path, "no node offers http-ingress: add it to the 'providers' of one"


def simulated_url_faults(path: TomlPath, url: str, scenario: Scenario) -> Iterator[ScenarioFault]:
    """What is wrong with the *url* of a simulated back-end, at *path*."""
    real = [world for world in scenario.worlds if world != SIM]
    if real:
        yield (
            path[:-1],
            f"back-ends are simulated in the world sim only; 'worlds' has {', '.join(real)}, too",
        )
    try:
        backend_address(url)
    except SettingsError as error:
        yield path, str(error)


def backend_faults(scenario: Scenario) -> Iterator[ScenarioFault]:
    """What is wrong with the back-ends of *scenario*."""
    seen: set[str] = set()
    for place, table in enumerate(scenario.backends):
        path: TomlPath = ("backend", place)
        faults = list(simulated_url_faults((*path, "url"), table.url, scenario))
        yield from faults
        if faults:
            continue
        if table.address in seen:
            yield (*path, "url"), f"two back-ends are at {table.address}"
        seen.add(table.address)
        yield from web_url_faults((*path, "replies"), table.url, wanted=bool(table.replies))


def web_url_faults(path: TomlPath, url: str, *, wanted: bool = True) -> Iterator[ScenarioFault]:
    """Say that *url* is none of a web server, if it is *wanted* to be one."""
    if wanted and not url.startswith(("http://", "https://")):
        yield path, f"{quoted(url)} is no web server: it does not begin with http:// or https://"


def _time_faults(path: TomlPath, table: Workload, run_ns: int) -> Iterator[ScenarioFault]:
    run = duration_text(run_ns)
    for key in ("start", "end"):
        value = getattr(table, key)
        if value is not None and value > run_ns:
            yield (*path, key), f"the run ends before that, at {run} (the key 'duration')"
            return
    if table.end is not None and table.duration is not None:
        yield (*path, "duration"), "one of 'end' and 'duration' is enough"
        return
    length_ns = table.end_ns(run_ns) - table.start
    if length_ns <= 0:
        yield (*path, "start"), f"it starts at its end, {duration_text(table.end_ns(run_ns))}"
    elif table.warmup >= length_ns:
        length = duration_text(length_ns)
        yield (*path, "warmup"), f"it is as long as the workload, {length}: nothing is counted"


def _model_faults(path: TomlPath, table: Workload) -> Iterator[ScenarioFault]:
    model = table.model
    for key, (models, needed) in _KEYS_OF_MODELS.items():
        given = getattr(table, key) is not None
        if given and model not in models:
            yield (*path, key), f"it is for the model {models[0]} only"
        elif needed and not given and model in models:
            yield path, f"the model {model} needs {key!r}"
    needs = [("interarrival", model not in _WITHOUT_INTERARRIVAL)]
    if isinstance(table, WorkflowWorkload):
        needs.append(("lifetime", model not in _WITHOUT_LIFETIME))
    for key, needed in needs:
        given = getattr(table, key) is not None
        if needed and not given:
            yield path, f'the model {model} needs {key!r}, such as {key} = "100ms"'
        elif given and not needed:
            yield (*path, key), f"it has no meaning for the model {model}"
    if model == "incremental-and-keep" and not table.warmup:
        yield path, "the model incremental-and-keep needs 'warmup': it adds something until then"
