"""http-ingress in virtual time answers as the real one does, and more could not be told apart."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
import pytest

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, PatchRequest, Target
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources import ingress_rules
from edgeless_sim.resources.base import ResourceHost, ResourceSettings
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.resources.simulated.backends import Backends
from edgeless_sim.resources.simulated.http_ingress import (
    IngressDoor,
    IngressRequest,
    IngressResponse,
    door_address,
)

URL = "http://127.0.0.1:0"
PID = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=1)))


def reply(status: int = 200, body: bytes = b"ok", **headers: str) -> CallReturn:
    message = {"status": status, "headers": headers, "body": list(body)}
    return CallReturn.reply(msgspec.json.encode(message).decode())


async def twin(stage: Any, **settings: Any) -> Any:
    host = replace(
        stage.host(http_ingress_url=URL, **settings), backends=Backends(stage.clock.scheduler)
    )
    provider = create_provider("http-ingress", "edge/0/http-ingress", host)
    stage._providers.append(provider)
    await provider.open()
    return provider


def gist(body: bytes) -> bytes:
    """*body* without the explanations that follow a colon."""
    return body.partition(b":")[0]


async def asked(provider: Any, request: IngressRequest) -> tuple[int, bytes]:
    response = await provider.door.ask(request)
    assert response is not None
    return response.status, response.body


@pytest.mark.parametrize("configuration", [{}, {"async": "true"}, {"host": "one.lab:8000"}])
@pytest.mark.parametrize(
    "result",
    [
        reply(),
        reply(404, b"", x="y"),
        reply(99),
        reply(body=b"\x00\xff", connection="close"),
        CallReturn.reply("no response"),
        NO_REPLY,
        ERR,
    ],
)
@pytest.mark.parametrize(
    "request_",
    [
        IngressRequest(),
        IngressRequest("HEAD"),
        IngressRequest("POST", "/a?b=c", "one.lab:8000", {"X-A": "1"}, b"body"),
        IngressRequest("POST", body=b"\xff"),
        IngressRequest("OPTIONS"),
        IngressRequest(host="a b"),
        IngressRequest("PUT", body=b"x" * 600_000),
    ],
    ids=lambda each: f"{each.method}-{len(each.body)}-{each.host}",
)
async def test_what_it_answers_is_what_the_real_one_answers(
    stage: Any,
    client: aiohttp.ClientSession,
    configuration: dict[str, str],
    result: CallReturn,
    request_: IngressRequest,
) -> None:
    stage.function.reply = lambda payload: result
    real = await stage.open("http-ingress", http_ingress_url=URL)
    simulated = await twin(stage)
    for provider in (real, simulated):
        await stage.begin(provider, **configuration)
    headers = dict(request_.headers) | ({"Host": request_.host} if request_.host else {})
    async with client.request(
        request_.method, real.url + request_.target, headers=headers, data=request_.body or None
    ) as response:
        expected = response.status, gist(await response.read()), response.headers.get("X")
    there = (list(stage.function.casts), [msgspec.json.decode(x) for x in stage.function.calls])
    stage.function.casts.clear()
    stage.function.calls.clear()
    found = await simulated.door.ask(request_)
    assert (found.status, gist(found.body), found.headers.get("x")) == expected
    here = (stage.function.casts, [msgspec.json.decode(x) for x in stage.function.calls])
    assert here[0] == there[0]
    for ours, theirs in zip(here[1], there[1], strict=True):
        assert all(ours[key] == theirs[key] for key in ("method", "path", "body", "protocol"))


async def test_it_takes_requests_from_the_first_patch_to_the_stop(stage: Any) -> None:
    provider = await twin(stage)
    stage.function.reply = lambda payload: reply()
    request = IngressRequest()
    pid = await stage.start(provider, {})
    assert await asked(provider, request) == (404, b"Not Found")
    assert not provider.door.takes(request)
    await stage.patch(provider)
    assert provider.door.takes(request)
    assert await asked(provider, request) == (200, b"ok")
    await stage.start(provider, {"method": "POST"})
    assert await asked(provider, request) == (404, b"Not Found")
    assert await asked(provider, IngressRequest("POST")) == (200, b"ok")
    await provider.stop(pid)
    assert await asked(provider, IngressRequest("POST")) == (404, b"Not Found")


async def test_a_workflow_is_told_by_the_query(stage: Any) -> None:
    provider = await twin(stage)
    stage.function.reply = lambda payload: reply()
    await stage.begin(provider, wf_id="true")
    assert await asked(provider, IngressRequest()) == (404, b"Not Found")
    workflow = "00000000-0000-0000-0000-000000000009"
    assert await asked(provider, IngressRequest(target=f"/?a=1&wf_id={workflow}")) == (200, b"ok")


async def test_more_than_may_wait_are_answered_with_503(stage: Any) -> None:
    provider = await twin(stage, call_timeout_s=60)
    stage.function.reply = lambda payload: None
    await stage.begin(provider)
    answers: list[IngressResponse | None] = []
    for _ in range(ingress_rules.OPEN_MAX):
        assert provider.door.request(IngressRequest(), answers.append)
    assert await asked(provider, IngressRequest()) == (
        503,
        b"too many requests wait for this function",
    )
    stage.function.waiting[0](reply())
    assert [each.status for each in answers if each is not None] == [200]
    assert provider.door.request(IngressRequest(), answers.append)
    provider.close()
    await stage.until(lambda: len(answers) == ingress_rules.OPEN_MAX + 1)
    assert answers[1:] == [None] * ingress_rules.OPEN_MAX, "cut"


async def test_bodies_that_wait_are_bounded(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "edgeless_sim.resources.simulated.http_ingress.OPEN_BYTES_MAX"
    monkeypatch.setattr(module, 1000)
    provider = await twin(stage)
    stage.function.reply = lambda payload: None
    await stage.begin(provider)
    answers: list[IngressResponse | None] = []
    for _ in range(2):
        provider.door.request(IngressRequest("PUT", body=b"x" * 400), answers.append)
    assert await asked(provider, IngressRequest("PUT", body=b"x" * 400)) == (
        503,
        b"too many bytes wait for functions",
    )
    stage.function.waiting[0](reply())
    provider.door.request(IngressRequest("PUT", body=b"x" * 400), answers.append)
    assert len(stage.function.calls) == 3


async def test_a_door_without_a_provider_refuses_and_opens_again(stage: Any) -> None:
    provider = await twin(stage)
    provider.close()
    assert await provider.door.ask(IngressRequest()) is None
    assert not provider.door.takes(IngressRequest())
    await provider.open()
    assert await asked(provider, IngressRequest()) == (404, b"Not Found")


async def test_it_has_no_more_instances_than_it_can(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress_rules, "INSTANCES_MAX", 1)
    provider = await twin(stage)
    await stage.begin(provider)
    await stage.begin(provider)
    with pytest.raises(RejectedError, match="1 instances, the most it can"):
        await stage.start(provider, {}, 2)


class Mute:
    """A function that never answers; its node gives up in time."""

    def __init__(self, clock: LoopClock) -> None:
        self._scheduler = clock.scheduler

    def call_nowait(
        self, channel: str, payload: str, answer: Callable[[CallReturn], None], *, timeout_s: float
    ) -> None:
        self._scheduler.call_at(self._scheduler.now_ns() + round(timeout_s * 1e9), answer, ERR)


def host(url: str = URL, call_timeout_s: float = 30.0) -> ResourceHost:
    clock = LoopClock.running()
    backends = Backends(clock.scheduler)
    settings = ResourceSettings(url, call_timeout_s=call_timeout_s)
    return ResourceHost(
        "edge/0", clock, clock.scheduler, VirtualFiles(), settings=settings, backends=backends
    )


def test_a_function_that_is_late_is_504_at_the_nanosecond() -> None:
    async def main() -> tuple[int, int]:
        clock = LoopClock.running()
        provider: Any = create_provider("http-ingress", "p", host(call_timeout_s=2.0))
        await provider.open()
        specification = ResourceInstanceSpecification("http-ingress", {}, WorkflowId(UUID(int=9)))
        mute: Any = Mute(clock)
        await provider.start(PID, specification, mute)
        target = Target(PID, "tcp://127.0.0.1:1")
        await provider.patch(PatchRequest(PID, {"new_request": target}, 1))
        response = await provider.door.ask(IngressRequest())
        return response.status, clock.now_ns()

    assert run(main) == (504, 2_000_000_000)


def test_it_needs_a_url_and_has_an_address() -> None:
    async def main() -> None:
        with pytest.raises(SettingsError, match="needs http_ingress_url"):
            create_provider("http-ingress", "p", host(""))
        surroundings = host()
        create_provider("http-ingress", "edge/0/http-ingress", surroundings)
        assert surroundings.backends is not None
        assert list(surroundings.backends.all(IngressDoor)) == ["ingress://edge/0/http-ingress"]

    run(main)
    assert door_address("edge/0", "p") == "ingress://edge/0/p"
