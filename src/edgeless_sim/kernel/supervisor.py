"""Owns every task: starts children in order, stops them in reverse order of start.

A bug (anything but an `EdgelessError`) in a supervised task ends the run: it escapes from the
supervisor's context, bare. Cancellation is for cleaning up only; nothing observable depends on the
order in which siblings are cancelled (design, section 5, finding 1).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Supervisor"]


class Supervisor:
    """The owner of a run's tasks. Made by `Supervisor.open`."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._stops: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._main = asyncio.current_task()
        self._bug: BaseException | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncGenerator["Supervisor"]:
        """Yield a supervisor; on leaving, stop the children in reverse order and end all tasks."""
        supervisor = cls()
        try:
            yield supervisor
        except asyncio.CancelledError:
            if supervisor._bug is not None:
                raise supervisor._bug from None
            raise
        finally:
            await supervisor._shut_down()
        if supervisor._bug is not None:
            raise supervisor._bug

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Run *coroutine* as a task of this supervisor."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks[task] = name
        task.add_done_callback(self._ended)

    def on_stop(self, name: str, stop: Callable[[], Awaitable[None]]) -> None:
        """Call *stop* at the end; the last one registered is stopped first."""
        self._stops.append((name, stop))

    @property
    def tasks_total(self) -> int:
        """How many tasks are alive."""
        return len(self._tasks)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._bug is None:
            self._bug = error
            if self._main is not None:
                self._main.cancel()

    async def _shut_down(self) -> None:
        for _, stop in reversed(self._stops):
            await stop()
        self._stops.clear()
        for task in list(self._tasks):
            task.cancel()
            # One at a time and in order of start: siblings cancelled together end in heap order.
            try:
                await task
            except asyncio.CancelledError:
                continue
            except BaseException as error:  # noqa: BLE001 - the boundary that reports it
                self._bug = self._bug or error
