"""The calling side of ``tcp://``: a `TcpConnection` finds its peer again whenever it has to.

It connects when there is something to send, and again after the link was lost, with a bounded
back-off. Calls wait for the link until their deadline; casts wait for the attempt that is under
way, and are lost with it. A call that was sent ends with its link: whether it was served is
unknown, so nothing is sent twice.
"""

import asyncio
from random import Random
from typing import Final

import anyio
import anyio.lowlevel

from edgeless_transports.base import Answer, Scheduler, check_method
from edgeless_transports.errors import ConnectError, ConnectionLost, TransportError
from edgeless_transports.framing import REQUEST, Hello
from edgeless_transports.link import Link, TcpCounters, TcpLimits, check_payload
from edgeless_transports.sockets import Way
from edgeless_transports.tcp_calls import (
    Answers,
    Backlog,
    Caller,
    Calls,
    Result,
    give,
    milliseconds,
)

__all__ = ["TcpConnection"]

_METHODS_KNOWN_MAX: Final = 1024


class TcpConnection:
    """Frames to one address. See `base.Connection`."""

    def __init__(
        self, scheduler: Scheduler, way: Way, limits: TcpLimits, counters: TcpCounters, dice: Random
    ) -> None:
        self._scheduler = scheduler
        self._way = way
        self._limits = limits
        self._payload_max = limits.payload_bytes_max
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
        self._backlog = Backlog(limits)
        self._calls = Calls(scheduler, self._backlog, lambda: self.state)
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
        future: asyncio.Future[Result] = self._loop.create_future()
        number = self._start(method, payload, future, timeout_s)
        try:
            result = await future
        except BaseException:
            self._calls.forget(number)
            raise
        if isinstance(result, bytes):
            return result
        raise result

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
        if link is not None and len(payload) <= self._payload_max and link.cast(method, payload):
            return True
        # The longer way: it finds the cause.
        return self._cast(method, payload) is None

    def close(self) -> None:
        """Send what was sent already; end the calls that wait with `ConnectionLost`. Idempotent."""
        if self._closed:
            return
        self._stop()
        if self._link is not None:
            self._link.close("the connection was closed")
        for number in list(self._calls.waiting):
            lost = ConnectionLost(f"the connection to {self._way.address} was closed")
            self._scheduler.call_soon(self._calls.end, number, lost)

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

    # Frames.

    def _start(self, method: str, payload: bytes, caller: Caller, timeout_s: float) -> int:
        """Begin a call; its number, or 0 if it is refused."""
        if method not in self._methods:
            self._learn(method)
        calls = self._calls
        if (
            len(payload) > self._payload_max
            or len(calls.waiting) >= self._limits.calls_max
            or self._closed
        ):
            self._scheduler.call_soon(give, caller, self._refusal(payload))
            return 0
        lane = calls.lanes.get(timeout_s) or calls.lane(timeout_s)
        number = calls.begin(method, caller, lane)
        if self._link is None:
            self._demand()
            sent = self._backlog.add(number, method, payload)
        else:
            sent = self._link.send(REQUEST, number, method, lane.timeout_ms, payload)
        if not sent:
            full = TransportError(f"the queue to {self.state} is full")
            self._scheduler.call_soon(calls.end, number, full)
        return number

    def _cast(self, method: str, payload: bytes) -> str | None:
        """Send a cast; the cause if it is lost."""
        if method not in self._methods:
            self._learn(method)
        if len(payload) > self._limits.payload_bytes_max:
            return self._lose("too large")
        if self._link is not None:
            if self._link.cast(method, payload):
                return None
            return self._lose("queue full")
        if self._closed:
            return self._lose("connection closed")
        self._demand()
        if self._attempt is None:
            return self._lose("not connected")
        number = self._calls.next_number()
        return None if self._backlog.add(number, method, payload) else self._lose("queue full")

    def _lose(self, cause: str, count: int = 1) -> str:
        lost = self._counters.casts_lost
        lost[cause] = lost.get(cause, 0) + count
        return cause

    def _refusal(self, payload: bytes) -> TransportError:
        if self._closed:
            return ConnectionLost(f"the connection to {self._way.address} is closed")
        return check_payload(payload, self._limits) or TransportError(
            f"{self._limits.calls_max} calls to {self._way.address} wait already"
        )

    def _learn(self, method: str) -> None:
        check_method(method)
        if len(self._methods) < _METHODS_KNOWN_MAX:
            self._methods.add(method)

    # The owner of a link.

    def greeted(self, link: Link, hello: Hello) -> Answers:  # noqa: ARG002 - the shape of an owner
        """See `LinkOwner.greeted`."""
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_result(None)
            self._counters.connected += 1
            self._up_since = self._loop.time()
            self._link = link
            self._send_waiting(link)
        return Answers(self._scheduler, self._calls, self._counters)

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
        state = self.state
        self._calls.end_all(lambda: ConnectionLost(f"{state} went away before it answered"))

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
            if self._calls.waiting:
                self._demand()

    def _back_off(self, why: str) -> None:
        self._why = why
        limits = self._limits
        # The exponent is bounded so that the power is, too.
        wait_s = min(limits.backoff_s * 2 ** min(self._failures, 30), limits.backoff_s_max)
        self._failures += 1
        self._retry_at = self._loop.time() + wait_s * (0.5 + self._dice.random() / 2)

    def _drop_casts(self) -> None:
        casts = [number for number in self._backlog.frames if number not in self._calls.waiting]
        for number in casts:
            self._backlog.drop(number)
        if casts:
            self._lose("not connected", len(casts))

    def _send_waiting(self, link: Link) -> None:
        now_ns = self._scheduler.now_ns()
        for number, (method, payload) in self._backlog.clear().items():
            call = self._calls.waiting.get(number)
            if call is None:
                if not link.cast(method, payload):
                    self._lose("queue full")
                continue
            _, deadline_ns, _, _ = call
            left_ms = milliseconds(deadline_ns - now_ns)
            if not link.send(REQUEST, number, method, left_ms, payload):
                full = TransportError(f"the queue to {self.state} is full")
                self._scheduler.call_soon(self._calls.end, number, full)

    def _stop(self) -> None:
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._attempt is not None:
            self._attempt.cancel()
        self._drop_casts()
        self._backlog.clear()
