"""Lets readers see the records that were written before they could subscribe.

A cluster is handed out when it is up; its journal has begun by then. This sink keeps the first
lines and gives them to the readers. Not here: the journal itself.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import BinaryIO

import msgspec

from edgeless_sim.kernel.journal import Journal, JournalReader

__all__ = ["Beginning"]


class Beginning(BytesIO):
    """A sink of a journal, in front of the real one if there is one."""

    def __init__(self, sink: BinaryIO | None) -> None:
        super().__init__()
        self._sink = sink
        self._keeps = True

    def write(self, lines: bytes, /) -> int:  # type: ignore[override]  # a journal writes bytes
        """See `BinaryIO.write`."""
        if self._keeps:
            super().write(lines)
        if self._sink is not None:
            self._sink.write(lines)
        return len(lines)

    def flush(self) -> None:
        """See `BinaryIO.flush`."""
        if self._sink is not None:
            self._sink.flush()

    def hand_over(self, journal: Journal, readers: Sequence[JournalReader]) -> None:
        """Give *readers* what was written so far, and subscribe them to the rest."""
        journal.flush()
        records = msgspec.json.Decoder().decode_lines(self.getvalue())
        self._keeps = False
        self.truncate(0)
        batch = [tuple(record) for record in records]
        for reader in readers:
            reader(batch)
            journal.subscribe(reader)
