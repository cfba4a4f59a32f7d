"""What waits at the calling side of ``tcp://``: calls for their ends, frames for the link.

Time-outs need no timer for each call: calls of the same timeout end in the order of sending.
"""

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import Final, TypeAlias

from edgeless_transports.base import Answer, Incoming, Scheduler, Timer
from edgeless_transports.errors import CallTimeout, RemoteError, TransportError
from edgeless_transports.framing import REPLY, ProtocolError
from edgeless_transports.link import TcpCounters, TcpLimits

__all__ = [
    "Answers",
    "Backlog",
    "Call",
    "Caller",
    "Calls",
    "Lane",
    "Result",
    "give",
    "milliseconds",
]

#: Timeouts whose lanes are kept without a call.
_LANES_IDLE_MAX: Final = 16
_TIDY_NS: Final = 20_000_000
_TIMEOUT_MS_MAX: Final = 0xFFFF_FFFF
Result: TypeAlias = bytes | TransportError
#: Who takes the end of a call, which comes once.
Caller: TypeAlias = Answer | asyncio.Future[Result]
#: A call that waits: its caller, deadline in ns, lane and method. A tuple: this is the event path.
Call: TypeAlias = "tuple[Caller, int, Lane, str]"


class Lane:
    """The calls of one timeout: they time out in the order of sending."""

    __slots__ = ("calls", "timeout_ms", "timeout_ns", "timeout_s", "timer")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.timeout_ns = max(0, round(timeout_s * 1e9))
        self.timeout_ms = milliseconds(self.timeout_ns)
        self.calls: dict[int, Call] = {}
        #: Fires when the first call ends, or before. None while there is none, but for a moment.
        self.timer: Timer | None = None


class Backlog:
    """Frames that wait for the link, in the order of sending. A call's have its number."""

    __slots__ = ("_bytes", "_limits", "frames")

    def __init__(self, limits: TcpLimits) -> None:
        self.frames: dict[int, tuple[str, bytes]] = {}
        self._limits = limits
        self._bytes = 0

    def add(self, number: int, method: str, payload: bytes) -> bool:
        """Append a frame; False if there are too many."""
        limits, size = self._limits, len(payload)
        if len(self.frames) >= limits.calls_max:
            return False
        if self.frames and self._bytes + size > limits.queue_bytes_max:
            return False
        self.frames[number] = (method, payload)
        self._bytes += size
        return True

    def drop(self, number: int) -> None:
        """Take out a frame, if it is there."""
        frame = self.frames.pop(number, None)
        if frame is not None:
            self._bytes -= len(frame[1])

    def clear(self) -> dict[int, tuple[str, bytes]]:
        """Take out all."""
        frames, self.frames, self._bytes = self.frames, {}, 0
        return frames


class Calls:
    """The calls of one connection that wait. *where* says whom they wait for, and why."""

    __slots__ = ("_backlog", "_numbers", "_scheduler", "_where", "lanes", "tidying", "waiting")

    def __init__(self, scheduler: Scheduler, backlog: Backlog, where: Callable[[], str]) -> None:
        self.waiting: dict[int, Call] = {}
        #: Whether lanes without calls will be seen to.
        self.tidying = False
        self._scheduler = scheduler
        self._backlog = backlog
        self._where = where
        self.lanes: dict[float, Lane] = {}
        self._numbers = 0

    def next_number(self) -> int:
        """A number that no frame of this connection has had."""
        self._numbers = number = self._numbers + 1
        return number

    def lane(self, timeout_s: float) -> Lane:
        """Where calls with this timeout wait; `lanes` has it, if there is one."""
        lane = self.lanes.get(timeout_s)
        if lane is None:
            lane = self.lanes[timeout_s] = Lane(timeout_s)
        return lane

    def begin(self, method: str, caller: Caller, lane: Lane) -> int:
        """A new call; it waits from now on. Returns its number."""
        deadline_ns = self._scheduler.now_ns() + lane.timeout_ns
        self._numbers = number = self._numbers + 1
        if not self.waiting:
            # Calls are work under way; their timers, which outlive them, are not.
            self._scheduler.hold()
        self.waiting[number] = lane.calls[number] = (caller, deadline_ns, lane, method)
        if lane.timer is None:
            lane.timer = self._scheduler.background_at(deadline_ns, self._time_out, lane)
        return number

    def forget(self, number: int) -> Caller | None:
        """End a call without telling its caller, who is returned; None if it has ended already."""
        call = self.waiting.pop(number, None)
        if call is None:
            return None
        if not self.waiting:
            self._scheduler.release()
        caller, _, lane, _ = call
        del lane.calls[number]
        if not lane.calls and not self.tidying:
            self.tidy_soon()
        if self._backlog.frames:
            self._backlog.drop(number)
        return caller

    def end(self, number: int, result: Result) -> None:
        """Give *result* to the caller, unless the call has ended."""
        caller = self.forget(number)
        if caller is not None:
            try:
                give(caller, result)
            except Exception as bug:  # noqa: BLE001 - asyncio would swallow it with the connection
                self._scheduler.call_soon(_escalate, bug)

    def tidy_soon(self) -> None:
        """Cancel the timers of lanes without calls in a moment: the next call may come at once."""
        self.tidying = True
        self._scheduler.background_at(self._scheduler.now_ns() + _TIDY_NS, self._tidy)

    def _tidy(self) -> None:
        self.tidying = False
        for lane in list(self.lanes.values()):
            if not lane.calls:
                if lane.timer is not None:
                    lane.timer.cancel()
                    lane.timer = None
                # Timeouts that are what is left of others all differ.
                if len(self.lanes) > _LANES_IDLE_MAX:
                    del self.lanes[lane.timeout_s]

    def end_all(self, error: Callable[[], TransportError]) -> None:
        """End all calls, each with an error of its own."""
        for number in list(self.waiting):
            self.end(number, error())

    def _time_out(self, lane: Lane) -> None:
        """End the calls of *lane* whose time is over, and see to the others."""
        lane.timer = None
        now_ns = self._scheduler.now_ns()
        waiting = lane.calls.items()
        late = list(takewhile(lambda entry: entry[1][1] <= now_ns, waiting))
        where = self._where()
        for number, (_, _, _, method) in late:
            text = f"no answer to {method} within {lane.timeout_s:g} s from {where}"
            self.end(number, CallTimeout(text))
        # A caller that called again has set the timer already, perhaps too late for those.
        if lane.calls:
            if lane.timer is not None:
                lane.timer.cancel()
            _, deadline_ns, _, _ = next(iter(lane.calls.values()))
            lane.timer = self._scheduler.background_at(deadline_ns, self._time_out, lane)


class Answers:
    """Takes what the peer of a calling side sends. See `framing.Receiver`."""

    __slots__ = ("_calls", "_counters", "_scheduler", "_waiting", "peer")

    def __init__(self, scheduler: Scheduler, calls: Calls, counters: TcpCounters) -> None:
        self._scheduler = scheduler
        self._calls = calls
        self._waiting = calls.waiting
        self._counters = counters
        self.peer = ""

    def answer(self, kind: int, call: int, payload: bytes) -> None:
        """See `framing.Receiver`."""
        # `Calls.end` without what an established link makes needless: this is the event path.
        waiting = self._waiting.pop(call, None)
        if waiting is None:
            self._counters.late_answers += 1
            return
        if not self._waiting:
            self._scheduler.release()
        caller, _, lane, _ = waiting
        del lane.calls[call]
        if not lane.calls and not self._calls.tidying:
            self._calls.tidy_soon()
        try:
            if kind == REPLY and isinstance(caller, asyncio.Future) and not caller.done():
                caller.set_result(payload)
            else:
                give(caller, payload if kind == REPLY else RemoteError.decode(payload))
        except Exception as bug:  # noqa: BLE001 - as in `Calls.end`
            self._scheduler.call_soon(_escalate, bug)

    def cast(self, incoming: Incoming) -> None:  # noqa: ARG002 - as `Receiver` says
        """See `framing.Receiver`."""
        raise ProtocolError("kind", "an answer cannot be a cast")

    def cast_failed(self, error: Exception) -> None:
        """See `framing.Receiver`."""
        raise error

    def request(self, call: int, method: str, timeout_ms: int, payload: bytes) -> None:  # noqa: ARG002 - as `Receiver` says
        """See `framing.Receiver`."""
        raise ProtocolError("kind", "an answer cannot be a request")


def milliseconds(time_ns: int) -> int:
    """At least one: a request whose deadline has not passed here has time left there."""
    return min(max(1, round(time_ns / 1e6)), _TIMEOUT_MS_MAX)


def give(caller: Caller, result: Result) -> None:
    """Tell *caller*."""
    if not isinstance(caller, asyncio.Future):
        caller(result)
    elif not caller.done():
        # Not as its exception: Python would complain if nobody took that.
        caller.set_result(result)


def _escalate(bug: Exception) -> None:
    """Raise out of the scheduler, where a bug stops the run."""
    raise bug
