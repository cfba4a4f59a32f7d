"""The sending end of the gRPC transport: calls side by side, casts one after the other.

A request costs the task that grpcio makes for it, and no other unless it waited behind a cast or
nobody awaits it. Not here: how the channel comes about.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Final, NoReturn, TypeAlias

import anyio.lowlevel
from grpc import aio

from edgeless_transports._grpc_terms import CAST_KEY, CAST_UNNAMED, Limits, failure_of, path_of
from edgeless_transports.base import Answer, CastLost, Scheduler, Timer, check_method
from edgeless_transports.errors import CallTimeout, ConnectionLost, TransportError

__all__ = ["GrpcConnection"]

_STUBS_MAX: Final = 1024
_Result: TypeAlias = bytes | TransportError
_Stub: TypeAlias = "aio.UnaryUnaryMultiCallable[bytes, bytes]"
_Request: TypeAlias = "aio.UnaryUnaryCall[bytes, bytes]"
#: grpcio takes 0 for "no deadline".
_TIMEOUT_S_MIN: Final = 0.001


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
        #: Of calls that wait, or have less time than grpcio can count.
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
        #: Requests that their callers await themselves.
        self._awaited: dict[_Request, None] = {}
        self._under_way: dict[_Sending, None] = {}
        self._waiting: deque[_Sending] = deque()
        self._waiting_bytes = 0
        #: Sends what waits, while there are casts.
        self._pump: asyncio.Task[None] | None = None
        self._stubs: dict[str, _Stub] = {}

    async def call(self, method: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `base.Connection.call`."""
        stub = self._stub(method)
        refusal = self._refusal(payload)
        if self._pump is not None or refusal is not None or timeout_s < _TIMEOUT_S_MIN:
            return await self._call_later(method, payload, timeout_s)
        request = stub(payload, timeout=timeout_s)
        self._awaited[request] = None
        try:
            return await request
        except aio.AioRpcError as error:
            failure = failure_of(error, self.peer, method)
        except aio.UsageError:
            failure = self._lost()
        except asyncio.CancelledError:
            # `close` cancels the request, others cancel the task.
            task = asyncio.current_task()
            if not self._closed or task is None or task.cancelling():
                # anyio knows its cancellations by their text, which grpcio loses.
                await anyio.lowlevel.checkpoint_if_cancelled()
                raise
            failure = self._lost()
        finally:
            del self._awaited[request]
        raise failure

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
        self._stub(method)
        if len(payload) > self._limits.cast_bytes_max or self._refusal(payload) is not None:
            self.casts_refused += 1
            return False
        deadline_ns = self._deadline_ns(self._limits.cast_timeout_s)
        self._queue(_Sending(method, payload, None, deadline_ns))
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._send_waiting())
        return True

    async def close(self) -> None:
        """Send nothing more; end the calls that wait with `ConnectionLost`, in their order."""
        self._closed = True
        for request in self._awaited:
            request.cancel()
        tasks = [sending.task for sending in self._under_way if sending.task is not None]
        for sending in (*self._under_way, *self._waiting):
            self._end(sending, self._lost())
        with anyio.CancelScope(shield=True):
            if self._pump is not None:
                self._pump.cancel()
                await asyncio.gather(self._pump, return_exceptions=True)
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.channel.close()

    # Calls.

    async def _call_later(self, method: str, payload: bytes, timeout_s: float) -> bytes:
        """Call when the casts that wait have been taken."""
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

    def _call(
        self, method: str, payload: bytes, answer: Answer, timeout_s: float
    ) -> _Sending | None:
        self._stub(method)
        refusal = self._refusal(payload)
        if refusal is not None:
            self._scheduler.call_soon(answer, refusal)
            return None
        sending = _Sending(method, payload, answer, self._deadline_ns(timeout_s))
        if self._pump is not None or timeout_s < _TIMEOUT_S_MIN:
            late = CallTimeout(f"{self.peer} did not answer {method} within {timeout_s:g} s")
            sending.timer = self._scheduler.timer_at(sending.deadline_ns, self._end, sending, late)
        if self._pump is None:
            self._start(sending)
        else:
            self._queue(sending)
        return sending

    def _refusal(self, payload: bytes) -> TransportError | None:
        if self._closed:
            return ConnectionLost(f"the connection to {self.peer} is closed")
        frames = len(self._awaited) + len(self._under_way) + len(self._waiting)
        if frames >= self._limits.frames_max:
            return TransportError(f"{self._limits.frames_max} frames to {self.peer} wait already")
        if self._waiting_bytes + len(payload) > self._limits.queued_bytes_max:
            return TransportError(f"{self._waiting_bytes} bytes to {self.peer} wait already")
        return None

    def _start(self, sending: _Sending) -> None:
        """Send a call that nobody awaits."""
        self._under_way[sending] = None
        sending.task = asyncio.get_running_loop().create_task(self._request(sending))
        sending.task.add_done_callback(partial(self._over, sending))

    async def _request(self, sending: _Sending) -> bytes:
        remaining_s = (sending.deadline_ns - self._scheduler.now_ns()) / 1e9
        return await self._stub(sending.method)(
            sending.payload,
            timeout=max(remaining_s, _TIMEOUT_S_MIN),
            metadata=self._cast_metadata if sending.answer is None else None,
        )

    def _over(self, sending: _Sending, task: "asyncio.Task[bytes]") -> None:
        """A request has ended, or was given up."""
        self._under_way.pop(sending, None)
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            self._end(sending, self._lost())
        elif error is None:
            self._end(sending, task.result())
        else:
            self._end(sending, self._failure(error, sending.method))

    def _failure(self, error: BaseException, method: str) -> TransportError:
        """What *error* of a request means; raises it if it is a bug."""
        if isinstance(error, aio.AioRpcError):
            return failure_of(error, self.peer, method)
        if isinstance(error, aio.UsageError):
            return self._lost()
        raise error

    # Casts.

    def _queue(self, sending: _Sending) -> None:
        self._waiting.append(sending)
        self._waiting_bytes += len(sending.payload)

    async def _send_waiting(self) -> None:
        """Send what waits: each cast when the one before has been taken."""
        try:
            while self._waiting:
                sending = self._waiting.popleft()
                self._waiting_bytes -= len(sending.payload)
                if sending.ended:
                    continue
                if sending.answer is not None:
                    self._start(sending)
                elif sending.deadline_ns <= self._scheduler.now_ns():
                    self._end(
                        sending, CallTimeout(f"{self.peer} was too slow for {sending.method}")
                    )
                else:
                    await self._send_cast(sending)
        finally:
            self._pump = None

    async def _send_cast(self, sending: _Sending) -> None:
        self._under_way[sending] = None
        result: _Result = self._lost()
        try:
            result = await self._request(sending)
        except (aio.AioRpcError, aio.UsageError) as error:
            result = self._failure(error, sending.method)
        except Exception as bug:  # noqa: BLE001 - passed on to the scheduler, which stops the run
            self._scheduler.call_soon(_escalate, bug)
        finally:
            self._under_way.pop(sending, None)
            self._end(sending, result)

    # Ends.

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

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self.peer} was closed")

    def _deadline_ns(self, timeout_s: float) -> int:
        return self._scheduler.now_ns() + max(0, round(timeout_s * 1e9))

    def _stub(self, method: str) -> _Stub:
        """What sends *method*; raises ValueError if it is none."""
        stub = self._stubs.get(method)
        if stub is None:
            check_method(method)
            stub = self.channel.unary_unary(path_of(method))
            if len(self._stubs) < _STUBS_MAX:
                self._stubs[method] = stub
        return stub


def _escalate(bug: Exception) -> NoReturn:
    """Raise out of the scheduler, where a bug stops the run, and not into a task nobody watches."""
    raise bug
