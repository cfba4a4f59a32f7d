"""In front of an instance that took over: lets each sender's events in in the order of sending.

What a sender sent to the old instance comes by way of that one, what it sends since it was patched
comes directly and may be quicker. Its marks (`edgeless_sim.dataplane.marks`) say where one ends and
the other begins: in between, what comes directly is held, for a bounded time.
"""

from collections import deque
from typing import Final, Protocol

from edgeless_sim.dataplane.links import Inbox
from edgeless_sim.dataplane.marks import is_mark, leads_to
from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import Event, event_bytes
from edgeless_sim.node.function import QUEUE_BYTES_MAX

__all__ = ["HELD_EVENTS_MAX", "HOLD_S", "SENDERS_MAX", "Gate"]

#: How long a sender's events are held for its mark, which may be lost. More than it takes to see
#: that the old node is silent, which opens the gate, too.
HOLD_S: Final = 4.5
#: Most events that are held, of all senders.
HELD_EVENTS_MAX: Final = 1024
#: Most senders whose marks are waited for, or remembered.
SENDERS_MAX: Final = 1024


class _MarkTaker(Protocol):
    def mark(self, event: Event) -> None: ...


class Gate:
    """Takes the events for the instance *key*, and gives them to *inner* in order."""

    def __init__(self, plane: Dataplane, key: bytes, inner: Inbox) -> None:
        self.inner = inner
        #: Who else takes marks: the instance may have left, too, before all is quiet here.
        self.further: _MarkTaker | None = None
        self._plane = plane
        self._key = key
        self._held: dict[bytes, deque[Event]] = {}
        self._held_total = 0
        self._held_bytes = 0
        self._timers: dict[bytes, Timer] = {}
        #: Senders whose last event by way of the old instance came before the first direct one.
        self._ended: dict[bytes, None] = {}
        #: Serial of the last event that came directly and was let in, by sender.
        self._last: dict[bytes, int] = {}
        plane.attach(key, self)
        plane.marks[key] = self.mark

    def deliver(self, event: Event) -> None:
        """See `Inbox.deliver`: an event that came directly."""
        held = self._held.get(event.source)
        if held is None:
            self._remember(event)
            self.inner.deliver(event)
        elif (
            self._held_total >= HELD_EVENTS_MAX
            or self._held_bytes + event_bytes(event) > QUEUE_BYTES_MAX
        ):
            self._plane.refuse(event, "queue full")
        else:
            self._held_total += 1
            self._held_bytes += event_bytes(event)
            held.append(event)

    def mark(self, event: Event) -> None:
        """A mark that came directly: what follows is to wait, or to go elsewhere."""
        source = event.source
        if leads_to(event) != self._key:
            held = self._held.get(source)
            if held is None:
                self._pass_mark(event)
            elif self._held_total < HELD_EVENTS_MAX:
                # Also if nothing else is held: what comes by way of the old instance is before it.
                held.append(event)
                self._held_total += 1
        elif source in self._ended:
            del self._ended[source]
        elif source not in self._held and len(self._held) < SENDERS_MAX:
            self._held[source] = deque()
            scheduler = self._plane.scheduler
            when_ns = scheduler.now_ns() + round(HOLD_S * 1e9)
            self._timers[source] = scheduler.timer_at(when_ns, self._release, source)

    def forwarded(self, event: Event) -> None:
        """An event, or a mark, that came by way of the old instance."""
        if not is_mark(event):
            if 0 < event.serial <= self._last.get(event.source, 0):
                # A mark was lost, or waited for too long: order is kept all the same (I23).
                self._plane.refuse(event, "overtaken while the target moved")
            else:
                self._into(event)
        elif leads_to(event) != self._key:
            self._pass_mark(event)
        elif event.source in self._held:
            self._release(event.source)
        elif len(self._ended) < SENDERS_MAX:
            self._ended[event.source] = None

    def open(self) -> None:
        """The old instance is gone: hold nothing any more, and get out of the way."""
        for source in list(self._held):
            self._release(source)
        if self._plane.local.get(self._key) is self:
            self._plane.attach(self._key, self.inner)
            self._plane.marks.pop(self._key, None)
            if self.further is not None:
                self._plane.marks[self._key] = self.further.mark

    def crash(self, cause: str) -> None:
        """The node is gone, with what is held."""
        for held in self._held.values():
            for event in held:
                if not is_mark(event):
                    self._plane.drop(event, cause)
        for timer in self._timers.values():
            timer.cancel()
        self._held.clear()

    def _remember(self, event: Event) -> None:
        if len(self._last) >= SENDERS_MAX and event.source not in self._last:
            del self._last[next(iter(self._last))]
        self._last[event.source] = event.serial

    def _release(self, source: bytes) -> None:
        self._timers.pop(source).cancel()
        held = self._held.pop(source)
        self._held_total -= len(held)
        for event in held:
            if is_mark(event):
                self._pass_mark(event)
            else:
                self._held_bytes -= event_bytes(event)
                self._remember(event)
                self._into(event)

    def _into(self, event: Event) -> None:
        if self._plane.local.get(self._key) is self:
            self.inner.deliver(event)
        else:
            self._plane.refuse(event, "no such instance")

    def _pass_mark(self, event: Event) -> None:
        if self.further is not None:
            self.further.mark(event)
