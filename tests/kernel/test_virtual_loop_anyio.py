"""anyio on the virtual loop: task groups, cancel scopes, deadlines."""

import anyio
import pytest

from edgeless_sim.errors import DeadlockError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import current_scheduler, run

S = 1_000_000_000


def now_ns() -> int:
    return current_scheduler().now_ns()


def test_a_task_group_waits_for_its_tasks() -> None:
    seen: list[tuple[int, int]] = []

    async def child(seconds: int) -> None:
        await anyio.sleep(seconds)
        seen.append((seconds, now_ns()))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for seconds in (3, 1, 2):
                group.start_soon(child, seconds)

    run(main)
    assert seen == [(1, S), (2, 2 * S), (3, 3 * S)]


def test_a_failing_task_cancels_its_siblings() -> None:
    seen: list[str] = []

    async def fail() -> None:
        await anyio.sleep(1)
        raise ValueError("in a task")

    async def sibling() -> None:
        try:
            await anyio.sleep(100)
        except anyio.get_cancelled_exc_class():
            seen.append(f"cancelled at {now_ns()}")
            raise

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(sibling)
            group.start_soon(fail)

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert caught.group_contains(ValueError, match="in a task")
    assert seen == [f"cancelled at {S}"]


def test_a_task_group_can_wait_for_a_start() -> None:
    async def service(*, task_status: anyio.abc.TaskStatus[str]) -> None:
        await anyio.sleep(2)
        task_status.started("ready")
        await anyio.sleep_forever()

    async def main() -> tuple[str, int]:
        async with anyio.create_task_group() as group:
            value = await group.start(service)
            group.cancel_scope.cancel()
        return value, now_ns()

    assert run(main) == ("ready", 2 * S)


def test_move_on_after_moves_on_at_its_deadline() -> None:
    async def main() -> tuple[bool, int]:
        with anyio.move_on_after(1.5) as scope:
            await anyio.sleep(100)
        return scope.cancelled_caught, now_ns()

    assert run(main) == (True, int(1.5 * S))


def test_fail_after_raises_at_its_deadline() -> None:
    async def main() -> int:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(1.5):
                await anyio.sleep_forever()
        return now_ns()

    assert run(main) == int(1.5 * S)


def test_of_nested_deadlines_the_earlier_one_counts() -> None:
    async def main() -> list[object]:
        seen: list[object] = []
        with anyio.move_on_after(1) as outer:
            with anyio.move_on_after(5) as inner:
                await anyio.sleep(100)
            seen.append("not reached")
        seen += [outer.cancelled_caught, inner.cancelled_caught, now_ns()]
        return seen

    assert run(main) == [True, False, S]


def test_a_shield_holds_a_cancellation_off_until_it_ends() -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        with anyio.move_on_after(1):
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)
                seen.append(now_ns())
            await anyio.sleep(10)
            seen.append(-1)
        seen.append(now_ns())
        return seen

    assert run(main) == [3 * S, 3 * S]


def test_a_deadline_can_be_moved() -> None:
    async def main() -> int:
        with anyio.CancelScope(deadline=anyio.current_time() + 1) as scope:
            scope.deadline += 4
            await anyio.sleep(100)
        return now_ns()

    assert run(main) == 5 * S


@pytest.mark.parametrize("start_s", [0.0, 0.006, 0.7, 1.1, 1_000_000.123_456_789])
def test_time_does_not_stand_still_at_a_deadline_without_an_exact_float(start_s: float) -> None:
    # 0.006 s + 0.003 s is a hair more than 9 ms; the nanoseconds are 9,000,000 all the same.
    async def main() -> set[int]:
        await anyio.sleep(start_s)
        seen = set()
        for delay_ms in range(1, 50):
            before_ns = now_ns()
            with anyio.move_on_after(delay_ms / 1000):
                await anyio.sleep(1)
            seen.add(now_ns() - before_ns - delay_ms * 1_000_000)
        return seen

    assert run(main) == {0}


def test_loop_time_never_goes_back() -> None:
    async def main() -> None:
        before = anyio.current_time()
        for step in range(1000):
            with anyio.move_on_after(0.003):
                await anyio.sleep(0.001 * (step % 5))
            assert anyio.current_time() >= before
            before = anyio.current_time()

    run(main)


def test_streams_and_events_pass_values() -> None:
    async def main() -> list[int]:
        send, receive = anyio.create_memory_object_stream[int](1)
        seen: list[int] = []

        async def produce() -> None:
            async with send:
                for item in range(5):
                    await send.send(item)
                    await anyio.sleep(1)

        async with anyio.create_task_group() as group, receive:
            group.start_soon(produce)
            async for item in receive:
                seen.append(item)
        return [*seen, now_ns() // S]

    assert run(main) == [0, 1, 2, 3, 4, 5]


def test_sleeping_for_ever_is_a_deadlock_when_nothing_else_moves() -> None:
    async def main() -> None:
        with anyio.move_on_after(2):
            await anyio.sleep_forever()
        await anyio.sleep_forever()

    with pytest.raises(DeadlockError, match=r"at 2\.000000000 s"):
        run(main)


def test_the_clock_sleeps_and_fails_in_virtual_time() -> None:
    async def main() -> tuple[int, str]:
        clock = LoopClock.running()
        await clock.sleep(86_400)
        with pytest.raises(TimeoutError), clock.fail_after(0.5):
            await clock.sleep(1)
        return clock.now_ns(), clock.utc().isoformat()

    assert run(main) == (86_400 * S + S // 2, "2026-01-02T00:00:00.500000+00:00")
