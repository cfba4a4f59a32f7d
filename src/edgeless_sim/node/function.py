"""One function instance on its node: queue, life cycle, outputs, restarts.

Events are handled one at a time in arrival order, ``init`` first and the stop hook last (invariant
I28). A guest's error ends that guest only: its caller gets Err, and the restart policy decides what
follows (spec 1.6; defects U07, U08 absent). Nothing in this file waits: the processor calls back
when a segment's time has passed, the data plane when a call has returned.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from edgeless_sim.dataplane.handle import DataplaneHandle
from edgeless_sim.errors import EdgelessError
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import ERR, METADATA_ROOT, NO_REPLY, CallReturn, Event, EventType
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.chronicle import FunctionChronicle
from edgeless_sim.node.hosting import HostingContext, Instantiate
from edgeless_sim.node.instance_state import InstanceState
from edgeless_sim.node.outputs import OutputPerformer
from edgeless_sim.node.phase import INIT, STOP, Phase
from edgeless_sim.node.restart import RestartPolicy
from edgeless_sim.node.telemetry import ExitStatus, TelemetryKind
from edgeless_sim.runtimes.base import (
    Blocked,
    Done,
    Failed,
    FunctionInstance,
    GuestEvent,
    GuestEventKind,
    Step,
)

__all__ = [
    "CALLS_AFTER_STOP_MAX",
    "QUEUE_BYTES_MAX",
    "QUEUE_EVENTS_MAX",
    "STOP_TIMEOUT_S",
    "HostedFunction",
]

QUEUE_EVENTS_MAX: Final = 1024
QUEUE_BYTES_MAX: Final = 16 << 20
#: T_stop of reliability.md section 3.
STOP_TIMEOUT_S: Final = 2.0
#: Calls that a stopping guest may try, each answered with Err; more is taken for a loop.
CALLS_AFTER_STOP_MAX: Final = 16

_CALL: Final = int(EventType.CALL)
# Bound once: looking up a member of an enumeration is slow.
_HANDLE_CAST: Final = GuestEventKind.CAST
_HANDLE_CALL: Final = GuestEventKind.CALL
_NO_EVENTS: Final[deque[Event]] = deque(maxlen=0)  # Of all that got none yet: it is 0.7 KiB.


class HostedFunction:
    """An instance of a function, from its start request to its end."""

    __slots__ = (
        "_calls_refused",
        "_chronicle",
        "_context",
        "_current",
        "_ends_next",
        "_entry",
        "_guest",
        "_instantiate",
        "_lives",
        "_on_change",
        "_on_gone",
        "_outputs",
        "_queue",
        "_queue_bytes",
        "_reply",
        "_restarts",
        "_segment_ns",
        "_state",
        "_step",
        "_stream",
        "_timer",
        "handle",
        "phase",
        "pid",
        "reason",
        "request",
        "stopping",
    )

    def __init__(
        self,
        pid: InstanceId,
        request: SpawnFunctionRequest,
        context: HostingContext,
        instantiate: Instantiate,
        *,
        on_change: Callable[[], None],
        on_gone: Callable[["HostedFunction"], None],
    ) -> None:
        """Keeps *request*. Raises `BadCodeError` if its code cannot be loaded; no trace is left."""
        self.pid = pid
        self.request = request
        self.reason = ""
        self.phase = Phase.IDLE
        self._context = context
        self._instantiate = instantiate
        self._on_change = on_change
        self._on_gone = on_gone
        self._lives = self._calls_refused = 0
        self._guest: FunctionInstance | None = instantiate(pid, request, 0)
        self.handle = DataplaneHandle(pid.key, context.plane, context.actor.journal)
        self._chronicle = FunctionChronicle(
            pid, self.handle.number, context.actor.journal, context.telemetry
        )
        self._state = InstanceState(request.state_specification, self.handle.number, context)
        self._outputs = OutputPerformer(pid, self.handle, self._state, context)
        self._queue = _NO_EVENTS
        self._queue_bytes = 0
        #: What the guest works on: an event, or None while it is in init or stop.
        self._current: Event | None = None
        self._entry = INIT
        self._reply: CallReturn | None = None
        self._step: Step | None = None
        self._segment_ns = self._stream = 0
        self.stopping = False
        #: Whether the stop hook is the next segment.
        self._ends_next = False
        self._restarts: RestartPolicy | None = None
        self._timer: Timer | None = None

    # -- life cycle -----------------------------------------------------------------------------

    def start(self) -> None:
        """Take events from now on; ``init`` is the first segment."""
        self.handle.attach(self)
        self._chronicle.instantiated()
        self._enter(INIT)

    def patched(self) -> None:
        """The outputs changed: tell the guest if it wants to know."""
        if tell := getattr(self._guest, "patched", None):
            tell(self.handle.channels)

    def stop(self) -> None:
        """Take no further event; run the stop hook after what runs now; then be gone."""
        if self.stopping or self.phase is Phase.GONE:
            return
        self.stopping = self._ends_next = True
        self.handle.end_timers()
        self._drop_queue("the instance was stopped")
        phase = self.phase
        if phase is Phase.IDLE:
            self._enter(STOP)
        elif phase is Phase.BUSY and self._entry == 0 and not (self._step or self._current):
            # It waits for a core, for an event that was just dropped.
            self._entry = STOP
        elif phase is Phase.BLOCKED:
            self.handle.abort(self._stream)
        elif phase is Phase.BACKOFF or phase is Phase.FAILED:
            self._vanish("stopped")
            return
        self._set_timer(STOP_TIMEOUT_S, self._stop_expired)

    def crash(self, cause: str) -> None:
        """Vanish with the node: no hook runs, nobody is told. The journal says what is lost."""
        if self.phase is Phase.GONE:
            return
        if self._current is not None:
            self._context.plane.drop(self._current, cause)
        for event in self._queue:
            self._context.plane.drop(event, cause)
        self._release(cause)

    # -- events ---------------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """See `Inbox.deliver`."""
        if self.stopping or self.phase is Phase.FAILED:
            cause = "the instance was stopped" if self.stopping else "the function has failed"
            self._context.plane.refuse(event, cause)
            return
        queue, payload = self._queue, event.payload
        size = self._queue_bytes + (len(payload) if payload.isascii() else len(payload.encode()))
        if len(queue) >= QUEUE_EVENTS_MAX or size > QUEUE_BYTES_MAX:
            self._context.plane.refuse(event, "queue full")
            return
        self._context.actor.journal.record("recv", event.serial, self.handle.number)
        self._queue_bytes = size
        if queue is _NO_EVENTS:
            queue = self._queue = deque()
        queue.append(event)
        if self.phase is Phase.IDLE:
            self.phase = Phase.BUSY
            self._context.processor.submit(self)

    # -- segments -------------------------------------------------------------------------------

    def run_segment(self) -> tuple[int, int]:
        """See `Work.run_segment`: enter the guest, or go on where it was blocked."""
        guest = self._guest
        if guest is None:
            self._step = None
            return 0, 0
        reply = self._reply
        if reply is not None:
            self._reply = None
            step = guest.resume(reply)
        else:
            step = guest.dispatch(self._next_entry())
        self._step = step
        return step.fuel, step.service_ns

    def finish_segment(self, duration_ns: int) -> None:
        """See `Work.finish_segment`: send what the guest sent, and see what comes next."""
        step = self._step
        if step is None or self.phase is Phase.GONE:
            return
        self._step = None
        self._segment_ns += duration_ns
        current = self._current
        if step.outputs:
            metadata = METADATA_ROOT if current is None else current.metadata
            self._outputs.perform(step.outputs, metadata)
        kind = type(step)
        if kind is Done:
            self._done(step)  # type: ignore[arg-type]  # the type was just compared
        elif kind is Blocked:
            self._blocked(step)  # type: ignore[arg-type]  # the type was just compared
        else:
            self._failed(step)  # type: ignore[arg-type]  # the only kind left

    def _next_entry(self) -> GuestEvent:
        """The next thing to hand to the guest, recorded as begun."""
        self._segment_ns = 0
        if self._entry == STOP:
            self._chronicle.hook_began(GuestEventKind.STOP)
            return GuestEvent(GuestEventKind.STOP)
        if self._entry == INIT:
            self._chronicle.hook_began(GuestEventKind.INIT)
            self.patched()
            annotation = self.request.annotations.get("init-payload")
            return GuestEvent(GuestEventKind.INIT, b"", annotation, self._state.load())
        event = self._queue.popleft()
        self._current = event
        payload = event.payload
        self._queue_bytes -= len(payload) if payload.isascii() else len(payload.encode())
        waited_ns = self._context.actor.scheduler.now_ns() - event.created_ns
        waited_ns = max(0, waited_ns)  # Its sender may have another clock.
        handler = _HANDLE_CALL if event.kind == _CALL else _HANDLE_CAST
        number = self.handle.number
        self._context.actor.journal.record("begin", event.serial, number, handler, waited_ns)
        if self._context.telemetry.enabled:
            self._context.telemetry.report(TelemetryKind.TRANSFER, self.pid, waited_ns)
        return GuestEvent(handler, event.source, payload)

    def _done(self, step: Done) -> None:
        event = self._current
        context = self._context
        fuel, duration_ns = step.fuel, self._segment_ns
        if event is not None:
            self._current = None
            number = self.handle.number
            context.actor.journal.record("end", event.serial, number, fuel, duration_ns, "ok")
            if event.kind == _CALL:
                context.plane.answer(event, step.reply or NO_REPLY)
            if context.telemetry.enabled:
                tag = "CALL" if event.kind == _CALL else "CAST"
                context.telemetry.report(TelemetryKind.COMPLETED, self.pid, duration_ns, tag)
            self._continue()
            return
        hook = GuestEventKind.STOP if self._entry == STOP else GuestEventKind.INIT
        self._chronicle.hook_ended(hook, fuel, duration_ns)
        if hook == GuestEventKind.STOP:
            self._vanish("stopped")
        else:
            self._continue()

    def _blocked(self, step: Blocked) -> None:
        self.phase = Phase.BLOCKED
        if self.stopping:
            self._refuse_call()
            return
        metadata = METADATA_ROOT if self._current is None else self._current.metadata
        self._stream = self._outputs.call(step.call, self._returned, metadata)

    def _refuse_call(self) -> None:
        """A stopping guest calls nobody; one that tries again and again is not waited for."""
        self._calls_refused += 1
        if self._calls_refused > CALLS_AFTER_STOP_MAX:
            self._stop_expired()
        else:
            self._context.actor.scheduler.call_soon(self._returned, ERR)

    def _returned(self, result: CallReturn) -> None:
        """The call for which the guest waits has returned."""
        if self.phase is Phase.BLOCKED:
            self.phase = Phase.BUSY
            self._reply = result
            self._context.processor.submit(self)

    def _failed(self, step: Failed) -> None:
        event, self._current = self._current, None
        self._chronicle.failed(event, step, self._segment_ns, init=self._entry == INIT)
        if event is not None:
            self._context.plane.answer(event, ERR)
        if self.stopping:
            self._vanish("stopped")
        else:
            self._back_off(step.reason)

    # -- what comes next ------------------------------------------------------------------------

    def _enter(self, entry: int) -> None:
        self._entry = entry
        self.phase = Phase.BUSY
        self._context.processor.submit(self)

    def _continue(self) -> None:
        """The guest is free: the stop hook, the next event, or nothing."""
        if self._ends_next:
            self._enter(STOP)
            return
        self._entry = 0
        if self._queue:
            self.phase = Phase.BUSY
            self._context.processor.submit(self)
        else:
            self.phase = Phase.IDLE

    def _back_off(self, reason: str) -> None:
        """The guest is broken: start another one later, or give up."""
        self._discard_guest()
        self.handle.cancel_timers()
        restarts = self._restarts = self._restarts or RestartPolicy()
        delay_s = restarts.delay_s(self._context.actor.scheduler.now_ns())
        self.reason = reason
        if delay_s is None:
            self.phase = Phase.FAILED
            self._drop_queue("the function has failed")
            self._chronicle.note("failed", reason)
        else:
            self.phase = Phase.BACKOFF
            self._chronicle.note("backoff", f"{reason}; restart in {delay_s} s")
            self._set_timer(delay_s, self._restart)
        self._on_change()

    def _restart(self) -> None:
        self._timer = None
        try:
            self._lives += 1
            self._guest = self._instantiate(self.pid, self.request, self._lives)
        except EdgelessError as error:
            self._back_off(str(error))
            return
        self.reason = ""
        self._chronicle.note("restarted", "")
        self._chronicle.instantiated()
        self._enter(INIT)
        self._on_change()

    # -- the end --------------------------------------------------------------------------------

    def _stop_expired(self) -> None:
        if self._current is not None:
            self._context.plane.refuse(self._current, "the instance was stopped")
            self._current = None
        self._chronicle.exited(ExitStatus.INTERNAL_ERROR)
        self._vanish("stop took too long")

    def _vanish(self, reason: str) -> None:
        if self.phase is Phase.GONE:
            return
        self._chronicle.stopped(reason)
        self._release("the sender has stopped")
        self._on_gone(self)

    def _release(self, cause: str) -> None:
        self.phase = Phase.GONE
        self.handle.detach(cause)
        if self._timer is not None:
            self._timer.cancel()
        self._discard_guest()

    def _discard_guest(self) -> None:
        guest, self._guest = self._guest, None
        self._reply = None
        if guest is not None:
            guest.discard()

    def _drop_queue(self, cause: str) -> None:
        while self._queue:
            self._context.plane.refuse(self._queue.popleft(), cause)
        self._queue_bytes = 0

    def _set_timer(self, delay_s: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        scheduler = self._context.actor.scheduler
        self._timer = scheduler.timer_at(scheduler.now_ns() + round(delay_s * 1e9), callback)
