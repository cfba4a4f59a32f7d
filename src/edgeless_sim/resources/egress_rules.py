"""What a function may ask http-egress for, whatever carries the request: hosts, paths, headers.

Pure. Not here: addresses (`egress_policy`), and who carries it (`http_egress`, `simulated`).
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.names import quoted
from edgeless_sim.resources.egress_policy import EgressPolicy, literal_address
from edgeless_sim.resources.http_messages import FRAMING_HEADERS, HttpRequest, header_fault
from edgeless_sim.resources.http_routes import parse_host

__all__ = [
    "CONNECTIONS_MAX",
    "INSTANCES_MAX",
    "REDIRECTS",
    "REDIRECTS_MAX",
    "SECRETS",
    "TIMEOUT_S",
    "WAITING_MAX",
    "Place",
    "canonical_name",
    "next_method",
    "place_fault",
    "place_of",
    "place_of_url",
    "sendable_headers",
]

#: Requests of one instance that are under way; the next ones wait.
CONNECTIONS_MAX: Final = 6
WAITING_MAX: Final = 1024
INSTANCES_MAX: Final = 10_000
#: For everything: name, connection, redirects, response.
TIMEOUT_S: Final = 10.0
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
REDIRECTS_MAX: Final = 5
#: Headers that one server may know and another one may not.
SECRETS: Final = frozenset({"authorization", "cookie", "host"})
_PATH: Final = re.compile(r"/[!-~]*")
_URL: Final = re.compile(r"[!-~]*")
_LOOPBACK: Final = "127.0.0.1"


class Place(NamedTuple):
    """Where a request goes; port None = that of the scheme."""

    scheme: str
    name: str
    """An address stands in its one usual form, an IPv6 one in brackets."""
    port: int | None
    path: str


def place_of(request: HttpRequest) -> Place:
    """Where *request* goes; raise `ResourceError` if that is nowhere."""
    scheme = "https" if request.protocol == "HTTPS" else "http"
    host = parse_host(request.host)
    if host is None:
        raise ResourceError(f"{quoted(request.host)} is no host")
    if _PATH.fullmatch(request.path) is None or "#" in request.path:
        raise ResourceError("the path must begin with '/' and be free of spaces, controls and '#'")
    return Place(scheme, canonical_name(host.name), host.port, request.path)


def place_of_url(url: str) -> Place:
    """Where *url* leads; raise `ResourceError` if that is nowhere. A fragment is left out."""
    try:
        parts = urlsplit(url)
    except ValueError as cause:
        raise ResourceError(str(cause)) from None
    if parts.scheme not in ("http", "https"):
        raise ResourceError("write http://HOST:PORT/PATH or the same with https")
    if "@" in parts.netloc:
        raise ResourceError("user and password cannot be part of it")
    host = parse_host(parts.netloc)
    if host is None:
        raise ResourceError(f"{quoted(parts.netloc)} is no host")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # The parser drops line breaks, so what it was given is looked at, too.
    if _PATH.fullmatch(path) is None or _URL.fullmatch(url) is None:
        raise ResourceError("it must be free of spaces and controls; write others as %XX")
    return Place(parts.scheme, canonical_name(host.name), host.port, path)


def place_fault(policy: EgressPolicy, place: Place) -> str | None:
    """Why *policy* refuses *place*, as far as that can be told without asking what its name means:
    of addresses and ``localhost``."""
    local = place.name == "localhost" or place.name.endswith(".localhost")
    address = literal_address(_LOOPBACK if local else place.name)
    if address is None:
        return None
    port = place.port or (443 if place.scheme == "https" else 80)
    return policy.fault(place.name, address, port)


def canonical_name(name: str) -> str:
    """*name*, or the address that it spells in its one usual form; `ResourceError` for neither.

    Clients take for an address whatever consists of digits and dots, and hand it to the system
    unresolved; what would come out of that must be known before.
    """
    address = literal_address(name)
    if address is not None:
        return f"[{address}]" if address.version == 6 else str(address)
    if name.replace(".", "").isdigit():
        raise ResourceError(f"{quoted(name)} is no address")
    return name


def sendable_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """*headers* with names in lower case, without those that frame a message.

    Raise `ResourceError` if one cannot be sent.
    """
    fault = header_fault(dict(headers))
    if fault is not None:
        raise ResourceError(fault)
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() not in FRAMING_HEADERS
    }


def next_method(method: str, status: int) -> tuple[str, bool]:
    """The method behind a redirect of *status*, and whether the body goes along."""
    if status == 303 or (status in (301, 302) and method == "POST"):
        return ("HEAD" if method == "HEAD" else "GET"), False
    return method, True
