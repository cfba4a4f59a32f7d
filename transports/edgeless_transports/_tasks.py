"""Tasks that belong to somebody, without their owner showing in the exceptions of others.

`background_tasks` is a task group for context managers (design rule 9). `HandlerTasks` owns the
tasks of one listener where thousands of listeners live in one task: nested task groups would have
to be left in reverse order of entry, and each cancel scope would make all the others slower.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

__all__ = ["HandlerTasks", "background_tasks"]

T = TypeVar("T")


@asynccontextmanager
async def background_tasks() -> AsyncGenerator[TaskGroup]:
    """A task group whose tasks are cancelled at the end, and which does not show in exceptions.

    The exception of the ``async with`` body leaves bare. If a task fails, the body is cancelled and
    the task's exception leaves bare; if several fail, the group of them leaves. If body and task
    fail, the body's exception wins.
    """
    body_error: BaseException | None = None
    failures: BaseExceptionGroup[BaseException] | None = None
    try:
        async with anyio.create_task_group() as group:
            try:
                yield group
            except BaseException as error:
                body_error = error
                raise
            finally:
                group.cancel_scope.cancel()
    except BaseExceptionGroup as caught:
        failures = caught
    # Raised out here so that the group does not become the __context__ of a bare exception.
    if failures is None:
        return
    if body_error is not None and not isinstance(body_error, anyio.get_cancelled_exc_class()):
        raise body_error
    raise failures.exceptions[0] if len(failures.exceptions) == 1 else failures


class HandlerTasks(Generic[T]):
    """The running handlers of one listener, each with what it serves, in order of arrival."""

    __slots__ = ("running",)

    def __init__(self) -> None:
        self.running: dict[asyncio.Task[bytes], T] = {}

    def __len__(self) -> int:
        return len(self.running)

    def start(
        self,
        work: Awaitable[bytes],
        serves: T,
        on_end: Callable[[asyncio.Task[bytes], T], None],
    ) -> None:
        """Run *work*; then give its task, and what it served, to *on_end*."""
        # A coroutine becomes the task itself: wrapped in another one that is cancelled before its
        # first step, it would never be awaited, and Python would warn.
        coroutine = work if isinstance(work, Coroutine) else _awaited(work)
        task = asyncio.get_running_loop().create_task(coroutine)
        self.running[task] = serves

        def end(task: asyncio.Task[bytes]) -> None:
            del self.running[task]
            on_end(task, serves)

        task.add_done_callback(end)

    def served(self) -> list[T]:
        """What the running tasks serve, in order of arrival."""
        return list(self.running.values())

    def cancel(self) -> None:
        """Cancel all, in order of arrival."""
        for task in self.running:
            task.cancel()

    async def ended(self) -> None:
        """Return when all have ended, also if the caller has been cancelled."""
        if self.running:
            with anyio.CancelScope(shield=True):
                await asyncio.gather(*self.running, return_exceptions=True)


async def _awaited(work: Awaitable[bytes]) -> bytes:
    return await work
