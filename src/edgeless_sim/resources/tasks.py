"""The tasks of one provider, which end with it.

They belong to their node's supervisor, which knows no providers: a provider that closes ends its
own here. Not here: what they do.
"""

from collections.abc import Awaitable, Callable

import anyio

from edgeless_sim.kernel.actor import Spawn

__all__ = ["ProviderTasks"]


class ProviderTasks:
    """Begins tasks and ends them all together."""

    def __init__(self, spawn: Spawn, name: str) -> None:
        """*name* is what the tasks are called."""
        self._spawn = spawn
        self._name = name
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._begun = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._scopes)

    def begin(self, work: Callable[[], Awaitable[None]]) -> anyio.CancelScope:
        """Run *work* as a task; cancelling what is returned ends it."""
        assert not self._closed, "the provider was closed"
        self._begun += 1
        number = self._begun
        scope = self._scopes[number] = anyio.CancelScope()
        # The work itself is made in the task: one that never ran leaves nothing behind.
        self._spawn(self._run(number, scope, work), self._name)
        return scope

    def close(self) -> None:
        """End all tasks. Idempotent; nothing is begun afterwards."""
        self._closed = True
        for scope in list(self._scopes.values()):
            scope.cancel()

    async def _run(
        self, number: int, scope: anyio.CancelScope, work: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            with scope:
                await work()
        finally:
            self._scopes.pop(number, None)
