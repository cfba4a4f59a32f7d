"""http-ingress and clients that misbehave, are many, or leave; and its listener.

Reliability B65 to B67 and B70, fault U16.
"""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import msgspec
import pytest

from edgeless_sim.errors import ListenError, SettingsError
from edgeless_sim.model.event import CallReturn
from edgeless_sim.resources import http_listener, ingress_rules


def response(status: int = 200, body: bytes | None = b"ok", /, **headers: Any) -> CallReturn:
    message = {"status": status, "headers": headers, "body": None if body is None else [*body]}
    return CallReturn.reply(msgspec.json.encode(message).decode())


@pytest.fixture
async def provider(stage: Any) -> Any:
    stage.function.reply = lambda payload: response()
    return await stage.open(
        "http-ingress", http_ingress_url="http://127.0.0.1:0", call_timeout_s=1.0
    )


# -- bad clients ---------------------------------------------------------------------------------

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
LAST = GET + b"Connection: close\r\n\r\n"


class _Nothing(list[str]):
    """Keeps nothing: a list of all calls would be growth."""

    def append(self, _: str) -> None:
        pass


@pytest.mark.parametrize(
    ("text", "statuses"),
    [
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", {400}),
        (POST + b"Content-Length: -1\r\n\r\n", {400}),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400}),
        (GET + b"X: a\r\n b\r\n\r\n", {400}),
        (GET + b"X : a\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: \xc3\xbc\r\n\r\n", {400}),
        (b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"GET /?\xff HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414}),
        (GET + b"X: a\r\n" * 1000 + b"\r\n", {400, 431}),
        (GET + b"X: " + b"a" * 65_536 + b"\r\n\r\n", {400, 431}),
        (b"BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {400, 405}),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {405}),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {405}),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {400, 405}),
        (POST + b"Content-Length: 99999999\r\n\r\n", {413}),
        (POST + b"Content-Length: 5\r\nExpect: 200-ok\r\n\r\nabcde", {417}),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
        (b"\x16\x03\x01\x02\x00", {400}),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405}),
    ],
)
async def test_a_bad_request_is_refused_and_reaches_no_function(
    stage: Any, provider: Any, text: bytes, statuses: set[int]
) -> None:
    await stage.begin(provider)
    assert await stage.status_of(provider, text) in statuses
    assert stage.function.calls == []


async def test_a_request_without_host_is_taken_from_http_1_0_only(
    stage: Any, provider: Any
) -> None:
    await stage.begin(provider)
    assert await stage.status_of(provider, b"GET / HTTP/1.0\r\n\r\n") == 200
    event = msgspec.json.decode(stage.function.calls[0])
    assert event["host"] == provider.url.removeprefix("http://")


async def test_a_client_that_asks_before_it_sends_is_told_to_continue(
    stage: Any, provider: Any
) -> None:
    await stage.begin(provider)
    answer = await stage.raw(
        provider,
        POST + b"Connection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
    )
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert msgspec.json.decode(stage.function.calls[0])["body"] == [*b"hi"]


async def test_pipelined_requests_are_answered_in_their_order(stage: Any, provider: Any) -> None:
    await stage.begin(provider)
    bodies = iter([b"one", b"two", b"three"])
    stage.function.reply = lambda payload: response(200, next(bodies))
    answer = await stage.raw(provider, (GET + b"\r\n") * 2 + LAST)
    assert [answer.find(word) > 0 for word in (b"one", b"two", b"three")] == [True] * 3
    assert answer.find(b"one") < answer.find(b"two") < answer.find(b"three")


async def test_ten_megabytes_are_413_and_chunks_without_end_too(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.begin(provider)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65_536

    async with client.post(provider.url, data=BytesIO(b"x" * (10 << 20))) as answer:
        assert answer.status == 413
    try:
        async with client.post(provider.url, data=endless()) as answer:
            assert answer.status == 413
    except aiohttp.ClientError:
        # The server may have closed before the client had sent it all.
        pass
    async with client.post(provider.url, data=b"\xff" * 400_000) as answer:
        assert answer.status == 413
    async with client.post(provider.url, data=b"\xff" * 200_000) as answer:
        assert answer.status == 200
    assert len(stage.function.calls) == 1


async def test_clients_that_send_slowly_or_not_at_all_are_cut_off(stage: Any) -> None:
    stage.function.reply = lambda payload: response()
    provider = await stage.open("http-ingress", http_ingress_url="http://127.0.0.1:0")
    provider._listener.header_timeout_ns = provider._listener.idle_timeout_ns = 300_000_000
    provider._listener.body_timeout_ns = 300_000_000
    await stage.begin(provider)
    assert await stage.raw(provider, b"") == b""
    assert await stage.raw(provider, b"GET / HTTP/1.1\r\nHo") == b""
    assert (await stage.raw(provider, GET + b"\r\n")).startswith(b"HTTP/1.1 200")
    assert (await stage.raw(provider, GET + b"\r\nGET")).startswith(b"HTTP/1.1 200")
    assert await stage.status_of(provider, POST + b"Content-Length: 9\r\n\r\nx") == 408
    await stage.until(lambda: not provider._listener.connections)


async def test_a_client_that_reads_no_response_is_cut_off(stage: Any) -> None:
    stage.function.reply = lambda payload: response(200, b"x" * 250_000)
    provider = await stage.open("http-ingress", http_ingress_url="http://127.0.0.1:0")
    provider._listener.idle_timeout_ns = 300_000_000
    await stage.begin(provider)
    port = int(provider.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write((GET + b"\r\n") * 200)
    await stage.until(lambda: bool(provider._listener.connections))
    await stage.until(lambda: not provider._listener.connections)
    await stage.leave(writer)
    del reader


async def test_too_many_connections_are_closed_at_once(stage: Any, provider: Any) -> None:
    provider._listener.connections_max = 3
    port = int(provider.url.rpartition(":")[2])
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    await stage.until(lambda: len(provider._listener.connections) == 3)
    assert await stage.raw(provider, b"") == b""
    await stage.leave(*(writer for _, writer in held))


# -- many at once --------------------------------------------------------------------------------


async def test_a_hundred_requests_are_open_at_once(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.begin(provider)
    stage.function.reply = lambda payload: None

    async def ask(number: int) -> tuple[int, str]:
        async with client.get(f"{provider.url}/{number}") as answer:
            return answer.status, await answer.text()

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(ask(number)) for number in range(100)]
        await stage.until(lambda: len(stage.function.waiting) == 100)
        for payload, answer in zip(stage.function.calls, stage.function.waiting, strict=True):
            path = msgspec.json.decode(payload)["path"]
            answer(response(200, path.encode()))
    assert [each.result() for each in asking] == [(200, f"/{number}") for number in range(100)]


async def test_mute_functions_slow_clients_and_large_bodies_disturb_nobody_else(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.begin(provider, 1, host="mute.lab")
    await stage.begin(provider, 2, host="well.lab")

    def reply(payload: str) -> CallReturn | None:
        return response() if msgspec.json.decode(payload)["host"] == "well.lab" else None

    stage.function.reply = reply
    port = int(provider.url.rpartition(":")[2])
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
    for _, writer in slow:
        writer.write(POST + b"Content-Length: 1000\r\n\r\nx")

    async def ask(host: str, body: BytesIO | None = None) -> int:
        async with client.post(provider.url, headers={"Host": host}, data=body) as answer:
            return answer.status

    async with asyncio.TaskGroup() as group:
        mute = [group.create_task(ask("mute.lab")) for _ in range(300)]
        large = [group.create_task(ask("mute.lab", BytesIO(b"x" * 10_000_000))) for _ in range(3)]
        await stage.until(lambda: len(stage.function.waiting) == ingress_rules.OPEN_MAX)
        for _ in range(50):
            assert await ask("well.lab") == 200
        # Nothing of this waited for a mute function: all of them are still open.
        assert not any(task.done() and task.result() == 504 for task in mute)
    assert sorted({task.result() for task in mute}) == [503, 504]
    assert {task.result() for task in large} <= {413, 503}
    await stage.leave(*(writer for _, writer in slow))


async def test_a_client_that_leaves_takes_nothing_along(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.begin(provider)
    stage.function.reply = lambda payload: None
    for _ in range(10):
        with pytest.raises(TimeoutError):
            await client.get(provider.url, timeout=aiohttp.ClientTimeout(total=0.05))
    for answer in stage.function.waiting:
        answer(response())
    await stage.until(lambda: not provider._listener.connections)
    assert provider.open_bytes == 0
    stage.function.reply = lambda payload: response()
    async with client.get(provider.url) as answer:
        assert answer.status == 200


async def test_ten_thousand_requests_leave_no_growth(
    stage: Any, provider: Any, client: aiohttp.ClientSession, no_growth: Any
) -> None:
    await stage.begin(provider)
    stage.function.calls = _Nothing()

    async def use() -> None:
        # Half of the connections are closed after a request, in three ways.
        for close in (b"", b"Connection: close\r\n", b"Content-Length: 99999999\r\n", b"X : y\r\n"):
            text = GET + close + b"\r\n" if close else (GET + b"\r\n") * 497 + LAST
            answer = await stage.raw(provider, text)
            assert answer.count(b"HTTP/1.1 ") == (498 if not close else 1)
        await stage.until(lambda: not provider._listener.connections)

    for _ in range(2):
        await use()
    with no_growth():
        for _ in range(20):
            await use()
    assert provider.open_bytes == 0


# -- the listener --------------------------------------------------------------------------------


async def test_a_place_that_is_taken_is_an_error_that_names_the_key(
    stage: Any, provider: Any
) -> None:
    with pytest.raises(ListenError, match=r"http_ingress_url: cannot listen at http://127"):
        await stage.open("http-ingress", http_ingress_url=provider.url)


async def test_without_a_place_there_is_no_provider(stage: Any) -> None:
    with pytest.raises(SettingsError, match="needs http_ingress_url"):
        await stage.open("http-ingress")


async def test_the_place_is_free_once_the_provider_is_closed(stage: Any, provider: Any) -> None:
    url = provider.url
    provider.close()
    again = await stage.open("http-ingress", http_ingress_url=url)
    assert again.url == url


async def test_the_listener_bounds_are_those_of_the_reliability_note() -> None:
    assert (http_listener.CONNECTIONS_MAX, http_listener.HEADER_TIMEOUT_S) == (4096, 5.0)


# -- pipelines and upgrades ----------------------------------------------------------------------


async def test_a_long_pipeline_with_bodies_is_answered_in_order_and_in_full(
    stage: Any, provider: Any
) -> None:
    await stage.begin(provider)

    def reply(payload: str) -> CallReturn:
        return response(200, bytes(msgspec.json.decode(payload)["body"]))

    stage.function.reply = reply
    bodies = [b"<%d>" % number * (number * 40) for number in range(200)]
    text = b"".join(POST + b"Content-Length: %d\r\n\r\n" % len(each) + each for each in bodies)
    answer = await stage.raw(provider, text + LAST)
    places = [answer.find(body) for body in bodies[1:]]
    assert places == sorted(places)
    assert places[0] > 0
    assert answer.count(b"HTTP/1.1 200") == 201


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_a_request_may_come_in_pieces_of_any_size(
    stage: Any, provider: Any, size: int
) -> None:
    await stage.begin(provider)
    port = int(provider.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" + LAST
    for start in range(0, len(text), size):
        writer.write(text[start : start + size])
        await asyncio.sleep(0)
    answer = await reader.read()
    assert answer.count(b"HTTP/1.1 200") == 2
    assert msgspec.json.decode(stage.function.calls[0])["body"] == [*b"abcde"]
    await stage.leave(writer)


async def test_an_upgrade_is_not_taken_up_and_the_client_goes_on_in_http_1(
    stage: Any, provider: Any
) -> None:
    await stage.begin(provider)
    upgrade = GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer = await stage.raw(provider, upgrade + LAST)
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_head_has_the_length_of_the_body_and_no_body(stage: Any, provider: Any) -> None:
    await stage.begin(provider)
    stage.function.reply = lambda payload: response(200, b"12345")
    answer = await stage.raw(provider, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_gets_none(stage: Any, provider: Any, status: int) -> None:
    await stage.begin(provider)
    stage.function.reply = lambda payload: response(status, b"12345")
    answer = await stage.raw(provider, LAST)
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in answer


async def test_an_old_client_that_asks_for_it_keeps_its_connection(
    stage: Any, provider: Any
) -> None:
    await stage.begin(provider)
    old = b"GET / HTTP/1.0\r\nHost: x\r\n"
    answer = await stage.raw(provider, old + b"Connection: keep-alive\r\n\r\n" + old + b"\r\n")
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"Connection: keep-alive") == 1
