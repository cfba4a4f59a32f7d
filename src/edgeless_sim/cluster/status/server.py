"""The HTTP server behind ``metrics_url``: ``/metrics``, ``/health`` and ``/ready``.

Not here: what is measured (`node_metrics`, `control_metrics`).
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from edgeless_sim.errors import ListenError

__all__ = ["StatusServer"]

_KEEP_ALIVE_S: Final = 30.0
_HEADER_BYTES_MAX: Final = 8190


class StatusServer:
    """Shows *registry*, and what *ready* says: why the component is not, or nothing if it is."""

    def __init__(
        self, url: str, who: str, registry: CollectorRegistry, ready: Callable[[], str]
    ) -> None:
        """*who* is the component's kind and name, such as ``node edge/0``."""
        self._url = url
        self._who = who
        self._registry = registry
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen; raise `ListenError` if the address is taken."""
        application = web.Application(
            client_max_size=0,
            handler_args={
                "max_line_size": _HEADER_BYTES_MAX,
                "max_field_size": _HEADER_BYTES_MAX,
                "keepalive_timeout": _KEEP_ALIVE_S,
            },
        )
        application.router.add_get("/metrics", self._show_metrics)
        application.router.add_get("/health", self._show_health)
        application.router.add_get("/ready", self._show_ready)
        place = urlsplit(self._url)
        runner = self._runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, place.hostname, place.port, shutdown_timeout=1.0).start()
        except OSError as error:
            await self.close()
            raise ListenError(
                self._url, f"cannot listen at {self._url}: {error.strerror or error}"
            ) from None

    async def close(self) -> None:
        """Listen no more. Idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=_rendered(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _show_health(self, _: web.Request) -> web.Response:
        """Whoever can answer is alive."""
        return web.json_response({"status": "alive", "component": self._who})

    async def _show_ready(self, _: web.Request) -> web.Response:
        reason = self._ready()
        answer = {"status": "not ready" if reason else "ready", "component": self._who}
        if reason:
            answer["reason"] = reason
        return web.json_response(answer, status=503 if reason else 200)


def _rendered(registry: CollectorRegistry) -> bytes:
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]  # it has no types
    return text
