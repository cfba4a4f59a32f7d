"""redis beside a real server: keys, configurations, and a server that dies (spec 6.7, case D36)."""

import asyncio
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, EventType
from edgeless_sim.resources import redis as redis_resource
from edgeless_sim.resources import resolution
from edgeless_sim.resources.egress_policy import EgressPolicy

WORKFLOW_PREFIX = "00000000-0000-0000-0000-000000000009:"


@pytest.fixture
async def provider(stage: Any) -> Any:
    return await stage.open("redis", redis_allow=("127.0.0.1",))


async def test_a_cast_sets_the_key_and_a_call_gets_the_one_it_names(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "temperature"})
    assert await stage.ask(provider, "21 °C", EventType.CAST) == NO_REPLY
    assert await stage.ask(provider, "temperature") == CallReturn.reply("21 °C")
    with redis_server.client() as client:
        assert client.get("temperature").decode() == "21 °C"
        client.set("foreign", "")
    assert await stage.ask(provider, "foreign") == CallReturn.reply("")


async def test_a_key_that_is_not_there_is_err(stage: Any, provider: Any, redis_server: Any) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "k"})
    assert await stage.ask(provider, "nowhere") == ERR
    assert stage.warnings == []


async def test_with_add_workflow_id_both_keys_are_the_workflows_own(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "k", "add-workflow-id": "false"})
    await stage.ask(provider, "v", EventType.CAST)
    assert await stage.ask(provider, "k") == CallReturn.reply("v")
    with redis_server.client() as client:
        assert client.keys() == [f"{WORKFLOW_PREFIX}k".encode()]


async def test_a_cast_without_a_key_is_dropped_with_a_warning(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url})
    assert await stage.ask(provider, "v", EventType.CAST) == ERR
    assert stage.warnings == ["redis: a cast was dropped, since no 'key' is configured"]


async def test_events_of_one_instance_are_dealt_with_in_their_order(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "k"})
    for number in range(500):
        stage.send(provider, f"{number}", EventType.CAST)
    assert await stage.ask(provider, "k") == CallReturn.reply("499")


@pytest.mark.parametrize("url", [None, "", "localhost", "unix:///tmp/x", "http://127.0.0.1:1"])
async def test_only_redis_urls_are_taken(stage: Any, provider: Any, url: str | None) -> None:
    with pytest.raises(RejectedError, match=r"Invalid resource configuration") as refusal:
        await stage.start(provider, {} if url is None else {"url": url})
    if url is None:
        assert refusal.value.detail == "Missing Redis URL"


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:geheim@127.0.0.1:1",
        "redis://:geheim@127.0.0.1:x",
        "redis://:geheim@127.0.0.1:1/x",
        "redis://:geheim@127.0.0.1:1?ssl_ca_certs=/etc/passwd",
        "gopher://:geheim@127.0.0.1:1",
        "redis://:geheim@",
    ],
)
async def test_no_refusal_shows_a_password(stage: Any, provider: Any, url: str) -> None:
    with pytest.raises(RejectedError) as refusal:
        await stage.start(provider, {"url": url})
    assert "geheim" not in str(refusal.value)
    assert stage.warnings == []


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://169.254.169.254", "a link-local address"),
        ("redis://169.254.169.254:6379", "a link-local address"),
        ("redis://0xa9fea9fe", "a link-local address"),
        ("redis://10.0.0.7:6379", "a private or reserved address"),
        ("redis://[::ffff:10.0.0.7]:6379", "a private or reserved address"),
        ("redis://127.0.0.1:7001", "a loopback address"),
        ("redis://localhost:7001", "a loopback address"),
        ("redis://2130706433:7001", "a loopback address"),
        ("rediss://127.0.0.1:7001", "a loopback address"),
        ("redis://0.0.0.0:6379", "unspecified"),
    ],
)
async def test_a_private_address_is_refused_by_default_with_the_key_that_allows_it(
    stage: Any, url: str, kind: str
) -> None:
    provider = await stage.open("redis")
    with pytest.raises(RejectedError) as refusal:
        await stage.start(provider, {"url": url, "key": "k"})
    assert kind in str(refusal.value)
    assert "the node would allow it with [resources] redis_allow = [" in str(refusal.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_the_usual_redis_on_the_node_is_allowed_by_default(stage: Any, host: str) -> None:
    policy = EgressPolicy(stage.host().settings.redis_allow, key="redis_allow")
    for *_, place in await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), 6379):
        assert policy.fault(host, ip_address(place[0]), 6379) is None


async def test_each_connection_is_checked_since_a_name_may_lead_elsewhere_by_then(
    stage: Any, redis_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["127.0.0.1"]

    async def resolve(host: str, port: int) -> list[str]:
        assert host == "db.example"
        return answers[-1:]

    provider = await stage.open("redis", redis_allow=(redis_server.place,))
    monkeypatch.setattr(resolution, "_resolved", resolve)
    await stage.start(provider, {"url": f"redis://db.example:{redis_server.port}", "key": "k"})
    assert await stage.ask(provider, "v", EventType.CAST) == NO_REPLY
    answers.append("169.254.169.254")
    redis_server.kill()
    assert await stage.ask(provider, "v", EventType.CAST) == ERR
    assert "169.254.169.254, to which 'db.example' leads, is a link-local" in stage.warnings[-1]


async def test_a_wrong_password_refuses_the_start(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    url = redis_server.url.replace("//", "//user:geheim@")
    with pytest.raises(RejectedError) as refusal:
        await stage.start(provider, {"url": url})
    assert "geheim" not in str(refusal.value)


async def test_a_database_of_its_own_is_another_world(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": f"{redis_server.url}/3", "key": "k"})
    await stage.ask(provider, "v", EventType.CAST)
    with redis_server.client() as client:
        assert client.keys() == []
        client.select(3)
        assert client.keys() == [b"k"]


async def test_values_that_no_event_can_carry_are_err(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "k"})
    with redis_server.client() as client:
        client.set("large", b"x" * ((1 << 20) + 1))
        client.set("fits", b"x" * (1 << 20))
        client.set("binary", b"\xff")
        client.rpush("list", "x")
    for key in ("large", "binary", "list"):
        assert await stage.ask(provider, key) == ERR
    assert len((await stage.ask(provider, "fits")).payload) == 1 << 20
    assert len(stage.warnings) == 3


async def test_values_resume_after_the_server_was_killed_and_started_again(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "k"})
    assert await stage.ask(provider, "before", EventType.CAST) == NO_REPLY
    redis_server.kill()
    for _ in range(3):
        assert await stage.ask(provider, "during", EventType.CAST) == ERR
    redis_server.start()
    async with asyncio.timeout(20):
        while await stage.ask(provider, "after", EventType.CAST) != NO_REPLY:  # noqa: ASYNC110 - a server has no event
            await asyncio.sleep(0.02)
    assert await stage.ask(provider, "k") == CallReturn.reply("after")


async def test_a_restart_between_two_events_loses_neither(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "k"})
    assert await stage.ask(provider, "kept", EventType.CAST) == NO_REPLY
    redis_server.kill()
    redis_server.start()
    assert await stage.ask(provider, "k") == CallReturn.reply("kept")


async def test_while_the_server_is_away_events_fail_at_once_and_attempts_become_rare(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "k"})
    redis_server.kill()
    pauses: list[int] = []
    async with asyncio.timeout(20):
        while len(pauses) < 4:
            attempts = len(stage.warnings)
            assert await stage.ask(provider, "x") == ERR
            if len(stage.warnings) > attempts:
                pauses.append(stage.clock.now_ns())
            await asyncio.sleep(0.002)
    gaps = [after - before for before, after in pairwise(pauses)]
    # Half: what is seen here comes a little after what is counted there.
    expected = [redis_resource.PAUSE_MIN_NS << number >> 1 for number in range(3)]
    assert all(gap >= least for gap, least in zip(gaps, expected, strict=True))


@pytest.mark.slow
async def test_ten_thousand_operations_leave_no_growth(
    stage: Any, provider: Any, redis_server: Any, no_growth: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "k"})

    async def use(kind: EventType) -> None:
        answers = [stage.send(provider, "k", kind) for _ in range(500)]
        await stage.until(lambda: all(answers))
        assert not any(each[0] == ERR for each in answers)

    await use(EventType.CAST)
    with no_growth():
        for number in range(20):
            # The server writes each SET to its disk.
            await use(EventType.CALL if number % 10 else EventType.CAST)
    with redis_server.client() as client:
        assert client.info("clients")["connected_clients"] == 2


async def test_a_queue_that_is_full_answers_err_at_once(
    stage: Any, provider: Any, redis_server: Any
) -> None:
    await stage.start(provider, {"url": redis_server.url, "key": "k"})
    await stage.ask(provider, "v", EventType.CAST)
    answers = [stage.send(provider, "k") for _ in range(redis_resource.WAITING_MAX + 5)]
    assert [each for each in answers if each] == [[ERR]] * 5
    await stage.until(lambda: all(answers))
