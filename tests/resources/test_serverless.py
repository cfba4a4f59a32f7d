"""serverless beside a real server: a function that runs elsewhere, under a name of the user's.

Spec 6.9, bugs 37 and 40; reliability F25.
"""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from edgeless_sim.errors import SettingsError
from edgeless_sim.model.event import ERR, NO_REPLY, EventType
from edgeless_sim.resources.base import ServerlessSettings
from edgeless_sim.resources.catalog import create_provider

CAST = EventType.CAST


def told(url: str, provider_id: str = "serverless-1") -> ServerlessSettings:
    return ServerlessSettings(provider_id=provider_id, class_type="thumbnail", function_url=url)


async def function(stage: Any, url: str) -> Any:
    provider = await stage.open("serverless", serverless=(told("http://x/", "other"), told(url)))
    await stage.begin(provider)
    return provider


async def test_its_class_is_the_one_its_owner_named(stage: Any) -> None:
    provider = await function(stage, "http://127.0.0.1:1/f")
    assert provider.specification.class_type == "thumbnail"
    assert provider.specification.outputs == ("err", "out")
    other = create_provider(
        "serverless", "other", stage.host(serverless=(told("http://x", "other"),))
    )
    assert other.specification.provider_id == "other"
    assert type(provider).class_type == "serverless", "the name is one provider's, not all's"


async def test_what_the_function_answers_is_cast_to_out(stage: Any, serve: Any) -> None:
    async def respond(request: web.BaseRequest) -> web.Response:
        assert (request.method, request.path) == ("POST", "/f")
        return web.Response(text=(await request.text()).upper())

    provider = await function(stage, f"http://127.0.0.1:{await serve(respond)}/f")
    assert await stage.ask(provider, "grün", CAST) == NO_REPLY
    assert stage.function.sent == [("out", "GRÜN")]
    assert stage.send(provider, "x", EventType.CALL) == [ERR]


@pytest.mark.parametrize("status", [201, 204, 302, 404, 500])
async def test_f25_any_status_but_200_is_cast_to_err(stage: Any, serve: Any, status: int) -> None:
    async def respond(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    url = f"http://127.0.0.1:{await serve(respond)}/f"
    provider = await function(stage, url)
    assert await stage.ask(provider, "x", CAST) == ERR
    assert stage.function.sent == [
        (
            "err",
            f"error when calling serverless function at {url} for resource {stage.pid()}: "
            f"status {status} returned",
        )
    ]


async def test_f25_a_function_that_is_away_or_answers_no_text_is_told_on_err(
    stage: Any, serve: Any
) -> None:
    async def respond(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"\xff\xfe")

    provider = await function(stage, f"http://127.0.0.1:{await serve(respond)}/f")
    assert await stage.ask(provider, "x", CAST) == ERR
    [(channel, text)] = stage.function.sent
    assert channel == "err"
    assert text.endswith("the answer is no UTF-8 text")
    away = await stage.open("serverless", serverless=(told("http://127.0.0.1:1/f"),))
    await stage.begin(away)
    assert await stage.ask(away, "x", CAST) == ERR
    assert stage.function.sent[1][0] == "err"


async def test_one_instance_does_not_wait_for_another(stage: Any, serve: Any) -> None:
    gate = asyncio.Event()

    async def respond(request: web.BaseRequest) -> web.Response:
        if await request.text() == "slow":
            await gate.wait()
        return web.Response()

    provider = await function(stage, f"http://127.0.0.1:{await serve(respond)}/f")
    await stage.begin(provider, 2)
    slow, behind = stage.send(provider, "slow", CAST), stage.send(provider, "quick", CAST)
    assert await stage.ask(provider, "quick", CAST, 2) == NO_REPLY
    assert (slow, behind) == ([], [])
    gate.set()
    await stage.until(lambda: bool(behind))
    assert (slow, behind) == ([NO_REPLY], [NO_REPLY])


async def test_a_provider_that_is_told_nothing_usable_is_not_made(stage: Any) -> None:
    with pytest.raises(SettingsError, match=r"\[\[resources.serverless_provider\]\]"):
        create_provider("serverless", "p", stage.host())
    for url in ("", "x", "ftp://x/", "http://u:p@x/"):
        with pytest.raises(SettingsError, match="function_url of 'p'"):
            create_provider("serverless", "p", stage.host(serverless=(told(url, "p"),)))
