"""A function instance that can leave: its guest stops, its state and its events go elsewhere.

Between the end of the guest and the moment at which the other node is sure to have everything,
the instance can still go on here, with a new guest (see `edgeless_sim.node.departure`).
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from edgeless_sim.model.event import Event, Target
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.chronicle import FunctionChronicle
from edgeless_sim.node.function import STOP_TIMEOUT_S, HostedFunction
from edgeless_sim.node.hosting import HostingContext, Instantiate
from edgeless_sim.node.phase import STOP, Phase

__all__ = ["FINISH_S", "Leaving", "MovableFunction"]

#: How long the guest may go on with what it does when it is asked to leave.
FINISH_S: Final = 1.0


class Leaving(Protocol):
    """Whom an instance that leaves tells how that goes."""

    def freed(self) -> None:
        """The guest has finished its work; its stop hook is next."""
        ...

    def guest_ended(self, *, clean: bool) -> None:
        """There is no guest any more. *clean* = there may be another one."""
        ...

    def stays(self, reason: str) -> None:
        """The instance does not leave."""
        ...

    def retire(self) -> None:
        """The ε-ORC has stopped the instance, which has left."""
        ...

    def crash(self, cause: str) -> None:
        """The node is gone."""
        ...


class MovableFunction(HostedFunction):
    """See `HostedFunction`; ``leaving`` is set from the request to leave on."""

    __slots__ = ("_final", "_retired", "leaving")

    def __init__(
        self,
        pid: InstanceId,
        request: SpawnFunctionRequest,
        context: HostingContext,
        instantiate: Instantiate,
        *,
        on_change: Callable[[], None],
        on_gone: Callable[[HostedFunction], None],
    ) -> None:
        """See `HostedFunction`."""
        super().__init__(pid, request, context, instantiate, on_change=on_change, on_gone=on_gone)
        self.leaving: Leaving | None = None
        self._retired = False
        self._final = False

    @property
    def lingers(self) -> bool:
        """Whether it has left, and the ε-ORC has not stopped it: it may not know of that."""
        return self.phase is Phase.GONE and self.leaving is not None and not self._retired

    @property
    def chronicle(self) -> FunctionChronicle:
        """Where what happens to it is told."""
        return self._chronicle

    def begin(self, outputs: Mapping[str, Target] | None) -> None:
        """Send to *outputs*, and take events from now on."""
        if outputs is not None:
            self.handle.patch(outputs, self.request.generation)
        self.start()

    def leave(self, leaving: Leaving) -> None:
        """Run the stop hook after what runs now, then tell *leaving*. Its events wait."""
        self.leaving = leaving
        self._ends_next = True
        phase = self.phase
        self._final = phase is Phase.FAILED
        if phase is Phase.BACKOFF or phase is Phase.FAILED:
            self._guest_ended(clean=True)
            return
        if phase is Phase.IDLE:
            self._enter(STOP)
        elif phase is Phase.BUSY and self._entry == 0 and not (self._step or self._current):
            # It waits for a core, for an event that goes along.
            self._entry = STOP
            leaving.freed()
        self._set_timer(FINISH_S, self._finish_expired)

    def resume(self, reason: str) -> None:
        """Go on here after all: with a new guest that gets the state again, or failed as before."""
        assert self.phase is Phase.LEAVING, self.phase
        self.leaving = None
        self._ends_next = False
        self._chronicle.note("stayed", reason)
        if self._final:
            self.phase = Phase.FAILED
            self._drop_queue("the function has failed")
            self._on_change()
        else:
            self._restart()

    def depart(self) -> list[Event]:
        """It has left for good; return the events that wait. `end` is to follow."""
        assert self.phase is Phase.LEAVING, self.phase
        self.phase = Phase.GONE
        self.stopping = True
        self.handle.end_timers()
        self._chronicle.stopped("handed over")
        events = list(self._queue)
        self._queue.clear()
        self._queue_bytes = 0
        return events

    def end(self) -> None:
        """Nothing is handed on any more: take no event, and be forgotten."""
        self.leaving = None
        self._release("the sender has stopped")
        self._on_gone(self)

    def abandon(self) -> None:
        """It has never begun, and does not."""
        self._release("the sender has stopped")

    # -- what differs while it leaves -----------------------------------------------------------

    def stop(self) -> None:
        """See `HostedFunction.stop`; one that has left goes on handing on for a while."""
        leaving = self.leaving
        if leaving is None:
            super().stop()
            return
        if self.phase is Phase.GONE:
            if not self._retired:
                self._retired = True
                leaving.retire()
            return
        self.leaving = None
        if self.phase is Phase.LEAVING:
            self.stopping = True
            self._drop_queue("the instance was stopped")
            self._vanish("stopped")
        else:
            super().stop()
        leaving.stays("the instance was stopped")

    def crash(self, cause: str) -> None:
        """See `HostedFunction.crash`."""
        if self.leaving is not None:
            self.leaving.crash(cause)
        if self.phase is Phase.GONE:
            # What it had sent to a target without a place still waits.
            self.handle.detach(cause)
        super().crash(cause)

    def _enter(self, entry: int) -> None:
        if entry == STOP and self.leaving is not None:
            self.leaving.freed()
        super()._enter(entry)

    def _vanish(self, reason: str) -> None:
        if self.leaving is None or self.stopping:
            super()._vanish(reason)
        else:
            self._guest_ended(clean=reason == "stopped")

    def _back_off(self, reason: str) -> None:
        if self.leaving is None:
            super()._back_off(reason)
        else:
            self._guest_ended(clean=True)

    def _finish_expired(self) -> None:
        leaving = self.leaving
        if leaving is None:
            return
        if self._entry == STOP:
            self._set_timer(STOP_TIMEOUT_S, self._stop_expired)
            return
        self.leaving = None
        self._ends_next = False
        leaving.stays(f"{self.request.name} is still at work after {FINISH_S:g} s")

    def _guest_ended(self, *, clean: bool) -> None:
        leaving = self.leaving
        assert leaving is not None
        self._discard_guest()
        self._step = None
        self.phase = Phase.LEAVING
        self.handle.cancel_timers()
        self.handle.abort_calls()
        if self._timer is not None:
            self._timer.cancel()
        leaving.guest_ended(clean=clean)
