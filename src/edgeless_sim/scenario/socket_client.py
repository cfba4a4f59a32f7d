"""A client of http-ingresses over real sockets. Loads aiohttp: import it where it is used.

Not here: which ingress has an instance (`web_clients`).
"""

from collections.abc import Callable
from typing import Final

import aiohttp
from yarl import URL

from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.resources.simulated.http_ingress import IngressRequest, IngressResponse
from edgeless_sim.scenario.web_client import CUT, NOT_FOUND, REFUSED, WebAnswer, WebClient, WebWay

__all__ = ["SocketClient"]

_AUTO_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class SocketClient(WebClient):
    """See `WebClient`."""

    def __init__(
        self,
        url_of: Callable[[str], str],
        candidates: Callable[[], list[str]],
        spawn: Spawn,
    ) -> None:
        """*url_of* is where a node listens; *candidates* are all that do, the best one first.

        *spawn* begins a task that ends before this does.
        """
        self.url_of = url_of
        self.candidates = candidates
        self.spawn = spawn
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Made when it is first needed: it belongs to the loop."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            # As in virtual time: the headers of a request are those that its step names.
            self._session = aiohttp.ClientSession(
                connector=connector, skip_auto_headers=_AUTO_HEADERS
            )
        return self._session

    def way(self, request: IngressRequest, node: str | None) -> WebWay:
        """See `WebClient.way`."""
        return _SocketWay(self, request, node)

    async def close(self) -> None:
        """See `WebClient.close`."""
        if self._session is not None:
            await self._session.close()


class _SocketWay:
    """Remembers the URL."""

    def __init__(self, client: SocketClient, request: IngressRequest, node: str | None) -> None:
        self._client = client
        self._request = request
        self._node = node
        self._url = ""

    def ask_soon(self, answer: Callable[[WebAnswer], None], timeout_s: float) -> None:
        """See `WebWay.ask_soon`."""
        self._client.spawn(self._ask(answer, timeout_s), "http request")

    async def _ask(self, answer: Callable[[WebAnswer], None], timeout_s: float) -> None:
        url = self._url = self._url or self._found()
        found = await self._answer(url, timeout_s) if url else REFUSED
        if isinstance(found, str) or found.status == NOT_FOUND:
            self._url = ""
        answer(found)

    async def _answer(self, url: str, timeout_s: float) -> WebAnswer:
        request = self._request
        headers = dict(request.headers) | ({"Host": request.host} if request.host else {})
        try:
            async with self._client.session.request(
                request.method,
                URL(url + request.target, encoded=True),
                headers=headers,
                data=request.body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                return IngressResponse(
                    response.status, dict(response.headers), await response.read()
                )
        except aiohttp.ClientConnectorError:
            return REFUSED
        except (aiohttp.ClientError, TimeoutError, OSError):
            return CUT

    def _found(self) -> str:
        if self._node is not None:
            return self._client.url_of(self._node)
        return next(iter(self._client.candidates()), "")
