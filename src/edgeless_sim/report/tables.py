"""A summary as text: aligned tables for people, tab-separated lines for programs.

Plain characters only; no colours.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from edgeless_sim.model.worlds import SIM
from edgeless_sim.report.summary import ComponentSummary, Summary, WorkloadSummary

__all__ = ["FORMATS", "aligned", "duration", "render"]

_STATIONS_SHOWN: Final = 4
_NODES_SHOWN: Final = 12
_FAULTS_SHOWN: Final = 20
_COMPONENTS_SHOWN: Final = 40
_ANSWERS_SHOWN: Final = 6

Row = Sequence[str]


def aligned(head: Row, rows: Sequence[Row], *, right: Sequence[int] = ()) -> list[str]:
    """Lines of a table; the columns in *right* are aligned to the right."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def render(summary: Summary, form: str) -> str:
    """*summary* in one of `FORMATS`, with a newline at its end."""
    return FORMATS[form](summary)


def duration(ns: int) -> str:
    """A short text for *ns*, three digits: ``1.23 ms``."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns / size:.0f} {unit}"
    return f"{ns} ns"


def _table(summary: Summary) -> str:
    lines = [*_components(summary), *_nodes(summary), *_workloads(summary), *_faults(summary)]
    lines += _events(summary)
    lines += _expectations(summary)
    return "\n".join(lines) + "\n"


def _components(summary: Summary) -> Iterator[str]:
    if not summary.components:
        return
    head = ("component", "ran on", "handled", "lost", "failed", "p50", "p95", "p99")
    shown = summary.components[:_COMPONENTS_SHOWN]
    yield from aligned(head, [_component_row(each) for each in shown], right=range(2, 8))
    if len(summary.components) > len(shown):
        yield f"... and {len(summary.components) - len(shown)} more (--format json has all)"
    yield ""


def _component_row(each: ComponentSummary) -> Row:
    latency = each.latency
    times = [duration(ns) for ns in (latency.p50_ns, latency.p95_ns, latency.p99_ns)]
    return (
        f"{each.workflow}/{each.component}",
        _way(each),
        str(each.handled),
        str(each.lost),
        str(each.failures),
        *(times if each.handled else ("-", "-", "-")),
    )


def _way(each: ComponentSummary) -> str:
    """The nodes on which it ran, and when it came to each but the first."""
    stations = [each.nodes[0]] if each.nodes else []
    stations += [
        f"{node} @{ns / 1e9:.1f}s"
        for node, ns in zip(each.nodes[1:], each.nodes_since_ns[1:], strict=True)
    ]
    shown = " > ".join(stations[-_STATIONS_SHOWN:])
    return f"... > {shown}" if len(stations) > _STATIONS_SHOWN else shown


def _nodes(summary: Summary) -> Iterator[str]:
    # Nodes that did nothing and lost nothing are not worth a line.
    busy = [node for node in summary.nodes if node.instances_started or node.crashes or node.lost]
    if not busy:
        return
    head = ("node", "instances", "handled", "joined", "lost", "crashes")
    rows = [
        tuple(map(str, (n.node, n.instances_started, n.handled, n.joined, n.lost, n.crashes)))
        for n in busy[:_NODES_SHOWN]
    ]
    yield from aligned(head, rows, right=range(1, 6))
    if len(busy) > _NODES_SHOWN:
        yield f"... and {len(busy) - _NODES_SHOWN} more (--format json has all)"
    yield ""


def _workloads(summary: Summary) -> Iterator[str]:
    shown = summary.run.workloads[:_COMPONENTS_SHOWN]
    if not shown:
        return
    head = ("workload", "kind", "arrived", "in flight", "p50", "p95", "p99", "answers")
    yield from aligned(head, [_workload_row(each) for each in shown], right=range(2, 7))
    if len(summary.run.workloads) > len(shown):
        yield f"... and {len(summary.run.workloads) - len(shown)} more (--format json has all)"
    yield ""


def _workload_row(each: WorkloadSummary) -> Row:
    latency = each.latency
    times = [duration(ns) for ns in (latency.p50_ns, latency.p95_ns, latency.p99_ns)]
    answers = sorted(each.answers.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} {answer}" for answer, count in answers[:_ANSWERS_SHOWN]]
    if each.blocking is not None:
        shown.append(f"blocking {each.blocking:.4f}")
    return (
        each.workload,
        each.kind,
        str(each.requested),
        str(each.in_flight),
        *(times if latency.max_ns else ("-", "-", "-")),
        ", ".join(shown) or "-",
    )


def _faults(summary: Summary) -> Iterator[str]:
    for fault in summary.faults[:_FAULTS_SHOWN]:
        yield f"fault at {fault.at_ns / 1e9:.3f} s: {fault.what} {fault.where}"
    if summary.faults_total > _FAULTS_SHOWN:
        yield f"... and {summary.faults_total - _FAULTS_SHOWN} more"
    if summary.faults:
        yield ""


def _events(summary: Summary) -> Iterator[str]:
    events = summary.events
    yield (
        f"events: {events.sent} sent (answers included), {events.handled} handled,"
        f" {events.lost} lost, {events.in_flight} in flight"
    )
    for cause, count in events.lost_by_cause.items():
        yield f"  lost: {count} x {cause}"
    for cause, count in summary.run.oddities.items():
        if cause not in events.lost_by_cause:
            yield f"  counted: {count} x {cause}"
    yield _time(summary)


def _time(summary: Summary) -> str:
    run = summary.run
    if run.world == SIM:
        return (
            f"time: {summary.simulated_s:.3f} s simulated in {run.wall_s:.2f} s"
            f" ({summary.speed_up:.0f} x, {summary.events_per_wall_s:.0f} events/s)"
        )
    return (
        f"time: {summary.simulated_s:.3f} s in the world {run.world}; the cluster was up at"
        f" {run.begun_ns / 1e9:.3f} s, from when the scenario's times count"
    )


def _expectations(summary: Summary) -> Iterator[str]:
    run = summary.run
    for each in run.expectations:
        yield f"{'ok  ' if each.holds else 'FAIL'} {each.expectation}: {each.found}"
    held = sum(each.holds for each in run.expectations)
    total = len(run.expectations)
    yield f"result: {run.verdict}, {held} of {total} expectations hold"
    # In real time nothing repeats a run to the nanosecond.
    alike = "" if run.world == SIM else "  (real time: every run has a digest of its own)"
    yield f"digest {run.digest}  {run.command}{alike}"


def _json(summary: Summary) -> str:
    return msgspec.json.format(msgspec.json.encode(summary), indent=2).decode() + "\n"


def _plain(summary: Summary) -> str:
    """One fact per line: what, name, value, separated by tabs."""
    run, events = summary.run, summary.events
    facts: list[tuple[str, ...]] = [
        ("run", "scenario", run.scenario),
        ("run", "seed", str(run.seed)),
        ("run", "world", run.world),
        ("run", "verdict", run.verdict),
        ("run", "digest", run.digest),
        ("run", "records", str(summary.records)),
        ("run", "simulated_ns", str(run.ended_ns)),
    ]
    for key in ("sent", "handled", "lost", "in_flight"):
        facts.append(("events", key, str(getattr(events, key))))
    for each in summary.components:
        name = f"{each.workflow}/{each.component}"
        facts.append(("handled", name, str(each.handled)))
        facts.append(("p99_ns", name, str(each.latency.p99_ns)))
        facts.append(("nodes", name, ",".join(each.nodes)))
    for load in run.workloads:
        facts.append(("arrived", load.workload, str(load.requested)))
        facts += [("answers", load.workload, key, str(n)) for key, n in load.answers.items()]
        facts.append(("workload_p95_ns", load.workload, str(load.latency.p95_ns)))
    for judged in run.expectations:
        facts.append(("expect", judged.expectation, "ok" if judged.holds else "fail", judged.found))
    return "".join("\t".join(fact) + "\n" for fact in facts)


#: Renderings of a summary by the name that ``--format`` takes.
FORMATS: Final[dict[str, Callable[[Summary], str]]] = {
    "table": _table,
    "json": _json,
    "plain": _plain,
}
