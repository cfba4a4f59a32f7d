"""http-poster, serverless and ollama over sockets.

Not here: what they do (the modules of the classes), and the client (`http_client`).
"""

from collections.abc import Callable
from typing import ClassVar

from edgeless_sim.errors import ResourceError
from edgeless_sim.resources.base import ResourceHost
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.egress_rules import REDIRECTS_MAX
from edgeless_sim.resources.http_client import HttpClient
from edgeless_sim.resources.http_poster import HttpPoster
from edgeless_sim.resources.ollama import Ollama
from edgeless_sim.resources.posting import Post, Posted
from edgeless_sim.resources.serverless import Serverless
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["HttpPosterProvider", "OllamaProvider", "ServerlessProvider", "SocketWeb"]


class SocketWeb:
    """A `Web` of sockets; each request is a task of its provider."""

    def __init__(
        self,
        host: ResourceHost,
        tasks: ProviderTasks,
        policy: EgressPolicy | None,
        *,
        redirects_max: int,
    ) -> None:
        """See `HttpClient`."""
        self._clock = host.clock
        self._tasks = tasks
        self._client = HttpClient(tasks, policy, redirects_max=redirects_max)

    def open(self) -> None:
        """See `Web.open`."""
        self._client.open()

    def post(
        self, post: Post, then: Callable[[Posted | str], None], *, timeout_s: float
    ) -> Callable[[], None]:
        """See `Web.post`."""

        async def work() -> None:
            found: Posted | str
            try:
                with self._clock.fail_after(timeout_s):
                    received = await self._client.exchange(
                        post.place, "POST", post.headers, post.body
                    )
                found = Posted(received.status, received.body)
            except TimeoutError:
                found = f"no response within {timeout_s:g} s"
            except ResourceError as cause:
                found = str(cause)
            if not scope.cancel_called:
                then(found)

        scope = self._tasks.begin(work)
        return scope.cancel


class _OverSockets:
    real_time_only: ClassVar[bool] = True
    redirected: ClassVar[bool]

    def _make_web(
        self, host: ResourceHost, tasks: ProviderTasks, policy: EgressPolicy | None
    ) -> SocketWeb:
        return SocketWeb(host, tasks, policy, redirects_max=REDIRECTS_MAX if self.redirected else 0)


class HttpPosterProvider(_OverSockets, HttpPoster):
    """http-poster on a node."""


class ServerlessProvider(_OverSockets, Serverless):
    """serverless on a node."""


class OllamaProvider(_OverSockets, Ollama):
    """ollama on a node."""
