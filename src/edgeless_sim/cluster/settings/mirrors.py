"""What ``[proxy]`` of an ``orchestrator.toml`` may say (spec 7, 8.2).

Not here: whether a Redis answers and a folder can be written to; neither keeps an ε-ORC from its
start.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from edgeless_sim.cluster.settings.orchestrator import OrchestratorSettingsFile
from edgeless_sim.cluster.settings.unavailable import Fault
from edgeless_sim.model.names import clipped, name_fault

__all__ = ["mirror_faults", "redis_url_fault"]

_EXAMPLE: Final = "such as redis://127.0.0.1:6379"
_SCHEMES: Final = ("redis", "rediss", "unix")
_DATABASE: Final = re.compile(r"/?[0-9]{0,4}")


def mirror_faults(settings: OrchestratorSettingsFile) -> Iterator[Fault]:
    """What cannot be meant; values of ``redis_url`` are not shown, as they may have a password."""
    proxy = settings.proxy
    if proxy.proxy_type == "Redis":
        fault = redis_url_fault(proxy.redis_url)
        if fault is not None:
            yield ("proxy", "redis_url"), fault
    elif settings.edgeless_sim.flush_mirror:
        yield ("edgeless_sim", "flush_mirror"), 'there is no mirror: proxy_type is "None"'
    for key in ("additional_fields", "additional_header"):
        if re.search(r"[\r\n]", getattr(proxy.dataset_settings, key)):
            yield ("proxy", "dataset_settings", key), "it has more than one line"


def redis_url_fault(url: str) -> str | None:
    """Why *url* does not lead to a Redis, or None."""
    if not url:
        return f"it is empty: write the URL of the Redis, {_EXAMPLE}"
    fault = name_fault(url, 4_096)
    if fault is not None:
        return fault
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as cause:
        return clipped(str(cause))
    if parts.scheme not in _SCHEMES:
        return f"write redis://HOST:PORT, rediss:// for TLS or unix://PATH, {_EXAMPLE}"
    if any(key != "db" or not value.isdecimal() for key, value in parse_qsl(parts.query)):
        return "the only parameter is db, the number of a database"
    if parts.scheme == "unix":
        return None if parts.path else "the path of the socket is missing: write unix:///PATH"
    if not parts.hostname:
        return f"the host is missing: write redis://HOST:PORT, {_EXAMPLE}"
    if not _DATABASE.fullmatch(parts.path):
        return "after the port there may be a slash and the number of a database, nothing else"
    return None
