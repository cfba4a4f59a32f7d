"""A snapshot as a frame of text: which rows and columns fit, and what stands in them.

Columns are dropped in the order of their importance until the rest fits. Texts of functions and
peers are escaped: they must not command a terminal. Not here: the terminal (`screen`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final, Generic, TypeVar

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgeless_sim.report.logs import printable
from edgeless_sim.report.mirrored import ANSWERS, ASKED
from edgeless_sim.report.rows import TROUBLES
from edgeless_sim.report.snapshot import ComponentRow, NodeRow, Note, Snapshot, WorkflowRow
from edgeless_sim.report.tables import duration

__all__ = ["NODES_MAX", "WORKFLOWS_MAX", "frame", "text"]

#: Most rows of what is printed and not drawn.
NODES_MAX: Final = 40
WORKFLOWS_MAX: Final = 20

R = TypeVar("R")
_GAP: Final = 2
_NOTES_SHOWN: Final = 8
_NOTES_AT_LEAST: Final = 3
_NAME_AT_LEAST: Final = 8
_REASON_AT_LEAST: Final = 12
_UNKNOWN: Final = "-"
_STYLES: Final = {
    "alive": "green",
    "running": "green",
    "joining": "yellow",
    "cordoned": "yellow",
    "pending": "yellow",
    "fault": "red",
    "node": "cyan",
    "place": "blue",
}
_BAD: Final = "bold red"


@dataclass(frozen=True, slots=True)
class _Column(Generic[R]):
    """A column; the one with the lowest rank is dropped first, and *rank* None never."""

    head: str
    cell: Callable[[R], str]
    rank: int | None
    right: bool = True
    #: Takes what room is left, but no less than this.
    at_least: int = 0


#: A row of the table of workflows: the workflow, or one of its components.
_Line = WorkflowRow | ComponentRow

_NODES: Final[tuple[_Column[NodeRow], ...]] = (
    _Column("NODE", lambda row: row.name, None, right=False),
    _Column("DOMAIN", lambda row: row.domain, 1, right=False),
    _Column("STATE", lambda row: row.state, None, right=False),
    _Column("CORES", lambda row: _count(row.cores), 2),
    _Column("USED", lambda row: _share(row.utilisation), 7),
    _Column("INST", lambda row: str(row.instances), 8),
    _Column("QUEUE", lambda row: _count(row.queue), 5),
    _Column("IN/S", lambda row: _rate(row.events_in), 6),
    _Column("OUT/S", lambda row: _rate(row.events_out), 3),
    _Column("LOST", lambda row: _count(row.drops), 4),
)
_WORKFLOWS: Final[tuple[_Column[_Line], ...]] = (
    _Column("WORKFLOW", lambda row: _name(row), None, right=False),
    _Column("ON", lambda row: _place(row), 5, right=False),
    _Column("STATE", lambda row: row.state, None, right=False),
    _Column("EVENTS/S", lambda row: _rate(row.events), 4),
    _Column("P50", lambda row: _time(row.p50_ns), 1),
    _Column("P95", lambda row: _time(row.p95_ns), 3),
    _Column("REASON", lambda row: row.reason, 2, right=False, at_least=_REASON_AT_LEAST),
)


def frame(snapshot: Snapshot, width: int, height: int | None = None) -> RenderableType:
    """*snapshot* in *width* columns and at most *height* lines; None = as many as it takes."""
    lines: list[_Line] = []
    for row in snapshot.workflows:
        lines += (row, *row.components)
    notes = snapshot.notes[-_NOTES_SHOWN:]
    nodes_max, lines_max = len(snapshot.nodes), len(lines)
    above = [*_head(snapshot), *_peers(snapshot)]
    below = list(_network(snapshot))
    if height is not None:
        # Two tables with a head, a line that says how many more there are, and one before it.
        room = max(2, height - len(above) - len(below) - 7)
        notes = notes[len(notes) - min(len(notes), max(_NOTES_AT_LEAST, room // 4)) :]
        room = max(2, room - len(notes))
        nodes_max, lines_max = _shares(room, nodes_max, lines_max)
    nodes = snapshot.nodes[:nodes_max]
    shown = lines[:lines_max]
    parts: list[RenderableType] = [*above]
    if nodes:
        parts += ["", _table(_NODES, nodes, width)]
        parts += _more((snapshot.nodes_total - len(nodes), "node"))
    if shown:
        parts += ["", _table(_WORKFLOWS, shown, width)]
        begun = [each for each in shown if isinstance(each, WorkflowRow)]
        parts += _more(
            (sum(each.components_total for each in begun) - len(shown) + len(begun), "component"),
            (snapshot.workflows_total - len(begun), "workflow"),
        )
    if below or notes:
        parts += ["", *below]
    return Group(*parts, *map(_note, notes))


def _note(note: Note) -> Text:
    when, what = (f"{note.at_s:10.3f} s  ", "dim"), (f"{note.what:8} ", _style(note.what))
    return _line(when, what, note.text, f" ({note.times} times)" if note.times > 1 else "")


def text(snapshot: Snapshot, width: int) -> str:
    """*snapshot* in plain characters, for whoever is no terminal; with a newline at its end."""
    console = Console(file=StringIO(), width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(frame(snapshot, width))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _shares(room: int, nodes: int, lines: int) -> tuple[int, int]:
    """How many lines each of two tables gets: half, and what the other one does not need."""
    half = room // 2
    if nodes <= half:
        return nodes, min(lines, room - nodes)
    if lines <= room - half:
        return min(nodes, room - lines), lines
    return half, room - half


def _head(snapshot: Snapshot) -> Iterator[Text]:
    facts = [f"{snapshot.at_s:.3f} s"] if not snapshot.peers else []
    if snapshot.speed is not None:
        facts.append(f"{snapshot.speed:g}x")
    if snapshot.seed is not None:
        facts.append(f"seed {snapshot.seed}")
    facts.append(f"rates of {snapshot.window_s:g} s")
    yield _line((snapshot.title, "bold"), f"  {'  '.join(facts)}  ", (snapshot.phase, "bold"))
    nodes = _totals("node", snapshot.nodes_total, snapshot.nodes_by_state)
    workflows = _totals("workflow", snapshot.workflows_total, snapshot.workflows_by_state)
    yield _line(f"{nodes}; {workflows}")


def _totals(what: str, total: int, by_state: dict[str, int]) -> str:
    states = ", ".join(f"{count} {state}" for state, count in by_state.items())
    head = f"{total} {what}{'' if total == 1 else 's'}"
    return f"{head}: {states}" if states else head


def _peers(snapshot: Snapshot) -> Iterator[Text]:
    for peer in snapshot.peers:
        style = {ANSWERS: "green", ASKED: "yellow"}.get(peer.answer, _BAD)
        detail = f": {peer.detail}" if peer.detail else ""
        yield _line(f"the {peer.role} at {peer.url} ", (peer.answer, style), detail)


def _network(snapshot: Snapshot) -> Iterator[Text]:
    network = snapshot.network
    if network is None:
        return
    causes = ", ".join(f"{count} x {cause}" for cause, count in network.lost_by_cause.items())
    yield _line(
        f"events/s: {_rate(network.sent)} sent, {_rate(network.handled)} handled; "
        f"{network.in_flight} in flight, ",
        (f"{network.lost} lost", _BAD if network.lost else ""),
        f" ({causes})" if causes else "",
    )
    if network.faults:
        yield _line(("now: ", _BAD), "; ".join(network.faults))


def _more(*hidden: tuple[int, str]) -> list[RenderableType]:
    """A line that says what there was no room for, if anything."""
    texts = [f"{count} more {what}{'s' * (count > 1)}" for count, what in hidden if count > 0]
    return [_line((f"... {', '.join(texts)}", "dim"))] if texts else []


# -- tables -------------------------------------------------------------------------------------


def _table(columns: Sequence[_Column[R]], rows: Sequence[R], width: int) -> RenderableType:
    cells = {column.head: [printable(column.cell(row)) for row in rows] for column in columns}
    widths = _fitting(columns, cells, width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    kept = [column for column in columns if column.head in widths]
    for column in kept:
        table.add_column(
            column.head,
            width=widths[column.head],
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if column.right else "left",
        )
    for place in range(len(rows)):
        texts = [(column.head, cells[column.head][place]) for column in kept]
        # As texts, not as markup: a name may have brackets.
        table.add_row(
            *(Text(text, _style(text) if head == "STATE" else "") for head, text in texts)
        )
    return Padding(table, 0, expand=False)


def _fitting(
    columns: Sequence[_Column[R]], cells: dict[str, list[str]], width: int
) -> dict[str, int]:
    """Width by head of the columns that fit; those that say nothing at all do not stay."""
    kept = [
        column
        for column in columns
        if column.rank is None or any(text not in ("", _UNKNOWN) for text in cells[column.head])
    ]
    natural = {
        column.head: max(len(column.head), *map(cell_len, cells[column.head])) for column in kept
    }
    least = {
        column.head: min(natural[column.head], column.at_least or natural[column.head])
        for column in kept
    }

    def needed() -> int:
        return sum(least[column.head] for column in kept) + _GAP * (len(kept) - 1)

    for column in sorted((c for c in kept if c.rank is not None), key=lambda c: c.rank or 0):
        if needed() > width:
            kept.remove(column)
    widths = {column.head: least[column.head] for column in kept}
    if needed() > width:
        first = kept[0].head
        widths[first] = max(_NAME_AT_LEAST, widths[first] - (needed() - width))
    left = width - needed()
    for column in kept:
        if column.at_least and left > 0:
            widths[column.head] = min(natural[column.head], widths[column.head] + left)
    return widths


def _name(row: _Line) -> str:
    return row.name if isinstance(row, WorkflowRow) else f"  {row.name}"


def _place(row: _Line) -> str:
    return (row.domain if isinstance(row, WorkflowRow) else row.node) or _UNKNOWN


def _style(state: str) -> str:
    return _STYLES.get(state, _BAD if state in TROUBLES or state in ("degraded", "orphan") else "")


def _line(*parts: str | tuple[str, str]) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for part in parts:
        words, style = part if isinstance(part, tuple) else (part, "")
        text.append(printable(words), style or None)
    return text


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else str(value)


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.0%}"


def _rate(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    if value >= 100_000:
        return f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _time(ns: int | None) -> str:
    return _UNKNOWN if ns is None else duration(ns)
