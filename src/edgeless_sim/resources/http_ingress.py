"""http-ingress: HTTP requests become events, replies become responses (spec 6.1).

Nothing is held while a client or a function takes its time: each request is a task of its own, with
deadlines, and what one instance may have open is bounded. Not here: the socket (`http_listener`)
and who takes a request (`http_routes`).
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import ClassVar, Final

from aiohttp import web
from aiohttp.web_exceptions import HTTPException
from aiohttp.web_protocol import RequestPayloadError

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.model.event import ERR, CallReturn, CallReturnKind, Event, PatchRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink, ResourceHost
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.http_listener import HttpListener
from edgeless_sim.resources.http_messages import (
    FRAMING_HEADERS,
    METHODS,
    HttpRequest,
    HttpResponse,
    decode_response,
    encode_payload,
)
from edgeless_sim.resources.http_routes import (
    NEW_REQUEST,
    Host,
    Route,
    RouteTable,
    parse_host,
    read_route,
)

__all__ = ["BODY_TIMEOUT_S", "OPEN_BYTES_MAX", "OPEN_MAX", "HttpIngressProvider"]

#: Requests of one instance that wait for its function.
OPEN_MAX: Final = 256
#: Bodies of all requests that are being served.
OPEN_BYTES_MAX: Final = 64 << 20
BODY_TIMEOUT_S: Final = 10.0
_INSTANCES_MAX: Final = 10_000
_SERVER: Final = "edgeless-sim"
_ALLOW: Final = ", ".join(METHODS)


class _RefusedError(Exception):
    """A request that gets *status* and *text*; the connection ends if *closes*."""

    def __init__(self, status: int, text: str, *, closes: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.closes = closes


class HttpIngressProvider:
    """Makes http-ingress instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node has no URL for it.
    """

    class_type: ClassVar[str] = "http-ingress"
    version: ClassVar[str] = "2.1"
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
        self._host = host
        self._routes = RouteTable()
        self._listener = HttpListener(self._respond, host.scheduler)
        #: Calls that have no answer yet.
        self._replies: dict[int, asyncio.Future[CallReturn]] = {}
        self._replies_begun = 0
        self._open_bytes = 0

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
        await self._listener.open(self._host.settings.http_ingress_url)

    def close(self) -> None:
        """See `ResourceProvider.close`."""
        self._listener.close()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_result(ERR)

    async def start(
        self, pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
    ) -> None:
        """See `ResourceProvider.start`. It takes requests from its first patch on."""
        known = self._routes.get(pid)
        if known is None and len(self._routes) >= _INSTANCES_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {_INSTANCES_MAX} instances, the most it can"
            )
        route = read_route(pid, specification, sink)
        if known is not None and specification.output_mapping is None:
            route.patched = known.patched
        self._routes.put(route)

    def handle(
        self,
        event: Event,  # noqa: ARG002 - whatever it is
        answer: Callable[[CallReturn], None],
    ) -> None:
        """See `ResourceProvider.handle`. It takes no events."""
        answer(ERR)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; raise `RejectedError` if its output is not mapped."""
        route = self._routes.get(request.function_id)
        if route is None:
            raise RejectedError(
                "Error when patching a resource",
                f"Trying to patch a non-existing resource with PID '{request.function_id}'",
            )
        route.patched = NEW_REQUEST in request.output_mapping
        if not route.patched:
            raise RejectedError(
                "Error when patching a resource",
                f"Missing channel {NEW_REQUEST} from http-ingress patch request with PID "
                f"'{request.function_id}'",
            )

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. Requests in hand get what their calls get."""
        self._routes.remove(pid)

    # -- requests -------------------------------------------------------------------------------

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        reserved = 0
        try:
            host_text, route = self._route(request)
            reserved = self._reserve(request)
            body = await self._body(request)
            response = await self._serve(request, host_text, route, body)
        except _RefusedError as refusal:
            response = _plain(refusal.status, refusal.text)
            if refusal.closes:
                response.force_close()
        finally:
            self._open_bytes -= reserved
        return response

    def _route(self, request: web.BaseRequest) -> tuple[str, Route]:
        """The ``Host`` of *request*, and the instance that takes it."""
        path = request.raw_path
        if request.method not in METHODS:
            raise _RefusedError(405, "Method Not Allowed")
        if not path.startswith("/") or not _is_text(path):
            raise _RefusedError(400, "the target is no path", closes=True)
        text, host = self._asked_host(request)
        routes = self._routes.matching(request.method, host, _workflow_in(path))
        if not routes:
            raise _RefusedError(404, "Not Found")
        route = routes[0] if len(routes) == 1 else self._host.dice.choice(routes)
        if route.open >= OPEN_MAX:
            raise _RefusedError(503, "too many requests wait for this function")
        return text, route

    def _asked_host(self, request: web.BaseRequest) -> tuple[str, Host]:
        given = request.headers.getall("Host", ())
        if len(given) > 1 or (not given and request.version >= (1, 1)):
            raise _RefusedError(400, "exactly one Host is needed", closes=True)
        text = given[0] if given else self.url.removeprefix("http://")
        host = parse_host(text) if text.isascii() else None
        if host is None:
            raise _RefusedError(400, "the Host is no host", closes=True)
        return text, host

    def _reserve(self, request: web.BaseRequest) -> int:
        """Set memory for the body of *request* aside: as much as it says, or as it may have."""
        if not request.can_read_body:
            return 0
        size = request.content_length
        if size is not None and size > PAYLOAD_BYTES_MAX:
            raise _too_large()
        size = PAYLOAD_BYTES_MAX if size is None else size
        if self._open_bytes + size > OPEN_BYTES_MAX:
            raise _RefusedError(503, "too many bytes wait for functions", closes=True)
        self._open_bytes += size
        return size

    async def _body(self, request: web.BaseRequest) -> bytes:
        if not request.can_read_body:
            return b""
        expected = request.headers.get("Expect")
        if expected is not None:
            if expected.lower() != "100-continue":
                raise _RefusedError(417, "Expectation Failed", closes=True)
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            with self._host.clock.fail_after(BODY_TIMEOUT_S):
                while chunk := await request.content.readany():
                    body += chunk
                    if len(body) > PAYLOAD_BYTES_MAX:
                        raise _too_large()
        except TimeoutError:
            raise _RefusedError(408, "the body did not come in time", closes=True) from None
        except (RequestPayloadError, HTTPException, OSError):
            # Cut off or badly framed; perhaps nobody is there to read this.
            raise _RefusedError(400, "the body is broken", closes=True) from None
        return bytes(body)

    async def _serve(
        self, request: web.BaseRequest, host_text: str, route: Route, body: bytes
    ) -> web.Response:
        if route.is_async:
            route.sink.cast(NEW_REQUEST, _as_text(route, body))
            return _plain(200, "OK")
        payload = encode_payload(
            HttpRequest(
                METHODS[request.method],  # type: ignore[arg-type]  # a value of that table
                "Unknown",
                host_text,
                request.raw_path,
                {
                    name.lower(): value
                    for name, value in request.headers.items()
                    if name.isascii() and value.isascii()
                },
                list(body),
            )
        )
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise _too_large()
        return self._rendered(route, await self._reply(route, payload))

    async def _reply(self, route: Route, payload: str) -> str:
        """What the function replies to *payload*."""
        timeout_s = self._host.settings.call_timeout_s
        begun_ns = self._host.scheduler.now_ns()
        reply: asyncio.Future[CallReturn] = asyncio.get_running_loop().create_future()
        self._replies_begun += 1
        number = self._replies_begun
        self._replies[number] = reply

        def take(result: CallReturn) -> None:
            if not reply.done():
                reply.set_result(result)

        route.open += 1
        try:
            route.sink.call_nowait(NEW_REQUEST, payload, take, timeout_s=timeout_s)
            result = await reply
        finally:
            route.open -= 1
            del self._replies[number]
        if result.kind is CallReturnKind.REPLY:
            return result.payload
        if result.kind is CallReturnKind.NO_REPLY:
            raise _RefusedError(502, "the function did not reply")
        # Whoever ends a call says no more than Err.
        if self._host.scheduler.now_ns() - begun_ns >= round(timeout_s * 1e9):
            raise _RefusedError(504, "the function did not reply in time")
        raise _RefusedError(502, "the function failed")

    def _rendered(self, route: Route, payload: str) -> web.Response:
        try:
            response = decode_response(payload)
        except ResourceError as cause:
            self._host.warn(route.pid, f"the function's reply cannot be sent: {cause}")
            raise _RefusedError(502, "the function's reply is no response") from None
        return _response(response)


def _response(response: HttpResponse) -> web.Response:
    headers = {"Server": _SERVER} | {
        name: value
        for name, value in response.headers.items()
        if name.lower() not in FRAMING_HEADERS
    }
    return web.Response(status=response.status, headers=headers, body=bytes(response.body or ()))


def _plain(status: int, text: str) -> web.Response:
    headers = {"Server": _SERVER, "Content-Type": "text/plain; charset=utf-8"}
    if status == 405:
        headers["Allow"] = _ALLOW
    elif status == 503:
        headers["Retry-After"] = "1"
    return web.Response(status=status, headers=headers, body=text.encode())


def _too_large() -> _RefusedError:
    return _RefusedError(
        413, f"as an event, the request has more than {PAYLOAD_BYTES_MAX} bytes", closes=True
    )


def _as_text(route: Route, body: bytes) -> str:
    if route.base64:
        if len(body) > PAYLOAD_BYTES_MAX // 4 * 3:
            raise _too_large()
        return b64encode(body).decode()
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise _RefusedError(400, "the body is not UTF-8") from None


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _workflow_in(path: str) -> str | None:
    """What the first ``wf_id`` of the query says; not decoded (spec 6.1)."""
    for parameter in path.partition("?")[2].split("&"):
        if parameter.startswith("wf_id="):
            return parameter.removeprefix("wf_id=")
    return None
