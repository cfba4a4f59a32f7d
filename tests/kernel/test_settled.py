"""When a simulation is settled: nothing but background work is pending."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

from edgeless_sim.errors import DeadlockError
from edgeless_sim.kernel.actor import Actor
from edgeless_sim.kernel.loop import VirtualTimeLoop, run
from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_sim.kernel.supervisor import Supervisor

S = 1_000_000_000


def work() -> None:
    """Something that is done at once."""


def other() -> None:
    """Something else."""


def on_loop(main: Callable[[VirtualTimeLoop], Coroutine[Any, Any, None]]) -> None:
    async def outer() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        await main(loop)

    run(outer)


def tick_for_ever(scheduler: TimerQueue, period_ns: int) -> None:
    def tick() -> None:
        scheduler.background_at(scheduler.now_ns() + period_ns, tick)

    tick()


def test_settled_returns_after_the_last_foreground_timer() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        tick_for_ever(loop.scheduler, S)
        loop.scheduler.call_at(int(2.5 * S), work)
        assert await loop.settled()
        assert loop.scheduler.now_ns() == int(2.5 * S)

    on_loop(main)


def test_a_settled_loop_is_settled_at_once() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        tick_for_ever(loop.scheduler, S)
        assert await loop.settled()
        assert await loop.settled()
        assert loop.scheduler.now_ns() == 0

    on_loop(main)


def test_cancelled_timers_are_not_waited_for() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        # Some alive in front of them: a dead timer need not be at the head.
        loop.scheduler.call_at(S, work)
        for _ in range(50):
            loop.scheduler.timer_at(30 * S, work).cancel()
        tick_for_ever(loop.scheduler, S)
        assert await loop.settled()
        assert loop.scheduler.now_ns() == S

    on_loop(main)


def test_foreground_work_that_background_work_starts_is_waited_for() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        scheduler = loop.scheduler

        def repair() -> None:
            scheduler.call_at(scheduler.now_ns() + 3 * S, work)

        scheduler.background_at(S, scheduler.foreground_soon, repair)
        scheduler.call_at(2 * S, work)
        assert await loop.settled()
        assert scheduler.now_ns() == 4 * S

    on_loop(main)


def test_a_hold_keeps_the_loop_from_settling() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        loop.scheduler.hold()
        loop.scheduler.background_at(7 * S, loop.scheduler.release)
        assert await loop.settled()
        assert loop.scheduler.now_ns() == 7 * S

    on_loop(main)


def test_settled_gives_up_after_its_timeout() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        loop.scheduler.call_at(100 * S, work)
        assert not await loop.settled(2.5)
        assert loop.scheduler.now_ns() == int(2.5 * S)
        assert loop.scheduler.describe_foreground() == ["work at 100.000 s"]

    on_loop(main)


def test_what_still_moves_is_named_earliest_first_and_without_the_cancelled() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        scheduler = loop.scheduler
        scheduler.call_at(3 * S, work)
        scheduler.timer_at(2 * S, other)
        scheduler.timer_at(S, other).cancel()
        scheduler.hold()
        assert scheduler.describe_foreground(1) == ["other at 2.000 s", "1 calls without an answer"]
        assert scheduler.describe_foreground()[1] == "work at 3.000 s"
        scheduler.release()

    on_loop(main)


def test_several_may_wait_for_settling() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        loop.scheduler.call_at(S, work)
        assert await asyncio.gather(*[loop.settled() for _ in range(3)]) == [True] * 3
        assert loop.scheduler.now_ns() == S

    on_loop(main)


def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        loop.scheduler.call_at(50 * S, work)
        with anyio.move_on_after(1) as scope:
            await loop.settled(10)
        assert scope.cancelled_caught
        assert loop._settle_waiters == []
        assert await loop.settled()
        assert loop.scheduler.now_ns() == 50 * S

    on_loop(main)


def test_waiting_for_an_answer_that_never_comes_is_a_deadlock() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        loop.scheduler.call_at(S, loop.scheduler.hold)
        await loop.settled()

    with pytest.raises(DeadlockError, match=r"at 1\.000000000 s"):
        on_loop(main)


def test_a_bug_surfaces_while_the_body_waits_for_settling() -> None:
    async def fail() -> None:
        await anyio.sleep(3)
        raise AssertionError("found while settling")

    async def main(loop: VirtualTimeLoop) -> None:
        tick_for_ever(loop.scheduler, S)
        async with Supervisor.open() as supervisor:
            supervisor.spawn(fail(), "fails")
            loop.scheduler.hold()
            await loop.settled()

    with pytest.raises(AssertionError, match="found while settling"):
        on_loop(main)


async def woken_in_the_background(loop: VirtualTimeLoop, waiting: Awaitable[None]) -> None:
    """Wait, be woken by a background callback, then start work that settling must see."""
    await waiting
    loop.scheduler.call_at(loop.scheduler.now_ns() + 5 * S, work)


def test_a_foreground_task_stays_one_though_background_work_wakes_it() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        future: asyncio.Future[None] = loop.create_future()
        loop.scheduler.background_at(S, future.set_result, None)
        task = loop.create_task(woken_in_the_background(loop, future))
        await task
        assert await loop.settled()
        assert loop.scheduler.now_ns() == 6 * S

    on_loop(main)


def test_a_background_task_stays_one_though_foreground_work_wakes_it() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        future: asyncio.Future[None] = loop.create_future()

        def start() -> None:
            tasks.append(loop.create_task(woken_in_the_background(loop, future)))

        tasks: list[asyncio.Task[None]] = []
        loop.scheduler.background_at(S, start)
        loop.scheduler.call_at(2 * S, future.set_result, None)
        assert await loop.settled()
        assert loop.scheduler.now_ns() == 2 * S
        await tasks[0]

    on_loop(main)


class _Worker(Actor[str]):
    """Starts work of 5 s for each request; its own handling takes 1 s."""

    async def handle(self, request: str) -> None:
        scheduler = self._scheduler
        assert scheduler is not None
        await anyio.sleep(1)
        scheduler.call_at(scheduler.now_ns() + 5 * S, work)


def test_an_actor_serves_a_foreground_request_in_the_foreground() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        async with Supervisor.open() as supervisor:
            worker = _Worker("worker", supervisor.spawn)
            # The task is started by background work, and still runs when the call comes.
            loop.scheduler.background_at(S, worker.cast, "periodic")
            await anyio.sleep(1.5)
            await worker.call("asked for", timeout_s=10)
            assert loop.scheduler.now_ns() == 3 * S
            assert await loop.settled()
            assert loop.scheduler.now_ns() == 8 * S

    on_loop(main)


def test_an_actor_serves_a_background_request_in_the_background() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        async with Supervisor.open() as supervisor:
            worker = _Worker("worker", supervisor.spawn)
            loop.scheduler.background_at(int(0.5 * S), worker.cast, "periodic")
            await worker.call("asked for", timeout_s=10)
            # Foreground until 6 s; the background request, served from 1 to 2 s, until 7 s.
            assert await loop.settled()
            assert loop.scheduler.now_ns() == 6 * S

    on_loop(main)
