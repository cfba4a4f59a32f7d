"""http-ingress: HTTP requests become events, replies become responses (spec 6.1).

Nothing is held while a client or a function takes its time: a request is an object, not a task, and
what one instance may have open is bounded. Not here: sockets (`http_listener`, `http_connection`),
who takes a request (`http_routes`), and what it shares with its twin (`ingress_rules`).
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from edgeless_sim.errors import ResourceError, SettingsError
from edgeless_sim.model.event import ERR, CallReturn, CallReturnKind, Event, PatchRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink, ResourceHost
from edgeless_sim.resources.http_connection import Connection, RawRequestMessage
from edgeless_sim.resources.http_listener import HttpListener
from edgeless_sim.resources.http_messages import (
    METHODS,
    RefusedError,
    decode_response,
    plain_headers,
    too_large,
)
from edgeless_sim.resources.http_routes import (
    CONFIGURATIONS,
    DESCRIPTION,
    NEW_REQUEST,
    Host,
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

__all__ = ["HttpIngressProvider"]


class HttpIngressProvider:
    """Makes http-ingress instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node has no URL for it.
    """

    class_type: ClassVar[str] = "http-ingress"
    version: ClassVar[str] = "2.1"
    description: ClassVar[str] = DESCRIPTION
    configurations: ClassVar[Mapping[str, str]] = CONFIGURATIONS
    outputs: ClassVar[tuple[str, ...]] = (NEW_REQUEST,)
    real_time_only: ClassVar[bool] = True

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        if not host.settings.http_ingress_url:
            raise SettingsError(
                "http_ingress_provider: http-ingress needs http_ingress_url, where it takes "
                "requests, such as 'http://127.0.0.1:7008'"
            )
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self.host = host
        self._instances = IngressInstances()
        self._listener = HttpListener(self._admit, host.clock, host.scheduler)
        #: Bytes set aside for the bodies of requests in hand.
        self.open_bytes = 0

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    @property
    def url(self) -> str:
        """Where it listens; empty before `open`."""
        return self._listener.url

    async def open(self) -> None:
        """See `ResourceProvider.open`. It listens afterwards."""
        await self._listener.open(self.host.settings.http_ingress_url)

    def close(self) -> None:
        """See `ResourceProvider.close`."""
        self._listener.close()

    async def start(
        self, pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
    ) -> None:
        """See `ResourceProvider.start`. It takes requests from its first patch on."""
        self._instances.start(pid, specification, sink)

    def handle(
        self,
        event: Event,  # noqa: ARG002 - whatever it is
        answer: Callable[[CallReturn], None],
    ) -> None:
        """See `ResourceProvider.handle`. It takes no events."""
        answer(ERR)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; raise `RejectedError` if its output is not mapped."""
        self._instances.patch(request)

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. Requests in hand get what their calls get."""
        self._instances.stop(pid)

    # -- requests -------------------------------------------------------------------------------

    def _admit(
        self, message: RawRequestMessage, connection: Connection, *, has_body: bool
    ) -> "_Exchange":
        """See `Admit`."""
        method, path = message.method, message.path
        if method not in METHODS:
            raise RefusedError(405, "Method Not Allowed")
        if not path.startswith("/") or not _is_text(path):
            raise RefusedError(400, "the target is no path", closes=True)
        hosts: list[str] = []
        headers: dict[str, str] = {}
        for name, value in message.headers.items():
            lower = name.lower()
            if lower == "host":
                hosts.append(value)
            if value.isascii() and lower.isascii():
                headers[lower] = value
        text, host = self._asked_host(hosts, is_old=message.version < (1, 1))
        routes = self._instances.matching(method, host, path)
        if not routes:
            raise RefusedError(404, "Not Found")
        route = routes[0] if len(routes) == 1 else self.host.dice.choice(routes)
        if route.open >= OPEN_MAX:
            raise RefusedError(503, "too many requests wait for this function")
        reserved = self._reserve(headers) if has_body else 0
        return _Exchange(self, connection, route, (method, text, path, headers), reserved)

    def _asked_host(self, given: list[str], *, is_old: bool) -> tuple[str, Host]:
        if len(given) > 1 or (not given and not is_old):
            raise RefusedError(400, "exactly one Host is needed", closes=True)
        text = given[0] if given else self.url.removeprefix("http://")
        host = parse_host(text) if text.isascii() else None
        if host is None:
            raise RefusedError(400, "the Host is no host", closes=True)
        return text, host

    def _reserve(self, headers: dict[str, str]) -> int:
        """Set memory for a body aside: as much as its client says, or as it may have."""
        size = int(headers.get("content-length", PAYLOAD_BYTES_MAX))
        if size > PAYLOAD_BYTES_MAX:
            raise too_large(PAYLOAD_BYTES_MAX)
        if self.open_bytes + size > OPEN_BYTES_MAX:
            raise RefusedError(503, "too many bytes wait for functions", closes=True)
        self.open_bytes += size
        return size


class _Exchange:
    """One request and what becomes of it; see `Admitted`."""

    __slots__ = (
        "_begun_ns",
        "_connection",
        "_header",
        "_provider",
        "_reserved",
        "_route",
    )

    def __init__(
        self,
        provider: HttpIngressProvider,
        connection: Connection,
        route: Route,
        header: tuple[str, str, str, dict[str, str]],
        reserved: int,
    ) -> None:
        """*header* is the method, the host, the path and the headers."""
        self._provider = provider
        self._connection = connection
        self._route = route
        self._header = header
        self._reserved = reserved
        self._begun_ns = 0

    def abandon(self) -> None:
        """See `Admitted.abandon`."""
        self._provider.open_bytes -= self._reserved

    def serve(self, body: bytes) -> None:
        """See `Admitted.serve`."""
        route = self._route
        try:
            if route.is_async:
                route.sink.cast(NEW_REQUEST, cast_payload(body, base64=route.base64))
                self._say(200, "OK")
                self.abandon()
                return
            payload = call_payload(*self._header, body)
        except RefusedError:
            self.abandon()
            raise
        self._begun_ns = self._provider.host.scheduler.now_ns()
        route.open += 1
        timeout_s = self._provider.host.settings.call_timeout_s
        route.sink.call_nowait(NEW_REQUEST, payload, self._take, timeout_s=timeout_s)

    def _take(self, result: CallReturn) -> None:
        """The function has answered, or somebody in its place."""
        self._route.open -= 1
        self.abandon()
        if result.kind is CallReturnKind.REPLY:
            try:
                response = decode_response(result.payload)
            except ResourceError as cause:
                fault = f"the function's reply cannot be sent: {cause}"
                self._provider.host.warn(self._route.pid, fault)
                self._say(502, "the function's reply is no response")
            else:
                body = bytes(response.body) if response.body else b""
                self._connection.respond(response.status, response.headers, body)
        elif result.kind is CallReturnKind.NO_REPLY:
            self._say(502, "the function did not reply")
        elif self._provider.host.scheduler.now_ns() - self._begun_ns >= round(
            self._provider.host.settings.call_timeout_s * 1e9
        ):
            # Whoever ends a call says no more than Err.
            self._say(504, "the function did not reply in time")
        else:
            self._say(502, "the function failed")

    def _say(self, status: int, text: str) -> None:
        self._connection.respond(status, plain_headers(status), text.encode())


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
