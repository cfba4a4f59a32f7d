"""Counts over the last seconds of a run: slots of a fixed width, the oldest of which is forgotten.

A slot counts; when it is closed, its counts are added to the sums that rows carry, and taken away
again when it is too old. So an event costs one count, and reading a rate costs nothing, however
many rows there are. Rates are of closed slots only: they are up to one slot old.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from edgeless_sim.model.histogram import Histogram

__all__ = ["SLOTS", "Counted", "Slot", "Window"]

#: How many slots a window has.
SLOTS: Final = 10


class Counted:
    """Whoever has counts in a window: a node, a component, or the network."""

    __slots__ = ("busy_ns", "handled", "received", "sent")

    def __init__(self) -> None:
        #: Sums over the closed slots of the window.
        self.sent = 0
        self.received = 0
        self.handled = 0
        self.busy_ns = 0


class Slot:
    """What was counted in one slot."""

    __slots__ = ("busy_ns", "handled", "received", "sent")

    def __init__(self) -> None:
        self.sent: dict[Counted, int] = {}
        self.received: dict[Counted, int] = {}
        self.busy_ns: dict[Counted, int] = {}
        #: How long handling took, and with it how often.
        self.handled: dict[Counted, Histogram] = {}

    def add_to_sums(self, sign: int) -> None:
        """Add the counts to the sums of their rows, or with -1 take them away."""
        for row, count in self.sent.items():
            row.sent += sign * count
        for row, count in self.received.items():
            row.received += sign * count
        for row, ns in self.busy_ns.items():
            row.busy_ns += sign * ns
        for row, histogram in self.handled.items():
            row.handled += sign * histogram.total


class Window:
    """The last `SLOTS` slots of a time, and the one that is being filled."""

    def __init__(self, width_ns: int) -> None:
        """*width_ns*: of the whole window."""
        self._slot_ns = max(1, width_ns // SLOTS)
        self.slot = Slot()
        #: When the slot that is being filled ends.
        self.ends_ns = self._slot_ns
        self._closed: deque[Slot] = deque()

    @property
    def seconds(self) -> float:
        """How much time the sums stand for; never 0."""
        return max(1, len(self._closed)) * self._slot_ns / 1e9

    def turn(self) -> None:
        """Close the slot; the next one begins where it ends."""
        slot, self.slot = self.slot, Slot()
        slot.add_to_sums(+1)
        self._closed.append(slot)
        if len(self._closed) > SLOTS:
            self._closed.popleft().add_to_sums(-1)
        self.ends_ns += self._slot_ns

    def skip(self, now_ns: int) -> None:
        """Close slots until *now_ns* is in the one that is being filled."""
        turns = (now_ns - self.ends_ns) // self._slot_ns + 1
        if turns > SLOTS + 1:
            # The rest of them would be empty, and forget one another.
            self.ends_ns += (turns - SLOTS - 1) * self._slot_ns
            turns = SLOTS + 1
        for _ in range(turns):
            self.turn()

    def handling(self, rows: Sequence[Counted]) -> Histogram:
        """How long handling took in the window, for *rows* together."""
        together = Histogram()
        for slot in self._closed:
            for row in rows:
                histogram = slot.handled.get(row)
                if histogram is not None:
                    together.merge(histogram)
        return together
