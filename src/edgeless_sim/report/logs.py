"""What functions said, as it is said: entries for files, lines for people.

A reader of the journal. Text of functions is shown with control characters escaped: it must not
command a terminal.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from edgeless_sim.kernel.journal import Record
from edgeless_sim.report.names import Names

__all__ = ["LogEntry", "LogReader", "log_line", "printable"]

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


class LogEntry(msgspec.Struct, frozen=True):
    """One entry. ``ns`` counts from the beginning of the run."""

    ns: int
    node: str
    workflow: str
    component: str
    level: str
    target: str
    text: str


class LogReader:
    """Subscribe `read` to a journal from its beginning; *tell* gets every entry, in order."""

    def __init__(self, tell: Callable[[LogEntry], None]) -> None:
        self._tell = tell
        self._names = Names()
        self._instances: dict[int, tuple[int, str]] = {}

    def read(self, batch: Sequence[Record]) -> None:
        """Take a batch of records."""
        for record in batch:
            kind = record[1]
            if kind == "log":
                ns, _, instance, level, target, text = record
                component, node = self._instances.get(instance, (-1, ""))
                names = self._names
                workflow = names.workflow_of(component)
                self._tell(
                    LogEntry(ns, node, workflow, names.component_of(component), level, target, text)
                )
            elif kind == "def":
                self._names.define(record[2], record[3], record[4])
            elif kind == "place":
                self._names.placed(record[2], record[3], record[4])
            elif kind == "start":
                self._instances[record[2]] = record[3], self._names.node(record[4])
            elif kind == "state" and record[3] == "named":
                self._names.name_workflow(record[2], str(record[4]))


def printable(text: str) -> str:
    """*text* on one line, control characters escaped."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def log_line(entry: LogEntry) -> str:
    """``[   1.234567s] edge/0 game/ping INFO text``; always one line."""
    text = printable(entry.text.rstrip("\n"))
    where = f"{entry.node} {entry.workflow}/{entry.component}"
    return f"[{entry.ns / 1e9:11.6f}s] {where} {entry.level.upper()} {text}"
