"""Whether the expectations of a scenario make sense: names that exist, keys that go together.

Pure; see `checks`.
"""

from collections.abc import Iterator

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.names import quoted
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.resources.kafka_rules import topic_fault
from edgeless_sim.resources.redis_rules import read_place
from edgeless_sim.resources.sqlx_rules import database_path
from edgeless_sim.scenario import expectations as expect
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.references import References, ScenarioFault, unknown
from edgeless_sim.scenario.units import duration_text
from edgeless_sim.scenario.workload_checks import simulated_url_faults, web_url_faults

__all__ = ["expectation_faults"]


def expectation_faults(
    path: TomlPath, expectation: expect.Expectation, scenario: Scenario, known: References
) -> Iterator[ScenarioFault]:
    """What is wrong with one expectation."""
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
    path: TomlPath, expectation: expect.Expectation, scenario: Scenario, known: References
) -> Iterator[ScenarioFault]:
    match expectation:
        case expect.ComponentOn():
            yield from _component_on_faults(path, expectation, known)
        case expect.EventsHandled():
            yield from _count_faults(path, expectation)
        case expect.LossesMax():
            cause = expectation.cause
            if cause is not None and not expect.is_cause(cause):
                yield (*path, "cause"), unknown("cause", cause, expect.CAUSES)
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
            yield from _world_faults(path, expectation, scenario, known)


def _world_faults(
    path: TomlPath, expectation: expect.Expectation, scenario: Scenario, known: References
) -> Iterator[ScenarioFault]:
    match expectation:
        case expect.WorkloadExpected():
            yield from _workload_faults(path, expectation, known)
        case expect.HttpReceived():
            yield from simulated_url_faults((*path, "url"), expectation.url, scenario)
            yield from web_url_faults((*path, "url"), expectation.url)
            yield from _count_faults(path, expectation)
        case expect.KafkaReceived():
            yield from simulated_url_faults((*path, "url"), expectation.url, scenario)
            yield from _kafka_faults(path, expectation)
            yield from _count_faults(path, expectation)
        case expect.RedisValue() | expect.RedisWrites():
            yield from simulated_url_faults((*path, "url"), expectation.url, scenario)
            yield from _redis_faults(path, expectation)
        case expect.SqlRow():
            yield from simulated_url_faults((*path, "url"), expectation.url, scenario)
            yield from _sql_faults(path, expectation, known)
        case _:
            return


def _kafka_faults(path: TomlPath, expectation: expect.KafkaReceived) -> Iterator[ScenarioFault]:
    if not expectation.url.startswith("kafka://"):
        yield (*path, "url"), f"{quoted(expectation.url)} is no broker: write kafka://HOST:PORT"
    fault = topic_fault(expectation.topic)
    if fault is not None:
        yield (*path, "topic"), fault


def _redis_faults(
    path: TomlPath, expectation: expect.RedisValue | expect.RedisWrites
) -> Iterator[ScenarioFault]:
    try:
        read_place(expectation.url)
    except RejectedError as error:
        yield (*path, "url"), str(error)
    if isinstance(expectation, expect.RedisWrites):
        yield from _count_faults(path, expectation)
    elif expectation.value is None and expectation.contains is None:
        yield path, "one of 'value', 'contains' is needed"


def _sql_faults(
    path: TomlPath, expectation: expect.SqlRow, known: References
) -> Iterator[ScenarioFault]:
    try:
        database_path(expectation.url)
    except RejectedError as error:
        yield (*path, "url"), str(error)
    if expectation.node is not None:
        yield from known.node((*path, "node"), expectation.node)
    if expectation.workflow is not None and expectation.id is not None:
        yield (*path, "id"), "'workflow' says which row it is: remove one of the two"
    yield from _count_faults(path, expectation)


def _workload_faults(
    path: TomlPath, expectation: expect.WorkloadExpected, known: References
) -> Iterator[ScenarioFault]:
    yield from known.workload((*path, "workload"), expectation.workload)
    counts = [getattr(expectation, key) for key in ("min", "max", "exactly")]
    others = [getattr(expectation, key) for key in ("within", "p95_max", "blocking_max")]
    if all(each is None for each in [*counts, *others]):
        keys = "'min', 'max', 'exactly', 'within', 'p95_max', 'blocking_max'"
        yield path, f"one of {keys} is needed"
    if expectation.status is not None and all(each is None for each in counts):
        yield (*path, "status"), "'status' needs one of 'min', 'max', 'exactly'"
    if any(each is not None for each in counts):
        yield from _count_faults(path, expectation)
    family = next((x for x in known.families.values() if x.name == expectation.workload), None)
    if expectation.blocking_max is not None and family is None:
        yield (*path, "blocking_max"), "it is for workloads of the kind 'workflow' only"


def _count_faults(
    path: TomlPath,
    expectation: expect.EventsHandled
    | expect.HttpReceived
    | expect.KafkaReceived
    | expect.RedisWrites
    | expect.SqlRow
    | expect.WorkloadExpected,
) -> Iterator[ScenarioFault]:
    low, high = expectation.min, expectation.max
    if low is None and high is None and expectation.exactly is None:
        yield path, "one of 'min', 'max', 'exactly' is needed"
    if expectation.exactly is not None and (low is not None or high is not None):
        yield (*path, "exactly"), "'exactly' says it all: remove 'min' and 'max'"
    if low is not None and high is not None and low > high:
        yield path, f"min = {low} is more than max = {high}"


def _component_on_faults(
    path: TomlPath, expectation: expect.ComponentOn, known: References
) -> Iterator[ScenarioFault]:
    given = [key for key in ("node", "domain", "not_node") if getattr(expectation, key) is not None]
    if len(given) != 1:
        yield path, "exactly one of 'node', 'domain', 'not_node' is needed"
    for key in given:
        check = known.domain if key == "domain" else known.node
        yield from check((*path, key), getattr(expectation, key))
