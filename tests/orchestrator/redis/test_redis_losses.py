"""What a Redis that is down, slow, restarted, emptied or wrong costs (U21, 61; I42; F23)."""

import asyncio
import logging
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.cluster.ports import free_ports
from edgeless_sim.model.ids import FunctionId, LogicalId
from edgeless_sim.model.mirror import LAST_UPDATES
from edgeless_sim.model.node import (
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)

PID = FunctionId(UUID(int=7))
UPDATES = {f"{part}:last_update" for part in LAST_UPDATES}


def lid(number: int) -> LogicalId:
    return LogicalId(UUID(int=number))


def took(*values: float) -> NodePerformanceSamples:
    samples = tuple(Sample(1_000 + at, 0, value) for at, value in enumerate(values))
    return NodePerformanceSamples(function_execution_times={PID: samples})


def test_a_redis_that_restarts_gets_the_whole_mirror_again(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.function(1, {"out": 1})
        node.send_refresh(performance_samples=took(0.5))
        await world.settled()
        await mirror.round()
        before = {key for key in server.found() if key not in UPDATES}
        server.kill()
        await mirror.until(lambda: not mirror.proxy.up)
        await world.function(2)
        server.start()
        await mirror.until(lambda: mirror.proxy.up and mirror.proxy.counters["connections"] == 2)
        await mirror.round()
        assert server.found() - UPDATES == before | {f"instance:{lid(2)}"}
        told = [record[1] for record in world.said("state") if "mirrored" in record[1]]
        assert told == ["mirrored", "unmirrored", "mirrored"]

    mirrored(story, server.url)


def test_a_redis_that_was_emptied_gets_the_whole_mirror_again(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        await world.node(0, resources=("rc-1",))
        await world.function(1)
        await mirror.round()
        before = server.found()
        server.client.flushdb()
        await mirror.until(lambda: (world.orchestrator._mirror.tick(), server.found() == before)[1])
        assert mirror.proxy.counters["emptied"] >= 1

    mirrored(story, server.url)


def test_evicted_keys_come_back_in_their_turn(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        for number in range(1, 31):
            await world.function(number, {"out": number})
        await mirror.round()
        before = server.found()
        evicted = [f"node:capabilities:{node.node_id}", *server.found("provider:node*")]
        server.client.delete(*evicted, *server.found("instance:0*"), *server.found("dependency:0*"))
        for _ in range(3):
            await mirror.round()
        assert server.found() == before

    mirrored(story, server.url)


def test_keys_of_wrong_types_are_replaced_and_a_wrong_list_of_intents_is_told_once(
    mirrored: Any, server: Any, caplog: Any
) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0)
        await mirror.round()
        client = server.client
        for key in (f"node:health:{node.node_id}", "intents"):
            client.delete(key)
            client.set(key, "x")
        client.delete(f"instance:{lid(1)}")
        client.rpush(f"instance:{lid(1)}", "x")
        await world.function(1)
        node.send_refresh(health_status=NodeHealthStatus(proc_cpu_usage=1))
        await world.settled()
        for _ in range(3):
            await mirror.round()
        assert mirror.proxy.up
        assert client.type(f"node:health:{node.node_id}") == "zset"
        assert "Function" in server.json(f"instance:{lid(1)}")
        assert server.text("intents") == "x"
        client.delete("intents")
        server.intend("intent:cordon:edge/0", "yes")
        await mirror.round()
        assert world.orchestrator.snapshot().nodes[0].cordoned

    with caplog.at_level(logging.WARNING):
        mirrored(story, server.url)
    assert caplog.text.count("intents is no list") == 1


def test_without_redis_at_the_start_all_works_and_the_mirror_comes_with_it(
    mirrored: Any, server: Any, caplog: Any
) -> None:
    server.kill()

    async def story(world: Any, mirror: Any) -> None:
        await mirror.until(lambda: mirror.proxy.counters["failures"] > 0)
        await world.node(0)
        await world.function(1)
        server.start()
        await mirror.until(lambda: f"instance:{lid(1)}" in server.found())

    with caplog.at_level(logging.INFO):
        mirrored(story, server.url)
    assert f"no mirror at {server.url} for now: ConnectionError" in caplog.text
    assert f"the domain is mirrored to {server.url}" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b":x\r\n",
        b"$-5\r\n",
        b"*1\r\n",
        b"+PONG\r\n:5\r\n",
        b"",
    ],
)
def test_a_server_that_is_no_redis_is_told_and_disturbs_nothing(
    mirrored: Any, answer: bytes, caplog: Any
) -> None:
    (port,) = free_ports(1)

    async def story(world: Any, mirror: Any) -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Whoever hears nonsense may reset the connection.
            with suppress(OSError):
                while await reader.read(65536) and answer:
                    writer.write(answer)
            writer.close()

        babbler = await asyncio.start_server(babble, "127.0.0.1", port)
        await world.node(0)
        if answer != b"*1\r\n":
            # The other one has to be waited for.
            await mirror.until(lambda: mirror.proxy.counters["failures"] > 1)
        await world.function(1)
        babbler.close()

    mirrored(story, f"redis://127.0.0.1:{port}")
    assert "Traceback" not in caplog.text
    assert f"no mirror at redis://127.0.0.1:{port}" in caplog.text or answer == b"*1\r\n"


@pytest.mark.parametrize("trouble", ["blocked", "slow"])
def test_a_redis_that_hangs_or_dawdles_delays_nothing(
    mirrored: Any, server: Any, trouble: str, gated: Any
) -> None:
    async def story(world: Any, mirror: Any) -> None:
        gate = await gated.open()
        node = await world.node(0, resources=("rc-1",))
        await mirror.round()
        gate.delay_s = 0.5
        gate.block(blocked=trouble == "blocked")
        world.orchestrator._mirror.tick()
        async with asyncio.timeout(2):
            for number in range(1, 201):
                await world.function(number)
            await world.resource(300)
            for number in range(1, 101):
                await world.stop(number)
            node.send_refresh(performance_samples=took(0.5))
        assert len(node.instances) > 100
        gate.delay_s = 0.0
        gate.block(blocked=False)
        shown = {f"instance:{lid(number)}" for number in (*range(101, 201), 300)}
        await mirror.until(lambda: server.found("instance:0*") == shown)
        await gate.close()

    mirrored(story, gated.url)
