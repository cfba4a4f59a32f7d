"""The transport of simulations: calls and casts over the frames of a `MemoryNetwork`.

A connection keeps no state about its listener, so it stays usable when the listener restarts. A
location where nobody listens swallows frames, and callers run into their deadlines, as with a host
that is down; the network counts each such frame. No frame costs a task: a handler that answers at
once runs inside the delivery, and only one that returns an awaitable is given a task.

Connecting asks the network whether somebody listens; it sends no frame, so a partition does not
show before the first call.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import Final, TypeAlias

import anyio.lowlevel

from edgeless_transports._tasks import HandlerTasks
from edgeless_transports.base import (
    Address,
    Answer,
    CastReceiver,
    Connection,
    Handler,
    Incoming,
    Scheduler,
    Timer,
    check_method,
)
from edgeless_transports.errors import (
    AddressError,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    RemoteError,
    TransportError,
)
from edgeless_transports.frame import Frame, FrameKind
from edgeless_transports.network import QUEUE_FULL, MemoryNetwork, Place

__all__ = ["CALLS_MAX", "MemoryConnection", "MemoryListener", "MemoryTransport"]

#: Calls of one connection that wait, and handlers of one listener that run.
CALLS_MAX: Final = 100_000
_METHODS_KNOWN_MAX: Final = 1024
_Result: TypeAlias = bytes | TransportError

_CAST: Final = FrameKind.CAST
_REQUEST: Final = FrameKind.REQUEST
_REPLY: Final = FrameKind.REPLY
_REFUSAL: Final = FrameKind.REFUSAL
_RESET: Final = FrameKind.RESET

_log = logging.getLogger("edgeless_transports.memory")


class _Call:
    """A call that waits for its end, which comes once: answer, reset, deadline or close."""

    __slots__ = ("_answer", "_connection", "ended", "timer")

    timer: Timer

    def __init__(self, connection: "MemoryConnection", answer: Answer) -> None:
        self._connection = connection
        self._answer = answer
        self.ended = False

    def take(self, frame: Frame) -> None:
        """The end that came over the network."""
        if self.ended:
            # Too late, or the second copy.
            self._connection.network.counters.late_answers += 1
        elif frame.kind is _REPLY:
            self.end(frame.payload)
        elif frame.kind is _REFUSAL:
            self.end(RemoteError.decode(frame.payload))
        else:
            self.end(ConnectionLost(f"{frame.source} closed before it answered {frame.method}"))

    def time_out(self, method: str, timeout_s: float) -> None:
        """The end that comes when no other does."""
        where = self._connection.peer
        self.end(CallTimeout(f"{where} did not answer {method} within {timeout_s:g} s"))

    def end(self, result: bytes | TransportError) -> None:
        """Give *result* to the caller, unless the call has ended."""
        if not self.ended:
            self.abandon()
            self._answer(result)

    def abandon(self) -> None:
        """End without telling the caller, who has gone. Idempotent."""
        if not self.ended:
            self.ended = True
            self.timer.cancel()
            self._connection.forget(self)


class MemoryConnection:
    """Frames from one location to another. See `base.Connection`."""

    __slots__ = ("_calls", "_closed", "_here", "_methods", "_now_ns", "_there", "network", "peer")

    def __init__(self, network: MemoryNetwork, here: str, there: Place) -> None:
        self.network: Final = network
        self.peer: Final = there.location
        self._here = here
        self._there = there
        self._now_ns = network.scheduler.now_ns
        self._closed = False
        self._calls: dict[_Call, None] = {}
        # Checked once each: a look-up is cheaper than the check.
        self._methods: set[str] = set()

    async def call(self, method: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `base.Connection.call`."""
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        call = self._start(method, payload, lambda result: _resolve(future, result), timeout_s)
        try:
            result = await future
        finally:
            if call is not None:
                call.abandon()
        if isinstance(result, TransportError):
            raise result
        return result

    def call_nowait(self, method: str, payload: bytes, answer: Answer, *, timeout_s: float) -> None:
        """See `base.Connection.call_nowait`."""
        self._start(method, payload, answer, timeout_s)

    async def cast(self, method: str, payload: bytes) -> None:
        """See `base.Connection.cast`."""
        # Before sending: a cancelled cast was not sent.
        await anyio.lowlevel.checkpoint()
        if not self.cast_nowait(method, payload):
            if self._closed:
                raise ConnectionLost(f"the connection to {self.peer} is closed")
            raise TransportError(f"the queue to {self.peer} is full")

    def cast_nowait(self, method: str, payload: bytes) -> bool:
        """See `base.Connection.cast_nowait`."""
        if method not in self._methods:
            self._learn(method)
        here = self._here
        frame = Frame(method, payload, here, None, here, self.peer, _CAST, self._now_ns())
        if self._closed:
            # Sent and lost at once, so that the counters explain it.
            self.network.counters.sent += 1
            self.network.lose(frame, "connection closed")
            return False
        return self.network.send(frame, self._there)

    def close(self) -> None:
        """Send nothing more; end the calls that wait with `ConnectionLost`, in their order."""
        self._closed = True
        for call in self._calls:
            lost = ConnectionLost(f"the connection to {self.peer} was closed")
            self.network.scheduler.call_soon(call.end, lost)

    def abort(self) -> None:
        """Send nothing more; leave the calls that wait to their answers and deadlines."""
        self._closed = True

    def forget(self, call: _Call) -> None:
        """The call has ended."""
        self._calls.pop(call, None)

    def _start(self, method: str, payload: bytes, answer: Answer, timeout_s: float) -> _Call | None:
        if method not in self._methods:
            self._learn(method)
        scheduler = self.network.scheduler
        now_ns = scheduler.now_ns()
        deadline_ns = now_ns + max(0, round(timeout_s * 1e9))
        refusal = self._refusal()
        if refusal is not None:
            scheduler.call_soon(answer, refusal)
            return None
        call = _Call(self, answer)
        self._calls[call] = None
        call.timer = scheduler.timer_at(deadline_ns, call.time_out, method, timeout_s)
        here = self._here
        frame = Frame(
            method, payload, here, deadline_ns, here, self.peer, _REQUEST, now_ns, call.take
        )
        self.network.send(frame, self._there)
        return call

    def _refusal(self) -> TransportError | None:
        if self._closed:
            return ConnectionLost(f"the connection to {self.peer} is closed")
        if len(self._calls) >= CALLS_MAX:
            return TransportError(f"{CALLS_MAX} calls to {self.peer} wait already")
        return None

    def _learn(self, method: str) -> None:
        check_method(method)
        if len(self._methods) < _METHODS_KNOWN_MAX:
            self._methods.add(method)


def _resolve(future: "asyncio.Future[_Result]", result: _Result) -> None:
    if not future.done():
        future.set_result(result)


class MemoryListener:
    """Serves one handler at one location, from its making until `close` or `crash`."""

    def __init__(
        self,
        network: MemoryNetwork,
        location: str,
        handler: Handler,
        on_cast: CastReceiver | None = None,
    ) -> None:
        self.on_cast: Final[CastReceiver] = self._cast_to_handler if on_cast is None else on_cast
        self._network = network
        self._handler = handler
        self._tasks: HandlerTasks[Frame] = HandlerTasks()
        self._open = True
        self._place = network.attach(location, self)

    def close(self) -> None:
        """Stop listening and tell the callers whose requests are being served. Idempotent."""
        if self._open:
            for frame in self._tasks.served():
                self._answer(frame, _RESET, b"")
            self.crash()

    def crash(self) -> None:
        """Stop listening and tell nobody. Idempotent."""
        self._open = False
        self._network.detach(self._place, self)
        self._tasks.cancel()

    def on_request(self, frame: Frame) -> None:
        """Serve a request: now if the handler answers at once, in a task otherwise."""
        if len(self._tasks) >= CALLS_MAX:
            self._refuse(frame, RemoteError("overloaded", f"{CALLS_MAX} requests are being served"))
            return
        try:
            result = self._handler(frame)
        except AssertionError:
            raise  # A bug of ours: it stops the run.
        except Exception as error:  # noqa: BLE001 - the boundary: a handler's failure is its caller's answer
            self._refuse(frame, error)
            return
        if isinstance(result, bytes):
            self._answer(frame, _REPLY, result)
        else:
            self._tasks.start(result, frame, self._served)

    def _cast_to_handler(self, frame: Incoming) -> None:
        assert isinstance(frame, Frame)
        if len(self._tasks) >= CALLS_MAX:
            self._network.counters.delivered -= 1
            self._network.lose(frame, QUEUE_FULL)
            return
        try:
            result = self._handler(frame)
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary, as in on_request
            self._refuse(frame, error)
            return
        if not isinstance(result, bytes):
            self._tasks.start(result, frame, self._served)

    def _served(self, task: "asyncio.Task[bytes]", frame: Frame) -> None:
        """The task of a handler has ended."""
        if task.cancelled():
            self._refuse(frame, RemoteError("cancelled", "the handler was cancelled"))
            return
        error = task.exception()
        if isinstance(error, AssertionError):
            self._network.scheduler.call_soon(_escalate, error)
        elif isinstance(error, Exception):
            self._refuse(frame, error)
        elif error is None:
            self._answer(frame, _REPLY, task.result())

    def _refuse(self, frame: Frame, error: Exception) -> None:
        """Tell the caller; for a cast there is none, so the log is all there is."""
        if frame.kind is _REQUEST:
            self._answer(frame, _REFUSAL, RemoteError.of(error).encode())
        elif self._open:
            self._network.counters.casts_failed += 1
            where = self._place.location
            _log.error("the handler at %s failed for %r", where, frame, exc_info=error)

    def _answer(self, request: Frame, kind: FrameKind, payload: bytes) -> None:
        """Send an answer, unless it is for a cast, or this listener has crashed meanwhile."""
        if self._open and request.kind is _REQUEST:
            network, here = self._network, self._place.location
            there = network.place(request.source)
            frame = Frame(
                request.method,
                payload,
                here,
                None,
                here,
                there.location,
                kind,
                network.scheduler.now_ns(),
                request.on_answer,
            )
            network.send(frame, there)

    async def ended(self) -> None:
        """Return when no handler runs any more; after `close` or `crash`."""
        await self._tasks.ended()


def _escalate(bug: AssertionError) -> None:
    """Raise out of the scheduler, where a bug stops the run, and not into a task nobody watches."""
    raise bug


class MemoryTransport:
    """One location's view of a `MemoryNetwork`. See `base.Transport`.

    Without *network* it has one of its own, without rules: enough to try something out.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        network: MemoryNetwork | None = None,
        location: str = "client",
    ) -> None:
        if network is None:
            network = MemoryNetwork(scheduler, Random(0))  # noqa: S311 - no rule draws from it
        self.network: Final = network
        self.location: Final = location

    @asynccontextmanager
    async def listen(
        self, address: Address, handler: Handler, *, on_cast: CastReceiver | None = None
    ) -> AsyncGenerator[Address]:
        """See `base.Transport.listen`."""
        listener = self.attach(address, handler, on_cast=on_cast)
        try:
            yield address
            listener.close()
        finally:
            # Silent if we come here by an exception: the order of cancellation must not show.
            listener.crash()
            await listener.ended()

    def attach(
        self, address: Address, handler: Handler, *, on_cast: CastReceiver | None = None
    ) -> MemoryListener:
        """As `listen`, without a context: whoever calls this also calls `close` or `crash`."""
        return MemoryListener(self.network, _location_of(address), handler, on_cast)

    @asynccontextmanager
    async def connect(self, address: Address) -> AsyncGenerator[Connection]:
        """See `base.Transport.connect`."""
        connection = self.open(address)
        try:
            yield connection
            connection.close()
        finally:
            connection.abort()

    def open(self, address: Address) -> MemoryConnection:
        """As `connect`, without a context: whoever calls this also calls `close` or `abort`."""
        location = _location_of(address)
        if not self.network.listens(location):
            raise ConnectError(f"nobody listens at {address}")
        return MemoryConnection(self.network, self.location, self.network.place(location))


def _location_of(address: Address) -> str:
    if address.scheme != "memory":
        raise AddressError(f"{address} is not an address of the memory transport")
    return address.location
