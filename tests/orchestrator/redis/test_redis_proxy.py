"""A domain in a real Redis: what stands there, and what of it stays (defects 55, 60, 61; S17)."""

import asyncio
import logging
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.cluster.domain_client import open_domain
from edgeless_sim.model.ids import FunctionId, LogicalId
from edgeless_sim.model.mirror import LAST_UPDATES
from edgeless_sim.model.node import (
    FunctionLogEntry,
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)
from edgeless_sim.orchestrator.redis_schema import encoded

PID = FunctionId(UUID(int=7))
UPDATES = {f"{part}:last_update" for part in LAST_UPDATES}
DOMAIN = "domain_info:domain_id"


def lid(number: int) -> LogicalId:
    return LogicalId(UUID(int=number))


def test_a_domain_stands_in_redis_under_the_keys_of_edgeless(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.function(1, {"out": 2}, {"key": "value"})
        await world.resource(2)
        log = (FunctionLogEntry(5, 0, "a::b", "one: two"),)
        samples = NodePerformanceSamples(
            function_execution_times={PID: (Sample(5, 500_000_000, 0.25),)},
            function_log_entries={PID: log},
        )
        node.send_refresh(performance_samples=samples)
        await world.settled()
        await mirror.round()
        assert server.found() == UPDATES | {
            DOMAIN,
            f"node:capabilities:{node.node_id}",
            f"node:health:{node.node_id}",
            "provider:node-0-resource-0-provider",
            f"instance:{lid(1)}",
            f"instance:{lid(2)}",
            f"dependency:{lid(1)}",
            f"performance:{PID}:function_execution_time",
            f"performance:{PID}:a%3A%3Ab",
        }
        assert server.text(DOMAIN) == "edge"
        assert server.json(f"dependency:{lid(1)}") == {"out": str(lid(2))}
        assert server.json(f"instance:{lid(1)}")["Function"][1] == [
            str(world.component(1).instance)
        ]
        assert server.json(f"instance:{lid(2)}")["Resource"][1] == str(world.component(2).instance)
        found = server.client.zrange(
            f"performance:{PID}:function_execution_time", 0, -1, withscores=True
        )
        assert [tuple(each) for each in found] == [("5.5:0.25", 5.5)]
        found = server.client.zrange(f"performance:{PID}:a%3A%3Ab", 0, -1)
        assert found == ["5:one: two"]

    mirrored(story, server.url)


def test_a_redis_may_be_behind_a_unix_socket(
    mirrored: Any, server: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("r") / "redis.sock"
    server.kill()
    server.start("--unixsocket", str(path))
    url = f"unix://{path}"

    async def story(world: Any, mirror: Any) -> None:
        await world.node(0)
        await world.function(1)
        await mirror.round()
        async with open_domain(url) as domain:
            shown = await domain.mirror()
        assert [each.logical_id for each in shown.components] == [lid(1)]

    mirrored(story, url)


def test_the_score_of_the_last_health_is_the_last_refresh(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0)
        await mirror.round()
        key = f"node:health:{node.node_id}"
        ((_, before),) = server.client.zrange(key, 0, -1, withscores=True)
        repeats = world.orchestrator._register.refreshes_total
        for _ in range(3):
            await asyncio.sleep(0.05)
            node.send_refresh()
        await world.settled()
        assert world.orchestrator._register.refreshes_total == repeats + 3
        await mirror.round()
        ((_, after),) = server.client.zrange(key, 0, -1, withscores=True)
        assert 0.1 < after - before < 5
        node.send_refresh(health_status=NodeHealthStatus(proc_cpu_usage=50))
        await world.settled()
        await mirror.round()
        assert server.client.zcard(key) == 2

    mirrored(story, server.url)


def test_what_goes_leaves_redis(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.function(1, {"out": 1})
        await mirror.round()
        await world.stop(1)
        await mirror.round()
        assert not server.found(f"*{lid(1)}*")
        await world.function(2)
        node.alive = False
        node.send_refresh(ttl_s=0.0)
        await mirror.until(lambda: not world.orchestrator.snapshot().nodes)
        await mirror.round()
        assert server.json(f"instance:{lid(2)}")["Function"][1] == []
        assert server.found() == UPDATES | {DOMAIN, f"instance:{lid(2)}"}

    mirrored(story, server.url)


def test_foreign_keys_stay_and_those_of_an_earlier_life_go(mirrored: Any, server: Any) -> None:
    stale = {
        f"node:capabilities:{UUID(int=99)}",
        f"node:health:{UUID(int=99)}",
        "provider:old",
        f"instance:{UUID(int=98)}",
        f"dependency:{UUID(int=98)}",
        f"performance:{UUID(int=97)}:function_init_time",
    }
    foreign = {"users:1", "node:7", "instances", "performance", "cache:instance:1"}
    for key in stale | foreign:
        server.client.set(key, "x")
    # More than one step of a scan.
    server.client.mset({f"performance:{UUID(int=at)}:x": "x" for at in range(1_000)})

    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0)
        await mirror.round()
        await mirror.until(lambda: not server.found("performance:*"))
        expected = {f"node:capabilities:{node.node_id}", f"node:health:{node.node_id}", DOMAIN}
        await mirror.until(lambda: not stale & server.found())
        await mirror.round()
        assert server.found() - UPDATES == foreign | expected

    mirrored(story, server.url)


def test_the_database_is_emptied_at_start_only_if_that_is_wanted(
    mirrored: Any, server: Any
) -> None:
    server.client.set("users:1", "x")

    async def story(world: Any, mirror: Any) -> None:
        await mirror.round()
        assert server.found() == {DOMAIN}
        server.client.set("users:2", "x")
        server.kill()
        server.start()
        server.client.set("users:3", "x")
        await mirror.until(lambda: DOMAIN in server.found())
        assert "users:3" in server.found()

    mirrored(story, server.url, flush=True)


def test_two_nodes_with_a_provider_of_the_same_name_do_not_lose_it(
    mirrored: Any, server: Any
) -> None:
    async def story(world: Any, mirror: Any) -> None:
        first, second = await world.nodes(2, resources=("rc-1",))
        second.providers = first.providers
        second.send_refresh()
        await world.settled()
        await mirror.round()
        key = "provider:node-0-resource-0-provider"
        first.alive = False
        first.send_refresh(ttl_s=0.0)
        await mirror.until(lambda: len(world.orchestrator.snapshot().nodes) == 1)
        await mirror.round()
        assert server.json(key)["node_id"] == str(second.node_id)
        assert server.found("provider:node*") == {key}

    mirrored(story, server.url)


def test_old_measurements_go_after_the_period(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0)
        now = world.orchestrator._mirror.now_s()
        new, old = Sample(int(now) + 60, 0, 2.0), Sample(1_000, 0, 1.0)
        node.send_refresh(
            performance_samples=NodePerformanceSamples(
                function_execution_times={PID: (old, new), FunctionId(UUID(int=8)): (old,)}
            )
        )
        await world.settled()
        await mirror.round()
        await mirror.until(lambda: len(server.found("performance:*")) == 1)
        (key,) = server.found("performance:*")
        assert server.client.zrange(key, 0, -1) == [f"{new.timestamp_sec}:2"]
        assert server.client.zcard(f"node:health:{node.node_id}") == 1

    mirrored(story, server.url, gc_period_s=2)


def test_a_password_is_in_no_message(mirrored: Any, server: Any, caplog: Any) -> None:
    server.kill()
    server.start("--requirepass", "sesame")

    async def refused(world: Any, mirror: Any) -> None:
        await mirror.until(lambda: mirror.proxy.counters["failures"] > 0)
        await world.settled()
        assert "secret" not in repr(world.said("state"))

    async def taken(world: Any, mirror: Any) -> None:
        await mirror.round()

    with caplog.at_level(logging.DEBUG, logger="edgeless_sim"):
        mirrored(refused, f"redis://:secret@127.0.0.1:{server.port}/0")
        mirrored(taken, f"redis://:sesame@127.0.0.1:{server.port}/0")
    assert f"no mirror at redis://127.0.0.1:{server.port}/0 for now" in caplog.text
    assert "secret" not in caplog.text
    assert "sesame" not in caplog.text


def test_a_hostile_name_stays_within_its_key(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0)
        target = "x\r\nDEL users:1\r\n:*"
        node.send_refresh(
            performance_samples=NodePerformanceSamples(
                function_log_entries={PID: (FunctionLogEntry(1, 0, target, "a\r\nb"),)}
            )
        )
        await world.settled()
        await mirror.round()
        key = f"performance:{PID}:{encoded(target)}"
        assert server.found("performance:*") == {key}
        assert server.client.zrange(key, 0, -1) == ["1:a\r\nb"]

    mirrored(story, server.url)
