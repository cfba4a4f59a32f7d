"""What became of events to a node that is gone, where no network can tell.

In a simulation the network knows each frame that it loses, and a dying node says what it takes
along. Sockets and killed processes say nothing, so that the journal would leave those events
unexplained. This reader of the journal explains them: an event to an instance of a node that
crashed, of whose arrival or end nothing was heard for a while, is lost with it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from edgeless_sim.kernel.journal import Journal, Record
from edgeless_sim.kernel.scheduler import Scheduler, Timer
from edgeless_sim.model.event import EventType
from edgeless_sim.model.ids import NodeId

__all__ = ["Bereavement"]

#: So long after a crash news may still come of what happened before it.
_GRACE_NS: Final = 500_000_000
_NODE_CHARS: Final = 32
_CAUSES: Final = {"crash": "node crashed", "stop": "nobody listens"}
_LAST_OF_WAY_IN: Final = int(EventType.CAST)


class Bereavement:
    """Records the drops that nobody else records. *nodes* = node id by name, filled by the time
    something crashes."""

    def __init__(self, scheduler: Scheduler, journal: Journal, nodes: Mapping[str, NodeId]) -> None:
        self._scheduler = scheduler
        self._journal = journal
        self._nodes = nodes
        #: Numbers of instances by the id of their node, in hexadecimal digits.
        self._instances: dict[str, list[int]] = {}
        #: Why what is sent to an instance is lost, by its number.
        self._gone: dict[int, str] = {}
        #: By serial: the target of an event that has neither ended nor been dropped.
        self._open: dict[int, int] = {}
        self._timer: Timer | None = None
        journal.subscribe(self._read)

    def close(self) -> None:
        """Record nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _read(self, batch: Sequence[Record]) -> None:
        pending = self._open
        for record in batch:
            kind = record[1]
            if kind == "send":
                # What answers a call ends by being received, as if it had a negative serial.
                serial = record[2] if record[5] <= _LAST_OF_WAY_IN else -record[2]
                pending[serial] = record[4]
                if record[4] in self._gone:
                    self._look_later()
            elif kind == "recv":
                pending.pop(-record[2], None)
                if record[2] in pending:
                    # Not where it was sent to, if the function has moved.
                    pending[record[2]] = record[3]
            elif kind in ("end", "drop"):
                pending.pop(record[2], None)
                pending.pop(-record[2], None)
            elif kind == "def" and record[3] == "instance":
                self._instances.setdefault(record[4][:_NODE_CHARS], []).append(record[2])
            elif kind == "fault" and record[2] in _CAUSES and record[3] in self._nodes:
                self._mourn(self._nodes[record[3]], _CAUSES[record[2]])

    def _mourn(self, node: NodeId, cause: str) -> None:
        # Those that it hosted; a new life gives its instances new ids.
        for number in self._instances.pop(node.hex, []):
            self._gone[number] = cause
        self._look_later()

    def _look_later(self) -> None:
        if self._timer is None:
            when_ns = self._scheduler.now_ns() + _GRACE_NS
            self._timer = self._scheduler.background_at(when_ns, self._look)

    def _look(self) -> None:
        self._timer = None
        self._journal.flush()
        lost = [(serial, number) for serial, number in self._open.items() if number in self._gone]
        for serial, number in lost:
            self._journal.record("drop", abs(serial), number, self._gone[number])
