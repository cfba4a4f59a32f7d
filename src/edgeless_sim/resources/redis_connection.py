"""Where a redis instance may connect, and how (reliability S02).

The same rules as for http-egress, asked about the address that a connection is made to: it is
resolved and checked anew for each connection, since a name may lead elsewhere by then. Not here:
which addresses those are (`egress_policy`) and what is said to the server (`redis`).
"""

from typing import Any

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from edgeless_sim.errors import ResourceError
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.redis_rules import RedisPlace
from edgeless_sim.resources.resolution import checked_address

__all__ = ["make_client"]


def make_client(
    place: RedisPlace, policy: EgressPolicy | None, timeout_s: float, *, retries: int = 1
) -> Redis:
    """A client of *place* with one connection, which is made when it is needed.

    What *policy* refuses is a `redis.exceptions.ConnectionError` that names the key to allow it;
    without one nothing is refused. What fails is tried *retries* more times at once: the server may
    have restarted since.
    """
    kind: type[Connection] = _CheckedTls if place.tls else _Checked
    checks: dict[str, Any] = {"policy": policy}
    if policy is None:
        kind, checks = SSLConnection if place.tls else Connection, {}
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
    """As `checked_address`, with the library's error, which it knows how to close after."""
    try:
        return await checked_address(policy, name, port)
    except ResourceError as cause:
        raise RedisConnectionError(str(cause)) from None
