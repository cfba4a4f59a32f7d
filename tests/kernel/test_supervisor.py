"""The supervisor: orderly ends, and bugs that nobody can overlook."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.lowlevel
import pytest

from edgeless_sim.errors import EdgelessError, RejectedError, UnreachableError
from edgeless_sim.kernel.loop import VirtualTimeLoop, current_scheduler, run
from edgeless_sim.kernel.supervisor import Supervisor

S = 1_000_000_000


@pytest.fixture(params=["sim", "tcp"])
def world(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


async def fail_after(seconds: float, error: Exception) -> None:
    await anyio.sleep(seconds)
    raise error


async def endless() -> None:
    await anyio.sleep_forever()


def noting(seen: list[str], name: str) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        await anyio.lowlevel.checkpoint()
        seen.append(name)

    return stop


def test_children_stop_in_reverse_order_of_start(world: str) -> None:
    seen: list[str] = []

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            for name in ("controller", "orchestrator", "node"):
                supervisor.on_stop(name, noting(seen, name))
            seen.append("body")

    run(main, world=world)
    assert seen == ["body", "node", "orchestrator", "controller"]


def test_tasks_are_ended_after_the_children_have_stopped(world: str) -> None:
    seen: list[str] = []

    async def task(name: str) -> None:
        try:
            await endless()
        finally:
            await asyncio.sleep(0.001)
            seen.append(name)

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            for name in ("first", "second", "third"):
                supervisor.spawn(task(name), name)
            supervisor.on_stop("child", noting(seen, "child"))
            await asyncio.sleep(0.001)
            assert supervisor.tasks_total == 3
        assert supervisor.tasks_total == 0

    run(main, world=world)
    assert seen == ["child", "first", "second", "third"]


def test_a_task_that_is_started_while_stopping_is_ended_too() -> None:
    seen: list[str] = []

    async def main() -> None:
        async with Supervisor.open() as supervisor:

            async def parent() -> None:
                try:
                    await endless()
                finally:
                    supervisor.spawn(child(), "child")

            async def child() -> None:
                try:
                    await endless()
                finally:
                    seen.append("ended")

            supervisor.spawn(parent(), "parent")
            await anyio.sleep(1)
        assert supervisor.tasks_total == 0

    run(main)
    assert seen == ["ended"]


def test_ended_tasks_are_forgotten() -> None:
    async def main() -> None:
        async with Supervisor.open() as supervisor:
            for _ in range(100):
                supervisor.spawn(asyncio.sleep(1), "sleeper")
            await anyio.sleep(2)
            assert supervisor.tasks_total == 0

    run(main)


def test_a_bug_in_a_task_cancels_the_body_and_leaves_bare(world: str) -> None:
    seen: list[str] = []

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.on_stop("child", noting(seen, "child"))
            supervisor.spawn(fail_after(0.001, AssertionError("a bug")), "fails")
            await anyio.sleep(1000)

    with pytest.raises(AssertionError, match="a bug") as caught:
        run(main, world=world)
    assert seen == ["child"]
    assert caught.value.__cause__ is None


def test_an_edgeless_error_that_leaves_a_task_ends_the_run_too() -> None:
    async def main() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.spawn(fail_after(1, RejectedError("nobody took it")), "fails")
            await endless()

    with pytest.raises(RejectedError, match="nobody took it"):
        run(main)


def test_of_two_bugs_the_first_one_leaves() -> None:
    async def main() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.spawn(fail_after(2, AssertionError("second")), "second")
            supervisor.spawn(fail_after(1, AssertionError("first")), "first")
            await endless()

    with pytest.raises(AssertionError, match="first"):
        run(main)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_bug_leaves_bare_through_task_groups_of_the_body(world: str, depth: int) -> None:
    async def nested(depth: int) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(endless)
            if depth > 1:
                await nested(depth - 1)
            with anyio.fail_after(1000):
                await anyio.sleep(500)

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.spawn(fail_after(0.001, AssertionError("a bug")), "fails")
            await nested(depth)

    with pytest.raises(AssertionError, match="a bug"):
        run(main, world=world)


def test_a_bug_leaves_bare_through_nested_supervisors() -> None:
    async def main() -> None:
        async with Supervisor.open(), Supervisor.open() as inner:
            inner.spawn(fail_after(1, AssertionError("a bug")), "fails")
            await endless()

    with pytest.raises(AssertionError, match="a bug"):
        run(main)


def test_after_a_bug_was_caught_timeouts_and_scopes_work_as_before(world: str) -> None:
    async def main() -> list[object]:
        seen: list[object] = []
        async with asyncio.timeout(100):
            try:
                async with Supervisor.open() as supervisor:
                    supervisor.spawn(fail_after(0.001, AssertionError("a bug")), "fails")
                    await endless()
            except AssertionError:
                seen.append("caught")
        task = asyncio.current_task()
        assert task is not None
        seen.append(task.cancelling())
        with anyio.move_on_after(0.001) as scope:
            await endless()
        seen.append(scope.cancelled_caught)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await endless()
        return seen

    assert run(main, world=world) == ["caught", 0, True]


def test_the_bodys_own_error_leaves_bare() -> None:
    seen: list[str] = []

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.spawn(endless(), "endless")
            supervisor.on_stop("child", noting(seen, "child"))
            raise UnreachableError("from the body")

    with pytest.raises(UnreachableError, match="from the body"):
        run(main)
    assert seen == ["child"]


def test_a_bug_goes_before_an_edgeless_error_of_the_body() -> None:
    async def main() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.spawn(fail_after(1, AssertionError("a bug")), "fails")
            try:
                await endless()
            finally:
                # What a caller of a broken actor may see.
                raise UnreachableError("no answer")

    with pytest.raises(AssertionError, match="a bug") as caught:
        run(main)
    assert isinstance(caught.value.__cause__, UnreachableError)


def test_any_other_error_of_the_body_leaves_with_a_note_about_the_bug() -> None:
    async def main() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.spawn(fail_after(1, AssertionError("a bug")), "fails")
            try:
                await endless()
            finally:
                raise KeyError("of the body")

    with pytest.raises(KeyError, match="of the body") as caught:
        run(main)
    assert caught.value.__notes__ == ["besides, a task of the run failed: AssertionError('a bug')"]


def test_a_bug_that_shows_only_while_stopping_leaves() -> None:
    async def stubborn() -> None:
        try:
            await endless()
        finally:
            raise AssertionError("in the clean-up")

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.spawn(stubborn(), "stubborn")
            await anyio.sleep(1)

    with pytest.raises(AssertionError, match="in the clean-up"):
        run(main)


def test_a_child_that_fails_to_stop_does_not_keep_the_others_from_stopping() -> None:
    seen: list[str] = []

    async def broken() -> None:
        raise EdgelessError("cannot stop")

    async def task() -> None:
        try:
            await endless()
        finally:
            seen.append("task")

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.on_stop("first", noting(seen, "first"))
            supervisor.on_stop("broken", broken)
            supervisor.spawn(task(), "task")
            await anyio.sleep(1)

    with pytest.raises(EdgelessError, match="cannot stop"):
        run(main)
    assert seen == ["first", "task"]


def test_cancelled_by_a_scope_the_children_stop_in_peace() -> None:
    seen: list[str] = []

    async def slow_stop() -> None:
        await anyio.sleep(5)
        seen.append("stopped")

    async def main() -> tuple[bool, int]:
        with anyio.move_on_after(1) as scope:
            async with Supervisor.open() as supervisor:
                supervisor.on_stop("slow", slow_stop)
                supervisor.spawn(endless(), "endless")
                await endless()
        return scope.cancelled_caught, current_scheduler().now_ns()

    assert run(main) == (True, 6 * S)
    assert seen == ["stopped"]


def test_a_cancellation_during_the_stop_is_not_swallowed() -> None:
    seen: list[str] = []

    async def slow_stop() -> None:
        await anyio.sleep(5)
        seen.append("not reached")

    async def supervised() -> None:
        async with Supervisor.open() as supervisor:
            supervisor.on_stop("last", noting(seen, "last"))
            supervisor.on_stop("slow", slow_stop)
        seen.append("not reached either")

    async def main() -> bool:
        task = asyncio.get_running_loop().create_task(supervised())
        await anyio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert run(main) is True
    assert seen == ["last"]


def test_opened_in_one_task_and_used_in_another_a_bug_still_ends_the_run() -> None:
    # So do fixtures: the task that set them up has ended when the test runs.
    async def set_up(context: AbstractAsyncContextManager[Supervisor]) -> None:
        supervisor = await context.__aenter__()
        supervisor.spawn(fail_after(1, AssertionError("a bug")), "fails")

    loop = VirtualTimeLoop()
    try:
        context = Supervisor.open()
        loop.run_until_complete(set_up(context))
        with pytest.raises(AssertionError, match="a bug"):
            loop.run_until_complete(asyncio.sleep(1000))
        with pytest.raises(AssertionError, match="a bug"):
            loop.run_until_complete(context.__aexit__(None, None, None))
    finally:
        loop.close()
