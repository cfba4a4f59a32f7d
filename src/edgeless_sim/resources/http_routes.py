"""Which instance of http-ingress takes a request: configurations, and matching (spec 6.1).

Pure, but for the dice. Not here: sockets (`http_listener`) and what becomes of the request
(`http_ingress`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple, NoReturn

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import quoted
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import EventSink
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.http_messages import METHODS

__all__ = [
    "CONFIGURATIONS",
    "DESCRIPTION",
    "NEW_REQUEST",
    "Host",
    "Route",
    "RouteTable",
    "is_true",
    "parse_host",
    "read_route",
]

#: The one output of http-ingress.
NEW_REQUEST: Final = "new_request"
_NOT_CREATED: Final = "Error when creating a resource"
_PORT_OF_HTTP: Final = 80
_PORT_MAX: Final = 65_535
#: A name of 253 bytes as it may be written, a dot and a port.
_HOST_CHARS_MAX: Final = 512
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_-]+)*")


class Host(NamedTuple):
    """A host as it is compared: lower case, no dot at its end; port None = not said."""

    name: str
    port: int | None


@dataclass(slots=True)
class Route:
    """What one instance takes, and where it sends it."""

    pid: InstanceId
    workflow: str
    host: Host | None
    """None = any."""
    methods: frozenset[str]
    """Empty = all."""
    by_workflow: bool
    """Whether the query must name the workflow."""
    is_async: bool
    base64: bool
    sink: EventSink
    patched: bool = False
    """Whether `NEW_REQUEST` is mapped; nothing is sent before."""
    open: int = 0
    """Requests that wait for the function."""

    def takes(self, method: str, host: Host, workflow: str | None) -> bool:
        """Whether a request is for this instance; *workflow* is what its query names."""
        if not self.patched or (self.methods and method not in self.methods):
            return False
        if self.by_workflow and workflow != self.workflow:
            return False
        ours = self.host
        if ours is None or ours.port is None:
            return True
        return ours.port == (_PORT_OF_HTTP if host.port is None else host.port)


@dataclass(slots=True)
class RouteTable:
    """The routes of one provider, by the name of their host."""

    _routes: dict[InstanceKey, Route] = field(default_factory=dict)
    _by_host: dict[str | None, dict[InstanceKey, Route]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._routes)

    def get(self, pid: InstanceId) -> Route | None:
        """The route of the instance *pid*."""
        return self._routes.get(pid.key)

    def put(self, route: Route) -> None:
        """Add *route*, in place of its instance's present one."""
        self.remove(route.pid)
        self._routes[route.pid.key] = route
        self._by_host.setdefault(_name_of(route), {})[route.pid.key] = route

    def remove(self, pid: InstanceId) -> None:
        """Forget the route of *pid*; nothing happens if there is none."""
        route = self._routes.pop(pid.key, None)
        if route is not None:
            name = _name_of(route)
            del self._by_host[name][pid.key]
            if not self._by_host[name]:
                del self._by_host[name]

    def matching(self, method: str, host: Host, workflow: str | None) -> list[Route]:
        """The routes that take a request, in the order in which they were put."""
        return [
            route
            for name in (None, host.name)
            for route in self._by_host.get(name, {}).values()
            if route.takes(method, host, workflow)
        ]


#: For people: what http-ingress does, and the keys of its configuration.
DESCRIPTION: Final = "HTTP requests from the world: each is a call of a function, or a cast to it"
CONFIGURATIONS: Final[Mapping[str, str]] = {
    "host": "take requests for this host only: NAME or NAME:PORT; default any",
    "method": "take these methods only, separated by commas, such as GET,POST; default all",
    "methods": "the same as method, as older workflows have it",
    "wf_id": "true: take requests only whose query has wf_id=ID of the workflow; default false",
    "async": "true: the body is cast and the client is told OK at once; default false",
    "encode_base64": "true, with async: the body is cast as Base64; default false, as UTF-8",
}


def read_route(
    pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
) -> Route:
    """The route that *specification* asks for; raise `RejectedError` if it cannot be had."""
    configuration = specification.configuration
    mapping = specification.output_mapping
    host = configuration.get("host")
    return Route(
        pid,
        str(specification.workflow_id),
        None if host is None else _configured_host(host),
        _methods(configuration),
        is_true(configuration, "wf_id"),
        is_true(configuration, "async"),
        is_true(configuration, "encode_base64"),
        sink,
        patched=mapping is not None and NEW_REQUEST in mapping,
    )


def is_true(configuration: Mapping[str, str], key: str) -> bool:
    """Whether *key* says ``true``, in whatever case; every other text is false (spec 6.1)."""
    return configuration.get(key, "").lower() == "true"


def parse_host(text: str) -> Host | None:
    """*text* as ``NAME``, ``NAME:PORT``, or the same with an address; None if it is neither."""
    return _parse_host(text) if len(text) <= _HOST_CHARS_MAX else None


@lru_cache(maxsize=1024)
def _parse_host(text: str) -> Host | None:
    name, port_text = text, ""
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
        name, port_text = name + bracket, rest[1:]
        separator = rest
    else:
        name, separator, port_text = text.partition(":")
    port = None
    if separator:
        if not (port_text.isascii() and port_text.isdigit()) or len(port_text) > 5:
            return None
        port = int(port_text)
        if port > _PORT_MAX:
            return None
    comparable = _comparable(name)
    return None if comparable is None else Host(comparable, port)


def _comparable(name: str) -> str | None:
    if name.startswith("["):
        try:
            address = ip_address(name[1:-1])
        except ValueError:
            return None
        return f"[{address}]" if address.version == 6 else None
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            return None
    name = name.lower().removesuffix(".")
    return name if _NAME.fullmatch(name) else None


def _configured_host(text: str) -> Host:
    host = parse_host(text)
    if host is None:
        _reject(
            f"host: {quoted(text)} is no host; write a name or an address, with a port if it "
            "matters, or leave the key out to take requests for every host"
        )
    return host


def _methods(configuration: Mapping[str, str]) -> frozenset[str]:
    """Those of ``method``, or of ``methods`` as generation V1 has it, or of both."""
    methods = set()
    for key in ("method", "methods"):
        for method in configuration.get(key, "").split(","):
            if method and method not in METHODS:
                raise RejectedError(
                    _NOT_CREATED,
                    f"Invalid method {quoted(method)} specified in http-ingress: Unhandled Method",
                )
            methods.add(method)
    return frozenset(methods - {""})


def _name_of(route: Route) -> str | None:
    return None if route.host is None else route.host.name


def _reject(detail: str) -> NoReturn:
    raise RejectedError(REJECTED_SUMMARY, detail)
