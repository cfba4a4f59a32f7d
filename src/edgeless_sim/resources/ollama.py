"""ollama: a cast is a prompt, the model's answer an event (spec 6.8).

The server is the node owner's, so it may be anywhere; redirects are not followed. Each instance has
one chat, of which it remembers the last messages. Not here: sockets (`socket_web`) and the
simulated web.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

import msgspec

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import OllamaSettings, ResourceHost
from edgeless_sim.resources.egress_rules import Place, place_of_url
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.posting import Post, Posted, PostingInstance, PostingProvider

__all__ = [
    "CHAT_BYTES_MAX",
    "CHAT_PATH",
    "OUT_CHANNEL",
    "Chat",
    "ChatMessage",
    "ChatReply",
    "ChatRequest",
    "Ollama",
    "chat_place",
]

OUT_CHANNEL: Final = "out"
#: Of Ollama's HTTP interface.
CHAT_PATH: Final = "/api/chat"
#: What one chat may remember, in characters, whatever the number of its messages.
CHAT_BYTES_MAX: Final = 1 << 20
_MODEL_LENGTH_MAX: Final = 256
_JSON: Final = {"content-type": "application/json"}


class ChatMessage(msgspec.Struct, frozen=True):
    """What one side said."""

    role: str
    content: str


class ChatRequest(msgspec.Struct, frozen=True):
    """Asks a model for the next message of a chat."""

    model: str
    messages: list[ChatMessage]
    stream: bool = False


class ChatReply(msgspec.Struct, frozen=True):
    """The next message; what else a server tells is left out."""

    message: ChatMessage
    done: bool = True


class _Failure(msgspec.Struct, frozen=True):
    error: str


@dataclass(slots=True)
class Chat:
    """A chat with one model: what was said, without prompts that nobody answered."""

    model: str
    messages: deque[ChatMessage] = field(default_factory=deque)

    def told(self, prompt: str, limit: int) -> list[ChatMessage]:
        """What the model is told with *prompt*: at most *limit* messages, but always the prompt."""
        before = list(self.messages)[-(limit - 1) :] if limit > 1 else []
        return [*before, ChatMessage("user", prompt)]

    def add(self, prompt: str, answer: ChatMessage, limit: int) -> None:
        """Remember an exchange; the oldest messages go."""
        self.messages += ChatMessage("user", prompt), answer
        size = sum(len(message.content) for message in self.messages)
        while self.messages and (len(self.messages) > limit or size > CHAT_BYTES_MAX):
            size -= len(self.messages.popleft().content)


class Ollama(PostingProvider[Chat]):
    """Makes ollama instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node was told a server that cannot be one.
    """

    class_type: ClassVar[str] = "ollama"
    version: ClassVar[str] = "1.1"
    outputs: ClassVar[tuple[str, ...]] = (OUT_CHANNEL,)
    description: ClassVar[str] = "Chats with a model of an Ollama server: a cast is a prompt"
    configurations: ClassVar[Mapping[str, str]] = {"model": "the model to chat with, mandatory"}

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        self.place = chat_place(host.settings.ollama)
        super().__init__(provider_id, host)

    @property
    def _timeout_s(self) -> float:
        # Not the deadline of calls: nobody waits for a cast.
        return self._host.settings.ollama.timeout_s

    @property
    def _limit(self) -> int:
        return self._host.settings.ollama.messages_number_limit

    def _read(self, specification: ResourceInstanceSpecification, before: Chat | None) -> Chat:
        model = specification.configuration.get("model", "")
        if not model:
            raise RejectedError(REJECTED_SUMMARY, "Missing model name")
        if len(model) > _MODEL_LENGTH_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"The model name has more than {_MODEL_LENGTH_MAX} characters"
            )
        return before if before is not None and before.model == model else Chat(model)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; raise `RejectedError` if the output is not mapped."""
        await super().patch(request)
        if OUT_CHANNEL not in request.output_mapping:
            raise RejectedError(
                "Error when patching a resource", f"Missing mapping of channel: {OUT_CHANNEL}"
            )

    def _post(self, instance: PostingInstance[Chat], payload: str) -> Post:
        if OUT_CHANNEL not in instance.outputs:
            raise ResourceError(f"a prompt is dropped, since {OUT_CHANNEL} is not mapped")
        chat = instance.told
        asked = ChatRequest(chat.model, chat.told(payload, self._limit))
        return Post(self.place, msgspec.json.encode(asked), _JSON)

    def _finish(
        self, instance: PostingInstance[Chat], told: Chat, payload: str, posted: Posted
    ) -> None:
        if not posted.is_good:
            raise ResourceError(f"status {posted.status} returned{_reason(posted.body)}")
        try:
            message = msgspec.json.decode(posted.body, type=ChatReply).message
        except msgspec.DecodeError as cause:
            raise ResourceError(f"the answer is none to a chat: {cause}") from None
        told.add(payload, message, self._limit)
        instance.sink.cast(OUT_CHANNEL, message.content)


def chat_place(settings: OllamaSettings) -> Place:
    """Where chats go; raise `SettingsError` if the host cannot be one."""
    url = settings.host if "://" in settings.host else f"http://{settings.host}"
    try:
        place = place_of_url(f"{url.rstrip('/')}:{settings.port}{CHAT_PATH}")
        if place.path != CHAT_PATH:
            raise ResourceError("a host has no path")
        return place
    except ResourceError as cause:
        raise SettingsError(
            clipped(f"ollama: the host {quoted(settings.host)} cannot be used: {cause}")
        ) from None


def _reason(body: bytes) -> str:
    try:
        return f": {msgspec.json.decode(body, type=_Failure).error}"
    except msgspec.DecodeError:
        return ""
