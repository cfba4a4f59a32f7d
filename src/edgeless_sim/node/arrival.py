"""The new side of a migration: fetches state and events, then everything that still comes.

Before anything runs here, the old node has stopped its guest, told its state, and given the
instance up for good; if one of that fails, the migration is off and the old one goes on. Afterwards
a task collects what still comes for the old instance, until that node says that nothing will.
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from edgeless_sim.api.clients import HandoverClient
from edgeless_sim.api.handover import (
    COLLECT_BYTES_MAX,
    COLLECT_EVENTS_MAX,
    HANDOVER_REFUSED,
    Answer,
    Collect,
    Collected,
    GiveBack,
    HandedEvent,
    HandedState,
    TakeOver,
)
from edgeless_sim.errors import EdgelessError, RejectedError, ResourceError, UnreachableError
from edgeless_sim.model.event import METADATA_ROOT, CallReturn, Event, EventType
from edgeless_sim.model.function import Predecessor
from edgeless_sim.model.names import clipped
from edgeless_sim.node.departure import CALLS_MAX, COMMIT_S, POLL_S, SILENCE_S
from edgeless_sim.node.function import STOP_TIMEOUT_S
from edgeless_sim.node.gate import Gate
from edgeless_sim.node.hosting import HostingContext
from edgeless_sim.node.movable import FINISH_S, MovableFunction

__all__ = ["ANSWERS_MAX", "COLLECT_TIMEOUT_S", "TAKE_OVER_TIMEOUT_S", "Arrival", "Clients"]

#: The guest there may finish, and stop; with the two collections this ends before an ε-ORC's
#: deadline for the start, 5 s.
TAKE_OVER_TIMEOUT_S: Final = FINISH_S + STOP_TIMEOUT_S + 0.5
#: For the first collection, which is tried twice; the old node waits longer than that.
COLLECT_TIMEOUT_S: Final = COMMIT_S / 4
#: Most answers that wait to be given back: as many as the old node has open calls.
ANSWERS_MAX: Final = CALLS_MAX

_PAUSE_S: Final = 0.2
_OFF: Final = "the migration is off"
_CALL: Final = int(EventType.CALL)
_CAST: Final = int(EventType.CAST)
_NO_RETURN: Final = int(EventType.CALL_NO_RET)
_KEY_BYTES: Final = 32

#: From the URL of an agent, and a deadline in seconds, to a client of it.
Clients = Callable[[str, float], HandoverClient]


class Arrival:
    """*hosted* takes over from *predecessor*."""

    def __init__(
        self,
        hosted: MovableFunction,
        predecessor: Predecessor,
        context: HostingContext,
        clients: Clients,
        on_over: Callable[["Arrival"], None],
        reclaim: Callable[[UUID], None],
    ) -> None:
        """*reclaim* is told whose state is about to be stored here."""
        self.hosted = hosted
        #: Whether it is not wanted any more.
        self.cancelled = False
        #: Whether the new instance is gone. What is on its way is still fetched: it has a fate.
        self.deserted = False
        self.gate: Gate | None = None
        self._old = predecessor.instance
        self._url = predecessor.agent_url
        self._clients = clients
        self._context = context
        self._on_over = on_over
        self._reclaim = reclaim
        self._begun_ns = context.actor.scheduler.now_ns()
        self._worked_ns = 0
        self._received = 0
        self._state_bytes = 0
        self._first: tuple[HandedEvent, ...] = ()
        #: Calls to the old instance that were handed over and not answered.
        self._calls: dict[tuple[bytes, int], None] = {}
        self._answers: list[Answer] = []
        self._answering = False
        self._over = False

    async def prepare(self) -> None:
        """Fetch the state and the first events; raise `RejectedError` if the old one goes on."""
        specification = self.hosted.request.state_specification
        states = self._context.states
        try:
            handed = await self._take_over()
            try:
                self._check_wanted()
                # At once: who is on his way from here would remove it as his own.
                self._reclaim(specification.state_id)
                if handed.state is None:
                    # What is here is older than what the old instance began with.
                    states.discard(specification)
                else:
                    states.store(specification, handed.state)
            except ResourceError as error:
                raise RejectedError(_OFF, str(error)) from None
            try:
                self._first = (await self._first_collection()).events
            except RejectedError as error:
                # Anything else would leave it open whose state counts: both nodes keep it then.
                if error.summary == HANDOVER_REFUSED:
                    self._forget_state()
                raise
        except UnreachableError as error:
            raise RejectedError(_OFF, f"the old node does not answer: {error}") from None
        except ValueError as error:
            # Its transport is none of ours.
            raise RejectedError(_OFF, clipped(f"agent_url: {error}")) from None
        self._worked_ns = handed.worked_ns
        self._state_bytes = 0 if handed.state is None else len(handed.state.encode())

    def begin(self) -> None:
        """The instance runs: give it the first events, and see to the others."""
        plane = self._context.plane
        self.gate = Gate(plane, self.hosted.pid.key, self.hosted)
        plane.relays[self._old.key] = self._answered
        self.hosted.chronicle.when_initialised(self._tell)
        self._take(self._first)
        self._context.actor.spawn(self._collect(), f"{self._context.actor.name} collects")

    def crash(self, cause: str) -> None:
        """The node is gone."""
        self._over = True
        if self.gate is not None:
            self.gate.crash(cause)
            return
        key = self.hosted.pid.key
        for event in self._first:
            if event.serial:
                self._context.plane.drop(self._event(event, key), cause)
        self._on_over(self)

    # -- before it runs -------------------------------------------------------------------------

    async def _take_over(self) -> HandedState:
        client = self._clients(self._url, TAKE_OVER_TIMEOUT_S)
        return await client.take_over(TakeOver(self._old, self.hosted.pid))

    async def _first_collection(self) -> Collected:
        client = self._clients(self._url, COLLECT_TIMEOUT_S)
        request = Collect(self._old, self.hosted.pid)
        try:
            return await client.collect(request)
        except UnreachableError:
            self._check_wanted()
            return await client.collect(request)

    def _check_wanted(self) -> None:
        if self.cancelled:
            raise RejectedError(_OFF, "the instance was stopped")

    def _forget_state(self) -> None:
        """The old instance goes on: its state is the one that counts."""
        try:
            self._context.states.discard(self.hosted.request.state_specification)
        except ResourceError as error:
            self.hosted.chronicle.note("state not removed", str(error))

    # -- while it runs --------------------------------------------------------------------------

    async def _collect(self) -> None:
        client = self._clients(self._url, POLL_S + SILENCE_S / 3)
        clock = self._context.actor.clock
        silent_ns = 0
        while not self._over:
            asked_ns = clock.now_ns()
            request = Collect(self._old, self.hosted.pid, self._received, begun=True)
            try:
                collected = await client.collect(request)
            except (UnreachableError, RejectedError) as error:
                if isinstance(error, RejectedError) and error.summary == HANDOVER_REFUSED:
                    break
                # Silence, or a node that has too much to do: it is asked again.
                silent_ns += clock.now_ns() - asked_ns
                if self.deserted or silent_ns > SILENCE_S * 1e9:
                    break
                await clock.sleep(_PAUSE_S)
                silent_ns += round(_PAUSE_S * 1e9)
                continue
            if self._over:
                return
            silent_ns = 0
            self._take(collected.events)
            if collected.over or (self.deserted and not collected.events):
                break
            if not collected.events and clock.now_ns() - asked_ns < _PAUSE_S * 1e9:
                # It should have waited for some.
                await clock.sleep(_PAUSE_S)
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            assert self.gate is not None
            self.gate.open()
            self._context.plane.relays.pop(self._old.key, None)
            self._on_over(self)

    def _take(self, events: tuple[HandedEvent, ...]) -> None:
        assert self.gate is not None
        self._received += len(events)
        old, new = self._old.key, self.hosted.pid.key
        for event in events:
            if not _well_formed(event):
                self._context.plane.counters["malformed event"] += 1
                continue
            if event.kind == _CALL and len(self._calls) < CALLS_MAX:
                self._calls[event.source, event.stream] = None
            # Whoever called waits for an answer of the old instance.
            self.gate.forwarded(self._event(event, old if event.kind == _CALL else new))

    def _event(self, event: HandedEvent, target: bytes) -> Event:
        created_ns = max(0, self._context.actor.scheduler.now_ns() - event.age_ns)
        return Event(
            event.kind,
            target,
            event.source,
            event.stream,
            event.payload,
            created_ns,
            event.metadata,
            event.serial,
        )

    def _answered(self, call: Event, result: CallReturn) -> None:
        """Give an answer back to the old node, whose instance was called."""
        key = call.source, call.stream
        if key not in self._calls:
            # Not by way of that one: nobody waits for it there.
            return
        del self._calls[key]
        if len(self._answers) >= ANSWERS_MAX:
            self._context.plane.counters["answers not given back"] += 1
            return
        self._answers.append(Answer(call.source, call.stream, int(result.kind), result.payload))
        if not self._answering:
            self._answering = True
            self._context.actor.spawn(self._give_back(), f"{self._context.actor.name} answers")

    async def _give_back(self) -> None:
        client = self._clients(self._url, SILENCE_S / 3)
        clock = self._context.actor.clock
        silent_ns = 0
        while self._answers:
            answers, asked_ns = self._batch(), clock.now_ns()
            try:
                await client.give_back(GiveBack(self._old, self.hosted.pid, answers))
                silent_ns = 0
            except EdgelessError as error:
                silent_ns += clock.now_ns() - asked_ns
                # It may refuse because the old instance is gone, and with it whoever waited there.
                gone = isinstance(error, RejectedError) and error.summary == HANDOVER_REFUSED
                if not gone and silent_ns <= SILENCE_S * 1e9:
                    await clock.sleep(_PAUSE_S)
                    silent_ns += round(_PAUSE_S * 1e9)
                    continue
                self._context.plane.counters["answers not given back"] += len(answers)
            del self._answers[: len(answers)]
        self._answering = False

    def _batch(self) -> tuple[Answer, ...]:
        batch: list[Answer] = []
        size = 0
        for answer in self._answers:
            if len(batch) >= COLLECT_EVENTS_MAX or size > COLLECT_BYTES_MAX:
                break
            size += len(answer.payload.encode())
            batch.append(answer)
        return tuple(batch)

    def _tell(self) -> None:
        """``init`` has ended: from here on events are handled again."""
        elapsed_ns = self._context.actor.scheduler.now_ns() - self._begun_ns
        self.hosted.chronicle.note(
            "took over",
            f"{len(self._first)} events, {self._state_bytes} bytes of state, "
            f"gap {elapsed_ns - self._worked_ns} ns",
        )


def _well_formed(event: HandedEvent) -> bool:
    """Whether the old node could have got it: lengths and kind are those of the data plane."""
    return (
        len(event.source) == _KEY_BYTES
        and len(event.metadata) == len(METADATA_ROOT)
        and (event.kind in (_CALL, _CAST) or _is_mark(event))
    )


def _is_mark(event: HandedEvent) -> bool:
    """See `edgeless_sim.dataplane.marks`: its payload is a key in hexadecimal digits."""
    return event.kind == _NO_RETURN and event.stream == 0 and len(event.payload) == 2 * _KEY_BYTES
