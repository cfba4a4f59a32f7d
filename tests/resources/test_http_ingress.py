"""http-ingress asked by real clients: matching, events, answers, and clients that misbehave.

Spec 6.1 and 6.2, case D35, reliability B26 and B65 to B70, fault U16.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import msgspec
import pytest

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn
from edgeless_sim.resources import http_ingress, http_listener

WORKFLOW = "00000000-0000-0000-0000-000000000009"


def response(status: int = 200, body: bytes | None = b"ok", /, **headers: Any) -> CallReturn:
    message = {"status": status, "headers": headers, "body": None if body is None else [*body]}
    return CallReturn.reply(msgspec.json.encode(message).decode())


@pytest.fixture
async def provider(stage: Any) -> Any:
    stage.function.reply = lambda payload: response()
    return await stage.open(
        "http-ingress", http_ingress_url="http://127.0.0.1:0", call_timeout_s=1.0
    )


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def begin(stage: Any, provider: Any, number: int = 1, /, **configuration: Any) -> None:
    await stage.start(provider, configuration, number)
    await stage.patch(provider, number)


async def raw(provider: Any, text: bytes) -> bytes:
    """Send *text* as it is; everything that comes back until the server closes."""
    port = int(provider.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        await leave(writer)


async def leave(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)


async def status_of(provider: Any, text: bytes) -> int:
    answer = await raw(provider, text)
    return int(answer.split(b" ", 2)[1]) if answer else 0


# -- events and answers --------------------------------------------------------------------------


async def test_a_request_is_an_event_as_edgeless_writes_it(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider)
    url = f"{provider.url}/a%20b?x=1&x=2"
    headers = {"X-Two": "2", "X-Umlaut": "ü", "Content-Type": "text/x"}
    async with client.post(url, data=b"\x00\xffz", headers=headers) as answer:
        assert (answer.status, await answer.read()) == (200, b"ok")
    [payload] = stage.function.calls
    event = msgspec.json.decode(payload)
    sent = event.pop("headers")
    host = provider.url.removeprefix("http://")
    assert event == {
        "method": "Post",
        "protocol": "Unknown",
        "host": host,
        "path": "/a%20b?x=1&x=2",
        "body": [0, 255, 122],
    }
    assert (sent["x-two"], sent["content-type"], sent["host"]) == ("2", "text/x", host)
    assert "x-umlaut" not in sent


async def test_a_request_without_a_body_has_an_empty_one(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider)
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"):
        async with client.request(method, provider.url) as answer:
            assert answer.status == 200
            assert await answer.read() == (b"" if method == "HEAD" else b"ok")
    events = [msgspec.json.decode(payload) for payload in stage.function.calls]
    expected = ["Get", "Head", "Post", "Put", "Delete", "Patch"]
    assert [event["method"] for event in events] == expected
    assert all(event["body"] == [] for event in events)


async def test_the_reply_is_the_response(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider)
    stage.function.reply = lambda payload: response(418, None, **{"x-tea": "mint", "age": "7"})
    async with client.get(provider.url) as answer:
        assert (answer.status, await answer.read()) == (418, b"")
        assert (answer.headers["X-Tea"], answer.headers["Age"]) == ("mint", "7")


async def test_how_a_response_is_framed_is_not_for_functions_to_say(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider)
    stage.function.reply = lambda payload: response(
        **{"Content-Length": "999", "Transfer-Encoding": "chunked", "connection": "upgrade"}
    )
    async with client.get(provider.url) as answer:
        assert await answer.read() == b"ok"
        assert answer.headers["Content-Length"] == "2"
        assert "Transfer-Encoding" not in answer.headers


@pytest.mark.parametrize(
    "reply",
    [
        NO_REPLY,
        ERR,
        CallReturn.reply(""),
        CallReturn.reply("{}"),
        CallReturn.reply('{"status": 200, "headers": {}, "body": [256]}'),
        CallReturn.reply('{"status": 200, "headers": {}, "body": [1.5]}'),
        CallReturn.reply('{"status": 200, "headers": {"x": 1}, "body": null}'),
        response(99),
        response(100),
        response(1000),
        response(200, x="a\r\nSet-Cookie: b=c"),
        response(200, x="a\n"),
        response(200, x="\0"),
        response(200, **{"a b": "c"}),
        response(200, **{"a:b\r\n": "c"}),
    ],
)
async def test_a_reply_that_is_no_response_is_502_and_never_splits_one(
    stage: Any, provider: Any, reply: CallReturn
) -> None:
    await begin(stage, provider)
    stage.function.reply = lambda payload: reply
    answer = await raw(provider, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Cookie" not in answer


async def test_a_function_that_does_not_reply_in_time_is_504(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider)
    stage.function.reply = lambda payload: None
    async with client.get(provider.url) as answer:
        assert answer.status == 504


async def test_async_casts_the_body_and_says_ok(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider, **{"async": "True"})
    async with client.post(provider.url, data="süß".encode()) as answer:
        assert (answer.status, await answer.text()) == (200, "OK")
    async with client.post(provider.url, data=b"\xff") as answer:
        assert answer.status == 400
    await begin(stage, provider, **{"async": "true", "encode_base64": "true"})
    async with client.post(provider.url, data=b"\xff") as answer:
        assert answer.status == 200
    assert stage.function.casts == ["süß", b64encode(b"\xff").decode()]
    assert stage.function.calls == []


@pytest.mark.parametrize("value", ["1", "yes", "", "false", "on"])
async def test_only_true_is_true(
    stage: Any, provider: Any, client: aiohttp.ClientSession, value: str
) -> None:
    await begin(stage, provider, **{"async": value, "wf_id": value})
    async with client.get(provider.url) as answer:
        assert await answer.text() == "ok"


# -- who takes a request -------------------------------------------------------------------------


async def test_nothing_is_sent_before_the_output_is_mapped(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.start(provider, {})
    async with client.get(provider.url) as answer:
        assert (answer.status, await answer.text()) == (404, "Not Found")
    await stage.patch(provider)
    async with client.get(provider.url) as answer:
        assert answer.status == 200


async def test_a_patch_without_the_output_is_refused_and_unmaps_it(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider)
    provider.outputs = ()
    with pytest.raises(RejectedError, match="Missing channel new_request from http-ingress patch"):
        await stage.patch(provider)
    with pytest.raises(RejectedError, match="Trying to patch a non-existing resource with PID"):
        await stage.patch(provider, 2)
    async with client.get(provider.url) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("configured", "asked", "status"),
    [
        ("demo.lab", "demo.lab", 200),
        ("demo.lab", "DEMO.lab.", 200),
        ("Demo.Lab.", "demo.lab:7008", 200),
        ("demo.lab:80", "demo.lab", 200),
        ("demo.lab:7008", "demo.lab:7008", 200),
        ("demo.lab:7008", "demo.lab:7009", 404),
        ("demo.lab:7008", "demo.lab", 404),
        ("demo.lab", "other.lab", 404),
        ("bücher.lab", "xn--bcher-kva.lab", 200),
        ("[::1]:80", "[0:0::1]", 200),
        ("127.0.0.1", "127.0.0.1:5", 200),
    ],
)
async def test_hosts_are_compared_without_case_and_the_port_only_if_it_is_configured(
    stage: Any, provider: Any, configured: str, asked: str, status: int
) -> None:
    await begin(stage, provider, host=configured)
    text = f"GET / HTTP/1.1\r\nHost: {asked}\r\nConnection: close\r\n\r\n"
    assert await status_of(provider, text.encode()) == status


@pytest.mark.parametrize("host", ["", "*", "a b", "a@b", "a/b", "a:x", "a:70000", "[::1", "a\n"])
async def test_a_host_that_is_none_is_refused_with_a_remedy(
    stage: Any, provider: Any, host: str
) -> None:
    with pytest.raises(RejectedError, match="leave the key out"):
        await stage.start(provider, {"host": host})


async def test_methods_are_a_list_of_those_that_are_taken_under_either_key(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    for key in ("method", "methods"):
        await begin(stage, provider, **{key: "POST,,PUT,POST"})
        taken = []
        for method in ("GET", "POST", "PUT", "DELETE"):
            async with client.request(method, provider.url) as answer:
                taken.append(answer.status)
        assert taken == [404, 200, 200, 404]


@pytest.mark.parametrize("method", ["get", "GET, POST", "OPTIONS", "Get", "\n"])
async def test_an_unknown_method_is_refused_in_the_words_of_edgeless(
    stage: Any, provider: Any, method: str
) -> None:
    with pytest.raises(RejectedError) as refusal:
        await stage.start(provider, {"method": method})
    assert refusal.value.summary == "Error when creating a resource"
    assert refusal.value.detail is not None
    assert refusal.value.detail.startswith("Invalid method '")
    assert refusal.value.detail.endswith("specified in http-ingress: Unhandled Method")


async def test_wf_id_takes_requests_for_its_workflow_only(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider, wf_id="TRUE")
    for query, status in {
        "": 404,
        "?wf_id=": 404,
        f"?wf_id={WORKFLOW}": 200,
        f"?a=b&wf_id={WORKFLOW}&wf_id=x": 200,
        f"?wf_id=x&wf_id={WORKFLOW}": 404,
        f"?wf_id={WORKFLOW.replace('-', '%2D')}": 404,
        f"?xwf_id={WORKFLOW}": 404,
    }.items():
        text = f"GET /{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (query, await status_of(provider, text.encode())) == (query, status)


async def test_of_several_that_match_each_gets_some(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider, 1)
    await begin(stage, provider, 2, host="127.0.0.1", **{"async": "true"})
    for _ in range(60):
        async with client.get(provider.url) as answer:
            assert answer.status == 200
    assert len(stage.function.calls) + len(stage.function.casts) == 60
    assert min(len(stage.function.calls), len(stage.function.casts)) >= 10


async def test_ten_thousand_instances_of_one_host_are_matched_in_a_moment(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    for number in range(1, 10_001):
        await begin(stage, provider, number, host="x.lab", method="PUT")
    await begin(stage, provider, 7, host="x.lab", method="POST")
    with pytest.raises(RejectedError, match="10000 instances"):
        await stage.start(provider, {}, 10_001)
    async with asyncio.timeout(10):
        for _ in range(20):
            async with client.post(provider.url, headers={"Host": "x.lab"}) as answer:
                assert answer.status == 200


# -- bad clients ---------------------------------------------------------------------------------

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


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
    await begin(stage, provider)
    assert await status_of(provider, text) in statuses
    assert stage.function.calls == []


async def test_a_request_without_host_is_taken_from_http_1_0_only(
    stage: Any, provider: Any
) -> None:
    await begin(stage, provider)
    assert await status_of(provider, b"GET / HTTP/1.0\r\n\r\n") == 200
    event = msgspec.json.decode(stage.function.calls[0])
    assert event["host"] == provider.url.removeprefix("http://")


async def test_a_client_that_asks_before_it_sends_is_told_to_continue(
    stage: Any, provider: Any
) -> None:
    await begin(stage, provider)
    answer = await raw(
        provider,
        POST + b"Connection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
    )
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert msgspec.json.decode(stage.function.calls[0])["body"] == [*b"hi"]


async def test_pipelined_requests_are_answered_in_their_order(stage: Any, provider: Any) -> None:
    await begin(stage, provider)
    bodies = iter([b"one", b"two", b"three"])
    stage.function.reply = lambda payload: response(200, next(bodies))
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await raw(provider, (GET + b"\r\n") * 2 + last)
    assert [answer.find(word) > 0 for word in (b"one", b"two", b"three")] == [True] * 3
    assert answer.find(b"one") < answer.find(b"two") < answer.find(b"three")


async def test_ten_megabytes_are_413_and_chunks_without_end_too(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider)

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


async def test_clients_that_send_slowly_or_not_at_all_are_cut_off(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_ingress, "BODY_TIMEOUT_S", 0.3)
    stage.function.reply = lambda payload: response()
    provider = await stage.open("http-ingress", http_ingress_url="http://127.0.0.1:0")
    provider._listener.header_timeout_ns = provider._listener.idle_timeout_ns = 300_000_000
    await begin(stage, provider)
    assert await raw(provider, b"") == b""
    assert await raw(provider, b"GET / HTTP/1.1\r\nHo") == b""
    assert (await raw(provider, GET + b"\r\n")).startswith(b"HTTP/1.1 200")
    assert (await raw(provider, GET + b"\r\nGET")).startswith(b"HTTP/1.1 200")
    assert await status_of(provider, POST + b"Content-Length: 9\r\n\r\nx") == 408
    await stage.until(lambda: not provider._listener.connections)


async def test_a_client_that_reads_no_response_is_cut_off(stage: Any) -> None:
    stage.function.reply = lambda payload: response(200, b"x" * 250_000)
    provider = await stage.open("http-ingress", http_ingress_url="http://127.0.0.1:0")
    provider._listener.idle_timeout_ns = 300_000_000
    await begin(stage, provider)
    port = int(provider.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write((GET + b"\r\n") * 200)
    await stage.until(lambda: bool(provider._listener.connections))
    await stage.until(lambda: not provider._listener.connections)
    await leave(writer)
    del reader


async def test_too_many_connections_are_closed_at_once(stage: Any, provider: Any) -> None:
    provider._listener.connections_max = 3
    port = int(provider.url.rpartition(":")[2])
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    await stage.until(lambda: len(provider._listener.connections) == 3)
    assert await raw(provider, b"") == b""
    await leave(*(writer for _, writer in held))


# -- many at once --------------------------------------------------------------------------------


async def test_a_hundred_requests_are_open_at_once(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider)
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
    await begin(stage, provider, 1, host="mute.lab")
    await begin(stage, provider, 2, host="well.lab")

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
        await stage.until(lambda: len(stage.function.waiting) == http_ingress.OPEN_MAX)
        for _ in range(50):
            assert await ask("well.lab") == 200
        # Nothing of this waited for a mute function: all of them are still open.
        assert not any(task.done() and task.result() == 504 for task in mute)
    assert sorted({task.result() for task in mute}) == [503, 504]
    assert {task.result() for task in large} <= {413, 503}
    await leave(*(writer for _, writer in slow))


async def test_a_client_that_leaves_takes_nothing_along(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await begin(stage, provider)
    stage.function.reply = lambda payload: None
    for _ in range(10):
        with pytest.raises(TimeoutError):
            await client.get(provider.url, timeout=aiohttp.ClientTimeout(total=0.05))
    for answer in stage.function.waiting:
        answer(response())
    await stage.until(lambda: not provider._replies and not provider._listener.connections)
    assert provider._open_bytes == 0
    stage.function.reply = lambda payload: response()
    async with client.get(provider.url) as answer:
        assert answer.status == 200


# -- the listener --------------------------------------------------------------------------------


async def test_a_place_that_is_taken_is_an_error_that_names_the_key(
    stage: Any, provider: Any
) -> None:
    with pytest.raises(SettingsError, match=r"http_ingress_url: cannot listen at http://127"):
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
