"""OwnedTasks: the tasks of one component, so that it can end them when it crashes.

The supervisor owns them too; it ends them only when the whole run ends.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from edgeless_sim.kernel.actor import Spawn

__all__ = ["OwnedTasks"]

P = ParamSpec("P")


class OwnedTasks:
    """Spawns tasks until `end`, and ends them then."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._ended = False

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(
        self,
        name: str,
        work: Callable[P, Coroutine[Any, Any, None]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run ``work(*args)`` as a task; nothing happens after `end`."""
        if not self._ended:
            self._spawn(self._run(work, *args, **kwargs), name)

    def end(self) -> None:
        """Cancel all, in the order of their start. Idempotent."""
        self._ended = True
        for task in list(self._tasks):
            task.cancel()

    async def _run(
        self, work: Callable[P, Coroutine[Any, Any, None]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        # *work* is called here and not before, so that a task that never runs leaves no coroutine.
        task = asyncio.current_task()
        if self._ended or task is None:
            return
        self._tasks[task] = None
        try:
            await work(*args, **kwargs)
        finally:
            self._tasks.pop(task, None)
