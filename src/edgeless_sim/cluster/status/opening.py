"""Opens the HTTP server that shows measurements and health of a component."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgeless_sim.cluster.component_settings import ComponentSettings

if TYPE_CHECKING:
    from edgeless_sim.cluster.status.server import StatusServer

__all__ = ["open_status"]


async def open_status(
    settings: ComponentSettings, kind: str, registry: Any, ready: Callable[[], str]
) -> "StatusServer":
    """Open it at the *metrics_url* of *settings*; raise as `StatusServer.open`.

    *kind* is what the component is called, *ready* says why it is not ready, or nothing.
    """
    # Loaded where it is wanted: a tenth of a second, which simulations would pay too.
    from edgeless_sim.cluster.status.server import StatusServer

    server = StatusServer(settings.metrics_url, f"{kind} {settings.name}", registry, ready)
    await server.open()
    return server
