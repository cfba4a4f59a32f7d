"""What redis and its twin in simulation have in common: URLs, limits and pauses.

Free of the redis library, which simulations need not load. Not here: which addresses may be
connected to (`egress_policy`).
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from edgeless_sim.errors import RejectedError
from edgeless_sim.resources.files import REJECTED_SUMMARY

__all__ = [
    "CONFIGURATIONS",
    "DESCRIPTION",
    "INSTANCES_MAX",
    "NO_URL",
    "PAUSE_MAX_NS",
    "PAUSE_MIN_NS",
    "TIMEOUT_S",
    "WAITING_MAX",
    "RedisPlace",
    "read_place",
    "url_fault",
]

#: Events of one instance that wait for its worker.
WAITING_MAX: Final = 1024
#: For a connection, and for an operation.
TIMEOUT_S: Final = 2.0
#: After a failure the server is left alone for so long; doubled with each further failure.
PAUSE_MIN_NS: Final = 50_000_000
PAUSE_MAX_NS: Final = 2_000_000_000
INSTANCES_MAX: Final = 1_000
#: For people: what it does, and the keys of an instance's configuration.
DESCRIPTION: Final = "Values in a Redis: a cast sets one key, a call gets the key that it names"
CONFIGURATIONS: Final[Mapping[str, str]] = {
    "url": "the server: redis://HOST:PORT/DATABASE, or rediss:// for TLS; mandatory",
    "key": "what casts set; without it they are dropped",
    "add-workflow-id": "if it is there, whatever it says, keys begin with the workflow's id and :",
}
_PORT: Final = 6379
_DATABASE: Final = re.compile(r"/?(?:[0-9]{1,4})?")

#: Of a text that is no URL; it may have a password, and is not shown.
NO_URL: Final = "no URL: ports are numbers; in a password / is %2F, # is %23, ? is %3F, @ is %40"


class RedisPlace(NamedTuple):
    """A server and what it is told at first. Never shown: it has the password."""

    host: str
    port: int
    database: int
    username: str | None
    password: str | None
    tls: bool


def read_place(url: str) -> RedisPlace:
    """Where *url* leads; raise `RejectedError` without showing it: it may have a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Not what Python says of it: that quotes parts of the password.
        raise RejectedError(REJECTED_SUMMARY, f"url: {NO_URL}") from None
    fault = None
    if parts.scheme not in ("redis", "rediss"):
        fault = "write redis://HOST:PORT, or rediss:// for TLS; other schemes are not allowed"
    elif not parts.hostname:
        fault = "the host is missing: write redis://HOST:PORT"
    elif not _DATABASE.fullmatch(parts.path):
        fault = "after the port there may be a slash and the number of a database, nothing else"
    elif parts.query or parts.fragment:
        fault = "parameters are not allowed: remove what follows '?' or '#'"
    if fault is not None:
        raise RejectedError(REJECTED_SUMMARY, f"url: {fault}")
    return RedisPlace(
        parts.hostname or "",
        _PORT if port is None else port,
        int(parts.path.strip("/") or 0),
        None if parts.username is None else unquote(parts.username) or None,
        None if parts.password is None else unquote(parts.password),
        parts.scheme == "rediss",
    )


def url_fault(url: str) -> str | None:
    """Why *url* leads to no Redis, without showing it; None if it does."""
    try:
        read_place(url)
    except RejectedError as cause:
        return str(cause.detail).removeprefix("url: ")
    return None
