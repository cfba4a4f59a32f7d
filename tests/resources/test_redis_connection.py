"""Clients of a Redis can be cancelled at any time, also where the library would forget that."""

import asyncio
from typing import Any, Final

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from edgeless_sim.cluster.ports import LOOPBACK
from edgeless_sim.kernel import LoopClock
from edgeless_sim.orchestrator.redis_url import redis_url_fault
from edgeless_sim.resources.collector_rules import Sample
from edgeless_sim.resources.redis_connection import (
    close_client,
    drop_connections,
    make_client,
    open_client,
)
from edgeless_sim.resources.redis_rules import NO_URL, read_place, url_fault
from edgeless_sim.resources.redis_samples import RedisSamples
from edgeless_sim.resources.sample_writer import StoreAwayError

#: More than a connection takes until it waits for its first answer.
TURNS: Final = 60
PROMPT_S: Final = 5.0
NEVER_S: Final = 3600.0


@pytest.mark.parametrize("kind", ["mirror", "resource"])
def test_a_cancellation_is_heeded_whenever_it_comes(kind: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1_000):
            pass
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(silent, LOOPBACK, 0)
        url = f"redis://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        for turns in range(TURNS):
            client: Any = (
                open_client(url, socket_timeout=NEVER_S, socket_connect_timeout=NEVER_S)
                if kind == "mirror"
                else make_client(read_place(url), None, NEVER_S)
            )
            ping = asyncio.create_task(client.ping())
            for _ in range(turns):
                await asyncio.sleep(0)
            ping.cancel()
            done, _ = await asyncio.wait({ping}, timeout=PROMPT_S)
            assert done, f"a cancellation after {turns} turns of the loop was lost"
            assert ping.cancelled()
            await client.aclose()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


@pytest.mark.parametrize("drop", [drop_connections, close_client])
@pytest.mark.parametrize("failure", [RedisTimeoutError("not within 2 s"), OSError("broken")])
async def test_a_server_that_does_not_let_go_is_no_failure(
    drop: Any, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def disconnect(*_: Any, **__: Any) -> None:
        raise failure

    client = make_client(read_place("redis://127.0.0.1:1"), None, 1.0)
    monkeypatch.setattr(client.connection_pool, "disconnect", disconnect)
    await drop(client)


@pytest.mark.parametrize(
    "url", ["redis://:top/secret@h:1", "redis://:p\u2100w@h:1", "redis://[:pw@h"]
)
def test_a_password_is_not_shown_where_a_url_cannot_be_read(url: str) -> None:
    fault = url_fault(url)
    assert fault == redis_url_fault(url) == NO_URL


async def test_a_batch_that_a_full_redis_refuses_is_kept_and_tried_again(
    redis_server: Any,
) -> None:
    samples = RedisSamples(read_place(redis_server.url), LoopClock.running(), PROMPT_S)
    batch = [Sample("function:x", 1, "1.000", 1.0)]
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreAwayError, match="maxmemory"):
            await samples.write(batch, [])
        client.config_set("maxmemory", 0)
    assert await samples.write(batch, []) == []
    await samples.aclose()
