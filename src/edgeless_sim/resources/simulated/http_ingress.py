"""http-ingress in virtual time: a door per provider, at which a scenario's clients ask.

The same instances, matching, limits and answers as with sockets (`ingress_rules`). A request is
there at once and whole, so that nothing is late or broken on its way in. Not here: who asks.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from edgeless_sim.errors import ResourceError, SettingsError
from edgeless_sim.model.event import ERR, CallReturn, CallReturnKind, Event, PatchRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink, ResourceHost
from edgeless_sim.resources.http_messages import (
    FRAMING_HEADERS,
    METHODS,
    SERVER,
    RefusedError,
    decode_response,
    plain_headers,
    too_large,
)
from edgeless_sim.resources.http_routes import (
    CONFIGURATIONS,
    DESCRIPTION,
    NEW_REQUEST,
    Route,
    parse_host,
)
from edgeless_sim.resources.ingress_rules import (
    OPEN_BYTES_MAX,
    OPEN_MAX,
    IngressInstances,
    call_payload,
    cast_payload,
)
from edgeless_sim.resources.simulated.backends import Backends

__all__ = [
    "IngressDoor",
    "IngressDoors",
    "IngressRequest",
    "IngressResponse",
    "SimulatedHttpIngressProvider",
    "door_address",
    "ingress_doors",
]


@dataclass(frozen=True, slots=True)
class IngressRequest:
    """What a client asks. An empty host is the one at which the door is."""

    method: str = "GET"
    target: str = "/"
    """Path and query, as on the wire."""
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class IngressResponse:
    """What a client gets."""

    status: int
    headers: Mapping[str, str]
    body: bytes


#: Gets the response, or None if the connection is refused or cut.
Answer = Callable[[IngressResponse | None], None]


class IngressDoor:
    """Where the requests to one http-ingress arrive; it is there whether the node is or not."""

    __slots__ = ("_provider",)

    def __init__(self) -> None:
        self._provider: SimulatedHttpIngressProvider | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody listens."""
        return self._provider is not None

    def open(self, provider: "SimulatedHttpIngressProvider") -> None:
        """Let *provider* take the requests from now on."""
        self._provider = provider

    def close(self, provider: "SimulatedHttpIngressProvider") -> None:
        """Take no further request, if it is *provider* that takes them."""
        if self._provider is provider:
            self._provider = None

    def takes(self, request: IngressRequest) -> bool:
        """Whether an instance is there for *request*."""
        return self._provider is not None and self._provider.takes(request)

    def request(self, request: IngressRequest, answer: Answer) -> bool:
        """Ask; *answer* gets the response once, later. False if nobody listens: it gets nothing."""
        if self._provider is None:
            return False
        self._provider.request(request, answer)
        return True

    async def ask(self, request: IngressRequest) -> IngressResponse | None:
        """Ask, and return the response; None if the connection is refused or cut."""
        response: asyncio.Future[IngressResponse | None]
        response = asyncio.get_running_loop().create_future()

        def take(result: IngressResponse | None) -> None:
            if not response.done():
                response.set_result(result)

        return await response if self.request(request, take) else None


class IngressDoors:
    """What all doors of a cluster have in common."""

    __slots__ = ("changes",)

    def __init__(self) -> None:
        #: Grows whenever a door opens or closes, or takes other requests than before: whoever has
        #: found one need not look again until then.
        self.changes = 0


def ingress_doors(backends: Backends) -> IngressDoors:
    """What the doors of a cluster have in common."""
    return backends.of(IngressDoors, "ingress:")


def door_address(node_name: str, provider_id: str) -> str:
    """Where the door of a provider is among the `Backends`."""
    return f"ingress://{node_name}/{provider_id.removeprefix(f'{node_name}/')}"


class SimulatedHttpIngressProvider:
    """Makes http-ingress instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node has no URL for it.
    """

    class_type: ClassVar[str] = "http-ingress"
    version: ClassVar[str] = "2.1"
    description: ClassVar[str] = DESCRIPTION
    configurations: ClassVar[Mapping[str, str]] = CONFIGURATIONS
    outputs: ClassVar[tuple[str, ...]] = (NEW_REQUEST,)
    real_time_only: ClassVar[bool] = False

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        url = host.settings.http_ingress_url
        if not url:
            raise SettingsError(
                "http_ingress_provider: http-ingress needs http_ingress_url, where it takes "
                "requests, such as 'http://127.0.0.1:7008'"
            )
        assert host.backends is not None, "a twin meets a simulated world"
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        # Port 0 is a free one, of which nobody can know the number here.
        self._netloc = urlsplit(url).netloc.removesuffix(":0")
        self._door = host.backends.of(IngressDoor, door_address(host.node_name, provider_id))
        self._doors = ingress_doors(host.backends)
        self._instances = IngressInstances()
        #: Those that wait for a response, by number.
        self._open: dict[int, Answer] = {}
        self._requests = 0
        self._open_bytes = 0

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    @property
    def door(self) -> IngressDoor:
        """Where its requests arrive."""
        return self._door

    async def open(self) -> None:
        """See `ResourceProvider.open`."""
        self._door.open(self)
        self._doors.changes += 1

    def close(self) -> None:
        """See `ResourceProvider.close`. Clients see their connections cut."""
        self._door.close(self)
        self._doors.changes += 1
        waiting = list(self._open.values())
        self._open.clear()
        for answer in waiting:
            self._host.scheduler.call_soon(answer, None)

    async def start(
        self, pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
    ) -> None:
        """See `ResourceProvider.start`. It takes requests from its first patch on."""
        self._instances.start(pid, specification, sink)
        self._doors.changes += 1

    def handle(
        self,
        event: Event,  # noqa: ARG002 - whatever it is
        answer: Callable[[CallReturn], None],
    ) -> None:
        """See `ResourceProvider.handle`. It takes no events."""
        answer(ERR)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; raise `RejectedError` if its output is not mapped."""
        # Also if it is refused: an instance without its output takes nothing any more.
        self._doors.changes += 1
        self._instances.patch(request)

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. Requests in hand get what their calls get."""
        self._instances.stop(pid)
        self._doors.changes += 1

    # -- requests -------------------------------------------------------------------------------

    def takes(self, request: IngressRequest) -> bool:
        """See `IngressDoor.takes`."""
        try:
            return bool(self._candidates(request))
        except RefusedError:
            return False

    def request(self, request: IngressRequest, answer: Answer) -> None:
        """See `IngressDoor.request`."""
        try:
            self._serve(request, answer)
        except RefusedError as refusal:
            response = _cut_for(request, _plain(refusal.status, refusal.text))
            self._host.scheduler.call_soon(answer, response)

    def _candidates(self, request: IngressRequest) -> list[Route]:
        if request.method not in METHODS:
            raise RefusedError(405, "Method Not Allowed")
        if not request.target.startswith("/"):
            raise RefusedError(400, "the target is no path")
        text = request.host or self._netloc
        host = parse_host(text) if text.isascii() else None
        if host is None:
            raise RefusedError(400, "the Host is no host")
        return self._instances.matching(request.method, host, request.target)

    def _route(self, request: IngressRequest) -> Route:
        routes = self._candidates(request)
        if not routes:
            raise RefusedError(404, "Not Found")
        route = routes[0] if len(routes) == 1 else self._host.dice.choice(routes)
        if route.open >= OPEN_MAX:
            raise RefusedError(503, "too many requests wait for this function")
        return route

    def _serve(self, request: IngressRequest, answer: Answer) -> None:
        route = self._route(request)
        size = len(request.body)
        if size > PAYLOAD_BYTES_MAX:
            raise too_large(PAYLOAD_BYTES_MAX)
        if self._open_bytes + size > OPEN_BYTES_MAX:
            raise RefusedError(503, "too many bytes wait for functions")
        if route.is_async:
            route.sink.cast(NEW_REQUEST, cast_payload(request.body, base64=route.base64))
            accepted = _plain(200, "OK")
            self._host.scheduler.call_soon(answer, _cut_for(request, accepted))
            return
        self._call(request, route, answer)

    def _call(self, request: IngressRequest, route: Route, answer: Answer) -> None:
        host = request.host or self._netloc
        headers = {"host": host}
        for name, value in request.headers.items():
            if name.isascii() and value.isascii():
                headers[name.lower()] = value
        if request.body:
            headers["content-length"] = str(len(request.body))
        payload = call_payload(request.method, host, request.target, headers, request.body)
        self._requests += 1
        number = self._requests
        self._open[number] = answer
        self._open_bytes += len(request.body)
        route.open += 1
        begun_ns = self._host.scheduler.now_ns()

        def take(result: CallReturn) -> None:
            route.open -= 1
            self._open_bytes -= len(request.body)
            # None if the connection was cut meanwhile.
            waiting = self._open.pop(number, None)
            if waiting is not None:
                waiting(_cut_for(request, self._response(route, result, begun_ns)))

        timeout_s = self._host.settings.call_timeout_s
        route.sink.call_nowait(NEW_REQUEST, payload, take, timeout_s=timeout_s)

    def _response(self, route: Route, result: CallReturn, begun_ns: int) -> IngressResponse:
        if result.kind is CallReturnKind.REPLY:
            return self._rendered(route, result.payload)
        if result.kind is CallReturnKind.NO_REPLY:
            return _plain(502, "the function did not reply")
        # Whoever ends a call says no more than Err.
        timeout_ns = round(self._host.settings.call_timeout_s * 1e9)
        if self._host.scheduler.now_ns() - begun_ns >= timeout_ns:
            return _plain(504, "the function did not reply in time")
        return _plain(502, "the function failed")

    def _rendered(self, route: Route, payload: str) -> IngressResponse:
        try:
            response = decode_response(payload)
        except ResourceError as cause:
            self._host.warn(route.pid, f"the function's reply cannot be sent: {cause}")
            return _plain(502, "the function's reply is no response")
        headers = {"Server": SERVER} | {
            name: value
            for name, value in response.headers.items()
            if name.lower() not in FRAMING_HEADERS
        }
        return IngressResponse(response.status, headers, bytes(response.body or ()))


def _plain(status: int, text: str) -> IngressResponse:
    """An answer that no function made."""
    return IngressResponse(status, {"Server": SERVER} | plain_headers(status), text.encode())


def _cut_for(request: IngressRequest, response: IngressResponse) -> IngressResponse:
    """The *response* as it arrives: that to HEAD has no body."""
    if request.method != "HEAD":
        return response
    return IngressResponse(response.status, response.headers, b"")
