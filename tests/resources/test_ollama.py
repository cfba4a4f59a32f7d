"""ollama beside a server that speaks its protocol: chats, what they remember, and what fails.

Spec 6.8, bugs 37 and 40; reliability F25.
"""

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.model.event import ERR, NO_REPLY, EventType, PatchRequest
from edgeless_sim.resources.base import OllamaSettings
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.ollama import CHAT_BYTES_MAX, Chat, ChatMessage

CAST = EventType.CAST


class Model:
    """An Ollama server: answers with the prompt in capitals."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: web.Response | None = None

    async def respond(self, request: web.BaseRequest) -> web.Response:
        assert (request.method, request.path) == ("POST", "/api/chat")
        assert request.content_type == "application/json"
        chat = msgspec.json.decode(await request.read())
        self.asked.append(chat)
        if chat["messages"][-1]["content"].startswith("wait"):
            await self.gate.wait()
        if self.failure is not None:
            return self.failure
        message = {"role": "assistant", "content": chat["messages"][-1]["content"].upper()}
        answer = {"model": chat["model"], "created_at": "x", "message": message, "done": True}
        return web.json_response(answer)

    def said(self) -> list[list[str]]:
        return [[message["content"] for message in chat["messages"]] for chat in self.asked]


async def chats(stage: Any, serve: Any, model: Model, limit: int = 30, **more: Any) -> Any:
    settings = OllamaSettings("127.0.0.1", await serve(model.respond), limit, **more)
    provider = await stage.open("ollama", ollama=settings)
    await stage.begin(provider, model="m")
    return provider


async def test_a_prompt_is_a_chat_request_and_the_answer_goes_to_out(
    stage: Any, serve: Any
) -> None:
    model = Model()
    provider = await chats(stage, serve, model)
    assert await stage.ask(provider, "hi", CAST) == NO_REPLY
    assert stage.function.sent == [("out", "HI")]
    assert model.asked == [
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    ]
    assert stage.send(provider, "x", EventType.CALL) == [ERR]


@pytest.mark.parametrize(
    ("limit", "third"),
    [(0, ["c"]), (1, ["c"]), (2, ["B", "c"]), (4, ["A", "b", "B", "c"]), (30, [*"aAbBc"])],
)
async def test_the_model_is_told_the_last_messages_and_no_more(
    stage: Any, serve: Any, limit: int, third: list[str]
) -> None:
    model = Model()
    provider = await chats(stage, serve, model, limit)
    for prompt in "abc":
        assert await stage.ask(provider, prompt, CAST) == NO_REPLY
    assert model.said()[2] == third


async def test_each_instance_has_a_chat_of_its_own_which_ends_with_it(
    stage: Any, serve: Any
) -> None:
    model = Model()
    provider = await chats(stage, serve, model)
    await stage.begin(provider, 2, model="m")
    await stage.ask(provider, "a", CAST)
    await stage.ask(provider, "b", CAST, 2)
    await provider.stop(stage.pid())
    await stage.begin(provider, model="m")
    await stage.ask(provider, "c", CAST)
    # Started again as it is, a chat goes on; with another model, it begins.
    await stage.begin(provider, model="m")
    await stage.ask(provider, "d", CAST)
    await stage.begin(provider, model="n")
    await stage.ask(provider, "e", CAST)
    assert model.said() == [["a"], ["b"], ["c"], ["c", "C", "d"], ["e"]]


async def test_one_chat_at_a_time_per_instance_and_none_waits_for_another_one(
    stage: Any, serve: Any
) -> None:
    model = Model()
    provider = await chats(stage, serve, model)
    await stage.begin(provider, 2, model="m")
    model.gate.clear()
    slow, behind = stage.send(provider, "wait", CAST), stage.send(provider, "b", CAST)
    assert await stage.ask(provider, "x", CAST, 2) == NO_REPLY
    assert (slow, behind) == ([], [])
    model.gate.set()
    await stage.until(lambda: bool(behind))
    assert model.said()[-1] == ["wait", "WAIT", "b"]


async def test_a_prompt_is_dropped_with_a_warning_while_out_is_not_mapped(
    stage: Any, serve: Any
) -> None:
    model = Model()
    provider = await chats(stage, serve, model)
    with pytest.raises(RejectedError, match="Missing mapping of channel: out"):
        await provider.patch(PatchRequest(stage.pid(), {}, 2))
    assert stage.send(provider, "x", CAST) == [ERR]
    assert stage.warnings == ["ollama: a prompt is dropped, since out is not mapped"]
    await stage.patch(provider)
    assert await stage.ask(provider, "y", CAST) == NO_REPLY
    assert model.said() == [["y"]]


async def test_f25_a_chat_that_failed_says_why_and_leaves_no_trace_in_what_is_told(
    stage: Any, serve: Any
) -> None:
    model = Model()
    provider = await chats(stage, serve, model)
    for failure, reason in (
        (web.json_response({"error": "model 'm' not found"}, status=404), ": model 'm' not found"),
        (web.Response(status=500, text="oh"), "status 500 returned"),
        (web.Response(text="oh"), "the answer is none to a chat"),
        (web.json_response({"message": {"role": 1}}), "the answer is none to a chat"),
    ):
        model.failure = failure
        assert await stage.ask(provider, "a", CAST) == ERR
        assert reason in stage.warnings[-1]
    model.failure = None
    assert await stage.ask(provider, "b", CAST) == NO_REPLY
    assert model.said()[-1] == ["b"]
    assert stage.function.sent == [("out", "B")]


async def test_f25_a_model_that_says_nothing_is_given_up(stage: Any, serve: Any) -> None:
    model = Model()
    model.gate.clear()
    provider = await chats(stage, serve, model, timeout_s=0.2)
    assert await stage.ask(provider, "wait", CAST) == ERR
    assert stage.warnings == ["ollama: no response within 0.2 s"]
    model.gate.set()


def test_a_chat_remembers_a_bounded_amount() -> None:
    chat = Chat("m")
    for _ in range(10):
        chat.add("x" * (CHAT_BYTES_MAX // 4), ChatMessage("assistant", "y"), 1_000)
    assert sum(len(message.content) for message in chat.messages) <= CHAT_BYTES_MAX
    assert len(chat.messages) == 7


@pytest.mark.parametrize("host", ["", "a b", "ftp://x", "http://u:p@x", "x/y", "x?y", "x#y", "x:1"])
async def test_a_host_that_cannot_be_one_is_refused(stage: Any, host: str) -> None:
    with pytest.raises(SettingsError, match="ollama: the host"):
        create_provider("ollama", "p", stage.host(ollama=OllamaSettings(host)))


@pytest.mark.parametrize("host", ["localhost", "http://gpu.lab", "https://gpu.lab/", "[::1]"])
async def test_hosts_may_have_a_scheme(stage: Any, host: str) -> None:
    provider: Any = create_provider("ollama", "p", stage.host(ollama=OllamaSettings(host)))
    assert (provider.place.port, provider.place.path) == (11_434, "/api/chat")
