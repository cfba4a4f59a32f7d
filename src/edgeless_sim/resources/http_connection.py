"""One client's connection to http-ingress: requests in, one at a time and in order; responses out.

aiohttp's parser reads; nothing here waits, so that a request costs no task and no timer. How long
a client may take is left to the sweep of the listener. Not here: who answers (`http_ingress`).
"""

import asyncio
from collections import deque
from typing import Any, Final, Protocol

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestPayloadError

from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.resources.http_messages import (
    RefusedError,
    plain_headers,
    render_response,
    too_large,
)

__all__ = ["Admit", "Admitted", "Connection", "ConnectionLimits", "RawRequestMessage"]

_LINE_BYTES_MAX: Final = 8190
_HEADERS_MAX: Final = 128
#: Requests of one client that wait for their turn.
_PIPELINED_MAX: Final = 32
#: What one read of a loop gives at most, so that a body that is being taken never stops the client.
_CHUNK_BYTES: Final = 1 << 18
_LINGER_PAUSE_NS: Final = 5_000_000

# What a connection waits for.
_IDLE: Final = 0
"""A request."""
_DUE: Final = 1
"""The rest of a header that has begun, or the first request."""
_BODY: Final = 2
_SERVING: Final = 3
"""Our own answer."""
_LINGERING: Final = 4
"""That the client has read why it was refused, and closes."""
_GONE: Final = 5

_REQUEST_BROKEN: Final = RefusedError(400, "this is no HTTP request", closes=True)


class Admitted(Protocol):
    """A request whose header was found good."""

    def serve(self, body: bytes) -> None:
        """Have it answered by `Connection.respond`, now or later, or raise `RefusedError`."""
        ...

    def abandon(self) -> None:
        """Instead of `serve`: the body did not come, or was refused."""
        ...


class Admit(Protocol):
    """Looks at the header of a request."""

    def __call__(
        self, message: RawRequestMessage, connection: "Connection", *, has_body: bool
    ) -> Admitted:
        """Whom to give the body to; raise `RefusedError` if nobody takes the request."""
        ...


class ConnectionLimits(Protocol):
    """What a connection needs of its listener."""

    header_timeout_ns: int
    idle_timeout_ns: int
    body_timeout_ns: int
    linger_timeout_ns: int
    #: The header ``Date``.
    date: str
    scheduler: Scheduler

    @property
    def body_bytes_max(self) -> int:
        """Longest body."""
        ...

    def admit(
        self, message: RawRequestMessage, connection: "Connection", *, has_body: bool
    ) -> Admitted:
        """See `Admit`."""
        ...

    def opened(self, connection: "Connection") -> bool:
        """Count *connection*; False if there are too many."""
        ...

    def closed(self, connection: "Connection") -> None:
        """Forget *connection*."""
        ...


class Connection(BaseProtocol):
    """A connection that knows since when its client has kept us waiting."""

    __slots__ = (
        "_admitted",
        "_advancing",
        "_ahead",
        "_body",
        "_full",
        "_held",
        "_kept",
        "_listener",
        "_message",
        "_payload",
        "_phase",
        "_queue",
        "_reader",
        "_since_ns",
    )

    def __init__(self, listener: ConnectionLimits) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop)
        self._listener = listener
        self._reader: HttpRequestParser | None = HttpRequestParser(
            self,
            loop,
            _CHUNK_BYTES,
            max_line_size=_LINE_BYTES_MAX,
            max_field_size=_LINE_BYTES_MAX,
            max_headers=_HEADERS_MAX,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=_PIPELINED_MAX,
        )
        #: Requests whose turn has not come; None is one that cannot be read.
        self._queue: deque[tuple[RawRequestMessage | None, StreamReader]] = deque()
        self._message: RawRequestMessage | None = None
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._admitted: Admitted | None = None
        self._body = bytearray()
        self._phase = _DUE
        self._since_ns = listener.scheduler.now_ns()
        self._advancing = False
        #: Whether the queue is full; whether a body is ahead of whoever takes it.
        self._full = False
        self._ahead = False
        #: Whether the parser may have something left that it did not parse.
        self._kept = False
        #: Whether we do not read at present.
        self._held = False

    # -- what the loop says ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse what is too much; a refusal over HTTP would cost more than it is worth."""
        super().connection_made(transport)
        if not self._listener.opened(self):
            self.cut()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Whoever answers is not told: the answer is dropped when it comes."""
        super().connection_lost(exc)
        self._listener.closed(self)
        if self._phase == _BODY and self._admitted is not None:
            self._admitted.abandon()
        self._end(_GONE)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent; note when a request begins."""
        if self._phase >= _LINGERING:
            self._pause()
            return
        self._parse(data)
        if self._phase == _IDLE and not self._queue:
            self._phase = _DUE
            self._since_ns = self._listener.scheduler.now_ns()
        self._advance()

    def resume_writing(self) -> None:
        """The client has read: it may have its next answer."""
        super().resume_writing()
        self._advance()

    # -- what the parser says -------------------------------------------------------------------

    def pause_reading(self) -> None:
        """A body is too far ahead of whoever takes it."""
        self._ahead = True
        if self._reader is not None:
            self._reader.pause_reading()
        self._hold()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """It has been taken."""
        if self._ahead:
            self._ahead = False
            self._kept = self._kept or resume_parser
            self._hold()

    def _hold(self) -> None:
        """Read or do not read, as is due now."""
        held = self._full or self._ahead
        if held != self._held and self.transport is not None:
            self._held = held
            if held:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def _parse(self, data: bytes) -> None:
        reader, queue = self._reader, self._queue
        if reader is None:
            return
        self._kept = False
        try:
            messages, upgraded, rest = reader.feed_data(data)
            queue.extend(messages)
            while upgraded:
                # An upgrade is not taken up, so the client goes on in HTTP/1.
                reader.set_upgraded(False)
                upgraded = False
                if rest:
                    messages, upgraded, rest = reader.feed_data(rest)
                    queue.extend(messages)
        except HttpProcessingError:
            queue.append((None, EMPTY_PAYLOAD))
            if self._phase == _BODY and not self._payload.is_eof():
                self._payload.set_exception(RequestPayloadError())
        if len(queue) >= _PIPELINED_MAX:
            self._full = True
            self._hold()

    # -- one request after the other ------------------------------------------------------------

    def _advance(self) -> None:
        """Deal with all that can be dealt with now. What is called here may call again."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._step():
                pass
        finally:
            self._advancing = False

    def _step(self) -> bool:
        if self._kept and self._phase < _LINGERING:
            self._parse(b"")
        if self._phase == _BODY:
            return self._collect()
        if self._phase > _BODY or self.writing_paused or not self._queue:
            return False
        self._begin()
        return True

    def _begin(self) -> None:
        queue, reader = self._queue, self._reader
        self._message, self._payload = message, payload = queue.popleft()
        if reader is not None:
            reader.message_consumed()
        if self._full and not queue:
            self._full = False
            self._kept = True
            self._hold()
        self._phase = _BODY
        if message is None:
            self._refuse(_REQUEST_BROKEN)
            return
        has_body = payload is not EMPTY_PAYLOAD
        try:
            self._admitted = self._listener.admit(message, self, has_body=has_body)
            if has_body:
                self._since_ns = self._listener.scheduler.now_ns()
                self._expect(message)
        except RefusedError as refusal:
            self._refuse(refusal)

    def _expect(self, message: RawRequestMessage) -> None:
        expected = message.headers.get("Expect")
        if expected is None:
            return
        if expected.lower() != "100-continue":
            raise RefusedError(417, "Expectation Failed", closes=True)
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _collect(self) -> bool:
        """Take what has come of the body; serve the request when all has."""
        payload, body = self._payload, self._body
        whole = b""
        try:
            if payload is not EMPTY_PAYLOAD:
                body += payload.read_nowait()
                if len(body) > self._listener.body_bytes_max:
                    raise too_large(self._listener.body_bytes_max)
                if not payload.is_eof():
                    return self._kept
                whole = bytes(body)
                body.clear()
            admitted, self._admitted = self._admitted, None
            assert admitted is not None, "a body is only taken after its header"
            self._phase = _SERVING
            admitted.serve(whole)
        except RefusedError as refusal:
            self._refuse(refusal)
        except RequestPayloadError:
            self._refuse(RefusedError(400, "the body is broken", closes=True))
        return True

    def _refuse(self, refusal: RefusedError) -> None:
        admitted, self._admitted = self._admitted, None
        if admitted is not None:
            admitted.abandon()
        headers = plain_headers(refusal.status)
        self.respond(refusal.status, headers, refusal.text.encode(), closes=refusal.closes)

    def respond(
        self, status: int, headers: dict[str, str], body: bytes, *, closes: bool = False
    ) -> None:
        """Answer the request in hand. Nothing happens if its client has gone."""
        transport, message = self.transport, self._message
        if transport is None or self._phase not in (_BODY, _SERVING):
            return
        closes = closes or not self._payload.is_eof()
        asked_to_close = message is not None and message.should_close
        transport.write(
            render_response(
                status,
                headers,
                body,
                date=self._listener.date,
                is_head=message is not None and message.method == "HEAD",
                closes=closes or asked_to_close,
                is_old=message is not None and message.version < (1, 1),
            )
        )
        self._since_ns = self._listener.scheduler.now_ns()
        self._message = None
        if closes:
            self._linger(transport)
        elif asked_to_close:
            self._end(_LINGERING)
            transport.close()
        else:
            self._phase = _IDLE
            self._advance()

    def _linger(self, transport: asyncio.Transport) -> None:
        """Let the client read: were we to close with unread input, it would see a reset."""
        self._end(_LINGERING)
        if transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()
        self._full = self._ahead = False
        self._hold()

    def _pause(self) -> None:
        """Throw away at a gentle pace: whoever was refused 100 MB sends them as fast as we read."""
        scheduler = self._listener.scheduler
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
            scheduler.background_at(scheduler.now_ns() + _LINGER_PAUSE_NS, self._unpause)

    def _unpause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _end(self, phase: int) -> None:
        self._phase = phase
        self._queue.clear()
        self._body.clear()
        self._payload = EMPTY_PAYLOAD
        self._admitted = None
        # It refers to us.
        self._reader = None

    # -- clients that keep us waiting -----------------------------------------------------------

    def expire(self, now_ns: int) -> None:
        """Refuse or cut the connection if its client has kept us waiting too long."""
        listener, phase = self._listener, self._phase
        waited_ns = now_ns - self._since_ns
        if phase == _BODY:
            if waited_ns > listener.body_timeout_ns:
                self._refuse(RefusedError(408, "the body did not come in time", closes=True))
        elif phase == _LINGERING:
            if waited_ns > listener.linger_timeout_ns:
                self.cut()
        elif phase != _SERVING and waited_ns > (
            listener.header_timeout_ns if phase == _DUE else listener.idle_timeout_ns
        ):
            self.cut()

    def cut(self) -> None:
        """Close it now; what was not sent yet is lost."""
        transport: Any = self.transport
        if transport is not None:
            transport.abort()
