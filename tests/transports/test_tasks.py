import anyio
import pytest

from edgeless_transports import background_tasks


async def test_the_callers_exception_leaves_bare_with_its_own_cause() -> None:
    cause = KeyError("cause")

    async def nested() -> None:
        async with background_tasks() as outer, background_tasks() as inner:
            outer.start_soon(anyio.sleep_forever)
            inner.start_soon(anyio.sleep_forever)
            raise LookupError("mine") from cause

    with pytest.raises(LookupError) as caught:
        await nested()
    assert caught.value.__cause__ is cause
    assert caught.value.__context__ is None


async def test_a_callers_own_group_stays_as_it_is() -> None:
    own = ExceptionGroup("mine", [ValueError("1"), ValueError("2")])
    with pytest.raises(ExceptionGroup) as caught:
        async with background_tasks():
            raise own
    assert caught.value is own


async def test_a_failing_task_ends_the_body_with_its_bare_exception() -> None:
    async def fail() -> None:
        raise OSError("task")

    async def body() -> None:
        async with background_tasks() as group:
            group.start_soon(fail)
            await anyio.sleep_forever()

    with pytest.raises(OSError, match="task"):
        await body()


async def test_several_failures_leave_as_a_group() -> None:
    async def fail(text: str) -> None:
        raise OSError(text)

    async def body() -> None:
        async with background_tasks() as group:
            group.start_soon(fail, "1")
            group.start_soon(fail, "2")
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await body()
    assert len(caught.value.exceptions) == 2


async def test_the_tasks_end_with_the_body() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("task")

    async with background_tasks() as group:
        group.start_soon(wait)
        await anyio.lowlevel.checkpoint()
    assert ended == ["task"]


async def test_a_cancellation_from_outside_passes_through() -> None:
    with anyio.move_on_after(0) as scope:
        async with background_tasks() as group:
            group.start_soon(anyio.sleep_forever)
            await anyio.sleep_forever()
    assert scope.cancelled_caught
