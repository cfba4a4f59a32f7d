"""Connections to a Redis: where a redis instance may connect, and how (reliability S02).

The same rules as for http-egress, asked about the address that a connection is made to: it is
resolved and checked anew for each connection, since a name may lead elsewhere by then. Not here:
which addresses those are (`egress_policy`) and what is said to the server (`redis`).
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from redis.asyncio import (
    Connection,
    ConnectionPool,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ExecAbortError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from edgeless_sim.errors import ResourceError
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.redis_rules import RedisPlace
from edgeless_sim.resources.resolution import checked_address

__all__ = [
    "close_client",
    "drop_connections",
    "make_client",
    "open_client",
    "was_refused_whole",
]


def make_client(
    place: RedisPlace, policy: EgressPolicy | None, timeout_s: float, *, retries: int = 1
) -> Redis:
    """A client of *place* with one connection, which is made when it is needed.

    What *policy* refuses is a `redis.exceptions.ConnectionError` that names the key to allow it;
    without one nothing is refused. What fails is tried *retries* more times at once: the server may
    have restarted since.
    """
    kind: type[AbstractConnection] = _CheckedTls if place.tls else _Checked
    checks: dict[str, Any] = {"policy": policy}
    if policy is None:
        kind, checks = _Tls if place.tls else _Plain, {}
    return Redis.from_pool(
        ConnectionPool(
            connection_class=kind,
            max_connections=1,
            **checks,
            host=place.host,
            port=place.port,
            db=place.database,
            username=place.username,
            password=place.password,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), retries),
        )
    )


def open_client(url: str, **settings: Any) -> Redis:
    """A client of the Redis at *url*, which may be a ``unix://`` socket; nothing is refused."""
    client = Redis.from_url(url, **settings)
    pool = client.connection_pool
    pool.connection_class = _HEEDING[pool.connection_class]
    return client


async def drop_connections(client: Redis) -> None:
    """Close what is connected: after a failure, an answer that comes late would be taken for that
    of the next request. A server that does not even let go (TLS) is no failure of its own."""
    with suppress(RedisError, OSError):
        await client.connection_pool.disconnect()


async def close_client(client: Redis) -> None:
    """Close *client*, also if its server does not let go."""
    with suppress(RedisError, OSError):
        await client.aclose()


def was_refused_whole(cause: BaseException) -> bool:
    """Whether nothing of a transaction was done: the server has too little memory, is a read-only
    copy, or could not write its snapshot."""
    return ExecAbortError in (type(cause), type(cause.__cause__))


class _Heeding(AbstractConnection):
    """Can be cancelled at any time.

    The library sends with `asyncio.wait_for`, which before Python 3.12 loses a cancellation that
    comes when it is just done: a Ctrl-C would be forgotten.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """See `AbstractConnection.send_packed_command`."""
        # Without a timeout of its own it does not use `wait_for`.
        timeout_s, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(timeout_s):
                await super().send_packed_command(command, check_health)
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise RedisTimeoutError("Timeout writing to socket") from None
        finally:
            self.socket_timeout = timeout_s


class _Plain(_Heeding, Connection):
    pass


class _Tls(_Heeding, SSLConnection):
    pass


class _Unix(_Heeding, UnixDomainSocketConnection):
    pass


_HEEDING: Final[dict[type[AbstractConnection], type[AbstractConnection]]] = {
    Connection: _Plain,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


class _Checked(_Plain):
    """Connects to an address that was checked, and to no other that its name may have by then."""

    def __init__(self, *, policy: EgressPolicy, **settings: Any) -> None:
        super().__init__(**settings)
        self._policy = policy
        self._name = self.host

    async def connect(self) -> None:
        """See `Connection.connect`."""
        self.host = await _checked(self._policy, self._name, self.port)
        await super().connect()  # type: ignore[no-untyped-call]  # the library has no hints here


class _CheckedTls(_Tls):
    """As `_Checked`; but TLS needs the name. Who answers must have a certificate for it."""

    def __init__(self, *, policy: EgressPolicy, **settings: Any) -> None:
        super().__init__(**settings)
        self._policy = policy

    async def connect(self) -> None:
        """See `Connection.connect`."""
        await _checked(self._policy, self.host, self.port)
        await super().connect()  # type: ignore[no-untyped-call]  # the library has no hints here


async def _checked(policy: EgressPolicy, name: str, port: int) -> str:
    """As `checked_address`, with the library's error, which it knows how to close after."""
    try:
        return await checked_address(policy, name, port)
    except ResourceError as cause:
        raise RedisConnectionError(str(cause)) from None
