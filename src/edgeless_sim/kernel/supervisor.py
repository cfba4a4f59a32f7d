"""Owns every task: starts children in order, stops them in reverse order of start.

An exception that leaves a supervised task ends the run: it escapes from the supervisor's context,
bare. Cancellation is for cleaning up only; nothing observable depends on the order in which
siblings are cancelled (design, section 5, finding 1).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio

from edgeless_sim.errors import EdgelessError
from edgeless_sim.kernel.loop import current_scheduler

__all__ = ["Supervisor"]


class Supervisor:
    """The owner of a run's tasks. Made by `Supervisor.open`."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._stops: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._main = asyncio.current_task()
        self._interrupted = False
        self._closing = False
        self._failure: Exception | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncGenerator["Supervisor"]:
        """Yield a supervisor; on leaving, stop the children in reverse order and end all tasks.

        If a task fails, the body is cancelled and the task's exception leaves. It also replaces an
        `EdgelessError` of the body, which may be no more than its consequence; to any other
        exception of the body it is added as a note.
        """
        supervisor = cls()
        try:
            try:
                yield supervisor
            finally:
                await supervisor._shut_down()
        except (EdgelessError, asyncio.CancelledError) as error:
            supervisor._give_way(error)
            raise
        except Exception as error:
            if supervisor._failure is not None:
                error.add_note(f"besides, a task of the run failed: {supervisor._failure!r}")
            raise
        if supervisor._failure is not None:
            supervisor._calm()
            raise supervisor._failure

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Run *coroutine* as a task of this supervisor."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks[task] = name
        task.add_done_callback(self._ended)

    def on_stop(self, name: str, stop: Callable[[], Awaitable[None]]) -> None:
        """Call *stop* at the end; the last one registered is stopped first.

        What it raises does not keep the others from stopping, and leaves afterwards.
        """
        self._stops.append((name, stop))

    @property
    def tasks_total(self) -> int:
        """How many tasks are alive."""
        return len(self._tasks)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        # None if the shutdown has taken it over.
        known = self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        # Others than Exception, such as KeyboardInterrupt, have left the loop already.
        if known is None or not isinstance(error, Exception) or self._failure is not None:
            return
        self._failure = error
        if self._closing:
            return
        if self._main is None or self._main.done():
            # Opened in one task and used in another, as pytest's fixtures do: out of the loop.
            current_scheduler().call_soon(_escalate, error)
        else:
            self._interrupted = self._main.cancel()

    def _give_way(self, error: BaseException) -> None:
        """Raise the failure instead of *error*, the body's, if *error* is the lesser one."""
        failure = self._failure
        if failure is None:
            return
        if self._interrupted and isinstance(error, asyncio.CancelledError):
            self._calm()
            raise failure from None
        if not isinstance(failure, EdgelessError):
            self._calm()
            raise failure from error
        error.add_note(f"besides, stopping failed: {failure!r}")

    def _calm(self) -> None:
        """Take our own cancellation back, or timeouts further out would believe it theirs."""
        if self._interrupted and self._main is not None:
            self._interrupted = False
            self._main.uncancel()

    async def _shut_down(self) -> None:
        self._closing = True
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        # Shielded: stopping is by message, and each message has a deadline of its own.
        with anyio.CancelScope(shield=True):
            for _, stop in reversed(self._stops):
                await self._finish(stop())
            self._stops.clear()
            while self._tasks:
                child = next(iter(self._tasks))
                del self._tasks[child]
                child.cancel()
                # One at a time, in order of start: siblings cancelled together end in heap order.
                await self._finish(child)
        if task.cancelling() > cancels:
            raise asyncio.CancelledError

    async def _finish(self, ending: Awaitable[None]) -> None:
        try:
            await ending
        except asyncio.CancelledError:
            # The child's; or our own, which `_shut_down` raises when all is done.
            return
        except Exception as error:  # noqa: BLE001 - the boundary: the others must stop all the same
            if self._failure is None:
                self._failure = error


def _escalate(bug: Exception) -> None:
    raise bug
