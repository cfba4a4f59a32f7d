"""Calls that wait for their return.

A return is accepted only from the called instance, for the calling instance, for the open number,
once, and only if it is a return (invariant I26; defect U12). Numbers are drawn from 63 random bits,
not counted from 1, so that nobody can guess one. Every call ends within the same deadline, so the
deadlines form a queue and need one alarm, not one timer each. A call whose callee is known to have
gone ends at once.
"""

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from edgeless_sim.kernel.scheduler import Scheduler, Timer
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType

__all__ = ["CALL_TIMEOUT_S", "PendingCalls"]

#: T_call of reliability.md section 3, in seconds.
CALL_TIMEOUT_S: Final = 30.0
#: Deadlines of calls that have returned are not worth a cleaning below this many.
_STALE_MIN: Final = 1024


class _Pending:
    __slots__ = ("answer", "caller", "target")

    def __init__(self, caller: bytes, target: bytes, answer: Callable[[CallReturn], None]) -> None:
        self.caller = caller
        self.target = target
        self.answer = answer


class PendingCalls:
    """The open calls of all instances of one node."""

    __slots__ = (
        "_alarm",
        "_calls",
        "_deadlines",
        "_dice",
        "_draw_dice",
        "_scheduler",
        "bereaved",
        "timeout_ns",
        "timeouts",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        draw_dice: Callable[[], Random],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """*draw_dice* makes the dice for the first call: 2.5 KiB, and many nodes make none."""
        self._scheduler = scheduler
        self._draw_dice = draw_dice
        self._dice: Random | None = None
        #: When a call ends with Err, from its beginning.
        self.timeout_ns = round(timeout_s * 1e9)
        self._calls: dict[int, _Pending] = {}
        self._deadlines: deque[tuple[int, int]] = deque()
        self._alarm: Timer | None = None
        #: How many calls ended by their deadline.
        self.timeouts = 0
        #: How many calls ended because the called instance had gone.
        self.bereaved = 0

    def __len__(self) -> int:
        return len(self._calls)

    def open(self, caller: bytes, target: bytes, answer: Callable[[CallReturn], None]) -> int:
        """Number a new call from *caller* to *target*; *answer* is called exactly once."""
        calls = self._calls
        dice = self._dice
        if dice is None:
            dice = self._dice = self._draw_dice()
        stream = dice.getrandbits(63) | 1
        while stream in calls:
            stream = dice.getrandbits(63) | 1
        calls[stream] = _Pending(caller, target, answer)
        self._scheduler.hold()
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in calls:
            deadlines.popleft()
        if len(deadlines) > _STALE_MIN + 2 * len(calls):
            # One slow call must not keep the deadlines of all that came after it.
            self._deadlines = deadlines = deque(d for d in deadlines if d[1] in calls)
        deadlines.append((self._scheduler.now_ns() + self.timeout_ns, stream))
        if self._alarm is None:
            self._set_alarm()
        return stream

    def close(self, event: Event) -> bool:
        """Take *event* as the return it claims to be; False if no such call is open."""
        pending = self._calls.get(event.stream)
        if pending is None or pending.target != event.source or pending.caller != event.target:
            return False
        kind = event.kind
        if kind == EventType.CALL_RET:
            result = CallReturn.reply(event.payload)
        elif kind == EventType.CALL_NO_RET:
            result = NO_REPLY
        elif kind == EventType.ERR:
            result = ERR
        else:
            return False
        self._finish(event.stream, pending, result)
        return True

    def retarget(self, stream: int, target: bytes) -> bool:
        """Expect the return of a call from *target*, whose callee was not placed before.

        False if the call is not open any more.
        """
        pending = self._calls.get(stream)
        if pending is None:
            return False
        pending.target = target
        return True

    def abort(self, stream: int) -> None:
        """End an open call with Err; nothing if it is not open."""
        pending = self._calls.get(stream)
        if pending is not None:
            self._finish(stream, pending, ERR)

    def lose(self, target: bytes, streams: Iterable[int] | None = None) -> None:
        """End with Err, in a later callback, the open calls to *target*, which has gone.

        *target* is the key of an instance, or the 16 bytes of a node and means all that ran there.
        Of *streams* only, if they are given.
        """
        calls = self._calls
        for stream in list(calls if streams is None else streams):
            pending = calls.get(stream)
            if pending is not None and pending.target.startswith(target):
                # Later, as its answer may run a guest; in the foreground, as was the call itself.
                self._scheduler.foreground_soon(self._bereave, stream)

    def forget(self, streams: Iterable[int]) -> None:
        """Drop the open calls *streams* without answering: their caller is gone."""
        for stream in streams:
            if self._calls.pop(stream, None) is not None:
                self._scheduler.release()

    def forget_all(self) -> None:
        """Drop everything without answering: the node is gone."""
        for _ in self._calls:
            self._scheduler.release()
        self._calls.clear()
        self._deadlines.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _expire(self, stream: int) -> None:
        self.timeouts += stream in self._calls
        self.abort(stream)

    def _bereave(self, stream: int) -> None:
        self.bereaved += stream in self._calls
        self.abort(stream)

    def _finish(self, stream: int, pending: _Pending, result: CallReturn) -> None:
        del self._calls[stream]
        self._scheduler.release()
        pending.answer(result)

    def _set_alarm(self) -> None:
        # In the background: an open call is held as foreground work by itself.
        self._alarm = self._scheduler.background_at(self._deadlines[0][0], self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now_ns = self._scheduler.now_ns()
        deadlines = self._deadlines
        while deadlines:
            deadline_ns, stream = deadlines[0]
            pending = self._calls.get(stream)
            if pending is not None and deadline_ns > now_ns:
                break
            deadlines.popleft()
            if pending is not None:
                # In the foreground, as was the call itself.
                self._scheduler.foreground_soon(self._expire, stream)
        if deadlines:
            self._set_alarm()
