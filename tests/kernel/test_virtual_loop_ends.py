"""How a run on the virtual loop ends: well, with an error, in a deadlock, by interruption."""

import asyncio
import gc
import math
import signal
from collections.abc import AsyncGenerator

import pytest

from edgeless_sim.errors import DeadlockError, EdgelessError
from edgeless_sim.kernel.loop import VirtualTimeLoop, run

S = 1_000_000_000


def virtual_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def now_ns() -> int:
    return virtual_loop().scheduler.now_ns()


def test_async_generators_are_closed_at_the_end() -> None:
    seen: list[str] = []

    async def numbers() -> AsyncGenerator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    async def main() -> None:
        kept.append(numbers())
        assert await anext(kept[0]) == 1

    kept: list[AsyncGenerator[int]] = []
    run(main)
    assert seen == ["closed"]


def test_the_runner_cancels_what_is_left_and_closes_the_loop() -> None:
    seen: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            seen.append(f"cleaned up at {now_ns()}")

    async def main() -> asyncio.AbstractEventLoop:
        kept.append(asyncio.get_running_loop().create_task(endless()))
        await asyncio.sleep(2)
        return asyncio.get_running_loop()

    kept: list[asyncio.Task[None]] = []
    loop = run(main)
    assert seen == [f"cleaned up at {3 * S}"]
    assert loop.is_closed()
    assert kept[0].cancelled()


def test_a_loop_can_stop_though_a_task_spins() -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - spinning is what the test is about
            await asyncio.sleep(0)

    async def main() -> str:
        kept.append(asyncio.get_running_loop().create_task(spin()))
        await asyncio.sleep(0)
        return "done"

    kept: list[asyncio.Task[None]] = []
    assert run(main) == "done"


def test_stopping_runs_what_is_ready_and_leaves_the_rest_for_the_next_run() -> None:
    seen: list[str] = []
    loop = VirtualTimeLoop()
    try:
        loop.call_soon(loop.stop)
        loop.call_soon(loop.stop)
        loop.call_soon(seen.append, "ready")
        loop.call_later(1, seen.append, "later")
        loop.run_forever()
        assert seen == ["ready"]
        loop.call_later(2, loop.stop)
        loop.run_forever()
        assert seen == ["ready", "later"]
    finally:
        loop.close()


def test_main_raises_what_it_raises() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise EdgelessError("from main")

    with pytest.raises(EdgelessError, match="from main"):
        run(main)


def test_an_exception_of_an_asyncio_callback_goes_to_the_exception_handler() -> None:
    seen: list[object] = []

    def fail() -> None:
        raise ValueError("in a callback")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(repr(context["exception"])))
        loop.call_soon(fail)
        loop.call_later(1, fail)
        await asyncio.sleep(2)

    run(main)
    assert seen == ["ValueError('in a callback')"] * 2


def test_an_exception_nobody_fetched_goes_to_the_exception_handler() -> None:
    seen: list[object] = []

    async def fail() -> None:
        raise ValueError("nobody asked")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(context["message"]))
        task = loop.create_task(fail())
        await asyncio.sleep(1)
        del task
        gc.collect()

    run(main)
    assert seen == ["Task exception was never retrieved"]


def test_an_exception_of_a_kernel_callback_ends_the_run_and_tasks_are_cleaned_up() -> None:
    seen: list[str] = []

    def fail() -> None:
        raise AssertionError("a bug")

    async def main() -> None:
        virtual_loop().scheduler.call_at(S, fail)
        try:
            await asyncio.sleep(1000)
        finally:
            seen.append("cleaned up")

    with pytest.raises(AssertionError, match="a bug"):
        run(main)
    assert seen == ["cleaned up"]


def test_nothing_ready_and_no_timer_is_a_deadlock_with_its_time() -> None:
    async def main() -> None:
        await asyncio.sleep(1.25)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match=r"at 1\.250000000 s of virtual time"):
        run(main)


def test_sleeping_for_ever_alone_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.sleep(math.inf)

    with pytest.raises(DeadlockError):
        run(main)


def test_an_interrupt_cancels_main_and_leaves_as_keyboard_interrupt() -> None:
    seen: list[str] = []

    async def main() -> None:
        virtual_loop().scheduler.call_at(5 * S, signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            seen.append(f"cleaned up at {now_ns()}")
            raise

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert seen == [f"cleaned up at {6 * S}"]


def test_a_second_interrupt_ends_the_clean_up_too() -> None:
    async def main() -> None:
        scheduler = virtual_loop().scheduler
        for when_ns in (5 * S, 6 * S):
            scheduler.call_at(when_ns, signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1000)

    with pytest.raises(KeyboardInterrupt):
        run(main)
