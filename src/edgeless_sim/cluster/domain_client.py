"""A domain from outside, for programs that delegate orchestration to themselves: look, and intend.

Through a Redis, as with EDGELESS, or without one, at the ε-ORC; the program is the same.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from edgeless_sim.cluster.mirror_client import MirrorReader, open_wire_mirror
from edgeless_sim.cluster.settings.tls import ComponentTls
from edgeless_sim.orchestrator.redis_url import REDIS_SCHEMES

__all__ = ["open_domain"]

_TIMEOUT_S: Final = 5.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_domain(
    url: str, *, tls: ComponentTls | None = None, timeout_s: float = _TIMEOUT_S
) -> AsyncGenerator[MirrorReader]:
    """The domain that is mirrored in the Redis at *url*, or whose ε-ORC listens there.

    ``mirror()`` says what runs where and how the nodes fare, ``submit()`` leaves an intent. Needs a
    loop in real time; *timeout_s* is for each request. Raises `SettingsError` for a text that is no
    URL, and from the first request on `UnreachableError` and `RejectedError`.
    """
    if url.partition("://")[0] in REDIS_SCHEMES:
        # Loaded where it is wanted: it takes a tenth of a second.
        from edgeless_sim.orchestrator.redis_mirror import open_redis_mirror

        async with open_redis_mirror(url, warn=_log.warning, timeout_s=timeout_s) as mirror:
            yield mirror
    else:
        async with open_wire_mirror(url, tls=tls, timeout_s=timeout_s) as shown:
            yield shown
