"""http-egress beside real servers: requests, responses, and where it does not go.

Spec 6.3, case D34, reliability B27, F25 and S02.
"""

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web

from edgeless_sim.model.event import ERR, CallReturn, EventType
from edgeless_sim.resources import http_egress


def request(host: str, **fields: Any) -> str:
    given: dict[str, Any] = {"method": "Get", "protocol": "HTTP", "host": host, "path": "/"}
    return msgspec.json.encode(given | {"headers": {}} | fields).decode()


def read(answer: CallReturn) -> Any:
    assert answer != ERR
    return msgspec.json.decode(answer.payload)


async def free_provider(stage: Any, *allow: str, **settings: Any) -> Any:
    provider = await stage.open(
        "http-egress", http_egress_allow=allow or ("127.0.0.1",), **settings
    )
    await stage.start(provider, {})
    return provider


async def test_a_call_is_a_request_and_its_reply_the_response(stage: Any, serve: Any) -> None:
    seen = []

    async def respond(incoming: web.BaseRequest) -> web.Response:
        body = await incoming.read()
        seen.append((incoming.method, incoming.raw_path, incoming.headers.copy(), body))
        return web.Response(status=201, body=b"\x00\xff", headers={"X-Reply": "yes"})

    port = await serve(respond)
    provider = await free_provider(stage)
    answer = await stage.ask(
        provider,
        request(
            f"127.0.0.1:{port}",
            method="Post",
            protocol="Unknown",
            path="/a%20b?x=1",
            headers={"X-Ours": "1", "Content-Length": "999", "Connection": "upgrade"},
            body=[1, 255],
        ),
    )
    message = read(answer)
    assert (message["status"], message["body"]) == (201, [0, 255])
    assert message["headers"]["x-reply"] == "yes"
    [(method, path, headers, body)] = seen
    assert (method, path, body) == ("POST", "/a%20b?x=1", b"\x01\xff")
    assert headers["X-Ours"] == "1"
    assert headers["Content-Length"] == "2"
    assert "Accept-Encoding" not in headers


async def test_any_status_is_a_reply(stage: Any, serve: Any) -> None:
    async def respond(incoming: web.BaseRequest) -> web.Response:
        return web.Response(status=int(incoming.path[1:]))

    port = await serve(respond)
    provider = await free_provider(stage)
    for status in (204, 302, 404, 500, 503):
        answer = await stage.ask(provider, request(f"127.0.0.1:{port}", path=f"/{status}"))
        assert (read(answer)["status"], read(answer)["body"]) == (status, [])


async def test_a_cast_is_err_at_once(stage: Any) -> None:
    provider = await free_provider(stage)
    assert stage.send(provider, request("127.0.0.1"), EventType.CAST) == [ERR]


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "null",
        "{}",
        '{"protocol": "HTTP", "host": "x", "path": "/", "headers": {}}',
        request("x", method="CONNECT"),
        request("x", method="Trace"),
        request("x", method="GET"),
        request("x", protocol="FTP"),
        request("", path="/"),
        request("a@127.0.0.1"),
        request("a:b@127.0.0.1"),
        request("127.0.0.1#x"),
        request("127.0.0.1?x"),
        request("127.0.0.1/x"),
        request("127.0.0.1\\x"),
        request("127.0.0.1\r\nX: y"),
        request("127.0.0.1 "),
        request("127.0.0.1:x"),
        request("127.0.0.1:70000"),
        request("1.2.3.4.5"),
        request("[::1"),
        request("127.0.0.1", path="x"),
        request("127.0.0.1", path=""),
        request("127.0.0.1", path="/ HTTP/1.1\r\nX: y"),
        request("127.0.0.1", path="/a b"),
        request("127.0.0.1", path="/#x"),
        request("127.0.0.1", headers={"a": "b\r\nc: d"}),
        request("127.0.0.1", headers={"a": "b\n"}),
        request("127.0.0.1", headers={"a\r\nb": "c"}),
        request("127.0.0.1", headers={"": "c"}),
        request("127.0.0.1", headers={"a": "\0"}),
        request("127.0.0.1", headers={"a": "€"}),
        request("127.0.0.1", headers={f"x{number}": "" for number in range(100_000)}),
        request("127.0.0.1", headers={"a": 1}),
        request("127.0.0.1", body=[256]),
        request("127.0.0.1", body=[-1]),
        request("127.0.0.1", body=[1.5]),
        request("127.0.0.1", body="text"),
    ],
)
async def test_a_request_that_is_none_is_err_and_says_why(stage: Any, payload: str) -> None:
    provider = await free_provider(stage)
    assert await stage.ask(provider, payload) == ERR
    [warning] = stage.warnings
    assert len(warning) <= 1024
    assert "\n" not in warning


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * ((1 << 20) + 1),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"\xff" * 400_000,
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe://\r\n\r\n",
    ],
)
async def test_what_a_bad_server_sends_is_err(stage: Any, babble: Any, answer: bytes) -> None:
    port = await babble(answer)
    provider = await free_provider(stage)
    assert await stage.ask(provider, request(f"127.0.0.1:{port}")) == ERR
    assert len(stage.warnings) == 1


async def test_compressed_bodies_are_left_as_they_are(stage: Any, babble: Any) -> None:
    port = await babble(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip")
    provider = await free_provider(stage)
    message = read(await stage.ask(provider, request(f"127.0.0.1:{port}")))
    assert (message["headers"]["content-encoding"], bytes(message["body"])) == ("gzip", b"no gzip")


async def test_six_requests_of_one_instance_are_under_way_and_the_others_wait(
    stage: Any, serve: Any
) -> None:
    here, let_go = [], asyncio.Event()

    async def respond(incoming: web.BaseRequest) -> web.Response:
        here.append(incoming)
        await let_go.wait()
        return web.Response()

    port = await serve(respond)
    provider = await free_provider(stage)
    await stage.start(provider, {}, 2)
    payload = request(f"127.0.0.1:{port}")
    limit = http_egress.CONNECTIONS_MAX + http_egress.WAITING_MAX
    answers = [stage.send(provider, payload) for _ in range(limit + 3)]
    assert [each for each in answers if each] == [[ERR]] * 3
    await stage.until(lambda: len(here) == http_egress.CONNECTIONS_MAX)
    other = stage.send(provider, payload, number=2)
    await stage.until(lambda: len(here) == http_egress.CONNECTIONS_MAX + 1)
    let_go.set()
    await stage.until(lambda: all(answers) and bool(other))
    assert sum(each == [ERR] for each in answers) == 3


async def test_a_server_that_does_not_answer_is_err_in_time(stage: Any, serve: Any) -> None:
    async def respond(incoming: web.BaseRequest) -> web.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    port = await serve(respond)
    provider = await free_provider(stage, call_timeout_s=0.2)
    assert await stage.ask(provider, request(f"127.0.0.1:{port}")) == ERR
    assert stage.warnings == ["http-egress: no response within 0.2 s"]


@pytest.mark.slow
async def test_ten_thousand_calls_leave_no_growth(stage: Any, serve: Any, no_growth: Any) -> None:
    async def respond(incoming: web.BaseRequest) -> web.Response:
        return web.Response(text="x")

    port = await serve(respond)
    provider = await free_provider(stage)
    payload = request(f"127.0.0.1:{port}")

    async def use() -> None:
        answers = [stage.send(provider, payload) for _ in range(1_000)]
        await stage.until(lambda: all(answers))
        assert all(read(each[0])["status"] == 200 for each in answers)
        await stage.until(lambda: stage.supervisor.tasks_total == 1)

    await use()
    with no_growth():
        for _ in range(10):
            await use()
    pool = provider._client._session.connector._conns
    assert sum(len(each) for each in pool.values()) <= http_egress.CONNECTIONS_MAX
