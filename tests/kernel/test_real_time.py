"""What is special about the scheduler of the real worlds, and about the wall clock."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import ModuleType

import pytest

from edgeless_sim.kernel.clock import LoopClock, WallPacer, wall_seconds
from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_sim.kernel.pump import BATCH, PumpedScheduler

MS = 1_000_000


def test_a_loop_has_one_scheduler() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(current_scheduler(), PumpedScheduler)
        assert current_scheduler() is PumpedScheduler.of(loop)

    run(main, world="tcp")


def test_schedulers_of_closed_loops_are_forgotten() -> None:
    async def main() -> int:
        current_scheduler()
        return len(PumpedScheduler._of_loop)

    run(main, world="tcp")
    assert run(main, world="tcp") == 1


class OtherLoop(asyncio.SelectorEventLoop):
    """Stands for a faster loop."""


def running_loop() -> type[asyncio.AbstractEventLoop]:
    async def main() -> type[asyncio.AbstractEventLoop]:
        return type(asyncio.get_running_loop())

    return run(main, world="tcp")


def test_real_worlds_run_on_uvloop_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = ModuleType("uvloop")
    monkeypatch.setattr(uvloop, "new_event_loop", OtherLoop, raising=False)
    monkeypatch.setitem(sys.modules, "uvloop", uvloop)
    assert running_loop() is OtherLoop
    # None is how Python is told that there is no such module.
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert running_loop().__module__.startswith("asyncio.")


def test_a_run_can_be_given_its_loop() -> None:
    async def main() -> type[asyncio.AbstractEventLoop]:
        return type(asyncio.get_running_loop())

    assert run(main, world="tcp", make_loop=OtherLoop) is OtherLoop


def test_the_clock_moves_within_a_turn_and_by_less_than_a_millisecond() -> None:
    async def main() -> list[int]:
        scheduler = current_scheduler()
        return [scheduler.now_ns() for _ in range(2000)]

    seen = run(main, world="tcp")
    steps = [after - before for before, after in pairwise(seen)]
    assert min(steps) >= 0
    assert any(0 < step < MS for step in steps)


def test_a_timer_never_fires_early_and_waits_without_spinning() -> None:
    async def main() -> tuple[int, int]:
        scheduler = current_scheduler()
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        when_ns = scheduler.now_ns() + 20 * MS + 400_000
        rings = 0
        ring = PumpedScheduler._ring

        def counted(self: PumpedScheduler) -> None:
            nonlocal rings
            rings += 1
            ring(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PumpedScheduler, "_ring", counted)
            scheduler.call_at(when_ns, lambda: over.set_result(scheduler.now_ns()))
            return await over - when_ns, rings

    late_ns, rings = run(main, world="tcp")
    assert late_ns >= 0
    assert rings <= 3


def test_the_loops_own_callbacks_run_between_batches() -> None:
    seen: list[int] = []

    async def main() -> None:
        scheduler = current_scheduler()
        left = 3 * BATCH
        over = asyncio.get_running_loop().create_future()

        def spin() -> None:
            nonlocal left
            left -= 1
            if left:
                scheduler.call_soon(spin)
            else:
                over.set_result(None)

        spin()
        while not over.done():
            await asyncio.sleep(0)
            seen.append(left)

    run(main, world="tcp")
    # Never more than a batch from one turn of the loop to the next.
    assert seen[0] >= 2 * BATCH - 1
    assert max(before - after for before, after in pairwise(seen)) <= BATCH


def test_an_earlier_timer_is_not_kept_waiting_by_a_later_one() -> None:
    async def main() -> list[int]:
        scheduler = current_scheduler()
        over = asyncio.get_running_loop().create_future()
        seen: list[int] = []
        start_ns = scheduler.now_ns()
        scheduler.call_at(start_ns + 5000 * MS, seen.append, -1)
        # Set from within a callback, too, where the alarm is set later.
        scheduler.call_soon(scheduler.call_at, start_ns + 10 * MS, over.set_result, None)
        scheduler.call_at(start_ns + 2 * MS, seen.append, 2)
        await over
        return [*seen, scheduler.now_ns() - start_ns]

    first, elapsed_ns = run(main, world="tcp")
    assert first == 2
    assert 10 * MS <= elapsed_ns < 2000 * MS


def test_a_bug_in_a_callback_cancels_main_which_may_clean_up() -> None:
    seen: list[str] = []

    def fail() -> None:
        raise AssertionError("a bug")

    async def main() -> None:
        scheduler = current_scheduler()
        scheduler.call_soon(fail)
        scheduler.call_soon(seen.append, "the next callback")
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.001)
            seen.append("cleaned up")

    with pytest.raises(AssertionError, match="a bug"):
        run(main, world="tcp")
    assert seen == ["the next callback", "cleaned up"]


def test_without_a_run_a_bug_goes_to_the_loops_exception_handler() -> None:
    seen: list[object] = []

    def fail() -> None:
        raise AssertionError("a bug")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: seen.append(repr(context["exception"]))
        )
        current_scheduler().call_soon(fail)
        await asyncio.sleep(0.002)

    asyncio.run(main())
    assert seen == ["AssertionError('a bug')"]


def test_in_real_time_the_calendar_is_the_real_one() -> None:
    async def main() -> datetime:
        return LoopClock.running().utc()

    assert abs(run(main, world="tcp") - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_pacer_waits_as_long_as_its_speed_says() -> None:
    start = wall_seconds()
    pacer = WallPacer(speed=10)
    pacer.wait_until(500 * MS)
    pacer.wait_until(400 * MS)
    assert 0.05 <= wall_seconds() - start < 5


def test_a_paced_run_takes_its_time() -> None:
    async def main() -> None:
        await asyncio.sleep(0.5)

    start = wall_seconds()
    run(main, pacer=WallPacer(speed=10))
    assert 0.05 <= wall_seconds() - start < 5
