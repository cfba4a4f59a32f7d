"""Where a redis instance may connect, and how (reliability S02).

The same rules as for http-egress, asked about the address that a connection is made to: it is
resolved and checked anew for each connection, since a name may lead elsewhere by then. Not here:
which addresses those are (`egress_policy`) and what is said to the server (`redis`).
"""

import asyncio
import socket
from typing import Any

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from edgeless_sim.model.names import quoted
from edgeless_sim.resources.egress_policy import EgressPolicy, literal_address
from edgeless_sim.resources.redis_rules import RedisPlace

__all__ = ["make_client"]


def make_client(place: RedisPlace, policy: EgressPolicy, timeout_s: float) -> Redis:
    """A client of *place* with one connection, which is made when it is needed.

    What *policy* refuses is a `redis.exceptions.ConnectionError` that names the key to allow it.
    """
    return Redis.from_pool(
        ConnectionPool(
            connection_class=_CheckedTls if place.tls else _Checked,
            max_connections=1,
            policy=policy,
            host=place.host,
            port=place.port,
            db=place.database,
            username=place.username,
            password=place.password,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # One more attempt at once: the server may have restarted since the last event.
            retry=Retry(NoBackoff(), 1),
        )
    )


class _Checked(Connection):
    """Connects to an address that was checked, and to no other that its name may have by then."""

    def __init__(self, *, policy: EgressPolicy, **settings: Any) -> None:
        super().__init__(**settings)
        self._policy = policy
        self._name = self.host

    async def connect(self) -> None:
        """See `Connection.connect`."""
        self.host = await _checked(self._policy, self._name, self.port)
        await super().connect()  # type: ignore[no-untyped-call]  # the library has no hints here


class _CheckedTls(SSLConnection):
    """As `_Checked`; but TLS needs the name. Who answers must have a certificate for it."""

    def __init__(self, *, policy: EgressPolicy, **settings: Any) -> None:
        super().__init__(**settings)
        self._policy = policy

    async def connect(self) -> None:
        """See `Connection.connect`."""
        await _checked(self._policy, self.host, self.port)
        await super().connect()  # type: ignore[no-untyped-call]  # the library has no hints here


async def _checked(policy: EgressPolicy, name: str, port: int) -> str:
    """An address of *name*; raise `RedisConnectionError` if one of its addresses is refused."""
    addresses = await _resolved(name, port)
    for text in addresses:
        address = literal_address(text.partition("%")[0])
        fault = (
            f"{quoted(text)} is no address"
            if address is None
            else policy.fault(name, address, port)
        )
        if fault is not None:
            raise RedisConnectionError(fault)
    # The first that the system prefers; IPv4 where it gives both for a server on this machine.
    return next((text for text in addresses if ":" not in text), addresses[0])


async def _resolved(name: str, port: int) -> list[str]:
    """The addresses of *name*, at least one, as the system gives them."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RedisConnectionError(f"the host {quoted(name)} is not known") from None
    return [str(place[0]) for *_, place in found]
