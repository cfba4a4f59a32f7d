"""The calling side of ``tcp://``: a `TcpConnection` finds its peer again whenever it has to.

It connects when there is something to send, and again after the link was lost, with a bounded
back-off. Calls wait for the link until their deadline; casts wait for the attempt that is under
way, and are lost with it. A call that was sent ends with its link: whether it was served is
unknown, so nothing is sent twice.
"""

import asyncio
from random import Random
from typing import Final, TypeAlias

import anyio
import anyio.lowlevel

from edgeless_transports.base import Answer, Scheduler, Timer, check_method
from edgeless_transports.errors import (
    CallTimeout,
    ConnectError,
    ConnectionLost,
    RemoteError,
    TransportError,
)
from edgeless_transports.framing import CAST, REFUSAL, REPLY, REQUEST, Hello, WireFrame
from edgeless_transports.link import Link, TcpCounters, TcpLimits, check_payload
from edgeless_transports.sockets import Way

__all__ = ["TcpConnection"]

_METHODS_KNOWN_MAX: Final = 1024
_Result: TypeAlias = bytes | TransportError


class _Call:
    """A call that waits for its end, which comes once: answer, loss, deadline or close."""

    __slots__ = ("_answer", "_connection", "deadline_ns", "number", "timer")

    timer: Timer

    def __init__(
        self, connection: "TcpConnection", number: int, answer: Answer, deadline_ns: int
    ) -> None:
        self._connection = connection
        self._answer = answer
        self.number = number
        self.deadline_ns = deadline_ns

    def time_out(self, method: str, timeout_s: float) -> None:
        """The end that comes when no other does."""
        state = self._connection.state
        self.end(CallTimeout(f"no answer to {method} within {timeout_s:g} s from {state}"))

    def end(self, result: _Result) -> None:
        """Give *result* to the caller, unless the call has ended."""
        if self._connection.forget(self):
            self._answer(result)


class TcpConnection:
    """Frames to one address. See `base.Connection`."""

    def __init__(
        self, scheduler: Scheduler, way: Way, limits: TcpLimits, counters: TcpCounters, dice: Random
    ) -> None:
        self._scheduler = scheduler
        self._way = way
        self._limits = limits
        self._counters = counters
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._link: Link | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._attempted: Link | None = None
        self._greeting: asyncio.Future[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._up_since = 0.0
        self._why = "not connected yet"
        self._numbers = 0
        self._calls: dict[int, _Call] = {}
        #: What waits for the link, in the order of sending; a number that is no call's is a cast's.
        self._waiting: dict[int, tuple[str, bytes]] = {}
        self._waiting_bytes = 0
        # Checked once each: a look-up is cheaper than the check.
        self._methods: set[str] = set()

    @property
    def state(self) -> str:
        """The address, and whether it is connected or why not: for messages."""
        where = str(self._way.address)
        return where if self._link is not None else f"{where} ({self._why})"

    # See `base.Connection`.

    async def call(self, method: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `base.Connection.call`."""
        future: asyncio.Future[_Result] = self._loop.create_future()
        call = self._start(method, payload, lambda result: _resolve(future, result), timeout_s)
        try:
            result = await future
        finally:
            if call is not None:
                self.forget(call)
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
        cause = self._cast(method, payload)
        if cause is None:
            return
        if self._closed:
            raise ConnectionLost(f"the connection to {self._way.address} is closed")
        raise TransportError(f"a cast to {self.state} was not sent: {cause}")

    def cast_nowait(self, method: str, payload: bytes) -> bool:
        """See `base.Connection.cast_nowait`. False, too, while the peer cannot be reached."""
        link = self._link
        if (
            link is not None
            and method in self._methods
            and len(payload) <= self._limits.payload_bytes_max
            and link.send(CAST, 0, method, 0, payload)
        ):
            return True
        # The longer way: it finds the cause, or learns the method.
        return self._cast(method, payload) is None

    def close(self) -> None:
        """Send what was sent already; end the calls that wait with `ConnectionLost`. Idempotent."""
        if self._closed:
            return
        self._stop()
        if self._link is not None:
            self._link.close("the connection was closed")
        for call in list(self._calls.values()):
            lost = ConnectionLost(f"the connection to {self._way.address} was closed")
            self._scheduler.call_soon(call.end, lost)

    def abort(self) -> None:
        """Send nothing more; leave the calls that wait to their deadlines. Idempotent."""
        if not self._closed:
            self._stop()
            if self._link is not None:
                self._link.abort()

    async def ended(self) -> None:
        """Return when the sockets are closed; after `close` or `abort`."""
        with anyio.CancelScope(shield=True):
            if self._attempt is not None:
                await asyncio.gather(self._attempt, return_exceptions=True)
            for link in (self._attempted, self._link):
                if link is not None and link.made:
                    await link.closed

    async def connected(self) -> None:
        """Return when connected; raise `ConnectError` if the attempt under way fails."""
        self._demand()
        if self._attempt is not None:
            await asyncio.shield(self._attempt)
        if self._link is None:
            raise ConnectError(f"nobody to talk to at {self.state}")

    def forget(self, call: _Call) -> bool:
        """End *call* without telling its caller; False if it has ended already."""
        if self._calls.pop(call.number, None) is None:
            return False
        call.timer.cancel()
        if self._waiting:
            self._unqueue(call.number)
        return True

    # Frames.

    def _start(self, method: str, payload: bytes, answer: Answer, timeout_s: float) -> _Call | None:
        if method not in self._methods:
            self._learn(method)
        refusal = self._refusal(payload)
        if refusal is not None:
            self._scheduler.call_soon(answer, refusal)
            return None
        deadline_ns = self._scheduler.now_ns() + max(0, round(timeout_s * 1e9))
        self._numbers = number = self._numbers + 1
        call = _Call(self, number, answer, deadline_ns)
        self._calls[number] = call
        call.timer = self._scheduler.timer_at(deadline_ns, call.time_out, method, timeout_s)
        if self._link is None:
            self._demand()
            sent = self._queue(number, method, payload)
        else:
            sent = self._link.send(REQUEST, number, method, _milliseconds(timeout_s), payload)
        if not sent:
            full = TransportError(f"the queue to {self.state} is full")
            self._scheduler.call_soon(call.end, full)
        return call

    def _cast(self, method: str, payload: bytes) -> str | None:
        """Send a cast; the cause if it is lost."""
        if method not in self._methods:
            self._learn(method)
        if len(payload) > self._limits.payload_bytes_max:
            return self._lose("too large")
        if self._link is not None:
            if self._link.send(CAST, 0, method, 0, payload):
                return None
            return self._lose("queue full")
        if self._closed:
            return self._lose("connection closed")
        self._demand()
        if self._attempt is None:
            return self._lose("not connected")
        self._numbers += 1
        return None if self._queue(self._numbers, method, payload) else self._lose("queue full")

    def _lose(self, cause: str, count: int = 1) -> str:
        lost = self._counters.casts_lost
        lost[cause] = lost.get(cause, 0) + count
        return cause

    def _queue(self, number: int, method: str, payload: bytes) -> bool:
        limits, size = self._limits, len(payload)
        if len(self._waiting) >= limits.calls_max:
            return False
        if self._waiting and self._waiting_bytes + size > limits.queue_bytes_max:
            return False
        self._waiting[number] = (method, payload)
        self._waiting_bytes += size
        return True

    def _unqueue(self, number: int) -> None:
        item = self._waiting.pop(number, None)
        if item is not None:
            self._waiting_bytes -= len(item[1])

    def _refusal(self, payload: bytes) -> TransportError | None:
        if self._closed:
            return ConnectionLost(f"the connection to {self._way.address} is closed")
        if len(self._calls) >= self._limits.calls_max:
            return TransportError(
                f"{self._limits.calls_max} calls to {self._way.address} wait already"
            )
        return check_payload(payload, self._limits)

    def _learn(self, method: str) -> None:
        check_method(method)
        if len(self._methods) < _METHODS_KNOWN_MAX:
            self._methods.add(method)

    # The owner of a link.

    def greeted(self, link: Link, hello: Hello) -> None:  # noqa: ARG002 - the shape of an owner
        """See `LinkOwner.greeted`."""
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_result(None)
            self._counters.connected += 1
            self._up_since = self._loop.time()
            self._link = link
            self._send_waiting(link)

    def frames(self, link: Link, frames: list[WireFrame]) -> None:
        """See `LinkOwner.frames`: answers."""
        calls = self._calls
        for kind, number, _, _, payload in frames:
            if kind not in (REPLY, REFUSAL):
                link.fail("kind", f"an answer cannot be of kind {kind}")
                return
            call = calls.get(number)
            if call is None:
                self._counters.late_answers += 1
                continue
            try:
                call.end(payload if kind == REPLY else RemoteError.decode(payload))
            except Exception as bug:  # noqa: BLE001 - asyncio would swallow it with the connection
                self._scheduler.call_soon(_escalate, bug)

    def lost(self, link: Link, why: str) -> None:
        """See `LinkOwner.lost`."""
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_exception(ConnectionLost(why))
        if link is not self._link or self._closed:
            return
        self._link = None
        if self._loop.time() - self._up_since > self._limits.backoff_s_max:
            self._failures = 0
        self._back_off(why)
        for call in list(self._calls.values()):
            try:
                call.end(ConnectionLost(f"{self.state} went away before it answered"))
            except Exception as bug:  # noqa: BLE001 - as in frames
                self._scheduler.call_soon(_escalate, bug)

    # Connecting.

    def _demand(self) -> None:
        """There is something to send: connect, at once or when the back-off is over."""
        if self._link is None and self._attempt is None and self._retry is None:
            delay_s = self._retry_at - self._loop.time()
            if delay_s > 0:
                self._retry = self._loop.call_later(delay_s, self._try_again)
            elif not self._closed:
                self._attempt = self._loop.create_task(self._connect())

    def _try_again(self) -> None:
        self._retry = None
        self._attempt = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        """One attempt; never raises."""
        self._greeting = greeting = self._loop.create_future()
        self._attempted = link = Link(
            self, self._way.announced, self._limits, self._counters, serves=False
        )
        why = ""
        try:
            with anyio.fail_after(self._limits.connect_timeout_s):
                await self._way.open(link, self._limits)
                await greeting
        except TimeoutError:
            why = f"no connection within {self._limits.connect_timeout_s:g} s"
        except (OSError, UnicodeError, TransportError) as error:
            why = str(error) or type(error).__name__
        finally:
            self._attempt = None
            # Not by the exception: the hello may come in the same turn as the time-out.
            if self._link is not link:
                greeting.cancel()
                link.abort()
        if why and self._link is not link:
            self._counters.attempts_failed += 1
            self._back_off(why)
            self._drop_casts()
            if self._calls:
                self._demand()

    def _back_off(self, why: str) -> None:
        self._why = why
        limits = self._limits
        # The exponent is bounded so that the power is, too.
        wait_s = min(limits.backoff_s * 2 ** min(self._failures, 30), limits.backoff_s_max)
        self._failures += 1
        self._retry_at = self._loop.time() + wait_s * (0.5 + self._dice.random() / 2)

    def _drop_casts(self) -> None:
        casts = [number for number in self._waiting if number not in self._calls]
        for number in casts:
            self._unqueue(number)
        if casts:
            self._lose("not connected", len(casts))

    def _send_waiting(self, link: Link) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        now_ns = self._scheduler.now_ns()
        for number, (method, payload) in waiting.items():
            call = self._calls.get(number)
            if call is None:
                if not link.send(CAST, 0, method, 0, payload):
                    self._lose("queue full")
                continue
            left_s = (call.deadline_ns - now_ns) / 1e9
            if not link.send(REQUEST, number, method, _milliseconds(left_s), payload):
                full = TransportError(f"the queue to {self.state} is full")
                self._scheduler.call_soon(call.end, full)

    def _stop(self) -> None:
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._attempt is not None:
            self._attempt.cancel()
        self._drop_casts()
        self._waiting.clear()
        self._waiting_bytes = 0


def _milliseconds(timeout_s: float) -> int:
    """At least one: a request whose deadline has not passed here has time left there."""
    return max(1, round(timeout_s * 1000))


def _resolve(future: "asyncio.Future[_Result]", result: _Result) -> None:
    if not future.done():
        future.set_result(result)


def _escalate(bug: Exception) -> None:
    """Raise out of the scheduler, where a bug stops the run."""
    raise bug
