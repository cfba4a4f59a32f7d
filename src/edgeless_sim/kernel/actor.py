"""Actors: one mailbox, one state, one request at a time (after Erlang's gen_server).

Handlers may await actors below them and nobody else; news go up by a separate actor, so that no two
wait for each other. An actor that is idle by nature has a task only while requests are in its
mailbox (design, decision 14): 10,000 idle nodes are 10,000 deques, not 10,000 tasks.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from edgeless_sim.errors import EdgelessError, RejectedError, UnreachableError
from edgeless_sim.kernel.loop import current_scheduler, enter_ground
from edgeless_sim.kernel.scheduler import TimerQueue

__all__ = ["MAILBOX_MAX", "Actor", "Spawn"]

RequestT = TypeVar("RequestT")
Spawn = Callable[[Coroutine[Any, Any, None], str], None]

MAILBOX_MAX: Final = 1024


@dataclass(slots=True)
class _Envelope(Generic[RequestT]):
    request: RequestT
    reply: "asyncio.Future[Any] | None"
    #: Whether the sender is background work; serving it is what the sender is.
    background: bool


class Actor(ABC, Generic[RequestT]):
    """One mailbox, one state, at most one task, started by the first request."""

    def __init__(self, name: str, spawn: Spawn, *, mailbox_max: int = MAILBOX_MAX) -> None:
        self.name = name
        self._spawn = spawn
        self._mailbox: deque[_Envelope[RequestT]] = deque()
        self._mailbox_max = mailbox_max
        self._running = False
        self._stopped = False
        self._scheduler: TimerQueue | None = None

    @abstractmethod
    async def handle(self, request: RequestT) -> object:
        """Serve one request to the end before the next one starts."""

    async def call(self, request: RequestT, *, timeout_s: float) -> Any:
        """Send, wait, return the reply; re-raise the `EdgelessError` of `handle`.

        Raises `UnreachableError` when *timeout_s* passes first, and `RejectedError` when the
        mailbox is full. The request is served all the same once it is in the mailbox.
        """
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        scheduler = self._put(request, reply)
        deadline = scheduler.timer_at(
            scheduler.now_ns() + round(timeout_s * 1e9), self._expire, reply, timeout_s
        )
        try:
            return await reply
        finally:
            deadline.cancel()

    def cast(self, request: RequestT) -> None:
        """Send and forget; raise `RejectedError` when the mailbox is full."""
        self._put(request, None)

    @property
    def idle(self) -> bool:
        """Whether nothing is being served and nothing waits."""
        return not self._running

    def stop(self) -> None:
        """Take no further request; those in the mailbox are answered with `UnreachableError`."""
        self._stopped = True
        while self._mailbox:
            reply = self._mailbox.popleft().reply
            if reply is not None and not reply.done():
                reply.set_exception(UnreachableError(f"{self.name} has stopped"))

    def _put(self, request: RequestT, reply: "asyncio.Future[Any] | None") -> TimerQueue:
        if self._stopped:
            raise UnreachableError(f"{self.name} has stopped")
        if len(self._mailbox) >= self._mailbox_max:
            raise RejectedError("mailbox full", f"{self.name} has {self._mailbox_max} requests")
        scheduler = self._scheduler
        if scheduler is None:
            scheduler = self._scheduler = current_scheduler()
        self._mailbox.append(_Envelope(request, reply, scheduler.background))
        if not self._running:
            self._running = True
            self._spawn(self._serve(scheduler), self.name)
        return scheduler

    async def _serve(self, scheduler: TimerQueue) -> None:
        try:
            while self._mailbox:
                envelope = self._mailbox.popleft()
                if envelope.background is not scheduler.background:
                    enter_ground(envelope.background)
                await self._serve_one(envelope)
        finally:
            self._running = False

    async def _serve_one(self, envelope: _Envelope[RequestT]) -> None:
        reply = envelope.reply
        try:
            result = await self.handle(envelope.request)
        except EdgelessError as error:
            if reply is None:
                self.on_cast_error(envelope.request, error)
            elif not reply.done():
                reply.set_exception(error)
        except Exception as bug:
            # Whoever supervises the task gets the bug; nobody shall wait for an answer until then.
            if reply is not None and not reply.done():
                reply.set_exception(UnreachableError(f"{self.name} failed: {bug!r}"))
            self.stop()
            raise
        else:
            if reply is not None and not reply.done():
                reply.set_result(result)

    def on_cast_error(self, request: RequestT, error: EdgelessError) -> None:
        """A cast was refused: nobody waits for the answer. The default does nothing."""

    def _expire(self, reply: "asyncio.Future[Any]", timeout_s: float) -> None:
        if not reply.done():
            reply.set_exception(
                UnreachableError(f"{self.name} did not answer within {timeout_s:g} s")
            )
