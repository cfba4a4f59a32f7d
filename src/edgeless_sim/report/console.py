"""What happens in one component, as lines for whoever runs it: logs of functions, beginnings and
ends, losses. A reader of the journal.
"""

from collections.abc import Callable, Sequence
from typing import Final

from edgeless_sim.kernel.journal import Record
from edgeless_sim.report.logs import LogEntry, LogReader, log_line
from edgeless_sim.report.names import Names

__all__ = ["ConsoleReader"]

_TOLD: Final = frozenset({"place", "start", "stop", "state", "drop", "fault"})


class ConsoleReader:
    """Subscribe `read` to a journal from its beginning; *tell* gets every line.

    What functions say goes to *say*, if there is one, and not to *tell*.
    """

    def __init__(
        self, tell: Callable[[str], None], say: Callable[[LogEntry], None] | None = None
    ) -> None:
        self._tell = tell
        self._names = Names()
        self._known: dict[int, str] = {}
        self._logs = LogReader(say or (lambda entry: tell(log_line(entry))))

    def read(self, batch: Sequence[Record]) -> None:
        """Take a batch of records."""
        for record in batch:
            kind = record[1]
            if kind == "def":
                self._names.define(record[2], record[3], record[4])
                self._known[record[2]] = record[4]
            elif kind in _TOLD:
                self._tell(f"[{record[0] / 1e9:11.6f}s] {self._text(record)}")
            # One by one, so that lines stand in the order of time.
            self._logs.read((record,))

    def _text(self, record: Record) -> str:
        match record[1:]:
            case ("place", component, place, reason):
                return f"{self._name(component)} placed on {self._name(place)}: {reason}"
            case ("start", instance, component, _):
                return f"{self._name(component)} started as {self._name(instance)}"
            case ("stop", instance, reason):
                return f"{self._name(instance)} ended: {reason}"
            case ("state", subject, state, reason):
                return f"{self._name(subject)} {state}{f': {reason}' if reason else ''}"
            case ("drop", _, target, cause):
                return f"event to {self._name(target)} lost: {cause}"
            case (kind, what, where):
                return f"{kind} {what} {where}"
        raise AssertionError(record)

    def _name(self, number: int) -> str:
        return self._names.node(number) or self._known.get(number, str(number))
