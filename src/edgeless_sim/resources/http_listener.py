"""The socket side of http-ingress: one HTTP/1 server that no client can hold up.

It bounds connections, the time for a request's header, the time between requests, and the time in
which a client must take its response. Not here: what is answered (`http_ingress`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from edgeless_sim.errors import ListenError
from edgeless_sim.kernel.scheduler import Scheduler, Timer

__all__ = ["CONNECTIONS_MAX", "HEADER_TIMEOUT_S", "IDLE_TIMEOUT_S", "HttpListener", "Respond"]

Respond = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

CONNECTIONS_MAX: Final = 4096
#: From the first byte of a request to the end of its header; also to the first request.
HEADER_TIMEOUT_S: Final = 5.0
#: From the end of a request to the next one, taking its response included.
IDLE_TIMEOUT_S: Final = 30.0
_LINGERING_S: Final = 2.0
_SWEEP_NS: Final = 500_000_000
_LINE_BYTES_MAX: Final = 8190
_HEADERS_MAX: Final = 128


def _unheard() -> logging.Logger:
    """For what aiohttp says of bytes that are no HTTP: whoever sends them must not fill a log."""
    logger = logging.Logger(__name__)
    logger.disabled = True
    return logger


class HttpListener:
    """Listens at one URL from `open` to `close`."""

    def __init__(
        self,
        respond: Respond,
        scheduler: Scheduler,
        *,
        header_timeout_s: float = HEADER_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        """*respond* answers a request, and never raises but for cancellation."""
        self.header_timeout_ns = round(header_timeout_s * 1e9)
        self.idle_timeout_ns = round(idle_timeout_s * 1e9)
        self.connections_max = connections_max
        self.scheduler = scheduler
        self.url = ""
        self._respond = respond
        self._manager: web.Server | None = None
        self._server: asyncio.Server | None = None
        self._sweeper: Timer | None = None

    async def open(self, url: str) -> None:
        """Listen at *url*, ``http://HOST:PORT``; port 0 is a free one, which `url` tells.

        Raise `ListenError` if that place cannot be had.
        """
        place = urlsplit(url)
        loop = asyncio.get_running_loop()
        manager = self._manager = web.Server(self._serve, logger=_unheard())
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self, manager), place.hostname, place.port or 0, backlog=1024
            )
        except OSError as cause:
            raise ListenError(
                url, f"http_ingress_url: cannot listen at {url}: {cause.strerror or cause}"
            ) from cause
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{place.netloc.rpartition(':')[0]}:{port}"
        self._sweep()

    def close(self) -> None:
        """Stop listening and cut every connection. Idempotent."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self.connections:
            connection.cut()

    @property
    def connections(self) -> "list[_Connection]":
        """Those that are open."""
        known = [] if self._manager is None else self._manager.connections
        return [each for each in known if isinstance(each, _Connection)]

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, _Connection), "only our factory makes them"
        connection.busy = True
        try:
            return await self._respond(request)
        finally:
            connection.rest()

    def _sweep(self) -> None:
        now_ns = self.scheduler.now_ns()
        for connection in self.connections:
            connection.expire(now_ns)
        self._sweeper = self.scheduler.background_at(now_ns + _SWEEP_NS, self._sweep)


class _Connection(RequestHandler):
    """A connection that knows since when its client has kept us waiting."""

    def __init__(self, listener: HttpListener, manager: web.Server) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None means none, whatever the hint says
            keepalive_timeout=listener.idle_timeout_ns / 1e9,
            lingering_time=_LINGERING_S,
            max_line_size=_LINE_BYTES_MAX,
            max_field_size=_LINE_BYTES_MAX,
            max_headers=_HEADERS_MAX,
            auto_decompress=False,
        )
        self._listener = listener
        self._since_ns = listener.scheduler.now_ns()
        #: Whether a header is due: a first request, or the rest of one that has begun.
        self._is_due = True
        self.busy = False

    def connection_made(self, transport: Any) -> None:
        """Refuse what is too much; a refusal over HTTP would cost more than it is worth."""
        super().connection_made(transport)
        if len(self._listener.connections) > self._listener.connections_max:
            self.cut()

    def data_received(self, data: bytes) -> None:
        """Note when a request begins."""
        if not self.busy and not self._is_due:
            self._is_due = True
            self._since_ns = self._listener.scheduler.now_ns()
        super().data_received(data)

    def rest(self) -> None:
        """The request was dealt with; the response is on its way."""
        self.busy = False
        self._is_due = False
        self._since_ns = self._listener.scheduler.now_ns()

    def expire(self, now_ns: int) -> None:
        """Cut the connection if its client has kept us waiting too long."""
        listener = self._listener
        limit_ns = listener.header_timeout_ns if self._is_due else listener.idle_timeout_ns
        if not self.busy and now_ns - self._since_ns > limit_ns:
            self.cut()

    def cut(self) -> None:
        """Close it now; what was not sent yet is lost."""
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()
