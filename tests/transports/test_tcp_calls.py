"""Calls that wait end once, in time, whatever else waits; moved by hand, without a loop."""

from collections.abc import Callable

import pytest

from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_transports import CallTimeout, TransportError
from edgeless_transports.framing import REFUSAL, REPLY
from edgeless_transports.link import TcpCounters, TcpLimits
from edgeless_transports.tcp_calls import Answers, Backlog, Calls, milliseconds


class Caller:
    """Calls, and when each of them ended with what."""

    def __init__(self, queue: TimerQueue) -> None:
        self.queue = queue
        self.counters = TcpCounters()
        self.backlog = Backlog(TcpLimits())
        self.calls = Calls(queue, self.backlog, lambda: "nowhere")
        self.answers = Answers(queue, self.calls, self.counters)
        self.ends: list[tuple[str, int, bytes | TransportError]] = []

    def call(self, name: str, timeout_s: float) -> int:
        def answer(result: bytes | TransportError) -> None:
            self.ends.append((name, self.queue.now, result))

        return self.calls.begin(name, answer, self.calls.lane(timeout_s))

    def when(self) -> list[tuple[str, float]]:
        """Who ended when, in seconds."""
        return [(name, at_ns / 1e9) for name, at_ns, _ in self.ends]


@pytest.fixture
def caller(queue: TimerQueue) -> Caller:
    return Caller(queue)


def test_calls_time_out_each_at_its_own_time(caller: Caller, drain: Callable[[], None]) -> None:
    for name, timeout_s in (("a", 3.0), ("b", 1.0), ("c", 3.0), ("d", 2.0), ("e", 1.0)):
        caller.call(name, timeout_s)
        caller.queue.now += 10**8
    drain()
    assert caller.when() == [("b", 1.1), ("e", 1.4), ("d", 2.3), ("a", 3.0), ("c", 3.2)]
    assert all(isinstance(end, CallTimeout) for _, _, end in caller.ends)
    assert "no answer to b within 1 s from nowhere" in str(caller.ends[0][2])


def test_the_answer_of_the_first_call_does_not_move_the_end_of_the_next(
    caller: Caller, drain: Callable[[], None]
) -> None:
    first = caller.call("first", 1.0)
    caller.queue.now += 10**8
    caller.call("second", 1.0)
    caller.answers.answer(REPLY, first, b"yes")
    drain()
    assert caller.when() == [("first", 0.1), ("second", 1.1)]


def test_who_calls_again_when_its_time_is_over_waits_as_long_again(
    caller: Caller, drain: Callable[[], None]
) -> None:
    ends: list[int] = []

    def again(_: bytes | TransportError) -> None:
        ends.append(caller.queue.now)
        if len(ends) < 4:
            caller.calls.begin("again", again, caller.calls.lane(1.0))

    caller.calls.begin("again", again, caller.calls.lane(1.0))
    caller.call("later", 1.0)
    caller.queue.now += 10**8
    caller.call("last", 1.0)
    drain()
    assert ends == [10**9, 2 * 10**9, 3 * 10**9, 4 * 10**9]
    assert caller.when() == [("later", 1.0), ("last", 1.1)]


def test_an_answer_comes_once_and_what_comes_later_is_counted(
    caller: Caller, drain: Callable[[], None]
) -> None:
    number = caller.call("a", 1.0)
    for _ in range(3):
        caller.answers.answer(REPLY, number, b"yes")
    caller.calls.end(number, TransportError("no"))
    drain()
    assert [end for _, _, end in caller.ends] == [b"yes"]
    assert caller.counters.late_answers == 2


def test_nothing_is_pending_a_moment_after_the_last_call(
    caller: Caller, drain: Callable[[], None]
) -> None:
    for _ in range(100):
        numbers = [caller.call("a", 1.0), caller.call("b", 2.0)]
        assert caller.queue.foreground_pending() > 0
        caller.answers.answer(REFUSAL, numbers[0], b"no\0")
        assert caller.calls.forget(numbers[1]) is not None
        assert caller.calls.forget(numbers[1]) is None
    drain()
    assert caller.queue.foreground_idle()
    assert caller.queue.now <= 20_000_000


def test_calls_one_after_the_other_need_no_timer_each(caller: Caller) -> None:
    for _ in range(1000):
        caller.answers.answer(REPLY, caller.call("a", 1.0), b"")
    # That of the timeout, and that which cancels it.
    assert len(caller.queue._timers_background) == 2
    # Neither is anything that somebody waits for.
    assert caller.queue.foreground_idle()


def test_timeouts_that_are_all_different_leave_nothing_behind(
    caller: Caller, drain: Callable[[], None]
) -> None:
    for number in range(1000):
        caller.answers.answer(REPLY, caller.call("a", 1 + number / 1000), b"")
    drain()
    assert caller.queue.now < 10**9
    assert len(caller.calls.lanes) <= 16
    waiting = [caller.call("b", 1 + number / 1000) for number in range(100)]
    drain()
    assert len(caller.ends) == 1000 + len(waiting)
    assert len(caller.calls.lanes) <= 16
    assert not caller.calls.waiting


def test_a_caller_that_fails_stops_the_run_and_keeps_no_other_from_its_end(
    caller: Caller, drain: Callable[[], None]
) -> None:
    def broken(_: bytes | TransportError) -> None:
        raise LookupError("a bug")

    caller.calls.begin("broken", broken, caller.calls.lane(1.0))
    caller.call("fine", 1.0)
    with pytest.raises(LookupError, match="a bug"):
        drain()
    drain()
    assert caller.when() == [("fine", 1.0)]


def test_a_call_that_ends_leaves_the_backlog() -> None:
    caller = Caller(TimerQueue())
    number = caller.call("a", 1.0)
    assert caller.backlog.add(number, "a", b"payload")
    caller.calls.end(number, TransportError("no"))
    assert not caller.backlog.frames


def test_a_backlog_is_bounded_in_frames_and_in_bytes() -> None:
    few = Backlog(TcpLimits(calls_max=2))
    assert [few.add(number, "m", b"") for number in range(3)] == [True, True, False]
    small = Backlog(TcpLimits(queue_bytes_max=10))
    assert [small.add(number, "m", bytes(6)) for number in range(2)] == [True, False]
    small.drop(0)
    assert small.add(2, "m", bytes(60)), "one frame always fits"
    assert list(small.clear()) == [2]
    assert small.add(3, "m", bytes(6))


@pytest.mark.parametrize(("time_ns", "ms"), [(-5, 1), (0, 1), (10**9, 1000), (10**19, 2**32 - 1)])
def test_a_request_carries_a_millisecond_at_least_and_no_more_than_fits(
    time_ns: int, ms: int
) -> None:
    assert milliseconds(time_ns) == ms
