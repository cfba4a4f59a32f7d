"""Where http-egress does not go: by address, by name, by redirect (reliability S02)."""

import asyncio
import socket
from typing import Any

import msgspec
import pytest
from aiohttp import web

from edgeless_sim.model.event import ERR, CallReturn


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


HERE = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST.",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "[::ffff:127.0.0.1]",
]


@pytest.mark.parametrize("host", [*HERE, "[::1]"])
async def test_this_machine_is_refused_by_default_however_it_is_spelt(
    stage: Any, serve: Any, host: str
) -> None:
    asked = []

    async def respond(incoming: web.BaseRequest) -> web.Response:
        asked.append(incoming.path)
        return web.Response()

    port = await serve(respond)
    provider = await stage.open("http-egress")
    await stage.start(provider, {})
    assert await stage.ask(provider, request(f"{host}:{port}")) == ERR
    [warning] = stage.warnings
    assert "is a loopback address; the node would allow it with" in warning
    assert "[resources] http_egress_allow" in warning
    assert asked == []


@pytest.mark.parametrize("host", HERE)
async def test_this_machine_is_allowed_by_configuration(stage: Any, serve: Any, host: str) -> None:
    async def respond(incoming: web.BaseRequest) -> web.Response:
        return web.Response(text="here")

    port = await serve(respond)
    provider = await free_provider(stage, f"127.0.0.1:{port}", "[::1]")
    assert read(await stage.ask(provider, request(f"{host}:{port}")))["body"] == [*b"here"]


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "2852039166", "0251.0376.0251.0376", "0xa9fea9fe", "[fd00:ec2::254]"],
)
async def test_metadata_services_are_refused(stage: Any, host: str) -> None:
    provider = await free_provider(stage)
    assert await stage.ask(provider, request(host)) == ERR
    assert "[resources] http_egress_allow" in stage.warnings[0]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names lead to the first of *answers*, then to the next one, and stay at the last."""
    asked: list[str] = []
    left = list(answers)

    async def getaddrinfo(
        self: object, host: str, port: int, **options: Any
    ) -> list[tuple[Any, ...]]:
        asked.append(host)
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
        ]

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)
    return asked


async def test_a_name_is_refused_if_one_of_its_addresses_is(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await stage.open("http-egress")
    await stage.start(provider, {})
    asked = resolving(monkeypatch, ["93.184.215.14", "10.0.0.1"])
    assert await stage.ask(provider, request("innocent.example")) == ERR
    assert asked == ["innocent.example"]
    assert stage.warnings == [
        "http-egress: 10.0.0.1, to which 'innocent.example' leads, is a private or reserved "
        'address; the node would allow it with [resources] http_egress_allow = ["10.0.0.1:80"]'
    ]


async def test_a_name_that_leads_elsewhere_the_second_time_is_refused_then(
    stage: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def respond(incoming: web.BaseRequest) -> web.Response:
        return web.Response(headers={"Connection": "close"})

    port = await serve(respond)
    provider = await free_provider(stage, f"127.0.0.1:{port}")
    resolving(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    payload = request(f"rebinding.example:{port}")
    assert read(await stage.ask(provider, payload))["status"] == 200
    assert await stage.ask(provider, payload) == ERR
    assert "169.254.169.254" in stage.warnings[0]


async def test_a_name_can_be_allowed_itself(
    stage: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def respond(incoming: web.BaseRequest) -> web.Response:
        return web.Response()

    port = await serve(respond)
    provider = await free_provider(stage, "good.example")
    resolving(monkeypatch, ["127.0.0.1"])
    assert read(await stage.ask(provider, request(f"good.example:{port}")))["status"] == 200
    assert await stage.ask(provider, request(f"bad.example:{port}")) == ERR


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:169.254.169.254]/",
        "http://127.0.0.1:{other}/",
        "http://localhost:{other}/",
        "//0x7f000001:{other}/",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{port}/",
        "http://a:b@127.0.0.1:{port}/there",
        "http://[::1",
        "http://127.0.0.1:{port}/again",
    ],
)
async def test_redirects_lead_nowhere_that_a_request_could_not_go(
    stage: Any, serve: Any, target: str
) -> None:
    reached = []

    async def other(incoming: web.BaseRequest) -> web.Response:
        reached.append(incoming.path)
        return web.Response()

    async def respond(incoming: web.BaseRequest) -> web.Response:
        location = target.format(port=port, other=other_port)
        return web.Response(status=302, headers={"Location": location})

    other_port = await serve(other)
    port = await serve(respond)
    provider = await free_provider(stage, f"127.0.0.1:{port}")
    assert await stage.ask(provider, request(f"127.0.0.1:{port}")) == ERR
    assert reached == []
    assert len(stage.warnings) == 1


async def test_redirects_are_followed_and_secrets_stay_at_home(stage: Any, serve: Any) -> None:
    seen = []

    async def other(incoming: web.BaseRequest) -> web.Response:
        seen.append((incoming.method, incoming.raw_path, "Authorization" in incoming.headers))
        return web.Response(text=(await incoming.read()).decode())

    async def respond(incoming: web.BaseRequest) -> web.Response:
        seen.append((incoming.method, incoming.raw_path, "Authorization" in incoming.headers))
        if incoming.path == "/first":
            return web.Response(status=307, headers={"Location": "second?a=b"})
        location = f"http://127.0.0.1:{other_port}/third"
        status = 303 if incoming.path == "/second" else 308
        return web.Response(status=status, headers={"Location": location})

    other_port = await serve(other)
    port = await serve(respond)
    provider = await free_provider(stage)
    fields = {"method": "Post", "headers": {"Authorization": "secret"}, "body": [*b"body"]}
    answer = await stage.ask(provider, request(f"127.0.0.1:{port}", path="/first", **fields))
    assert read(answer)["body"] == []
    assert seen == [
        ("POST", "/first", True),
        ("POST", "/second?a=b", True),
        ("GET", "/third", False),
    ]
    answer = await stage.ask(provider, request(f"127.0.0.1:{port}", path="/kept", **fields))
    assert read(answer)["body"] == [*b"body"]
