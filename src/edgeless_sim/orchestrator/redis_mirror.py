"""Reads a domain's mirror from a Redis, and leaves intents there, as EDGELESS does (spec 7.1, 7.2).

For whoever looks from outside: programs, not the ε-ORC. Only keys of EDGELESS are looked for; what
is damaged is skipped and told in one line. Not here: how a value is written (`redis_values`).
"""

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from edgeless_sim.api.messages import MirrorPart
from edgeless_sim.errors import RejectedError, SettingsError, UnreachableError
from edgeless_sim.model.ids import (
    NODE_ID_NONE,
    DomainId,
    InstanceId,
    LogicalId,
    NodeId,
    parse_uuid,
)
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.mirror import (
    LAST_UPDATES,
    DomainMirror,
    MirroredComponent,
    MirroredHealth,
    MirroredNode,
    Point,
    Series,
)
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.resource import ResourceProviderSpecification
from edgeless_sim.orchestrator.proxy import INTENTS_MAX
from edgeless_sim.orchestrator.redis_batches import RedisBatches
from edgeless_sim.orchestrator.redis_url import redis_url_fault
from edgeless_sim.orchestrator.redis_values import (
    read_capabilities,
    read_component,
    read_health,
    read_name,
    read_outputs,
    read_point,
    read_provider,
    read_series_key,
    read_text,
    read_time,
    written_intent,
)
from edgeless_sim.resources.redis_connection import close_client, open_client

__all__ = ["RedisMirrorReader", "open_redis_mirror"]

_HEALTH_MAX: Final = 1_000
_TIMEOUT_S: Final = 5.0
_INTENTS: Final = "intents"


@asynccontextmanager
async def open_redis_mirror(
    url: str,
    *,
    warn: Callable[[str], None],
    timeout_s: float = _TIMEOUT_S,
    health_max: int = _HEALTH_MAX,
) -> AsyncGenerator["RedisMirrorReader"]:
    """The mirror in the Redis at *url*; *warn* is told of what is skipped. Needs a real loop.

    *timeout_s* is for each operation, *health_max* samples of a node's health are read at most.
    Raises `SettingsError` for a text that is no URL of a Redis, `UnreachableError` if nobody is
    there, `RejectedError` if we are not let in; none of them shows a password.
    """
    failed = f"could not connect to a Redis at {_without_password(url)}"
    fault = redis_url_fault(url)
    if fault is not None:
        raise SettingsError(clipped(f"{failed}: {fault}"))
    client = open_client(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
        # The older one, which every server understands.
        protocol=2,
    )
    try:
        with _told(failed):
            await client.ping()
        yield RedisMirrorReader(client, warn, health_max)
    finally:
        await close_client(client)


class RedisMirrorReader:
    """A `MirrorReader` of a Redis."""

    def __init__(
        self, client: Redis, warn: Callable[[str], None], health_max: int = _HEALTH_MAX
    ) -> None:
        self._client = client
        self._warn = warn
        self._health_max = health_max

    async def mirror(
        self, *, since_s: float = 0.0, parts: Sequence[MirrorPart] = tuple(MirrorPart)
    ) -> DomainMirror:
        """See `MirrorReader.mirror`. Not of one moment: an ε-ORC may write meanwhile.

        Raises `UnreachableError` if the Redis does not answer, `RejectedError` if it refuses, or
        has too many measurements since *since_s*.
        """
        look = RedisBatches(self._client, self._warn)
        with _told("the Redis does not answer"):
            nodes = await self._nodes(look, since_s) if MirrorPart.NODES in parts else ()
            components = await _components(look) if {*parts} - {MirrorPart.NODES} else ()
            series = await _series(look, components, since_s) if MirrorPart.SERIES in parts else ()
            domain_id = await look.strings({"domain_info:domain_id": 0}, _text)
            times = {f"{part}:last_update": part for part in LAST_UPDATES}
            updates = await look.strings(times, lambda _, value: read_time(value))
        look.tell()
        if MirrorPart.COMPONENTS not in parts:
            components = ()
        return DomainMirror(DomainId(domain_id.get(0, "")), nodes, components, series, updates)

    async def submit(self, intent: Intent) -> None:
        """See `MirrorReader.submit`. It waits in the Redis until an ε-ORC takes it.

        Raises `RejectedError` if `INTENTS_MAX` wait already, else as `mirror`.
        """
        key, value = written_intent(intent)
        with _told("the Redis does not answer"):
            # First, for it also says whether the list is one.
            waiting = await self._client.llen(_INTENTS)
            if waiting >= INTENTS_MAX:
                raise RejectedError("too many intents", f"{waiting} wait: no ε-ORC takes them")
            both = self._client.pipeline(transaction=True)
            both.set(key, value)
            both.rpush(_INTENTS, key)
            await both.execute()

    async def _nodes(self, look: RedisBatches, since_s: float) -> tuple[MirroredNode, ...]:
        capabilities = await look.strings(
            await look.keys("node:capabilities:", _node_id),
            lambda _, value: read_capabilities(value),
        )
        health: dict[NodeId, list[MirroredHealth]] = {}
        keys = await look.keys("node:health:", _node_id)
        async for node_id, members in look.newest(keys, since_s, self._health_max):
            samples = health[node_id] = []
            for member, time_s in members:
                with look.skipping(f"node:health:{node_id}"):
                    samples.append(MirroredHealth(time_s, read_health(member)))
        providers: dict[NodeId, list[ResourceProviderSpecification]] = {}
        offered = await look.strings(await look.keys("provider:", read_name), read_provider)
        for node_id, provider in offered.values():
            providers.setdefault(node_id, []).append(provider)
        # A node that goes may leave something behind.
        for node_id in sorted({*health, *providers} - {*capabilities}):
            look.skip(f"node {node_id}", "it has no capabilities")
        return tuple(
            MirroredNode(
                node_id,
                capabilities[node_id],
                tuple(providers.get(node_id, ())),
                tuple(health.get(node_id, ())),
            )
            for node_id in sorted(capabilities)
        )


async def _components(look: RedisBatches) -> tuple[MirroredComponent, ...]:
    found = await look.strings(await look.keys("instance:", _logical_id), read_component)
    # Looked for, too: most of them may have none.
    graph = await look.keys("dependency:", _logical_id)
    outputs = await look.strings(graph, lambda _, value: read_outputs(value))
    return tuple(
        msgspec.structs.replace(found[logical_id], outputs=outputs.get(logical_id, {}))
        for logical_id in sorted(found)
    )


async def _series(
    look: RedisBatches, components: Iterable[MirroredComponent], since_s: float
) -> tuple[Series, ...]:
    # A key has half of an instance's id; that of one that has ended stays without the other.
    running = {pid.function_id: pid for each in components for pid in each.instances}
    found = []
    keys = await look.keys("performance:", read_series_key)
    async for (function_id, name), members in look.ranges(keys, since_s):
        points: list[Point] = []
        for member, time_s in members:
            with look.skipping(f"performance:{function_id}:{name}"):
                points.append(read_point(name, member, time_s))
        if points:
            pid = running.get(function_id) or InstanceId(NODE_ID_NONE, function_id)
            found.append(Series(pid, name, tuple(points)))
    return tuple(sorted(found, key=lambda each: (each.instance, each.name)))


@contextmanager
def _told(what: str) -> Generator[None]:
    """The library's errors as ours, after *what*."""
    try:
        yield
    except (AuthenticationError, ResponseError) as error:
        raise RejectedError("the Redis refuses", clipped(str(error))) from None
    except (RedisError, OSError, TimeoutError) as error:
        raise UnreachableError(clipped(f"{what}: {error or 'no answer'}")) from None


def _without_password(url: str) -> str:
    """*url* as it may be shown, however it is written."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" or quoted("")


def _text(_: int, value: bytes) -> str:
    return read_text(value)


def _node_id(text: str) -> NodeId:
    return NodeId(parse_uuid(text))


def _logical_id(text: str) -> LogicalId:
    return LogicalId(parse_uuid(text))
