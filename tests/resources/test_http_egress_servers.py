"""http-egress and servers that are slow, broken or many: every request ends, in bounds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web

from edgeless_sim.model.event import ERR, CallReturn
from edgeless_sim.resources import http_egress

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Serve], Awaitable[int]]]:
    """Run an HTTP server; its port."""
    runners = []

    async def begin(respond: Serve) -> int:
        runner = web.ServerRunner(web.Server(respond), shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    yield begin
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def babble() -> AsyncIterator[Callable[[bytes], Awaitable[int]]]:
    """Run a server that answers everything with some bytes, then closes; its port."""
    servers = []

    async def begin(answer: bytes) -> int:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield begin
    for server in servers:
        server.close()
    await asyncio.sleep(0)


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


async def test_ten_thousand_calls_leave_no_growth(stage: Any, serve: Any) -> None:
    async def respond(incoming: web.BaseRequest) -> web.Response:
        return web.Response(text="x")

    port = await serve(respond)
    provider = await free_provider(stage)
    payload = request(f"127.0.0.1:{port}")
    for _ in range(10):
        answers = [stage.send(provider, payload) for _ in range(1_000)]
        await stage.until(lambda answers=answers: all(answers))
        assert all(read(each[0])["status"] == 200 for each in answers)
    await stage.until(lambda: stage.supervisor.tasks_total == 1)
    pool = provider._session.connector._conns
    assert sum(len(each) for each in pool.values()) <= http_egress.CONNECTIONS_MAX
