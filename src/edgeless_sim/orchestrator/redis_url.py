"""Which URLs lead to the Redis of a mirror: the same for who writes it and for who reads it."""

import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from edgeless_sim.model.names import name_fault
from edgeless_sim.resources.redis_rules import NO_URL

__all__ = ["REDIS_SCHEMES", "redis_url_fault"]

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")

_EXAMPLE: Final = "such as redis://127.0.0.1:6379"
_DATABASE: Final = re.compile(r"/?[0-9]{0,4}")


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
    except ValueError:
        # Not what Python says of it: that quotes parts of the password.
        return NO_URL
    if parts.scheme not in REDIS_SCHEMES:
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
