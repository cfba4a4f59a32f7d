"""What a client of http-ingresses is, whichever world it lives in.

A way is found once per question, and again when it led nowhere. Not here: what the answers mean
(`web_steps`, `workload_sources`).
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import anyio

from edgeless_sim.resources.simulated.http_ingress import IngressRequest, IngressResponse

__all__ = ["CUT", "NOT_FOUND", "REFUSED", "WebAnswer", "WebClient", "WebWay"]

#: Nobody listens.
REFUSED: Final = "refused"
#: The connection ended without a response.
CUT: Final = "cut"
NOT_FOUND: Final = 404

#: A response, or why there is none.
WebAnswer: TypeAlias = IngressResponse | str


class WebWay(Protocol):
    """The way of one question to an ingress."""

    def ask_soon(self, answer: Callable[[WebAnswer], None], timeout_s: float) -> None:
        """Ask; *answer* gets what comes of it, once, later, perhaps after *timeout_s*."""
        ...


class WebClient(ABC):
    """Makes ways. Close it."""

    @abstractmethod
    def way(self, request: IngressRequest, node: str | None) -> WebWay:
        """A way for *request* to the ingress of *node*, or to the first that has an instance."""

    async def ask(
        self, request: IngressRequest, node: str | None, timeout_s: float
    ) -> WebAnswer | None:
        """Ask once; None if there is no answer in time."""
        found: asyncio.Future[WebAnswer] = asyncio.get_running_loop().create_future()

        def take(answer: WebAnswer) -> None:
            if not found.done():
                found.set_result(answer)

        self.way(request, node).ask_soon(take, timeout_s)
        with anyio.move_on_after(timeout_s):
            return await found
        return None

    async def close(self) -> None:  # noqa: B027 - there may be nothing to close
        """Give back what it holds."""
