"""URLs of services in configuration files: what one may look like, and when two collide.

Not here: whether somebody listens there.
"""

import re
from functools import cache
from ipaddress import ip_address
from typing import Annotated, Final, NamedTuple, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from edgeless_sim.model.names import NAME_BYTES_MAX, name_fault, quoted, suggestion
from edgeless_transports.registry import known_schemes

__all__ = [
    "PORT_MAX",
    "AnnouncedUrl",
    "BoundUrl",
    "Endpoint",
    "HttpUrl",
    "OptionalBoundUrl",
    "OptionalHttpUrl",
    "OptionalUrl",
    "Url",
    "endpoint_of",
    "host_fault",
    "url_fault",
]

PORT_MAX: Final = 65_535

#: Schemes whose location is a host and a port; what another location means is its transport's.
_HOST_SCHEMES: Final = ("http", "https", "tcp", "tls+tcp")
_NAMED_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_NUMERIC_HOST: Final = re.compile(r"[0-9.]+")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_EXAMPLE: Final = "such as 'http://127.0.0.1:7001'"


class Endpoint(NamedTuple):
    """Where a URL points: a host and a port, or a location of another kind (port None)."""

    scheme: str
    host: str
    port: int | None

    def collides(self, other: "Endpoint") -> bool:
        """Whether only one of two listeners can have its place."""
        if self.port is None or other.port is None:
            return self == other
        # Port 0 is a free one.
        if self.port != other.port or not self.port:
            return False
        hosts = {_same_host(self.host), _same_host(other.host)}
        return len(hosts) == 1 or not hosts.isdisjoint(_EVERYWHERE)


def endpoint_of(url: str) -> Endpoint:
    """Where *url* points, which has no `url_fault`."""
    scheme, _, location = url.partition("://")
    if scheme not in _HOST_SCHEMES:
        return Endpoint(scheme, location, None)
    host, _, port = location.rpartition(":")
    return Endpoint(scheme, host.removeprefix("[").removesuffix("]").lower(), int(port))


def url_fault(url: str, *, any_port: bool = False) -> str | None:
    """Why *url* is not the URL of a service, or None; with *any_port*, port 0 is one."""
    scheme, separator, location = url.partition("://")
    if not separator:
        return f"write scheme://host:port, {_EXAMPLE}"
    if scheme.startswith("coap"):
        return "CoAP is not available in this version; use http or tcp"
    schemes = _known_schemes()
    if scheme not in schemes:
        hint = suggestion(scheme, schemes)
        return f"unknown scheme {quoted(scheme)}{hint} (known: {', '.join(schemes)})"
    if scheme in _HOST_SCHEMES:
        return _location_fault(location, any_port=any_port)
    fault = name_fault(location)
    if fault is None and " " in location:
        fault = "it has a space"
    return None if fault is None else f"what follows '://' is no location: {fault}"


def host_fault(host: str) -> str | None:
    """Why *host* is no host of a URL, or None: a name, an IPv4 address, or IPv6 in brackets."""
    if not host:
        return f"the host is missing: write scheme://host:port, {_EXAMPLE}"
    if host.startswith("["):
        return None if _is_address(host[1:-1], 6) else f"{quoted(host)} is no IPv6 address"
    if ":" in host:
        return "an IPv6 address stands in brackets: scheme://[::1]:port"
    if _NUMERIC_HOST.fullmatch(host):
        return None if _is_address(host, 4) else f"{quoted(host)} is no IPv4 address"
    if _NAMED_HOST.fullmatch(host) is None or len(host) > NAME_BYTES_MAX:
        return f"{quoted(host)} is no host name"
    return None


@cache  # Looked up per URL, but reading all installed packages takes milliseconds.
def _known_schemes() -> tuple[str, ...]:
    return tuple(known_schemes())


def _location_fault(location: str, *, any_port: bool) -> str | None:
    if "/" in location:
        return "the URL of a service ends after the port: remove the slash and what follows"
    if "@" in location:
        return "the URL of a service has no user name"
    host, colon, port = location.rpartition(":")
    if not colon or (host.startswith("[") and not host.endswith("]")):
        return f"the port is missing: write scheme://host:port, {_EXAMPLE}"
    fault = host_fault(host)
    if fault is not None:
        return fault
    least = 0 if any_port else 1
    if _PORT.fullmatch(port) is None or not least <= int(port) <= PORT_MAX:
        return f"the port {quoted(port)} is not between 1 and {PORT_MAX}"
    return None


def _is_address(text: str, version: int) -> bool:
    try:
        return ip_address(text).version == version
    except ValueError:
        return False


def _same_host(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _url(value: str) -> str:
    return _checked(value, any_port=False)


def _bound_url(value: str) -> str:
    return _checked(value, any_port=True)


def _announced_url(value: str) -> str:
    return value and _checked(value, any_port=False)


def _http_url(value: str) -> str:
    if value.startswith("https://"):
        raise ValueError("it is served as http:// only")
    if not value.startswith("http://"):
        raise ValueError(f"write http://host:port, {_EXAMPLE}")
    return _checked(value, any_port=True)


def _checked(value: str, *, any_port: bool) -> str:
    fault = url_fault(value, any_port=any_port)
    if fault is not None:
        raise ValueError(fault)
    return value


def _absent_when_empty(value: object) -> object:
    return None if value == "" else value


_ABSENT_WHEN_EMPTY: Final = BeforeValidator(_absent_when_empty)

#: Where somebody else listens.
Url: TypeAlias = Annotated[str, AfterValidator(_url)]
#: Where the component itself listens; port 0 is any free one, which not every program takes.
BoundUrl: TypeAlias = Annotated[str, AfterValidator(_bound_url)]
#: What others are told to use instead of a bound URL; empty = the bound one.
AnnouncedUrl: TypeAlias = Annotated[str, AfterValidator(_announced_url)]
#: Where plain HTTP is served, whose peers are no components of EDGELESS.
HttpUrl: TypeAlias = Annotated[str, AfterValidator(_http_url)]
OptionalUrl: TypeAlias = Annotated[Url | None, _ABSENT_WHEN_EMPTY]
OptionalBoundUrl: TypeAlias = Annotated[BoundUrl | None, _ABSENT_WHEN_EMPTY]
OptionalHttpUrl: TypeAlias = Annotated[HttpUrl | None, _ABSENT_WHEN_EMPTY]
