"""The sending end of the gRPC transport: calls side by side, casts one after the other.

Not here: how the channel comes about.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Final, TypeAlias

import anyio.lowlevel
from grpc import aio

from edgeless_transports._grpc_terms import CAST_KEY, CAST_UNNAMED, Limits, failure_of, path_of
from edgeless_transports.base import Answer, CastLost, Scheduler, Timer, check_method
from edgeless_transports.errors import CallTimeout, ConnectionLost, TransportError

__all__ = ["GrpcConnection"]

_STUBS_MAX: Final = 1024
_Result: TypeAlias = bytes | TransportError
_Stub: TypeAlias = "aio.UnaryUnaryMultiCallable[bytes, bytes]"


class _Sending:
    """A frame from `GrpcConnection` taking it until its end, which comes once."""

    __slots__ = ("answer", "deadline_ns", "ended", "method", "payload", "task", "timer")

    def __init__(self, method: str, payload: bytes, answer: Answer | None, deadline_ns: int):
        self.method: Final = method
        self.payload: Final = payload
        #: None for casts.
        self.answer: Final = answer
        self.deadline_ns: Final = deadline_ns
        self.ended = False
        self.task: asyncio.Task[bytes] | None = None
        self.timer: Timer | None = None


class GrpcConnection:
    """Frames over one gRPC channel. See `base.Connection`.

    Calls keep the order of sending as far as HTTP/2 does. A cast holds back what is sent after it
    until the peer has taken it: one cast costs one round trip.
    """

    def __init__(
        self,
        channel: aio.Channel,
        scheduler: Scheduler,
        limits: Limits,
        peer: str,
        *,
        announced: str = "",
        on_cast_lost: CastLost | None = None,
    ) -> None:
        self.peer: Final = peer
        #: Casts that were not accepted, and casts that were but did not arrive for sure.
        self.casts_refused = 0
        self.casts_lost = 0
        self.channel: Final = channel
        self._cast_metadata = ((CAST_KEY, announced or CAST_UNNAMED),)
        self._on_cast_lost = on_cast_lost
        self._scheduler = scheduler
        self._limits = limits
        self._closed = False
        self._under_way: dict[_Sending, None] = {}
        self._waiting: deque[_Sending] = deque()
        self._waiting_bytes = 0
        self._cast_under_way = False
        self._stubs: dict[str, _Stub] = {}

    async def call(self, method: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `base.Connection.call`."""
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()

        def resolve(result: _Result) -> None:
            if not future.done():
                future.set_result(result)

        sending = self._call(method, payload, resolve, timeout_s)
        try:
            result = await future
        finally:
            if sending is not None:
                self._end(sending, None)
        if isinstance(result, TransportError):
            raise result
        return result

    def call_nowait(self, method: str, payload: bytes, answer: Answer, *, timeout_s: float) -> None:
        """See `base.Connection.call_nowait`."""
        self._call(method, payload, answer, timeout_s)

    async def cast(self, method: str, payload: bytes) -> None:
        """See `base.Connection.cast`."""
        # Before sending: a cancelled cast was not sent.
        await anyio.lowlevel.checkpoint()
        if not self.cast_nowait(method, payload):
            if self._closed:
                raise ConnectionLost(f"the connection to {self.peer} is closed")
            raise TransportError(f"the queue to {self.peer} is full, or the cast too large")

    def cast_nowait(self, method: str, payload: bytes) -> bool:
        """See `base.Connection.cast_nowait`. Also False for a cast that is too large."""
        check_method(method)
        if len(payload) > self._limits.cast_bytes_max or self._refusal(payload) is not None:
            self.casts_refused += 1
            return False
        self._take(method, payload, None, self._limits.cast_timeout_s)
        return True

    async def close(self) -> None:
        """Send nothing more; end the calls that wait with `ConnectionLost`, in their order."""
        self._closed = True
        lost = ConnectionLost(f"the connection to {self.peer} was closed")
        tasks = [sending.task for sending in self._under_way if sending.task is not None]
        for sending in (*self._under_way, *self._waiting):
            self._end(sending, lost)
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.channel.close()

    def _call(
        self, method: str, payload: bytes, answer: Answer, timeout_s: float
    ) -> _Sending | None:
        check_method(method)
        refusal = self._refusal(payload)
        if refusal is not None:
            self._scheduler.call_soon(answer, refusal)
            return None
        return self._take(method, payload, answer, timeout_s)

    def _refusal(self, payload: bytes) -> TransportError | None:
        if self._closed:
            return ConnectionLost(f"the connection to {self.peer} is closed")
        if len(self._under_way) + len(self._waiting) >= self._limits.frames_max:
            return TransportError(f"{self._limits.frames_max} frames to {self.peer} wait already")
        if self._waiting_bytes + len(payload) > self._limits.queued_bytes_max:
            return TransportError(f"{self._waiting_bytes} bytes to {self.peer} wait already")
        return None

    def _take(
        self, method: str, payload: bytes, answer: Answer | None, timeout_s: float
    ) -> _Sending:
        deadline_ns = self._scheduler.now_ns() + max(0, round(timeout_s * 1e9))
        sending = _Sending(method, payload, answer, deadline_ns)
        late = CallTimeout(f"{self.peer} did not answer {method} within {timeout_s:g} s")
        sending.timer = self._scheduler.timer_at(deadline_ns, self._end, sending, late)
        self._waiting.append(sending)
        self._waiting_bytes += len(payload)
        self._advance()
        return sending

    def _advance(self) -> None:
        """Send what waits, up to and with the next cast."""
        while self._waiting and not self._cast_under_way:
            sending = self._waiting.popleft()
            self._waiting_bytes -= len(sending.payload)
            if sending.ended:
                continue
            self._cast_under_way = sending.answer is None
            self._under_way[sending] = None
            sending.task = asyncio.get_running_loop().create_task(self._request(sending))
            sending.task.add_done_callback(partial(self._over, sending))

    async def _request(self, sending: _Sending) -> bytes:
        remaining_s = (sending.deadline_ns - self._scheduler.now_ns()) / 1e9
        return await self._stub(sending.method)(
            sending.payload,
            # grpcio takes 0 for "no deadline".
            timeout=max(remaining_s, 0.001),
            metadata=self._cast_metadata if sending.answer is None else None,
        )

    def _over(self, sending: _Sending, task: "asyncio.Task[bytes]") -> None:
        """The request has ended, or was given up."""
        self._under_way.pop(sending, None)
        if sending.answer is None:
            self._cast_under_way = False
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or isinstance(error, aio.UsageError):
            self._end(sending, ConnectionLost(f"the connection to {self.peer} was closed"))
        elif error is None:
            self._end(sending, task.result())
        elif isinstance(error, aio.AioRpcError):
            self._end(sending, failure_of(error, self.peer, sending.method))
        else:
            raise error
        self._advance()

    def _end(self, sending: _Sending, result: _Result | None) -> None:
        """End a frame with *result*, or without telling its caller, who has gone. Idempotent."""
        if sending.ended:
            return
        sending.ended = True
        if sending.timer is not None:
            sending.timer.cancel()
        if sending.task is not None:
            sending.task.cancel()
        if sending.answer is None:
            if not isinstance(result, bytes):
                self._lose(sending, result)
        elif result is not None:
            # Never inside call_nowait or close: the receiver may call again.
            self._scheduler.call_soon(sending.answer, result)

    def _lose(self, sending: _Sending, why: TransportError | None) -> None:
        self.casts_lost += 1
        if self._on_cast_lost is not None and not self._closed:
            cause = "no answer in time" if isinstance(why, CallTimeout) else "connection lost"
            self._scheduler.call_soon(self._on_cast_lost, sending.method, sending.payload, cause)

    def _stub(self, method: str) -> _Stub:
        stub = self._stubs.get(method)
        if stub is None:
            stub = self.channel.unary_unary(path_of(method))
            if len(self._stubs) < _STUBS_MAX:
                self._stubs[method] = stub
        return stub
