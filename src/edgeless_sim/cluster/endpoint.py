"""What one component of a real world listens and connects with, whatever the schemes of the URLs.

Not here: who the component is, and what it serves.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias

from edgeless_sim.api.services import HANDLE
from edgeless_sim.cluster.settings.tls import TLS_FILE, ComponentTls
from edgeless_sim.errors import ListenError, SettingsError
from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_transports import Address, AddressError, CastLost, CastReceiver, Connection, Handler

__all__ = ["SCHEMES", "Endpoint"]

SCHEMES: Final = ("tcp", "tls+tcp", "http", "https")
_End: TypeAlias = Callable[[], Awaitable[None]]


class Endpoint:
    """Listeners and connections of one component.

    *announced* is the URL at which it takes events. *route* says where somebody at a URL is really
    to be found. *on_cast_lost* hears of events that were taken and did not arrive for sure.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        spawn: Spawn,
        *,
        announced: str = "",
        route: Callable[[str], str] = str,
        tls: ComponentTls | None = None,
        on_cast_lost: CastLost | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._spawn = spawn
        self._announced = announced
        self._route = route
        self._tls = tls
        self._on_cast_lost = on_cast_lost
        #: By scheme, and whether it is for listening: certificates differ.
        self._transports: dict[tuple[str, bool], Any] = {}
        #: How to end what is open: as a crash does, and what to wait for then.
        self._open: list[tuple[Callable[[], object], _End]] = []
        self._ending: list[asyncio.Future[None]] = []

    async def listen(self, url: str, handler: Handler, on_cast: CastReceiver | None = None) -> str:
        """Listen at *url*; return it with the port that was bound.

        Raise `ListenError` if it is taken, `SettingsError` for an unknown scheme.
        """
        await self.ended()
        address = Address.parse(url)
        transport = self._transport(address.scheme, listens=True)
        try:
            bound, listener = await transport.attach(address, handler, on_cast=on_cast)
        except AddressError as error:
            raise ListenError(url, str(error)) from None
        if hasattr(listener, "crash"):
            self._open.append((listener.crash, listener.ended))
        else:
            # gRPC knows no end but an orderly one.
            self._open.append((_nothing, listener.stop))
        return str(bound)

    def connection(self, url: str) -> Connection:
        """A connection to *url*, which is looked for at the first frame; ValueError for no URL."""
        address = Address.parse(self._route(url))
        connection = self._transport(address.scheme, listens=False).open(address)
        if hasattr(connection, "abort"):
            self._open.append((connection.abort, connection.ended))
        else:
            self._open.append((_nothing, connection.close))
        return connection  # type: ignore[no-any-return]  # of a transport found by its scheme

    def connected(self, url: str) -> AbstractAsyncContextManager[Connection]:
        """A connection to *url* for a while, closed in order; see `Transport.connect`.

        Raise `AddressError` for no URL, `SettingsError` for an unknown scheme.
        """
        address = Address.parse(self._route(url))
        made: AbstractAsyncContextManager[Connection] = self._transport(
            address.scheme, listens=False
        ).connect(address)
        return made

    def crash(self) -> None:
        """End everything, without a word as far as the transport can; `ended` waits for it."""
        opened, self._open = self._open, []
        for crash, end in reversed(opened):
            crash()
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._ending.append(done)
            self._spawn(_finish(end, done), "endpoint")

    async def ended(self) -> None:
        """Return when what has been crashed is gone, and its addresses are free."""
        while self._ending:
            await self._ending.pop()

    def _transport(self, scheme: str, *, listens: bool) -> Any:
        key = (scheme, listens)
        transport = self._transports.get(key)
        if transport is None:
            transport = self._transports[key] = self._make(scheme, listens=listens)
        return transport

    def _make(self, scheme: str, *, listens: bool) -> Any:
        scheduler, announced, tls = self._scheduler, self._announced, self._tls
        if listens and scheme in ("https", "tls+tcp") and (tls is None or tls.server is None):
            raise SettingsError(
                f"listening at {scheme}:// needs a certificate: name it in {TLS_FILE}, key "
                "server.server_cert_path"
            )
        if scheme in ("http", "https"):
            from edgeless_transports.grpc import GrpcTransport

            return GrpcTransport(
                scheduler,
                announced=announced if announced.startswith("http") else "",
                tls=None if tls is None else tls.https_server() if listens else tls.https_client(),
                # Peers of EDGELESS's own do not mark their events.
                cast_methods=(HANDLE,),
                on_cast_lost=self._on_cast_lost,
            )
        if scheme in ("tcp", "tls+tcp"):
            from edgeless_transports.tcp import TcpTransport, TlsTcpTransport

            if scheme == "tcp":
                return TcpTransport(scheduler, announced=announced)
            settings = None if tls is None else tls.server if listens else tls.client
            return TlsTcpTransport(scheduler, announced=announced, tls=settings)
        raise SettingsError(f"{scheme}:// is none of {', '.join(SCHEMES)}")


async def _finish(end: _End, done: "asyncio.Future[None]") -> None:
    try:
        await end()
    finally:
        if not done.done():
            done.set_result(None)


def _nothing() -> None:
    """What there is no way to do."""
