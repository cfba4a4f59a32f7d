"""The timer queue against a model that is nothing but a sorted list."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgeless_sim.kernel.scheduler import Timer, TimerQueue


@dataclass(slots=True)
class _Expected:
    when_ns: int
    number: int
    background: bool
    timer: Timer | None = None


class QueueMachine(RuleBasedStateMachine):
    """Sets, cancels and runs timers on both."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = TimerQueue()
        self.fired: list[int] = []
        self.number = 0
        self.timers: list[_Expected] = []
        self.ready: list[tuple[int, bool]] = []
        self.holds = 0

    def _new(self, when_ns: int, background: bool) -> _Expected:
        self.number += 1
        expected = _Expected(when_ns, self.number, background)
        self.timers.append(expected)
        return expected

    @rule(when_ns=st.integers(-5, 30), ground=st.booleans())
    def call_at(self, when_ns: int, ground: bool) -> None:
        self.queue.background = ground
        expected = self._new(when_ns, ground)
        self.queue.call_at(when_ns, self.fired.append, expected.number)

    @rule(when_ns=st.integers(-5, 30), ground=st.booleans(), count=st.integers(1, 60))
    def timer_at(self, when_ns: int, ground: bool, count: int) -> None:
        self.queue.background = ground
        for _ in range(count):
            expected = self._new(when_ns, ground)
            expected.timer = self.queue.timer_at(when_ns, self.fired.append, expected.number)

    @rule(when_ns=st.integers(-5, 30), count=st.integers(1, 60))
    def background_at(self, when_ns: int, count: int) -> None:
        for _ in range(count):
            expected = self._new(when_ns, background=True)
            expected.timer = self.queue.background_at(when_ns, self.fired.append, expected.number)

    @rule(ground=st.booleans(), foreground=st.booleans())
    def soon(self, ground: bool, foreground: bool) -> None:
        self.queue.background = ground
        self.number += 1
        call = self.queue.foreground_soon if foreground else self.queue.call_soon
        call(self.fired.append, self.number)
        self.ready.append((self.number, ground and not foreground))

    @precondition(lambda self: self.timers)
    @rule(data=st.data(), count=st.integers(1, 100))
    def cancel(self, data: st.DataObject, count: int) -> None:
        start = data.draw(st.integers(0, len(self.timers) - 1))
        for expected in self.timers[start : start + count]:
            if expected.timer is not None:
                expected.timer.cancel()
                self.timers.remove(expected)

    @rule()
    def hold(self) -> None:
        self.queue.hold()
        self.holds += 1

    @precondition(lambda self: self.holds)
    @rule()
    def release(self) -> None:
        self.queue.release()
        self.holds -= 1

    @precondition(lambda self: self.ready)
    @rule()
    def run_ready(self) -> None:
        number, background = self.ready.pop(0)
        callback, args, self.queue.background = self.queue.ready.popleft()
        callback(*args)
        assert self.fired[-1] == number
        assert self.queue.background is background

    @precondition(lambda self: self.timers)
    @rule(count=st.integers(1, 20))
    def run_timers(self, count: int) -> None:
        for _ in range(min(count, len(self.timers))):
            expected = min(self.timers, key=lambda entry: (entry.when_ns, entry.number))
            self.timers.remove(expected)
            _, _, callback, args = self.queue.pop()
            callback(*args)
            assert self.fired[-1] == expected.number
            assert self.queue.background is expected.background
            assert expected.timer is None or not expected.timer.pending

    @invariant()
    def the_next_deadline_is_that_of_a_live_timer(self) -> None:
        expected = min((entry.when_ns for entry in self.timers), default=None)
        assert self.queue.next_deadline() == expected

    @invariant()
    def foreground_work_is_counted(self) -> None:
        timers = sum(not entry.background for entry in self.timers)
        ready = sum(not background for _, background in self.ready)
        assert self.queue.foreground_pending() == timers + ready + self.holds
        assert self.queue.foreground_idle() is (timers + ready + self.holds == 0)

    @invariant()
    def few_cancelled_timers_are_kept(self) -> None:
        kept = len(self.queue._timers) + len(self.queue._timers_background)
        assert kept <= 2 * len(self.timers) + 2 * 65


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
