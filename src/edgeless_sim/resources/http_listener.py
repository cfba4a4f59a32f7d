"""The socket side of http-ingress: one HTTP/1 server that no client can hold up.

It bounds connections, the time for a request's header and body, the time between requests, and the
time in which a client must take its response. Not here: what a connection does (`http_connection`)
and what is answered (`http_ingress`).
"""

import asyncio
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlsplit

from edgeless_sim.errors import ListenError
from edgeless_sim.kernel.clock import Clock
from edgeless_sim.kernel.scheduler import Scheduler, Timer
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX
from edgeless_sim.resources.http_connection import Admit, Connection

__all__ = [
    "BODY_TIMEOUT_S",
    "CONNECTIONS_MAX",
    "HEADER_TIMEOUT_S",
    "IDLE_TIMEOUT_S",
    "HttpListener",
]

CONNECTIONS_MAX: Final = 4096
#: From the first byte of a request to the end of its header; also to the first request.
HEADER_TIMEOUT_S: Final = 5.0
#: From the end of the header to the end of the body.
BODY_TIMEOUT_S: Final = 10.0
#: From the end of a request to the next one, taking its response included.
IDLE_TIMEOUT_S: Final = 30.0
_LINGER_TIMEOUT_S: Final = 2.0
_SWEEP_NS: Final = 500_000_000


class HttpListener:
    """Listens at one URL from `open` to `close`."""

    def __init__(self, admit: Admit, clock: Clock, scheduler: Scheduler) -> None:
        """*admit* decides about a request when its header has come."""
        self.admit = admit
        self.header_timeout_ns = round(HEADER_TIMEOUT_S * 1e9)
        self.body_timeout_ns = round(BODY_TIMEOUT_S * 1e9)
        self.idle_timeout_ns = round(IDLE_TIMEOUT_S * 1e9)
        self.linger_timeout_ns = round(_LINGER_TIMEOUT_S * 1e9)
        self.connections_max = CONNECTIONS_MAX
        self.body_bytes_max = PAYLOAD_BYTES_MAX
        self.scheduler = scheduler
        self.url = ""
        self.date = ""
        #: Those that are open, in the order in which they came.
        self.connections: dict[Connection, None] = {}
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._sweeper: Timer | None = None

    async def open(self, url: str) -> None:
        """Listen at *url*, ``http://HOST:PORT``; port 0 is a free one, which `url` tells.

        Raise `ListenError` if that place cannot be had.
        """
        place = urlsplit(url)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self), place.hostname, place.port or 0, backlog=1024
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
        for connection in list(self.connections):
            connection.cut()

    def opened(self, connection: Connection) -> bool:
        """See `ConnectionLimits.opened`."""
        self.connections[connection] = None
        return self._server is not None and len(self.connections) <= self.connections_max

    def closed(self, connection: Connection) -> None:
        """See `ConnectionLimits.closed`."""
        self.connections.pop(connection, None)

    def _sweep(self) -> None:
        now_ns = self.scheduler.now_ns()
        self.date = format_datetime(self._clock.utc(), usegmt=True)
        for connection in list(self.connections):
            connection.expire(now_ns)
        self._sweeper = self.scheduler.background_at(now_ns + _SWEEP_NS, self._sweep)
