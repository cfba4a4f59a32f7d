"""The virtual loop is an asyncio loop, whose time jumps and whose order is exact."""

import asyncio
import contextvars
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from edgeless_sim.errors import DeadlockError
from edgeless_sim.kernel.loop import VirtualTimeLoop, run

S = 1_000_000_000


def virtual_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def now_ns() -> int:
    return virtual_loop().scheduler.now_ns()


def test_a_year_passes_at_once() -> None:
    async def main() -> int:
        await asyncio.sleep(365 * 86_400)
        return now_ns()

    assert run(main) == 365 * 86_400 * S


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    seen: list[tuple[str, int]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, now_ns()))

    async def main() -> None:
        await asyncio.gather(sleeper("c", 3), sleeper("a", 1), sleeper("b", 2))

    run(main)
    assert seen == [("a", S), ("b", 2 * S), ("c", 3 * S)]


def test_asyncio_and_kernel_timers_of_one_deadline_share_one_order() -> None:
    seen: list[int] = []

    async def main() -> None:
        loop = virtual_loop()
        for number in range(0, 300, 3):
            loop.call_later(1, seen.append, number)
            loop.scheduler.call_at(S, seen.append, number + 1)
            loop.call_at(1.0, seen.append, number + 2)
        await asyncio.sleep(1)

    run(main)
    # asyncio's own loop does not keep equal deadlines in order.
    assert seen == list(range(300))


def test_asyncio_and_kernel_callbacks_share_one_ready_queue() -> None:
    seen: list[int] = []

    async def main() -> None:
        loop = virtual_loop()
        for number in range(0, 100, 2):
            loop.call_soon(seen.append, number)
            loop.scheduler.call_soon(seen.append, number + 1)
        await asyncio.sleep(0)

    run(main)
    assert seen == list(range(100))


def test_call_later_is_exact_to_the_nanosecond_after_a_long_time() -> None:
    seen: list[int] = []

    async def main() -> None:
        loop = virtual_loop()
        # 10^17 ns have no exact float.
        await asyncio.sleep(100_000_000)
        start = now_ns()
        for delay_ns in (1, 2, 3, 999_999_999):
            loop.call_later(delay_ns / 1e9, lambda: seen.append(now_ns() - start))
        await asyncio.sleep(1)
        seen.append(now_ns() - start)

    run(main)
    assert seen == [1, 2, 3, 999_999_999, S]


def test_loop_time_counts_seconds() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(0.25)
        return [before, loop.time()]

    assert run(main) == [0.0, 0.25]


def test_a_cancelled_timer_neither_fires_nor_stops_time() -> None:
    seen: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        handle = loop.call_later(60, seen.append, "fired")
        handle.cancel()
        assert handle.cancelled()
        await asyncio.get_running_loop().create_future()

    # The deadlock is told at the time at which it is one, not a minute later.
    with pytest.raises(DeadlockError, match=r" at 0\.000000000 s of virtual time"):
        run(main)
    assert seen == []


def test_a_handle_tells_its_deadline() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert loop.call_later(1.5, print).when() == 1.5
        assert loop.call_at(2.5, print).when() == 2.5
        assert loop.call_later(math.inf, print).when() == math.inf

    run(main)


def test_timeouts_fire_at_their_time() -> None:
    async def main() -> tuple[int, int]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.sleep(100)
        first = now_ns()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 2)
        return first, now_ns()

    assert run(main) == (int(1.5 * S), int(3.5 * S))


def test_a_timeout_that_does_not_fire_costs_no_time() -> None:
    async def main() -> int:
        async with asyncio.timeout(60):
            await asyncio.sleep(1)
        return now_ns()

    assert run(main) == S


def test_gather_and_task_groups_work() -> None:
    async def square(number: int) -> int:
        await asyncio.sleep(number)
        return number * number

    async def main() -> tuple[list[int], list[int], int]:
        gathered = await asyncio.gather(*[square(number) for number in (3, 1, 2)])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(square(number)) for number in (5, 4)]
        return gathered, [task.result() for task in tasks], now_ns()

    assert run(main) == ([9, 1, 4], [25, 16], 8 * S)


def test_queues_events_and_locks_work() -> None:
    seen: list[int] = []

    async def consumer(queue: "asyncio.Queue[int]", lock: asyncio.Lock) -> None:
        while (item := await queue.get()) >= 0:
            async with lock:
                await asyncio.sleep(1)
                seen.append(item)

    async def main() -> int:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        lock = asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(consumer(queue, lock))
            for item in (1, 2, 3, 4, -1, -1):
                await queue.put(item)
        return now_ns()

    assert run(main) == 4 * S
    assert seen == [1, 2, 3, 4]


def test_a_task_keeps_its_context_variables() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    async def child(value: str) -> None:
        variable.set(value)
        await asyncio.sleep(1)
        seen.append(variable.get())

    async def main() -> None:
        variable.set("main")
        asyncio.get_running_loop().call_soon(lambda: seen.append(variable.get()))
        await asyncio.gather(child("a"), child("b"))
        seen.append(variable.get())

    run(main)
    assert seen == ["main", "a", "b", "main"]


def test_a_sleeper_for_ever_can_be_cancelled() -> None:
    async def main() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.sleep(math.inf)
        return now_ns()

    assert run(main) == 3 * S


def test_a_time_that_is_not_a_number_is_refused() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for schedule in (loop.call_later, loop.call_at):
            with pytest.raises(ValueError, match="NaN"):
                schedule(math.nan, print)

    run(main)


def test_progress_is_told_with_times_that_grow() -> None:
    seen: list[int] = []

    async def main() -> None:
        for _ in range(10_000):
            await asyncio.sleep(0.001)

    run(main, on_progress=seen.append)
    assert seen == sorted(seen)
    assert 4 <= len(seen) <= 10
    assert seen[-1] == 10 * S


class RecordingPacer:
    """Keeps the times for which the loop would have waited."""

    def __init__(self) -> None:
        self.waits: list[int] = []

    def wait_until(self, when_ns: int) -> None:
        self.waits.append(when_ns)


def test_the_pacer_is_asked_once_before_each_step_of_time() -> None:
    pacer = RecordingPacer()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(30, print).cancel()
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2), asyncio.sleep(0))

    run(main, pacer=pacer)
    assert pacer.waits == [S, 2 * S]


def test_ten_thousand_tasks_sleep_and_wake() -> None:
    woken: list[int] = []

    async def sleeper(number: int) -> None:
        await asyncio.sleep((number % 100) / 10)
        woken.append(number)

    async def main() -> int:
        await asyncio.gather(*[sleeper(number) for number in range(10_000)])
        return now_ns()

    assert run(main) == int(9.9 * S)
    assert woken == sorted(range(10_000), key=lambda number: (number % 100, number))


def test_debug_mode_changes_nothing() -> None:
    async def main() -> int:
        asyncio.get_running_loop().set_debug(enabled=True)
        handle = asyncio.get_running_loop().call_later(5, print)
        assert "print" in repr(handle)
        handle.cancel()
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        return now_ns()

    assert run(main) == 2 * S


def test_a_run_begins_at_zero_whatever_ran_before() -> None:
    async def main() -> int:
        start = now_ns()
        await asyncio.sleep(1)
        return start

    starts: list[Callable[[], Coroutine[Any, Any, int]]] = [main, main]
    assert [run(each) for each in starts] == [0, 0]
