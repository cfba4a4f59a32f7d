"""What waits at the calling side of ``tcp://``: calls for their ends, frames for the link.

Time-outs need no timer for each call: calls of the same timeout end in the order of sending.
"""

from collections.abc import Callable
from itertools import takewhile
from typing import Final, TypeAlias

from edgeless_transports.base import Answer, Scheduler, Timer
from edgeless_transports.errors import CallTimeout, RemoteError, TransportError
from edgeless_transports.framing import REPLY, ProtocolError
from edgeless_transports.link import TcpCounters, TcpLimits

__all__ = ["Answers", "Backlog", "Call", "Calls", "Result", "milliseconds"]

#: Timeouts whose lanes are kept without a call.
_LANES_IDLE_MAX: Final = 16
_TIMEOUT_MS_MAX: Final = 0xFFFF_FFFF
Result: TypeAlias = bytes | TransportError


class Call:
    """A call that waits for its end, which comes once: answer, loss, deadline or close."""

    __slots__ = ("answer", "deadline_ns", "lane", "method", "number")

    def __init__(
        self, number: int, method: str, answer: Answer, deadline_ns: int, lane: "Lane"
    ) -> None:
        self.number = number
        self.method = method
        self.answer = answer
        self.deadline_ns = deadline_ns
        self.lane = lane


class Lane:
    """The calls of one timeout: they time out in the order of sending."""

    __slots__ = ("calls", "timeout_ms", "timeout_ns", "timeout_s", "timer")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.timeout_ns = max(0, round(timeout_s * 1e9))
        self.timeout_ms = milliseconds(self.timeout_ns)
        self.calls: dict[int, Call] = {}
        #: Fires when the first call ends, or before; None while there is none.
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

    __slots__ = ("_backlog", "_lanes", "_numbers", "_scheduler", "_where", "waiting")

    def __init__(self, scheduler: Scheduler, backlog: Backlog, where: Callable[[], str]) -> None:
        self.waiting: dict[int, Call] = {}
        self._scheduler = scheduler
        self._backlog = backlog
        self._where = where
        self._lanes: dict[float, Lane] = {}
        self._numbers = 0

    def next_number(self) -> int:
        """A number that no frame of this connection has had."""
        self._numbers = number = self._numbers + 1
        return number

    def begin(self, method: str, answer: Answer, timeout_s: float) -> Call:
        """A new call; it waits from now on."""
        lane = self._lanes.get(timeout_s) or self._open_lane(timeout_s)
        deadline_ns = self._scheduler.now_ns() + lane.timeout_ns
        self._numbers = number = self._numbers + 1
        call = Call(number, method, answer, deadline_ns, lane)
        self.waiting[number] = lane.calls[number] = call
        if lane.timer is None:
            lane.timer = self._scheduler.timer_at(deadline_ns, self._time_out, lane)
        return call

    def forget(self, call: Call) -> bool:
        """End *call* without telling its caller; False if it has ended already."""
        number = call.number
        if self.waiting.pop(number, None) is None:
            return False
        lane = call.lane
        del lane.calls[number]
        if not lane.calls and lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        if self._backlog.frames:
            self._backlog.drop(number)
        return True

    def end(self, call: Call, result: Result) -> None:
        """Give *result* to the caller, unless the call has ended."""
        if self.forget(call):
            call.answer(result)

    def end_all(self, error: Callable[[], TransportError]) -> None:
        """End all calls, each with an error of its own."""
        for call in list(self.waiting.values()):
            self.end_safely(call, error())

    def end_safely(self, call: Call, result: Result) -> None:
        """As `end`; what the caller raises stops the run."""
        try:
            self.end(call, result)
        except Exception as bug:  # noqa: BLE001 - asyncio would swallow it with the connection
            self._scheduler.call_soon(_escalate, bug)

    def _open_lane(self, timeout_s: float) -> Lane:
        # Timeouts that are what is left of others all differ: lanes without calls go.
        if len(self._lanes) >= _LANES_IDLE_MAX:
            self._lanes = {other: lane for other, lane in self._lanes.items() if lane.calls}
        lane = self._lanes[timeout_s] = Lane(timeout_s)
        return lane

    def _time_out(self, lane: Lane) -> None:
        """End the calls of *lane* whose time is over, and see to the others."""
        lane.timer = None
        now_ns = self._scheduler.now_ns()
        late = takewhile(lambda call: call.deadline_ns <= now_ns, lane.calls.values())
        where = self._where()
        for call in list(late):
            text = f"no answer to {call.method} within {lane.timeout_s:g} s from {where}"
            self.end_safely(call, CallTimeout(text))
        # A caller that called again has set the timer already, perhaps too late for those.
        if lane.calls:
            first = next(iter(lane.calls.values()))
            if lane.timer is not None:
                lane.timer.cancel()
            lane.timer = self._scheduler.timer_at(first.deadline_ns, self._time_out, lane)


class Answers:
    """Takes what the peer of a calling side sends. See `framing.Receiver`."""

    __slots__ = ("_calls", "_counters")

    def __init__(self, calls: Calls, counters: TcpCounters) -> None:
        self._calls = calls
        self._counters = counters

    def answer(self, kind: int, call: int, payload: bytes) -> None:
        """See `framing.Receiver`."""
        waiting = self._calls.waiting.get(call)
        if waiting is None:
            self._counters.late_answers += 1
        else:
            result = payload if kind == REPLY else RemoteError.decode(payload)
            self._calls.end_safely(waiting, result)

    def cast(self, method: str, payload: bytes) -> None:  # noqa: ARG002 - as `Receiver` says
        """See `framing.Receiver`."""
        raise ProtocolError("kind", "an answer cannot be a cast")

    def request(self, call: int, method: str, timeout_ms: int, payload: bytes) -> None:  # noqa: ARG002 - as `Receiver` says
        """See `framing.Receiver`."""
        raise ProtocolError("kind", "an answer cannot be a request")


def milliseconds(time_ns: int) -> int:
    """At least one: a request whose deadline has not passed here has time left there."""
    return min(max(1, round(time_ns / 1e6)), _TIMEOUT_MS_MAX)


def _escalate(bug: Exception) -> None:
    """Raise out of the scheduler, where a bug stops the run."""
    raise bug
