"""http-ingress asked by real clients: matching, events, answers, and clients that misbehave.

Spec 6.1 and 6.2, case D35, reliability B26 and B65 to B70, fault U16.
"""

import asyncio
from base64 import b64encode
from typing import Any

import aiohttp
import msgspec
import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn

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


# -- events and answers --------------------------------------------------------------------------


async def test_a_request_is_an_event_as_edgeless_writes_it(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.begin(provider)
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
    await stage.begin(provider)
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
    await stage.begin(provider)
    stage.function.reply = lambda payload: response(418, None, **{"x-tea": "mint", "age": "7"})
    async with client.get(provider.url) as answer:
        assert (answer.status, await answer.read()) == (418, b"")
        assert (answer.headers["X-Tea"], answer.headers["Age"]) == ("mint", "7")


async def test_how_a_response_is_framed_is_not_for_functions_to_say(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.begin(provider)
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
    await stage.begin(provider)
    stage.function.reply = lambda payload: reply
    answer = await stage.raw(provider, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Cookie" not in answer


async def test_a_function_that_does_not_reply_in_time_is_504(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.begin(provider)
    stage.function.reply = lambda payload: None
    async with client.get(provider.url) as answer:
        assert answer.status == 504


async def test_async_casts_the_body_and_says_ok(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.begin(provider, **{"async": "True"})
    async with client.post(provider.url, data="süß".encode()) as answer:
        assert (answer.status, await answer.text()) == (200, "OK")
    async with client.post(provider.url, data=b"\xff") as answer:
        assert answer.status == 400
    await stage.begin(provider, **{"async": "true", "encode_base64": "true"})
    async with client.post(provider.url, data=b"\xff") as answer:
        assert answer.status == 200
    assert stage.function.casts == ["süß", b64encode(b"\xff").decode()]
    assert stage.function.calls == []


@pytest.mark.parametrize("value", ["1", "yes", "", "false", "on"])
async def test_b30_only_true_is_true(
    stage: Any, provider: Any, client: aiohttp.ClientSession, value: str
) -> None:
    await stage.begin(provider, **{"async": value, "wf_id": value})
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
    await stage.begin(provider)
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
async def test_b26_hosts_are_compared_without_case_and_the_port_only_if_it_is_configured(
    stage: Any, provider: Any, configured: str, asked: str, status: int
) -> None:
    await stage.begin(provider, host=configured)
    text = f"GET / HTTP/1.1\r\nHost: {asked}\r\nConnection: close\r\n\r\n"
    assert await stage.status_of(provider, text.encode()) == status


@pytest.mark.parametrize("host", ["", "*", "a b", "a@b", "a/b", "a:x", "a:70000", "[::1", "a\n"])
async def test_b26_a_host_that_is_none_is_refused_with_a_remedy(
    stage: Any, provider: Any, host: str
) -> None:
    with pytest.raises(RejectedError, match="leave the key out"):
        await stage.start(provider, {"host": host})


async def test_b26_methods_are_a_list_of_those_that_are_taken_under_either_key(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    for key in ("method", "methods"):
        await stage.begin(provider, **{key: "POST,,PUT,POST"})
        taken = []
        for method in ("GET", "POST", "PUT", "DELETE"):
            async with client.request(method, provider.url) as answer:
                taken.append(answer.status)
        assert taken == [404, 200, 200, 404]


@pytest.mark.parametrize("method", ["get", "GET, POST", "OPTIONS", "Get", "\n"])
async def test_b26_an_unknown_method_is_refused_in_the_words_of_edgeless(
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
    await stage.begin(provider, wf_id="TRUE")
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
        assert (query, await stage.status_of(provider, text.encode())) == (query, status)


async def test_of_several_that_match_each_gets_some(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    await stage.begin(provider, 1)
    await stage.begin(provider, 2, host="127.0.0.1", **{"async": "true"})
    for _ in range(60):
        async with client.get(provider.url) as answer:
            assert answer.status == 200
    assert len(stage.function.calls) + len(stage.function.casts) == 60
    assert min(len(stage.function.calls), len(stage.function.casts)) >= 10


async def test_b26_ten_thousand_instances_of_one_host_are_matched_in_a_moment(
    stage: Any, provider: Any, client: aiohttp.ClientSession
) -> None:
    for number in range(1, 10_001):
        await stage.begin(provider, number, host="x.lab", method="PUT")
    await stage.begin(provider, 7, host="x.lab", method="POST")
    with pytest.raises(RejectedError, match="10000 instances"):
        await stage.start(provider, {}, 10_001)
    async with asyncio.timeout(10):
        for _ in range(20):
            async with client.post(provider.url, headers={"Host": "x.lab"}) as answer:
                assert answer.status == 200
