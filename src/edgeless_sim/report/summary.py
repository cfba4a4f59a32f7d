"""The numbers of a run, with stable keys: what ``summary.json`` holds and tables show.

Times are the cluster's: virtual in sim (hence ``simulated_s``), real in the other worlds. Durations
end in their unit. Keys are added, never renamed; a reader must skip those it does not
know. Wall-clock values are here for people: they differ from run to run and are in no digest.
"""

from collections import Counter
from typing import Final

import msgspec

from edgeless_sim.model.histogram import Histogram
from edgeless_sim.report.reader import ComponentCounts, NodeCounts, RunReader

__all__ = [
    "SUMMARY_VERSION",
    "ComponentSummary",
    "EventSummary",
    "ExpectationSummary",
    "FaultSummary",
    "LatencySummary",
    "NodeSummary",
    "RunFacts",
    "Summary",
    "WorkloadSummary",
    "latency_summary",
    "summarise",
]

SUMMARY_VERSION: Final = 1


class LatencySummary(msgspec.Struct, frozen=True):
    """From being sent to the end of the handler, in ns; quantiles within 0.4 %."""

    mean_ns: int
    p50_ns: int
    p95_ns: int
    p99_ns: int
    max_ns: int


class ComponentSummary(msgspec.Struct, frozen=True):
    """One component of one workflow."""

    workflow: str
    component: str
    #: Where it ran, in order.
    nodes: list[str]
    #: When it was first started on each of them.
    nodes_since_ns: list[int]
    moves: int
    handled: int
    lost: int
    lost_by_cause: dict[str, int]
    failures: int
    restarts: int
    fuel: int
    latency: LatencySummary


class NodeSummary(msgspec.Struct, frozen=True):
    """One node."""

    node: str
    instances_started: int
    handled: int
    joined: int
    lost: int
    crashes: int


class FaultSummary(msgspec.Struct, frozen=True):
    """One fault that was made to happen, or undone."""

    at_ns: int
    what: str
    where: str


class EventSummary(msgspec.Struct, frozen=True):
    """All events. ``in_flight`` = sent, and neither handled nor lost at the end."""

    sent: int
    handled: int
    lost: int
    lost_by_cause: dict[str, int]
    in_flight: int


class ExpectationSummary(msgspec.Struct, frozen=True):
    """One expectation and what was found."""

    expectation: str
    holds: bool
    found: str
    at_ns: int


class WorkloadSummary(msgspec.Struct, frozen=True):
    """One workload, without what arrived during its warm-up."""

    workload: str
    kind: str
    requested: int
    """How many arrived."""
    in_flight: int
    answers: dict[str, int]
    """What the others came to: statuses of HTTP, ``reply``, ``started``, ``timeout``,
    ``overload``, ..."""
    blocking: float | None
    """Of workflows: 1 - started / requested."""
    latency: LatencySummary
    """From the arrival to the answer, of those that got one."""


class RunFacts(msgspec.Struct, frozen=True):
    """What the journal does not know about its run."""

    scenario: str
    seed: int
    world: str
    verdict: str
    digest: str
    ended_ns: int
    wall_s: float
    command: str
    """Which repeats the run."""
    begun_ns: int = 0
    """Since when the times of the scenario count: in a real world, the cluster was up then."""
    failure: str | None = None
    expectations: list[ExpectationSummary] = []
    oddities: dict[str, int] = {}
    workloads: list[WorkloadSummary] = []


class Summary(msgspec.Struct, frozen=True):
    """A run in numbers."""

    version: int
    run: RunFacts
    records: int
    simulated_s: float
    speed_up: float
    """Simulated time by wall-clock time; about 1 in a real world."""
    events_per_wall_s: float
    events: EventSummary
    components: list[ComponentSummary]
    nodes: list[NodeSummary]
    faults: list[FaultSummary]
    faults_total: int


def summarise(facts: RunFacts, reader: RunReader) -> Summary:
    """Everything that *reader* has read, with *facts*."""
    wall_s = max(facts.wall_s, 1e-9)
    return Summary(
        version=SUMMARY_VERSION,
        run=facts,
        records=reader.records,
        simulated_s=facts.ended_ns / 1e9,
        speed_up=facts.ended_ns / 1e9 / wall_s,
        events_per_wall_s=reader.handled / wall_s,
        events=EventSummary(
            sent=reader.sent,
            handled=reader.handled,
            lost=reader.losses.total(),
            lost_by_cause=_sorted(reader.losses),
            in_flight=reader.in_flight,
        ),
        components=sorted(
            (_component(workflow, counts) for workflow, counts in reader.components()),
            key=lambda each: (each.workflow, each.component),
        ),
        nodes=[_node(name, reader.nodes[name]) for name in sorted(reader.nodes, key=_node_key)],
        faults=[FaultSummary(*fault) for fault in reader.faults],
        faults_total=reader.faults_total,
    )


def _component(workflow: str, counts: ComponentCounts) -> ComponentSummary:
    nodes: list[str] = []
    since_ns: list[int] = []
    for ns, node in counts.nodes:
        if nodes[-1:] != [node]:
            nodes.append(node)
            since_ns.append(ns)
    return ComponentSummary(
        workflow=workflow,
        component=counts.name,
        nodes=nodes,
        nodes_since_ns=since_ns,
        moves=counts.moves,
        handled=counts.handled,
        lost=counts.losses.total(),
        lost_by_cause=_sorted(counts.losses),
        failures=counts.failures,
        restarts=counts.restarts,
        fuel=counts.fuel,
        latency=latency_summary(counts.latency),
    )


def latency_summary(histogram: Histogram) -> LatencySummary:
    """The quantiles of *histogram* that people ask for."""
    return LatencySummary(
        mean_ns=histogram.mean_ns,
        p50_ns=histogram.quantile_ns(0.5),
        p95_ns=histogram.quantile_ns(0.95),
        p99_ns=histogram.quantile_ns(0.99),
        max_ns=histogram.maximum_ns,
    )


def _node(name: str, counts: NodeCounts) -> NodeSummary:
    return NodeSummary(
        node=name,
        instances_started=counts.started,
        handled=counts.handled,
        joined=counts.joined,
        lost=counts.lost,
        crashes=counts.crashes,
    )


def _node_key(name: str) -> tuple[str, int, str]:
    domain, _, index = name.rpartition("/")
    return domain, int(index) if index.isdigit() else 0, name


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
