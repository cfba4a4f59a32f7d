"""http-poster, serverless and ollama in virtual time: their requests go to simulated servers.

The simulated server of an ollama provider is told to answer chats. Not here: what the classes do
(their modules), and the servers (`http`).
"""

from collections.abc import Callable
from typing import ClassVar

import msgspec

from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.resources.base import ResourceHost
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.egress_rules import REDIRECTS_MAX
from edgeless_sim.resources.http_poster import HttpPoster
from edgeless_sim.resources.ollama import CHAT_PATH, ChatMessage, ChatReply, ChatRequest, Ollama
from edgeless_sim.resources.posting import Post, Posted
from edgeless_sim.resources.serverless import Serverless
from edgeless_sim.resources.simulated.backends import Backends, backend_address
from edgeless_sim.resources.simulated.http import HttpAnswer, HttpRecord, HttpServer, HttpVisit
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = [
    "SimulatedHttpPosterProvider",
    "SimulatedOllamaProvider",
    "SimulatedServerlessProvider",
    "SimulatedWeb",
    "chat_answer",
]


class SimulatedWeb:
    """A `Web` of simulated servers."""

    def __init__(
        self,
        backends: Backends,
        scheduler: Scheduler,
        policy: EgressPolicy | None,
        *,
        redirects_max: int,
    ) -> None:
        """See `HttpVisit`."""
        self._backends = backends
        self._scheduler = scheduler
        self._policy = policy
        self._redirects_max = redirects_max

    def open(self) -> None:
        """See `Web.open`; there is nothing to do."""

    def post(
        self, post: Post, then: Callable[[Posted | str], None], *, timeout_s: float
    ) -> Callable[[], None]:
        """See `Web.post`."""

        def end(found: HttpAnswer | str) -> None:
            then(found if isinstance(found, str) else Posted(found.status, found.body))

        visit = HttpVisit(
            self._backends,
            self._scheduler,
            self._policy,
            end,
            timeout_s=timeout_s,
            redirects_max=self._redirects_max,
        )
        return visit.begin(post.place, "POST", post.headers, post.body).cancel


class _InSimulation:
    real_time_only: ClassVar[bool] = False
    redirected: ClassVar[bool]

    def _make_web(
        self,
        host: ResourceHost,
        tasks: ProviderTasks,  # noqa: ARG002 - timers do it
        policy: EgressPolicy | None,
    ) -> SimulatedWeb:
        assert host.backends is not None, "a twin is for simulation"
        return SimulatedWeb(
            host.backends,
            host.scheduler,
            policy,
            redirects_max=REDIRECTS_MAX if self.redirected else 0,
        )


class SimulatedHttpPosterProvider(_InSimulation, HttpPoster):
    """http-poster in simulation."""


class SimulatedServerlessProvider(_InSimulation, Serverless):
    """serverless in simulation."""


class SimulatedOllamaProvider(_InSimulation, Ollama):
    """ollama in simulation. How long a model thinks is its back-end's delay."""

    async def open(self) -> None:
        """See `ResourceProvider.open`."""
        await super().open()
        backends = self._host.backends
        assert backends is not None, "a twin is for simulation"
        place = self.place
        port = "" if place.port is None else f":{place.port}"
        address = backend_address(f"{place.scheme}://{place.name}{port}")
        backends.of(HttpServer, address).otherwise = chat_answer


def chat_answer(record: HttpRecord) -> HttpAnswer:
    """What the simulated model says: its name and the prompt. Rules of the server come first."""
    if record.method != "POST" or record.path != CHAT_PATH:
        return HttpAnswer(404)
    try:
        chat = msgspec.json.decode(record.body, type=ChatRequest)
    except msgspec.DecodeError:
        return HttpAnswer(400)
    said = ChatMessage("assistant", f"{chat.model}: {chat.messages[-1].content}")
    return HttpAnswer(body=msgspec.json.encode(ChatReply(said)))
