"""Addresses of ``tcp://`` and ``tls+tcp://`` to sockets: read, bind, connect. No frames yet."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

from edgeless_transports.base import Address
from edgeless_transports.errors import AddressError
from edgeless_transports.link import Link, TcpLimits

__all__ = ["Way", "bind", "host_and_port", "location_of"]

_BACKLOG: Final = 1024
_PORT_MAX: Final = 65535


def host_and_port(address: Address, scheme: str) -> tuple[str, int]:
    """Read ``host:port`` or ``[v6]:port``; raise `AddressError` for anything else."""
    if address.scheme != scheme:
        raise AddressError(f"{address} is not an address of the {scheme} transport")
    host, _, port = address.location.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    # Five digits: Python refuses to read thousands of them.
    digits = port.isascii() and port.isdigit() and len(port) <= len(str(_PORT_MAX))
    if not host or not digits or int(port) > _PORT_MAX:
        raise AddressError(f"{address} does not end in host:port or [v6]:port")
    return host, int(port)


def location_of(host: str, port: int) -> str:
    """What `host_and_port` reads."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def bind(address: Address, host: str, port: int) -> socket.socket:
    """A listening socket at the first address of *host*.

    Raises `AddressError` if the address is taken or not one of this machine's.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"nobody can listen at {address}: {error}") from error
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        taken = "somebody listens there already" if error.errno == errno.EADDRINUSE else str(error)
        raise AddressError(f"nobody can listen at {address}: {taken}") from error
    return listening


class Way:
    """How to reach *address*: what all connections of one transport have in common."""

    def __init__(
        self,
        address: Address,
        host: str,
        port: int,
        *,
        announced: str,
        context: Callable[[], ssl.SSLContext | None],
        expected_name: str | None,
    ) -> None:
        self.address: Final = address
        self.announced: Final = announced
        self._host = host
        self._port = port
        self._context = context
        self._expected_name = expected_name

    async def open(self, link: Link, limits: TcpLimits) -> None:
        """Connect *link*; raise OSError if that fails. Names are resolved anew each time."""
        loop = asyncio.get_running_loop()
        context = self._context()
        if context is None:
            await loop.create_connection(lambda: link, self._host, self._port)
            return
        await loop.create_connection(
            lambda: link,
            self._host,
            self._port,
            ssl=context,
            server_hostname=self._expected_name or self._host,
            ssl_handshake_timeout=limits.connect_timeout_s,
            ssl_shutdown_timeout=limits.linger_s,
        )
