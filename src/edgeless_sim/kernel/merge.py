"""One journal of a run in several processes: their records, in the order of time.

Each process numbers names by itself and sends its records late and in batches. What is here waits
until all have said that they are past its time, gets numbers of the one journal, and is written
down. All of them count time on the clock of one machine.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, BinaryIO, Final

from edgeless_sim.kernel.journal import Journal, Record
from edgeless_sim.kernel.scheduler import Scheduler

__all__ = ["MARK", "JournalSource", "MergedJournal"]

#: Kind of a record that only says how far its process is.
MARK: Final = "mark"
#: Where in a record are numbers of names, by kind.
_NUMBERED: Final[dict[str, tuple[int, ...]]] = {
    "send": (3, 4),
    "recv": (3,),
    "begin": (3,),
    "end": (3,),
    "drop": (3,),
    "place": (2, 3),
    "start": (2, 3, 4),
    "stop": (2,),
    "patch": (2,),
    "state": (2,),
    "log": (2,),
}
#: Records that wait for slower processes; beyond that they are written down out of order.
_PENDING_MAX: Final = 1_000_000
_BY_TIME: Final = itemgetter(0)


class JournalSource:
    """The records of one process. Made by `MergedJournal.source`."""

    def __init__(self, journal: "MergedJournal") -> None:
        self._journal = journal
        self._names: dict[int, tuple[str, str]] = {}
        self._numbers: dict[int, int] = {}
        #: How far it is, in ns; it counts until it has ended.
        self.reached_ns = 0
        self.ended = False

    def feed(self, records: Sequence[Sequence[Any]]) -> None:
        """Take records, in their order."""
        for record in records:
            kind = record[1]
            self.reached_ns = max(self.reached_ns, record[0])
            if kind == "def":
                self._names[record[2]] = (record[3], record[4])
            elif kind != MARK:
                self._journal.wait(self._translated(record))

    def end(self) -> None:
        """The process has gone: it holds nobody up any more."""
        self.ended = True

    def _translated(self, record: Sequence[Any]) -> Record:
        fields = list(record)
        for place in _NUMBERED.get(record[1], ()):
            number = fields[place]
            found = self._numbers.get(number)
            if found is None and number in self._names:
                found = self._numbers[number] = self._journal.intern(*self._names[number])
            if found is not None:
                fields[place] = found
        return tuple(fields)


class MergedJournal(Journal):
    """A `Journal` that also takes records of other processes.

    Nothing is in it before all living sources are past its time: `reached_ns` says how far it is.
    """

    __slots__ = ("_pending", "_sources")

    def __init__(
        self, scheduler: Scheduler, *, sink: BinaryIO | None = None, enabled: bool = True
    ) -> None:
        super().__init__(scheduler, sink=sink, enabled=enabled)
        self._pending: list[Record] = []
        self._sources: list[JournalSource] = []

    def source(self) -> JournalSource:
        """Another process, whose records are to come."""
        source = JournalSource(self)
        source.reached_ns = self._now_ns()
        self._sources.append(source)
        return source

    @property
    def reached_ns(self) -> int:
        """All that happened before that time is in the journal, or in the next `flush`."""
        self._sources = [source for source in self._sources if not source.ended]
        return min((source.reached_ns for source in self._sources), default=self._now_ns())

    def wait(self, record: Record) -> None:
        """Write *record* down when it is its turn."""
        self._pending.append(record)
        if len(self._pending) > _PENDING_MAX:
            self._release(None)

    def flush(self) -> None:
        """See `Journal.flush`; what is not to be written down yet goes on waiting."""
        self._release(self.reached_ns)
        super().flush()

    def close(self) -> None:
        """See `Journal.close`; what waits is written down."""
        self._release(None)
        super().close()

    def _append(self, kind: str, *fields: Any) -> None:
        if self._closed:
            return
        record = (self._now_ns(), kind, *fields)
        if kind == "def":
            # At once: whoever uses the number next may be of another process.
            self._buffer.append(record)
        else:
            self.wait(record)

    def _release(self, until_ns: int | None) -> None:
        """Write down what happened before *until_ns*; all of it if that is None."""
        pending = self._pending
        if not pending or self._closed:
            return
        # Stable: records of one process keep their order at equal times.
        pending.sort(key=_BY_TIME)
        count = len(pending)
        if until_ns is not None:
            count = next((at for at, one in enumerate(pending) if one[0] >= until_ns), count)
        self._buffer += pending[:count]
        del pending[:count]
