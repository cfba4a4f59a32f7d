"""The old side of a migration: what becomes of an instance that another node takes over.

Asked to leave, the guest finishes its event and runs its stop hook; then its state is told. Until
the other node collects the events, which proves that it has the state, the instance can go on here
instead. From the first collection on it is over here: what waits and what still comes is handed on
in its order, and calls that were made to it are answered in its name. All of that is bounded.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from edgeless_sim.api.handover import (
    COLLECT_BYTES_MAX,
    COLLECT_EVENTS_MAX,
    FIRST_BYTES_MAX,
    HANDOVER_REFUSED,
    Answer,
    Collected,
    HandedEvent,
    HandedState,
)
from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import (
    ERR,
    CallReturn,
    CallReturnKind,
    Event,
    EventType,
    event_bytes,
)
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.function import QUEUE_BYTES_MAX, QUEUE_EVENTS_MAX
from edgeless_sim.node.hosting import HostingContext
from edgeless_sim.node.movable import MovableFunction

__all__ = ["CALLS_MAX", "COMMIT_S", "FORWARD_S", "POLL_S", "RETIRED_S", "SILENCE_S", "Departure"]

#: How long the other node may take from the state to the first collection.
COMMIT_S: Final = 2.0
#: How long a collection waits for something to collect.
POLL_S: Final = 1.0
#: Without a collection for so long, the other node is taken for dead.
SILENCE_S: Final = 3.0
#: How long events are handed on if the ε-ORC never stops the instance …
FORWARD_S: Final = 600.0
#: … and after it did: its patches for those who send are on their way.
RETIRED_S: Final = 2.0

#: Most calls to the old instance that wait for an answer of the new one.
CALLS_MAX: Final = 4096

_LOOK_S: Final = 0.5
_CALL: Final = int(EventType.CALL)
_KINDS: Final = {int(kind): kind for kind in CallReturnKind}


class Departure:
    """An instance on its way to *successor*; see `Leaving`, and `Inbox` once it has left."""

    def __init__(
        self,
        hosted: MovableFunction,
        successor: InstanceId,
        context: HostingContext,
        on_stay: Callable[["Departure"], None],
    ) -> None:
        """*on_stay* is told if the instance does not leave."""
        self.hosted = hosted
        self.successor = successor
        #: Whether it is over here.
        self.committed = False
        #: Whether the state in the store here belongs to somebody again.
        self.state_reclaimed = False
        self._context = context
        self._on_stay = on_stay
        self._scheduler = context.actor.scheduler
        self._plane = context.plane
        self._asked_ns = self._freed_ns = self._scheduler.now_ns()
        self._outcome: asyncio.Future[HandedState | RejectedError] = (
            asyncio.get_running_loop().create_future()
        )
        self._clean = True
        self._timer: Timer | None = None
        self._state_bytes = 0
        #: What was not collected yet, and the number of the first of it.
        self._outbox: deque[Event] = deque()
        self._outbox_bytes = 0
        self._first = 0
        #: How many of the outbox are on their way.
        self._sent = 0
        self._calls: dict[tuple[bytes, int], Event] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._over = False
        self._hurried = False
        self._committed_ns = self._seen_ns = self._until_ns = 0

    # -- until it has left ----------------------------------------------------------------------

    async def state(self) -> HandedState:
        """What the guest left behind; raise `RejectedError` if the instance stays."""
        # Shielded: who gives up waiting must not take the others' future along.
        outcome = await asyncio.shield(self._outcome)
        if isinstance(outcome, RejectedError):
            raise outcome
        return outcome

    def freed(self) -> None:
        """See `Leaving.freed`."""
        self._freed_ns = self._scheduler.now_ns()

    def guest_ended(self, *, clean: bool) -> None:
        """See `Leaving.guest_ended`: read the state, and wait for the first collection."""
        self._clean = clean
        try:
            state = self._context.states.load(self.hosted.request.state_specification)
        except ResourceError as error:
            self._go_on(str(error))
            return
        self._state_bytes = 0 if state is None else len(state.encode())
        self._decide(HandedState(state, self._freed_ns - self._asked_ns))
        self._set_timer(COMMIT_S, self._forsaken)

    def stays(self, reason: str) -> None:
        """See `Leaving.stays`."""
        self._cancel_timer()
        self._on_stay(self)
        self._decide(RejectedError(HANDOVER_REFUSED, reason))

    def _forsaken(self) -> None:
        self._go_on("nobody has taken it over")

    def _go_on(self, reason: str) -> None:
        hosted = self.hosted
        if self._clean:
            hosted.resume(reason)
        else:
            # Its last guest may still be at work: there cannot be another one.
            hosted.stop()
        self.stays(reason)

    def _decide(self, outcome: HandedState | RejectedError) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)

    # -- from then on ---------------------------------------------------------------------------

    def commit(self) -> None:
        """It is over here: only hand on from now on."""
        if self.committed:
            return
        if not self._outcome.done() or isinstance(self._outcome.result(), RejectedError):
            raise RejectedError(HANDOVER_REFUSED, "its state was not asked for")
        self.committed = True
        events = self.hosted.depart()
        for event in events:
            self._put(event)
        self.hosted.chronicle.note(
            "handed over", f"{len(events)} events, {self._state_bytes} bytes of state"
        )
        self._committed_ns = self._seen_ns = self._scheduler.now_ns()
        self._until_ns = self._committed_ns + round(FORWARD_S * 1e9)
        self._set_timer(_LOOK_S, self._look)

    async def collect(self, received: int, *, begun: bool) -> Collected:
        """The next events for the successor, which has got *received* so far."""
        self._seen_ns = self._scheduler.now_ns()
        self._acknowledge(received)
        if begun:
            self._drop_state()
            if not self._outbox and not self._over:
                await self._something()
        # The first one may be without any event, if that is large.
        batch = self._batch(COLLECT_BYTES_MAX, 1) if begun else self._batch(FIRST_BYTES_MAX, 0)
        over = self._over and not self._outbox
        if over:
            self._close("the instance has moved")
        return Collected(batch, over)

    def give_back(self, answers: tuple[Answer, ...]) -> None:
        """Answer calls as the old instance."""
        for answer in answers:
            call = self._calls.pop((answer.source, answer.stream), None)
            if call is not None:
                kind = _KINDS.get(answer.kind, CallReturnKind.ERR)
                self._plane.answer(call, CallReturn(kind, answer.payload))

    def deliver(self, event: Event) -> None:
        """See `Inbox.deliver`: the successor gets it."""
        size = self._outbox_bytes + event_bytes(event)
        if len(self._outbox) >= QUEUE_EVENTS_MAX or size > QUEUE_BYTES_MAX:
            self._plane.refuse(event, "queue full")
        elif event.kind == _CALL and len(self._calls) >= CALLS_MAX:
            self._plane.refuse(event, "too many open calls")
        elif self._over:
            self._plane.refuse(event, "no such instance")
        else:
            self._put(event)
            self._wake()

    def mark(self, event: Event) -> None:
        """A sender sends elsewhere from now on (`edgeless_sim.dataplane.marks`)."""
        if not self._over and len(self._outbox) < 2 * QUEUE_EVENTS_MAX:
            self._outbox.append(event)
            self._outbox_bytes += event_bytes(event)
            self._wake()

    def retire(self) -> None:
        """See `Leaving.retire`: those who send have been told, or are being told."""
        until_ns = self._scheduler.now_ns() + round(RETIRED_S * 1e9)
        self._until_ns = min(self._until_ns, until_ns)

    def hurry(self) -> None:
        """The node stops: do not wait for answers."""
        self._hurried = True

    def crash(self, cause: str) -> None:
        """See `Leaving.crash`. What is on its way may have arrived, or not: nobody here knows."""
        self._cancel_timer()
        for place, event in enumerate(self._outbox):
            if event.serial and place < self._sent:
                self.hosted.chronicle.note("cut off", str(event.serial))
            elif event.serial:
                self._plane.drop(event, cause)
        self._outbox.clear()
        self._decide(RejectedError(HANDOVER_REFUSED, cause))
        self._wake()

    # -- inside ---------------------------------------------------------------------------------

    def _put(self, event: Event) -> None:
        self._outbox.append(event)
        self._outbox_bytes += event_bytes(event)
        if event.kind == _CALL:
            self._calls[event.source, event.stream] = event

    def _acknowledge(self, received: int) -> None:
        while self._first < received and self._outbox:
            self._outbox_bytes -= event_bytes(self._outbox.popleft())
            self._first += 1
        self._sent = 0

    def _batch(self, bytes_max: int, least: int) -> tuple[HandedEvent, ...]:
        """The events that come next, *least* of them even if that is too large."""
        now_ns = self._scheduler.now_ns()
        batch: list[HandedEvent] = []
        size = 0
        for event in self._outbox:
            size += event_bytes(event)
            if len(batch) >= COLLECT_EVENTS_MAX or (size > bytes_max and len(batch) >= least):
                break
            age_ns = max(0, now_ns - event.created_ns)
            batch.append(
                HandedEvent(
                    event.kind,
                    event.source,
                    event.stream,
                    event.payload,
                    age_ns,
                    event.metadata,
                    event.serial,
                )
            )
        self._sent = len(batch)
        return tuple(batch)

    def _drop_state(self) -> None:
        """The successor runs: a state that stayed here would be an old one when it comes back."""
        if self.state_reclaimed:
            return
        self.state_reclaimed = True
        try:
            self._context.states.discard(self.hosted.request.state_specification)
        except ResourceError as error:
            self.hosted.chronicle.note("state not removed", str(error))

    async def _something(self) -> None:
        """Return when there is something to collect, or nothing came for a while."""
        self._wake()
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        timer = self._scheduler.timer_at(self._scheduler.now_ns() + round(POLL_S * 1e9), self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
            if self._waiter is waiter:
                self._waiter = None
            self._seen_ns = self._scheduler.now_ns()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _look(self) -> None:
        """Whether there is still something to do here."""
        now_ns = self._scheduler.now_ns()
        if self._waiter is None and now_ns - self._seen_ns > SILENCE_S * 1e9:
            self._close("the successor is silent")
            return
        expired = now_ns > self._committed_ns + self._plane.calls.timeout_ns
        if now_ns >= self._until_ns and (expired or self._hurried or not self._calls):
            self._over = True
            self._wake()
        self._set_timer(_LOOK_S, self._look)

    def _close(self, cause: str) -> None:
        self._cancel_timer()
        self._over = True
        for event in self._outbox:
            if event.serial:
                self._plane.drop(event, cause)
        self._outbox.clear()
        for call in self._calls.values():
            self._plane.answer(call, ERR)
        self._calls.clear()
        self._wake()
        self.hosted.end()

    def _set_timer(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._cancel_timer()
        when_ns = self._scheduler.now_ns() + round(delay_s * 1e9)
        self._timer = self._scheduler.timer_at(when_ns, callback)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
