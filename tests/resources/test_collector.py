"""metrics-collector beside a real Redis: keys, a server that dies, a foreign one (spec 6.14)."""

import asyncio
import re
from typing import Any

import pytest

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.event import NO_REPLY, CallReturn, EventType
from edgeless_sim.resources import redis_samples
from edgeless_sim.resources.collector_rules import Sample
from edgeless_sim.resources.redis_rules import read_place
from edgeless_sim.resources.redis_samples import RedisSamples
from edgeless_sim.resources.sample_writer import StoreAwayError

OK = CallReturn.reply("")
FUNCTION = "function:00000000-0000-0000-0000-000000000004"
SAMPLE = re.compile(rb"[0-9]+,1[0-9]{9}\.[0-9]{3}")


@pytest.fixture
async def provider(stage: Any, redis_server: Any) -> Any:
    return await stage.open("metrics-collector", collector_redis_url=redis_server.url)


async def measure(stage: Any, provider: Any, number: int, element: str = "function") -> None:
    assert await stage.ask(provider, f"{element}:begin:{number}") == OK
    assert await stage.ask(provider, f"{element}:end:{number}", EventType.CAST) == NO_REPLY


async def test_samples_and_averages_are_where_edgeless_has_them(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"wf_name": "wf0", "alpha": "0.5"})
    await stage.ask(provider, "function:begin:1")
    await asyncio.sleep(0.05)
    await stage.ask(provider, "function:end:1")
    await measure(stage, provider, 2, "workflow")
    with redis_server.client() as client:
        await stage.until(lambda: client.dbsize() == 4)
        [sample] = client.lrange(f"{FUNCTION}:samples", 0, -1)
        [other] = client.lrange("workflow:wf0:samples", 0, -1)
        assert SAMPLE.fullmatch(sample)
        assert SAMPLE.fullmatch(other)
        elapsed_ms = int(sample.split(b",")[0])
        assert 50 <= elapsed_ms < 5_000
        assert client.get(f"{FUNCTION}:average") == f"{elapsed_ms}.0".encode()
        assert client.get("workflow:wf0:average") == f"{other.split(b',')[0].decode()}.0".encode()
    assert stage.warnings == []


async def test_a_thousand_samples_arrive_in_their_order(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {})
    for number in range(1_000):
        await measure(stage, provider, number)
    with redis_server.client() as client:
        await stage.until(lambda: client.llen(f"{FUNCTION}:samples") == 1_000)
        times = [text.split(b",")[1] for text in client.lrange(f"{FUNCTION}:samples", 0, -1)]
    assert times == sorted(times)


async def test_a_reset_deletes_our_keys_and_no_others(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"wf_name": "w"})
    with redis_server.client() as client:
        client.set("foreign", "stays")
        await measure(stage, provider, 1)
        await measure(stage, provider, 1, "workflow")
        await stage.until(lambda: client.dbsize() == 5)
        assert await stage.ask(provider, "reset:60000") == OK
        await stage.until(lambda: client.keys() == [b"foreign"])
        await measure(stage, provider, 2)
        await asyncio.sleep(0.1)
        assert client.keys() == [b"foreign"]


async def test_what_is_measured_while_redis_is_dead_is_there_when_it_lives_again(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {})
    await measure(stage, provider, 1)
    with redis_server.client() as client:
        await stage.until(lambda: client.llen(f"{FUNCTION}:samples") == 1)
    redis_server.kill()
    for number in range(200):
        await measure(stage, provider, number)
    await stage.until(lambda: provider.counters["attempts_failed"] >= 2)
    redis_server.start()
    with redis_server.client() as client:
        await stage.until(lambda: client.llen(f"{FUNCTION}:samples") == 201)
    assert provider.counters["samples_lost"] == 0
    assert all(text.endswith("samples wait") for text in stage.warnings)


async def test_no_function_waits_for_a_redis_that_does_not_answer(
    stage: Any, redis_server: Any, make_gate: Any
) -> None:
    gate = await make_gate(redis_server.port)
    await gate.open("slow")
    provider = await stage.open(
        "metrics-collector", collector_redis_url=f"redis://127.0.0.1:{gate.port}"
    )
    await stage.start(provider, {})
    for number in range(100):
        # Answered before `handle` returns.
        begun = stage.send(provider, f"function:begin:{number}", EventType.CALL)
        ended = stage.send(provider, f"function:end:{number}", EventType.CAST)
        assert (begun, ended) == ([OK], [NO_REPLY])
    await stage.until(lambda: provider.counters["attempts_failed"] >= 1)
    assert provider.counters["samples_written"] == 0


async def test_a_password_that_is_wrong_is_told_and_not_shown(
    stage: Any, redis_server: Any
) -> None:
    url = redis_server.url.replace("//", "//user:geheim@")
    provider = await stage.open("metrics-collector", collector_redis_url=url)
    await stage.start(provider, {})
    await measure(stage, provider, 1)
    await stage.until(lambda: bool(stage.warnings))
    assert "password" in stage.warnings[0]
    assert "geheim" not in "".join(stage.warnings)


async def test_a_key_that_somebody_else_uses_is_refused_and_the_others_are_written(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"wf_name": "w"})
    with redis_server.client() as client:
        client.set(f"{FUNCTION}:samples", "mine")
        await measure(stage, provider, 1)
        await measure(stage, provider, 1, "workflow")
        await stage.until(lambda: client.llen("workflow:w:samples") == 1)
    # The append, and keeping the newest.
    await stage.until(lambda: provider.counters["writes_refused"] == 2)
    assert "WRONGTYPE" in stage.warnings[0]


async def test_a_key_keeps_its_newest_samples(
    stage: Any, provider: Any, redis_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_samples, "SAMPLES_MAX", 3)
    await stage.start(provider, {})
    for number in range(7):
        await measure(stage, provider, number)
    await stage.until(lambda: provider.counters["samples_written"] == 7)
    with redis_server.client() as client:
        assert client.llen(f"{FUNCTION}:samples") == 3


async def test_what_may_have_been_written_is_not_said_to_be_unwritten(
    stage: Any, redis_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisSamples(read_place(redis_server.url), stage.clock, 0.5)
    sample = Sample("function:x", 1, "2.003", 1.0)
    await store.write([sample], [])
    redis_server.kill()
    with pytest.raises(StoreAwayError):
        await store.write([sample], [])
    redis_server.start()
    await store.write([sample], [])

    async def killed(*arguments: Any) -> list[str]:
        redis_server.kill()
        return await sent(*arguments)

    sent = store._sent
    monkeypatch.setattr(store, "_sent", killed)
    with pytest.raises(ResourceError) as failure:
        await store.write([sample], [])
    assert not isinstance(failure.value, StoreAwayError)
    await store.aclose()
    redis_server.start()
    with redis_server.client() as client:
        assert client.llen("function:x:samples") == 2
