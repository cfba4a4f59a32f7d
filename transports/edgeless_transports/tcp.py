"""``tcp://`` and ``tls+tcp://``: frames over sockets, in real time, on any asyncio loop.

Locations are ``host:port`` or ``[v6]:port``. A process says in its hello at which address it can be
reached (*announced*); that is what its peers see as `Incoming.peer`. It is a claim: only mutual TLS
proves that the peer belongs, and nothing proves the address.

`TcpListener` and `TcpConnection` are in modules of their own, one established connection is a
`Link`, bytes are in `framing`, certificates in `tls`.
"""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import ClassVar, Final

from edgeless_transports.base import Address, CastReceiver, Connection, Handler, Scheduler
from edgeless_transports.framing import Hello
from edgeless_transports.link import TcpCounters, TcpLimits
from edgeless_transports.sockets import Way, bind, host_and_port
from edgeless_transports.tcp_client import TcpConnection
from edgeless_transports.tcp_server import TcpListener
from edgeless_transports.tls import TlsError, TlsSettings

__all__ = ["TcpTransport", "TlsTcpTransport"]


class TcpTransport:
    """Listens and connects at ``tcp://host:port``. See `base.Transport`.

    *announced* is the address at which this process can be reached, "" if it cannot; raises
    `AddressError` if it is none. *dice* spread the attempts to reconnect; by default they are drawn
    from the two addresses, so that no two connections of a deployment keep step.
    """

    scheme: ClassVar[str] = "tcp"

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        announced: str = "",
        limits: TcpLimits | None = None,
        dice: Random | None = None,
    ) -> None:
        Hello(announced).encode()
        self.announced: Final = announced
        self.limits: Final = TcpLimits() if limits is None else limits
        self.counters: Final = TcpCounters()
        self._scheduler = scheduler
        self._dice = dice

    @asynccontextmanager
    async def listen(
        self, address: Address, handler: Handler, *, on_cast: CastReceiver | None = None
    ) -> AsyncGenerator[Address]:
        """See `base.Transport.listen`."""
        bound, listener = await self.attach(address, handler, on_cast=on_cast)
        try:
            yield bound
            listener.close()
        finally:
            listener.crash()
            await listener.ended()

    async def attach(
        self, address: Address, handler: Handler, *, on_cast: CastReceiver | None = None
    ) -> tuple[Address, TcpListener]:
        """As `listen`, without a context: whoever calls this also calls `close` or `crash`."""
        host, port = host_and_port(address, self.scheme)
        listening = await bind(address, host, port)
        listener = TcpListener(
            self._scheduler,
            listening,
            handler,
            on_cast,
            scheme=self.scheme,
            announced=self.announced,
            limits=self.limits,
            counters=self.counters,
            context=self._server_context,
        )
        port = listening.getsockname()[1]
        return Address(
            self.scheme, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        ), listener

    @asynccontextmanager
    async def connect(self, address: Address) -> AsyncGenerator[Connection]:
        """See `base.Transport.connect`."""
        connection = self.open(address)
        try:
            await connection.connected()
            yield connection
            connection.close()
        finally:
            connection.abort()
            await connection.ended()

    def open(self, address: Address) -> TcpConnection:
        """As `connect`, without a context and without waiting: connects at the first frame.

        Whoever calls this also calls `close` or `abort`. Needs a running loop.
        """
        host, port = host_and_port(address, self.scheme)
        way = Way(
            address,
            host,
            port,
            announced=self.announced,
            context=self._client_context,
            expected_name=self._expected_name(),
        )
        dice = self._dice
        if dice is None:
            dice = Random(f"{self.announced} to {address}")  # noqa: S311 - spreads attempts, hides nothing
        return TcpConnection(self._scheduler, way, self.limits, self.counters, dice)

    def _server_context(self) -> ssl.SSLContext | None:
        return None

    def _client_context(self) -> ssl.SSLContext | None:
        return None

    def _expected_name(self) -> str | None:
        return None


class TlsTcpTransport(TcpTransport):
    """The same at ``tls+tcp://host:port``, never in plain text.

    Files are read when it is made: `TlsError` says which is wrong. Without a certificate it can
    connect but not listen.
    """

    scheme: ClassVar[str] = "tls+tcp"

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        tls: TlsSettings | None = None,
        announced: str = "",
        limits: TcpLimits | None = None,
        dice: Random | None = None,
    ) -> None:
        super().__init__(scheduler, announced=announced, limits=limits, dice=dice)
        self._settings = TlsSettings() if tls is None else tls
        self._server: ssl.SSLContext | None = None
        self._client: ssl.SSLContext
        self.reload()

    def reload(self) -> None:
        """Read the files again, for connections made from now on.

        Raises `TlsError` if one is wrong; then nothing changes.
        """
        server = None if self._settings.certificate is None else self._settings.server_context()
        client = self._settings.client_context()
        self._server, self._client = server, client

    async def attach(
        self, address: Address, handler: Handler, *, on_cast: CastReceiver | None = None
    ) -> tuple[Address, TcpListener]:
        """See `TcpTransport.attach`. Raises `TlsError` without a certificate."""
        self._server_context()
        return await super().attach(address, handler, on_cast=on_cast)

    def _server_context(self) -> ssl.SSLContext:
        if self._server is None:
            raise TlsError("a listener with TLS needs a certificate and a key")
        return self._server

    def _client_context(self) -> ssl.SSLContext:
        return self._client

    def _expected_name(self) -> str | None:
        return self._settings.expected_name
