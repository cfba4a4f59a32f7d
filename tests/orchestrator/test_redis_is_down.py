"""A Redis that does not come (U21), in virtual time: the server is none, and nobody listens."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from redis.exceptions import ConnectionError as NoConnectionError
from tests.orchestrator.conftest import FakeNode, World

from edgeless_sim.kernel import Supervisor, run
from edgeless_sim.orchestrator import redis_proxy
from edgeless_sim.orchestrator.redis_proxy import RedisProxy
from edgeless_sim.orchestrator.settings import RedisMirrorSettings


def test_a_redis_that_is_down_is_asked_seldom_and_disturbs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []

    @asynccontextmanager
    async def unconnected(url: str, clock: Any) -> AsyncGenerator[Any]:
        await clock.sleep(0.001)
        asked.append(clock.now_ns() / 1e9)
        raise NoConnectionError("refused")
        yield None

    monkeypatch.setattr(redis_proxy, "connected", unconnected)

    def proxies(context: Any) -> list[RedisProxy]:
        return [RedisProxy(context, RedisMirrorSettings(url="redis://127.0.0.1:1"))]

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            # Nothing settles here: the mirror tries again for ever.
            world = World(supervisor, proxies)
            await world.orchestrator.start()
            node = FakeNode(world, 0)
            node.begin()
            await world.clock.sleep(2)
            before_ns = world.clock.now_ns()
            await world.function(1)
            assert world.clock.now_ns() - before_ns < 10_000_000
            assert len(node.instances) == 1
            await world.clock.sleep(60)
            # After 0.5, 1, 2, 4, 8, 8 ... seconds.
            pauses = [later - earlier for earlier, later in pairwise(asked)]
            assert pauses[0] > 0.2
            assert 7 < pauses[-1] < 9
            assert len(asked) < 15
            await world.stop(1)
            await world.clock.sleep(1)
            assert node.instances == {}
            world.orchestrator.crash()

    run(main)
