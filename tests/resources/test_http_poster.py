"""http-poster beside real servers: what is posted, and where it does not go.

Spec 6.4, bugs 37 and 38; reliability B27, B30, F25 and S02.
"""

import asyncio
import socket
from base64 import b64encode
from typing import Any

import pytest
from aiohttp import web

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import ERR, NO_REPLY, EventType

CAST = EventType.CAST


async def poster(stage: Any, url: str, *allow: str, **configuration: str) -> Any:
    provider = await stage.open("http-poster", http_egress_allow=allow or ("127.0.0.1",))
    await stage.start(provider, {"url": url, **configuration})
    return provider


class Server:
    """Keeps what it is asked, and answers with *status*."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.status = status
        self.headers = headers

    async def respond(self, request: web.BaseRequest) -> web.Response:
        self.asked.append((request.method, request.raw_path, await request.read()))
        return web.Response(status=self.status, headers=self.headers, text="ignored")


async def test_d37_a_cast_is_the_body_of_a_post(stage: Any, serve: Any) -> None:
    server = Server()
    provider = await poster(stage, f"http://127.0.0.1:{await serve(server.respond)}/a%20b?x=1")
    assert await stage.ask(provider, "grün", CAST) == NO_REPLY
    assert await stage.ask(provider, "", CAST) == NO_REPLY
    assert server.asked == [
        ("POST", "/a%20b?x=1", "grün".encode()),
        ("POST", "/a%20b?x=1", b""),
    ]
    assert stage.warnings == []


async def test_casts_of_one_instance_are_posted_one_after_the_other(stage: Any, serve: Any) -> None:
    here = most = 0
    bodies = []

    async def respond(request: web.BaseRequest) -> web.Response:
        nonlocal here, most
        here += 1
        most = max(most, here)
        bodies.append(await request.text())
        await asyncio.sleep(0.001)
        here -= 1
        return web.Response()

    provider = await poster(stage, f"http://127.0.0.1:{await serve(respond)}/")
    answers = [stage.send(provider, f"{number}", CAST) for number in range(50)]
    await stage.until(lambda: all(answers))
    assert bodies == [f"{number}" for number in range(50)]
    assert most == 1


async def test_a_call_is_err_at_once(stage: Any) -> None:
    provider = await poster(stage, "http://127.0.0.1:1/")
    assert stage.send(provider, "x", EventType.CALL) == [ERR]


@pytest.mark.parametrize("said", ["true", "True", "TRUE"])
async def test_d37_what_is_base64_is_decoded_and_anything_else_is_not_posted(
    stage: Any, serve: Any, said: str
) -> None:
    server = Server()
    url = f"http://127.0.0.1:{await serve(server.respond)}/"
    provider = await poster(stage, url, decode_base64=said)
    assert await stage.ask(provider, b64encode(b"\x00\xff").decode(), CAST) == NO_REPLY
    for text in ("?", "abc", "AP8=\n!", "é"):
        assert await stage.ask(provider, text, CAST) == ERR
    assert [body for _, _, body in server.asked] == [b"\x00\xff"]
    assert len(stage.warnings) == 4
    assert stage.warnings[0].startswith("http-poster: nothing is posted: ")


@pytest.mark.parametrize("said", ["1", "yes", "on", "", " true", "false"])
async def test_b30_only_true_is_true(stage: Any, serve: Any, said: str) -> None:
    server = Server()
    url = f"http://127.0.0.1:{await serve(server.respond)}/"
    provider = await poster(stage, url, decode_base64=said)
    assert await stage.ask(provider, "AP8=", CAST) == NO_REPLY
    assert [body for _, _, body in server.asked] == [b"AP8="]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "//x/",
        "ftp://x/",
        "file:///etc/passwd",
        "http://",
        "http://x:99999/",
        "http://x:port/",
        "http://[::1/",
        "http://x y/",
        "http://x/a b",
        "http://x/\r\nHost: y",
        "http://x\n/",
        "http://x/é",
        "http://*/",
    ],
)
async def test_b27_d37_what_is_no_url_is_refused(stage: Any, url: str) -> None:
    with pytest.raises(RejectedError) as refusal:
        await poster(stage, url)
    assert refusal.value.summary == "Error when creating a http-poster resource"
    assert str(refusal.value.detail).startswith("Invalid url field ")


async def test_a_password_in_a_url_is_refused_and_not_repeated(stage: Any) -> None:
    with pytest.raises(RejectedError) as refusal:
        await poster(stage, "http://me:secret@x/")
    assert "secret" not in str(refusal.value)
    assert "user and password" in str(refusal.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "2852039166",
        "0251.0376.0251.0376",
        "10.0.0.1",
    ],
)
async def test_s02_private_addresses_are_refused_at_the_start(stage: Any, host: str) -> None:
    provider = await stage.open("http-poster")
    with pytest.raises(RejectedError) as refusal:
        await stage.start(provider, {"url": f"http://{host}:8080/"})
    assert "[resources] http_egress_allow" in str(refusal.value)


async def test_s02_a_name_that_leads_to_a_private_address_is_refused_when_it_does(
    stage: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    port = await serve(server.respond)

    async def getaddrinfo(
        self: object, host: str, port: int, **options: Any
    ) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    provider = await poster(stage, f"http://innocent.example:{port}/", "10.0.0.1")
    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)
    assert await stage.ask(provider, "x", CAST) == ERR
    assert server.asked == []
    [warning] = stage.warnings
    assert "to which 'innocent.example' leads, is a loopback address" in warning


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/", "http://2852039166/", "http://[::1]/", "file:///etc/passwd"],
)
async def test_s02_a_redirect_does_not_lead_to_what_is_refused(
    stage: Any, serve: Any, target: str
) -> None:
    server = Server(307, Location=target)
    provider = await poster(stage, f"http://127.0.0.1:{await serve(server.respond)}/")
    assert await stage.ask(provider, "x", CAST) == ERR
    assert len(server.asked) == 1
    assert len(stage.warnings) == 1


async def test_a_redirect_is_followed_with_the_body_where_http_says_so(
    stage: Any, serve: Any
) -> None:
    there = Server()
    port = await serve(there.respond)
    for status in (307, 308):
        here = Server(status, Location=f"http://127.0.0.1:{port}/there")
        provider = await poster(stage, f"http://127.0.0.1:{await serve(here.respond)}/")
        assert await stage.ask(provider, "x", CAST) == NO_REPLY
    assert there.asked == [("POST", "/there", b"x")] * 2


async def test_redirects_in_a_circle_end(stage: Any, serve: Any) -> None:
    server = Server(307, Location="/")
    provider = await poster(stage, f"http://127.0.0.1:{await serve(server.respond)}/")
    assert await stage.ask(provider, "x", CAST) == ERR
    assert stage.warnings == ["http-poster: more than 5 redirects"]


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_f25_a_status_that_is_no_success_is_a_failure(
    stage: Any, serve: Any, status: int
) -> None:
    server = Server(status)
    provider = await poster(stage, f"http://127.0.0.1:{await serve(server.respond)}/")
    assert await stage.ask(provider, "x", CAST) == ERR
    assert stage.warnings == [f"http-poster: status {status} returned"]


async def test_f25_an_endless_answer_ends_and_the_next_cast_is_posted(
    stage: Any, serve: Any
) -> None:
    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        if await request.text() == "good":
            return web.Response()
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))

    provider = await poster(stage, f"http://127.0.0.1:{await serve(respond)}/")
    bad, good = stage.send(provider, "bad", CAST), stage.send(provider, "good", CAST)
    await stage.until(lambda: bool(bad and good))
    assert (bad, good) == ([ERR], [NO_REPLY])
    assert "the response has more than" in stage.warnings[0]


async def test_what_waits_is_bounded_and_stopping_answers_all_of_it(stage: Any, serve: Any) -> None:
    async def respond(request: web.BaseRequest) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("never reached")

    provider = await poster(stage, f"http://127.0.0.1:{await serve(respond)}/")
    answers = [stage.send(provider, "x", CAST) for _ in range(1_030)]
    assert answers.count([ERR]) == 1_030 - 1_025
    await provider.stop(stage.pid())
    assert answers == [[ERR]] * 1_030
    await stage.until(lambda: stage.supervisor.tasks_total == 1)
