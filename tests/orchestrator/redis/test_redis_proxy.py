"""A domain in a real Redis: what stands there, what comes from there, and what its loss costs
(cases C004, C006; defects U21, U22, 57-61; I42; F23, F45; B74; S17)."""

import asyncio
import logging
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.model.ids import FunctionId, LogicalId
from edgeless_sim.model.mirror import LAST_UPDATES
from edgeless_sim.model.node import (
    FunctionLogEntry,
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)
from edgeless_sim.orchestrator.proxy import INTENTS_PER_TICK_MAX
from edgeless_sim.orchestrator.redis_schema import encoded

PID = FunctionId(UUID(int=7))
UPDATES = {f"{part}:last_update" for part in LAST_UPDATES}
DOMAIN = "domain_info:domain_id"


def lid(number: int) -> LogicalId:
    return LogicalId(UUID(int=number))


def runs_on(world: Any, number: int, name: str) -> bool:
    return bool(world.component(number).node == name)


def took(*values: float) -> NodePerformanceSamples:
    samples = tuple(Sample(1_000 + at, 0, value) for at, value in enumerate(values))
    return NodePerformanceSamples(function_execution_times={PID: samples})


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


def test_intents_move_cordon_and_uncordon_by_id_and_by_name(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        nodes = {node.name: node for node in await world.nodes(2, resources=("rc-1",))}
        await world.function(1)
        await world.resource(2)
        for number, by_name in ((1, False), (2, True)):
            host = world.component(number).node
            (target,) = (node for name, node in nodes.items() if name != host)
            server.intend(
                f"intent:migrate:{lid(number)}", target.name if by_name else str(target.node_id)
            )
            await mirror.round()
            await mirror.until(
                lambda number=number, to=target: world.component(number).node == to.name
            )
            await mirror.round()
            assert str(target.node_id) in server.text(f"instance:{lid(number)}")
        server.intend("intent:cordon:edge/0", "yes")
        await mirror.round()
        cordoned = {view.name: view.cordoned for view in world.orchestrator.snapshot().nodes}
        assert cordoned == {"edge/0": True, "edge/1": False}
        server.intend(f"intent:cordon:{nodes['edge/0'].node_id}", "no")
        await mirror.round()
        assert not any(view.cordoned for view in world.orchestrator.snapshot().nodes)
        assert not server.found("intent*")

    mirrored(story, server.url)


def test_bad_intents_are_consumed_counted_and_change_nothing(
    mirrored: Any, server: Any, caplog: Any
) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.resource(1)
        await world.settled()
        before = world.orchestrator.snapshot()
        client = server.client
        client.set("users:1", "mine")
        client.hset("intent:cordon:hash", "a", "b")
        client.rpush("intents", "users:1", "intent:migrate:", "intent:cordon:hash", "nonsense")
        client.rpush("intents", b"\xff\x00", "x" * 100_000, f"intent:migrate:{lid(1)}")
        server.intend("intent:cordon:edge/0", "perhaps")
        server.intend("intent:cordon:edge/99", "yes")
        await mirror.round()
        assert mirror.proxy.counters["intents refused"] == 9
        # These are in form, and declined by the ε-ORC.
        server.intend(f"intent:migrate:{lid(1)}", str(UUID(int=0xDEAD)))
        server.intend(f"intent:migrate:{lid(2)}", str(node.node_id))
        server.intend(f"intent:cordon:{UUID(int=0xDEAD)}", "yes")
        await mirror.round()
        server.intend(f"intent:migrate:{lid(1)}", "")
        await mirror.round()
        server.intend(f"intent:migrate:{lid(1)}", str(node.node_id))
        await mirror.round()
        assert mirror.proxy.counters["intents"] == 5
        assert world.orchestrator.snapshot() == before
        declined = [record[2] for record in world.said("state") if record[1] == "declined"]
        assert len(declined) == 14
        assert server.found("intent*") == set()
        assert server.text("users:1") == "mine"

    with caplog.at_level(logging.WARNING):
        mirrored(story, server.url)
    assert "malformed intent" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_flood_of_intents_is_taken_a_hundred_each_tick(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        await world.node(0)
        await mirror.round()
        server.client.rpush("intents", *(f"nonsense:{number}" for number in range(1_000)))
        proxy = mirror.proxy
        before, rounds = proxy.counters["intents refused"], proxy.rounds_total
        await mirror.round()
        taken = proxy.counters["intents refused"] - before
        assert 0 < taken <= INTENTS_PER_TICK_MAX * (proxy.rounds_total - rounds)
        assert server.client.llen("intents") == 1_000 - taken
        await world.function(1)

    mirrored(story, server.url)


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
