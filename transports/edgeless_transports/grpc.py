"""Frames as unary gRPC requests over HTTP/2: schemes ``http`` and ``https``, real time only.

The method of a frame is the path of the request, its payload is the message. What the messages
mean is not known here, and grpcio is all that is needed: no compiler, no service definitions.
"""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

# Before grpcio itself, for whose core it sets the environment.
from edgeless_transports._grpc_terms import Limits, channel_options, target_of  # isort: split

import grpc
from grpc import aio

from edgeless_transports._grpc_client import GrpcConnection
from edgeless_transports._grpc_server import GrpcListener
from edgeless_transports.base import (
    Address,
    CastLost,
    CastReceiver,
    Connection,
    Handler,
    Scheduler,
)
from edgeless_transports.errors import AddressError, ConnectError

__all__ = ["GrpcTransport", "Limits", "Tls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Keys and certificates of ``https``, as PEM.

    ``roots`` sign the peers; None = those of the system. A listener needs ``certificate`` and
    ``key``; with ``client_certificates`` it takes only peers that have been signed, too.
    """

    roots: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    client_certificates: bool = False


class GrpcTransport:
    """See `base.Transport`.

    *cast_methods* are casts whoever sends them: peers that are not ours do not mark theirs. Left by
    an exception, a listener is not as silent as a crash: the operating system closes its sockets,
    and callers see `ConnectionLost`; so do the calls of a connection that is left so.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        limits: Limits | None = None,
        tls: Tls | None = None,
        announced: str = "",
        cast_methods: Collection[str] = (),
        on_cast_lost: CastLost | None = None,
    ) -> None:
        """*announced* is the address at which this process can be reached, "" if it cannot; it
        goes with each cast, and is what peers see as `Incoming.peer` there. Raises `AddressError`
        if it is none. *on_cast_lost* hears of casts that were accepted and did not arrive for sure.
        """
        if announced:
            target_of(Address.parse(announced))
        self._scheduler = scheduler
        self._limits: Final = limits or Limits()
        self._tls = tls or Tls()
        self._announced = announced
        self._on_cast_lost = on_cast_lost
        self._cast_methods = frozenset(cast_methods)

    @asynccontextmanager
    async def listen(
        self, address: Address, handler: Handler, *, on_cast: CastReceiver | None = None
    ) -> AsyncGenerator[Address]:
        """See `base.Transport.listen`."""
        bound, listener = await self.attach(address, handler, on_cast=on_cast)
        try:
            yield bound
        finally:
            await listener.stop()

    async def attach(
        self, address: Address, handler: Handler, *, on_cast: CastReceiver | None = None
    ) -> tuple[Address, GrpcListener]:
        """As `listen`, without a context: whoever calls this also calls `GrpcListener.stop`."""
        host, port = target_of(address)
        credentials = self._server_credentials() if address.scheme == "https" else None
        listener = GrpcListener(self._scheduler, handler, on_cast, self._limits, self._cast_methods)
        bound = await listener.start(f"{host}:{port}", credentials)
        return Address(address.scheme, f"{host}:{bound}"), listener

    @asynccontextmanager
    async def connect(self, address: Address) -> AsyncGenerator[Connection]:
        """See `base.Transport.connect`."""
        connection = self.open(address)
        try:
            if not await _ready(connection.channel, self._limits.connect_timeout_s):
                raise ConnectError(f"nobody listens at {address}")
            yield connection
        finally:
            await connection.close()

    def open(self, address: Address) -> GrpcConnection:
        """As `connect`, without a context and without waiting: connects at the first frame.

        Whoever calls this also calls `GrpcConnection.close`. Needs a running loop.
        """
        host, port = target_of(address)
        options = channel_options(self._limits)
        if address.scheme == "https":
            credentials = self._channel_credentials()
            channel = aio.secure_channel(f"{host}:{port}", credentials, options=options)
        else:
            channel = aio.insecure_channel(f"{host}:{port}", options=options)
        return GrpcConnection(
            channel,
            self._scheduler,
            self._limits,
            f"{host}:{port}",
            announced=self._announced,
            on_cast_lost=self._on_cast_lost,
        )

    def _channel_credentials(self) -> grpc.ChannelCredentials:
        tls = self._tls
        return grpc.ssl_channel_credentials(tls.roots, tls.key, tls.certificate)

    def _server_credentials(self) -> grpc.ServerCredentials:
        tls = self._tls
        if tls.key is None or tls.certificate is None:
            raise AddressError("listening at https:// needs a certificate and its key")
        if tls.client_certificates and tls.roots is None:
            raise AddressError("client certificates can be checked with roots only")
        return grpc.ssl_server_credentials(
            [(tls.key, tls.certificate)], tls.roots, tls.client_certificates
        )


async def _ready(channel: aio.Channel, timeout_s: float) -> bool:
    """Whether somebody answers within *timeout_s* seconds; one attempt."""
    with anyio.move_on_after(timeout_s):
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                return False
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)
        return True
    return False
