"""What happened, in order: append-only records and their rolling digest (design, decision 16).

A record is a tuple ``(ns, kind, …)``; on disk each is one line of JSON. Names are interned: a
``def`` record gives a number to a name, later records use the number. Only a small buffer is in
memory; without a file the records are hashed and forgotten. Readers (reports, checkers, the test
harness) get the same records in batches, and nothing else.

========== ===========================================================================
kind       fields after time and kind
========== ===========================================================================
``def``    number, what ("node", "instance", "workflow", "channel", …), name
``send``   serial, source, target, event type, payload bytes
``recv``   serial, target
``begin``  serial, instance, handler (0 init, 1 cast, 2 call, 3 stop), ns since it was sent
``end``    serial, instance, fuel, duration in ns, outcome
``drop``   serial, instance or node, cause
``place``  component, node, reason
``start``  instance, component, node
``stop``   instance, reason
``patch``  instance, generation, number of outputs
``fault``  what, where
``state``  subject, state, reason
``log``    instance, level, target, message
========== ===========================================================================
"""

from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, BinaryIO, Final, TypeAlias

import msgspec

from edgeless_sim.kernel.scheduler import Scheduler

__all__ = ["Journal", "JournalReader", "Record"]

Record: TypeAlias = tuple[Any, ...]
JournalReader: TypeAlias = Callable[[Sequence[Record]], None]

_BATCH: Final = 4096
_TAIL: Final = 256


class Journal:
    """The journal of one run. Closed before teardown, whose order is not part of what happened."""

    __slots__ = (
        "_buffer",
        "_closed",
        "_encode_lines",
        "_hash",
        "_names",
        "_now_ns",
        "_readers",
        "_serial",
        "_sink",
        "_tail",
        "enabled",
        "record",
        "records_total",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        sink: BinaryIO | None = None,
        enabled: bool = True,
        serials_after: int = 0,
    ) -> None:
        """*serials_after*: numbers of events begin behind it, so that several processes of one run
        number theirs differently."""
        self._now_ns = scheduler.now_ns
        #: ``record(kind, *fields)`` appends a record with the present time. Nothing is recorded
        #: once the journal is closed. An attribute, so that a disabled journal costs next to
        #: nothing on the event path.
        self.record: Callable[..., None] = self._append if enabled else _ignore
        self._sink = sink
        #: False = nothing is recorded; for measuring what recording costs.
        self.enabled = enabled
        self.records_total = 0
        self._buffer: list[Record] = []
        self._tail: deque[Record] = deque(maxlen=_TAIL)
        self._hash = blake2b(digest_size=16)
        self._names: dict[tuple[str, str], int] = {}
        self._readers: list[JournalReader] = []
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._serial = serials_after
        self._closed = not enabled

    def serial(self) -> int:
        """A number for a new event, unique in this run."""
        self._serial += 1
        return self._serial

    def intern(self, what: str, name: str) -> int:
        """The number of *name*; the first time, a ``def`` record is written."""
        key = (what, name)
        number = self._names.get(key)
        if number is None:
            number = self._names[key] = len(self._names)
            self.record("def", number, what, name)
        return number

    def _append(self, kind: str, *fields: Any) -> None:
        if self._closed:
            return
        buffer = self._buffer
        buffer.append((self._now_ns(), kind, *fields))
        if len(buffer) >= _BATCH:
            self.flush()

    def subscribe(self, reader: JournalReader) -> None:
        """Give *reader* all further records, in batches and in order."""
        self.flush()
        self._readers.append(reader)

    def flush(self) -> None:
        """Hash, write and hand out what is buffered."""
        batch = self._buffer
        if not batch:
            return
        self._buffer = []
        lines = self._encode_lines(batch)
        self._hash.update(lines)
        if self._sink is not None:
            self._sink.write(lines)
        self.records_total += len(batch)
        self._tail.extend(batch[-_TAIL:])
        for reader in self._readers:
            reader(batch)

    def digest(self) -> str:
        """Hexadecimal digest of all records so far (BLAKE2b, 128 bits)."""
        self.flush()
        return self._hash.hexdigest()

    def tail(self) -> list[Record]:
        """The last few hundred records, for failure reports."""
        self.flush()
        return list(self._tail)

    def close(self) -> None:
        """Flush and record nothing more. Idempotent."""
        self.flush()
        self._closed = True
        if self._sink is not None:
            self._sink.flush()


def _ignore(*_: Any) -> None:
    """What a disabled journal does with a record."""
