"""Properties of the data plane that hold in every run, read from the journal alone.

The codes are those of the invariants in the reliability contract: I22 at most once, I23 order per
pair, I24 every loss has a cause, I28 one handler at a time with init first and stop last, I29
nothing is sent after the stop, I44 time never goes back.
"""

from collections.abc import Sequence
from typing import Final

from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.event import EventType

__all__ = ["JournalChecker"]

_VIOLATIONS_MAX: Final = 100
#: How the faults are called that make copies of frames.
_COPYING: Final = ("duplicate", "requests again")
_DROPPED_MAX: Final = 1_000_000


class JournalChecker:
    """A journal reader that notes every violation: ``journal.subscribe(checker)``."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.sent = 0
        self.handled = 0
        self.dropped = 0
        self._now_ns = 0
        #: Whether the network makes copies: then the end of one is not that of the event.
        self._copies = False
        #: Dropped, and perhaps not the only copy.
        self._dropped: dict[int, tuple[int, int]] = {}
        #: Sent and neither handled nor dropped yet: source and target.
        self._open: dict[int, tuple[int, int]] = {}
        self._returns: set[int] = set()
        self._last_handled: dict[tuple[int, int], int] = {}
        self._inside: dict[int, int] = {}
        self._initialised: set[int] = set()
        #: When, in ns.
        self._stopped: dict[int, int] = {}
        self._restarted_ns = -1
        #: On their way from an instance that had moved to its successor when its node crashed.
        self._cut_off: set[int] = set()

    def __call__(self, batch: Sequence[Record]) -> None:
        """Take the next records."""
        for record in batch:
            if record[0] < self._now_ns:
                self._note("I44", record, "time went back")
            self._now_ns = record[0]
            kind = record[1]
            if kind == "send":
                self.sent += 1
                self._send(record)
            elif kind == "begin":
                self._begin(record)
            elif kind == "end":
                self._inside.pop(record[3], None)
            elif kind == "drop":
                self._drop(record)
            elif kind == "recv":
                self._receive(record)
            else:
                self._note_circumstance(record)

    def unexplained(self) -> list[int]:
        """Serials of events that were sent and neither handled nor dropped (I24).

        What a node handed on while it crashed may have arrived or not: both is explained.
        Events still on their way, or in a queue, are among them: ask when the cluster is settled.
        """
        return sorted(self._open.keys() - self._cut_off)

    def check(self) -> None:
        """Raise AssertionError that lists the violations, if there are any."""
        assert not self.violations, "\n".join(self.violations)

    def _note_circumstance(self, record: Record) -> None:
        if record[1] == "state":
            if record[3] == "cut off":
                self._cut_off.add(int(record[4]))
        elif record[1] == "stop":
            self._stopped[record[2]] = record[0]
        elif record[1] == "start":
            self._start(record)
        elif record[1] == "fault" and record[2].startswith(_COPYING):
            self._copies = True
        elif record[1] == "fault" and record[2] == "restart":
            self._restarted_ns = record[0]

    def _start(self, record: Record) -> None:
        stopped_ns = self._stopped.pop(record[2], None)
        if self._restarted_ns >= 0:
            # A late start: what the last life was at has ended with it.
            self._inside.pop(record[2], None)
        # The next life of a node knows nothing of what the last one was told to stop.
        if stopped_ns is not None and stopped_ns >= self._restarted_ns:
            self._note("I28", record, "started again after the stop")

    def _send(self, record: Record) -> None:
        self._open[record[2]] = (record[3], record[4])
        if record[5] >= EventType.CALL_RET:
            self._returns.add(record[2])
        elif record[3] in self._stopped:
            self._note("I29", record, "sent by an instance that was stopped")

    def _receive(self, record: Record) -> None:
        """A return is handled when it is received; an event when its handler begins."""
        serial = record[2]
        if serial not in self._open and serial not in self._dropped:
            self._note("I22", record, "received, but never sent, or already handled or dropped")
        elif serial in self._returns:
            self._returns.discard(serial)
            self._take(serial)
            self.handled += 1

    def _begin(self, record: Record) -> None:
        _, _, serial, instance, handler, waited_ns = record
        if instance in self._inside:
            self._note("I28", record, "a handler began inside another one")
        if waited_ns < 0:
            self._note("I44", record, "handled before it was sent")
        if serial == 0:
            self._inside[instance] = handler
            if handler == 0:
                self._initialised.add(instance)
            elif instance in self._stopped:
                self._note("I28", record, "a handler began after the stop")
            return
        if instance in self._initialised:
            # Resources have no init, and may handle several events at a time.
            self._inside[instance] = handler
        if instance in self._stopped:
            self._note("I21", record, "a handler began after the stop")
        pair = self._take(serial)
        if pair is None:
            self._note("I22", record, "handled twice, never sent, or dropped before")
            return
        self.handled += 1
        link = (pair[0], instance)
        if serial <= self._last_handled.get(link, 0):
            self._note("I23", record, "overtaken by a later event of the same pair")
        self._last_handled[link] = serial

    def _drop(self, record: Record) -> None:
        if record[2]:
            self.dropped += 1
            pair = self._open.pop(record[2], None)
            if self._copies and pair is not None:
                if len(self._dropped) >= _DROPPED_MAX:
                    del self._dropped[next(iter(self._dropped))]
                self._dropped[record[2]] = pair
            elif not self._copies:
                self._returns.discard(record[2])

    def _take(self, serial: int) -> tuple[int, int] | None:
        """The event has its end. None if it had one before, or never was sent."""
        pair = self._open.pop(serial, None)
        return self._dropped.pop(serial, None) if pair is None else pair

    def _note(self, invariant: str, record: Record, what: str) -> None:
        if len(self.violations) < _VIOLATIONS_MAX:
            self.violations.append(f"{invariant} at {record[0] / 1e9:.6f} s: {what}: {record[1:]}")
