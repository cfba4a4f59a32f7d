"""What the scheduler promises, in virtual and in real time: one suite for both."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_sim.kernel.scheduler import TimerQueue

MS = 1_000_000

#: Runs a function with a scheduler; returns when the scheduler has done all that it has set.
Drive: TypeAlias = Callable[[Callable[[TimerQueue], None]], None]


def work() -> None:
    """Something that is done at once."""


@pytest.fixture(params=["sim", "tcp"])
def drive(request: pytest.FixtureRequest) -> Drive:
    def drive(setup: Callable[[TimerQueue], None], for_ns: int = 20 * MS) -> None:
        async def main() -> None:
            scheduler = current_scheduler()
            setup(scheduler)
            over = asyncio.get_running_loop().create_future()
            scheduler.call_at(scheduler.now_ns() + for_ns, over.set_result, None)
            await over

        run(main, world=request.param)

    return drive


def test_ready_callbacks_run_first_in_first_out(drive: Drive) -> None:
    seen: list[int] = []

    def setup(scheduler: TimerQueue) -> None:
        for number in range(1000):
            scheduler.call_soon(seen.append, number)

    drive(setup)
    assert seen == list(range(1000))


def test_a_callback_does_not_run_before_its_scheduling_returns(drive: Drive) -> None:
    seen: list[str] = []

    def setup(scheduler: TimerQueue) -> None:
        scheduler.call_soon(seen.append, "callback")
        scheduler.call_at(0, seen.append, "timer")
        seen.append("setup")

    drive(setup)
    assert seen == ["setup", "callback", "timer"]


def test_what_a_callback_schedules_runs_after_everything_that_is_ready(drive: Drive) -> None:
    seen: list[str] = []

    def setup(scheduler: TimerQueue) -> None:
        def first() -> None:
            seen.append("first")
            scheduler.call_soon(seen.append, "third")

        scheduler.call_soon(first)
        scheduler.call_soon(seen.append, "second")

    drive(setup)
    assert seen == ["first", "second", "third"]


def test_equal_deadlines_keep_the_order_in_which_they_were_set(drive: Drive) -> None:
    seen: list[int] = []

    def setup(scheduler: TimerQueue) -> None:
        when_ns = scheduler.now_ns() + 3 * MS
        for number in range(100):
            set_timer = (scheduler.call_at, scheduler.timer_at, scheduler.background_at)[number % 3]
            set_timer(when_ns, seen.append, number)

    drive(setup)
    assert seen == list(range(100))


def test_timers_run_in_the_order_of_their_deadlines(drive: Drive) -> None:
    seen: list[int] = []

    def setup(scheduler: TimerQueue) -> None:
        now_ns = scheduler.now_ns()
        for delay in (5, 1, 4, 2, 3):
            scheduler.call_at(now_ns + delay * MS, seen.append, delay)

    drive(setup)
    assert seen == [1, 2, 3, 4, 5]


def test_a_timer_does_not_run_before_its_time(drive: Drive) -> None:
    late_by: list[int] = []

    def setup(scheduler: TimerQueue) -> None:
        def note(when_ns: int) -> None:
            late_by.append(scheduler.now_ns() - when_ns)

        for delay in (1, 2, 7 * MS + 1):
            when_ns = scheduler.now_ns() + delay
            scheduler.call_at(
                when_ns, lambda due: late_by.append(scheduler.now_ns() - due), when_ns
            )

    drive(setup)
    assert len(late_by) == 3
    assert min(late_by) >= 0


def test_a_timer_in_the_past_runs_at_once_and_turns_no_time_back(drive: Drive) -> None:
    seen: list[int] = []

    def setup(scheduler: TimerQueue) -> None:
        def later() -> None:
            before = scheduler.now_ns()
            scheduler.call_at(before - 4 * MS, lambda: seen.append(scheduler.now_ns() - before))

        scheduler.call_at(scheduler.now_ns() + 5 * MS, later)

    drive(setup)
    assert len(seen) == 1
    assert 0 <= seen[0] < 10 * MS


def test_a_cancelled_timer_never_fires(drive: Drive) -> None:
    seen: list[str] = []
    pending: list[bool] = []

    def setup(scheduler: TimerQueue) -> None:
        when_ns = scheduler.now_ns() + 2 * MS
        for set_timer in (scheduler.timer_at, scheduler.background_at):
            timer = set_timer(when_ns, seen.append, "cancelled")
            pending.append(timer.pending)
            timer.cancel()
            timer.cancel()
            pending.append(timer.pending)
        scheduler.timer_at(when_ns, seen.append, "kept")

    drive(setup)
    assert seen == ["kept"]
    assert pending == [True, False, True, False]


def test_cancelling_a_timer_that_fired_does_nothing(drive: Drive) -> None:
    seen: list[object] = []

    def setup(scheduler: TimerQueue) -> None:
        timer = scheduler.timer_at(scheduler.now_ns() + MS, seen.append, "fired")

        def check() -> None:
            seen.append(timer.pending)
            timer.cancel()
            seen.append(scheduler.foreground_pending())

        # Foreground by then: the end of the drive alone.
        scheduler.call_at(scheduler.now_ns() + 5 * MS, check)

    drive(setup)
    assert seen == ["fired", False, 1]


def test_what_background_work_schedules_is_background_work(drive: Drive) -> None:
    seen: dict[str, bool] = {}

    def setup(scheduler: TimerQueue) -> None:
        def note(name: str) -> None:
            seen[name] = scheduler.background

        def tick() -> None:
            note("tick")
            scheduler.call_soon(note, "soon")
            scheduler.call_at(scheduler.now_ns() + MS, note, "at")
            scheduler.timer_at(scheduler.now_ns() + MS, note, "timer")
            scheduler.foreground_soon(note, "asked for")
            scheduler.foreground_soon(scheduler.call_at, scheduler.now_ns() + MS, note, "child")

        scheduler.background_at(scheduler.now_ns() + MS, tick)
        scheduler.call_soon(note, "foreground")

    drive(setup)
    assert seen == {
        "foreground": False,
        "tick": True,
        "soon": True,
        "asked for": False,
        "at": True,
        "timer": True,
        "child": False,
    }


def test_foreground_work_is_counted_until_it_is_done_or_cancelled(drive: Drive) -> None:
    counts: list[int] = []

    def setup(scheduler: TimerQueue) -> None:
        when_ns = scheduler.now_ns() + 30_000 * MS

        def count() -> None:
            # Less the end of the drive.
            counts.append(scheduler.foreground_pending() - 1)

        def check() -> None:
            count()
            scheduler.background_at(when_ns, print).cancel()
            scheduler.background_at(when_ns, print)
            count()
            timers = [scheduler.timer_at(when_ns, print) for _ in range(3)]
            scheduler.call_soon(work)
            count()
            scheduler.hold()
            count()
            timers[1].cancel()
            count()
            scheduler.release()
            for timer in timers:
                timer.cancel()
            count()

        # In a timer, so that the end of the drive is set before it.
        scheduler.call_at(scheduler.now_ns() + MS, check)

    drive(setup)
    assert counts == [0, 0, 4, 5, 4, 1]


def test_more_releases_than_holds_is_a_bug(drive: Drive) -> None:
    def setup(scheduler: TimerQueue) -> None:
        scheduler.hold()
        scheduler.release()
        with pytest.raises(AssertionError, match="more often than held"):
            scheduler.release()

    drive(setup)


def test_time_never_goes_back(drive: Drive) -> None:
    seen: list[int] = []

    def setup(scheduler: TimerQueue) -> None:
        def look() -> None:
            seen.append(scheduler.now_ns())

        for delay in (0, 1, 2, 2, 1, 0):
            scheduler.call_at(scheduler.now_ns() + delay * MS, look)
            scheduler.call_soon(look)

    drive(setup)
    assert len(seen) == 12
    assert seen == sorted(seen)


def test_an_exception_of_a_callback_ends_the_run_bare(drive: Drive) -> None:
    def fail() -> None:
        raise AssertionError("an invariant")

    def setup(scheduler: TimerQueue) -> None:
        scheduler.call_at(scheduler.now_ns() + MS, fail)
        scheduler.call_at(scheduler.now_ns() + 2 * MS, work)

    with pytest.raises(AssertionError, match="an invariant"):
        drive(setup)


def test_ten_thousand_cancelled_timers_are_not_kept(drive: Drive) -> None:
    kept: list[int] = []

    def setup(scheduler: TimerQueue) -> None:
        when_ns = scheduler.now_ns() + 60_000 * MS
        for set_timer in (scheduler.timer_at, scheduler.background_at):
            for _ in range(10_000):
                set_timer(when_ns, print).cancel()
        kept.append(len(scheduler._timers) + len(scheduler._timers_background))

    drive(setup)
    assert kept[0] < 200


def test_a_call_without_arguments_and_with_many(drive: Drive) -> None:
    seen: list[tuple[Any, ...]] = []

    def note(*args: Any) -> None:
        seen.append(args)

    def setup(scheduler: TimerQueue) -> None:
        scheduler.call_soon(note)
        scheduler.foreground_soon(note, 1)
        scheduler.timer_at(0, note, 1, "two", None)
        scheduler.background_at(0, note, 1, 2, 3, 4)

    drive(setup)
    assert seen == [(), (1,), (1, "two", None), (1, 2, 3, 4)]
