"""http-egress: a call is an HTTP request to the world, its reply the response (spec 6.3).

What may be asked for is bounded, and private addresses are refused unless the node allows them: the
resolver of the client checks every address that a name has, and connections are made to none that
it did not check. Not here: which addresses those are (`egress_policy`).
"""

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

import aiohttp
import anyio
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.event import ERR, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink, ResourceHost
from edgeless_sim.resources.egress_policy import EgressPolicy, literal_address
from edgeless_sim.resources.egress_rules import (
    CONNECTIONS_MAX,
    INSTANCES_MAX,
    REDIRECTS,
    REDIRECTS_MAX,
    SECRETS,
    TIMEOUT_S,
    WAITING_MAX,
    canonical_name,
    next_method,
    place_of,
    sendable_headers,
)
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.http_messages import (
    HttpRequest,
    HttpResponse,
    decode_request,
    encode_payload,
)
from edgeless_sim.resources.http_routes import parse_host
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["CONNECTIONS_MAX", "REDIRECTS_MAX", "TIMEOUT_S", "WAITING_MAX", "HttpEgressProvider"]

_IDLE_CONNECTIONS_MAX: Final = 256
_UNSET_HEADERS: Final = ("Accept-Encoding", "User-Agent")


@dataclass(slots=True)
class _Instance:
    """What one instance has in hand."""

    pid: InstanceId
    waiting: deque[tuple[Event, Callable[[CallReturn], None]]] = field(default_factory=deque)
    active: list[anyio.CancelScope] = field(default_factory=list)
    gone: bool = False


class _CheckedResolver(AbstractResolver):
    """Resolves as the system does, and refuses names of which one address is refused."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See `AbstractResolver.resolve`; raise `_DeniedError` for a refused address."""
        found = await self._system.resolve(host, port, family)
        for each in found:
            address = literal_address(each["host"].partition("%")[0])
            if address is None:
                raise _DeniedError(f"{quoted(each['host'])} is no address")
            fault = self._policy.fault(host, address, port)
            if fault is not None:
                raise _DeniedError(fault)
        return found

    async def close(self) -> None:
        """See `AbstractResolver.close`."""
        await self._system.close()


class _DeniedError(OSError):
    """An address that the policy refuses; an OSError, since that is what a client expects."""


class HttpEgressProvider:
    """Makes http-egress instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node's list of allowed addresses cannot be understood.
    """

    class_type: ClassVar[str] = "http-egress"
    version: ClassVar[str] = "1.1"
    outputs: ClassVar[tuple[str, ...]] = ()
    real_time_only: ClassVar[bool] = True

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._policy = EgressPolicy(host.settings.http_egress_allow, key="http_egress_allow")
        self._tasks = ProviderTasks(host.spawn, f"{host.node_name}/{provider_id}")
        self._instances: dict[InstanceKey, _Instance] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`."""
        session = self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_IDLE_CONNECTIONS_MAX,
                resolver=_CheckedResolver(self._policy),
                # A name is resolved and checked for each connection: it may lead elsewhere by then.
                use_dns_cache=False,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=_UNSET_HEADERS,
            auto_decompress=False,
            trust_env=False,
        )
        self._tasks.begin(lambda: _keep(session))

    def close(self) -> None:
        """See `ResourceProvider.close`."""
        for instance in self._instances.values():
            instance.gone = True
            instance.waiting.clear()
        self._tasks.close()

    async def start(
        self,
        pid: InstanceId,
        specification: ResourceInstanceSpecification,  # noqa: ARG002 - it has no configuration
        sink: EventSink,  # noqa: ARG002 - it makes no events
    ) -> None:
        """See `ResourceProvider.start`."""
        if pid.key in self._instances:
            return
        if len(self._instances) >= INSTANCES_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {INSTANCES_MAX} instances, the most it can"
            )
        self._instances[pid.key] = _Instance(pid)

    def handle(self, event: Event, answer: Callable[[CallReturn], None]) -> None:
        """See `ResourceProvider.handle`. A cast fails: nobody would get the response."""
        instance = self._instances.get(InstanceKey(event.target))
        if instance is None or event.kind != EventType.CALL:
            answer(ERR)
        elif len(instance.active) < CONNECTIONS_MAX:
            self._begin(instance, event, answer)
        elif len(instance.waiting) < WAITING_MAX:
            instance.waiting.append((event, answer))
        else:
            answer(ERR)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; there are no outputs."""

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. Requests under way are cut off and fail."""
        instance = self._instances.pop(pid.key, None)
        if instance is not None:
            instance.gone = True
            while instance.waiting:
                instance.waiting.popleft()[1](ERR)
            for scope in instance.active:
                scope.cancel()

    # -- requests -------------------------------------------------------------------------------

    def _begin(
        self, instance: _Instance, event: Event, answer: Callable[[CallReturn], None]
    ) -> None:
        async def work() -> None:
            result = ERR
            try:
                result = await self._answer(instance, event.payload)
            finally:
                # Also when it was cut off: whoever stops an instance owes an answer.
                instance.active.remove(scope)
                answer(result)
            if instance.waiting and not instance.gone:
                self._begin(instance, *instance.waiting.popleft())

        scope = self._tasks.begin(work)
        instance.active.append(scope)

    async def _answer(self, instance: _Instance, payload: str) -> CallReturn:
        deadline_s = min(TIMEOUT_S, self._host.settings.call_timeout_s)
        try:
            with self._host.clock.fail_after(deadline_s):
                response = await self._exchange(decode_request(payload))
            reply = encode_payload(response)
            if len(reply) > PAYLOAD_BYTES_MAX:
                raise ResourceError(f"as an event, it has more than {PAYLOAD_BYTES_MAX} bytes")
        except TimeoutError:
            self._warn(instance, f"no response within {deadline_s:g} s")
        except ResourceError as cause:
            self._warn(instance, str(cause))
        except (aiohttp.ClientError, OSError, ValueError) as cause:
            # ValueError: what a server sent, or a redirect, that the client could not read.
            denied = _denial(cause)
            self._warn(instance, denied or f"{type(cause).__name__}: {cause}")
        else:
            return CallReturn.reply(reply)
        return ERR

    def _warn(self, instance: _Instance, message: str) -> None:
        self._host.warn(instance.pid, clipped(f"http-egress: {message}"))

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
        """The response to *request*, redirects followed."""
        method = request.method.upper()
        headers = sendable_headers(request.headers)
        body = bytes(request.body) if request.body else None
        url = _url(request)
        for _ in range(REDIRECTS_MAX + 1):
            self._check_literal(url)
            assert self._session is not None, "used before it was opened"
            async with self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                target = response.headers.get("Location")
                if response.status not in REDIRECTS or target is None:
                    return HttpResponse(
                        response.status, _readable(response), list(await _body_of(response))
                    )
            following = _redirected(url, target)
            method, keeps_body = next_method(method, response.status)
            if not keeps_body:
                body = None
                headers.pop("content-type", None)
            if following.origin() != url.origin():
                for secret in SECRETS:
                    headers.pop(secret, None)
            url = following
        raise ResourceError(f"more than {REDIRECTS_MAX} redirects")

    def _check_literal(self, url: URL) -> None:
        """Refuse addresses, which the client connects to without asking its resolver."""
        address = literal_address(url.host or "")
        if address is not None:
            fault = self._policy.fault(url.host or "", address, url.port or 0)
            if fault is not None:
                raise ResourceError(fault)


async def _keep(session: aiohttp.ClientSession) -> None:
    """Close *session*, which takes a few turns, when the provider's tasks are ended."""
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()


def _url(request: HttpRequest) -> URL:
    return _built(*place_of(request))


def _redirected(url: URL, target: str) -> URL:
    """Where the answer of *url* sends us; raise `ResourceError` if we do not go there."""
    following = url.join(URL(target))
    if following.scheme not in ("http", "https"):
        raise ResourceError(f"a redirect to {quoted(target)}, which is not HTTP")
    host = following.raw_host or ""
    parsed = parse_host(f"[{host}]" if ":" in host else host)
    if parsed is None or following.user or following.password:
        raise ResourceError(f"a redirect to {quoted(target)}, which is no usable URL")
    name = canonical_name(parsed.name)
    return _built(following.scheme, name, following.explicit_port, following.raw_path_qs)


def _built(scheme: str, name: str, port: int | None, path: str) -> URL:
    return URL(f"{scheme}://{name}{'' if port is None else f':{port}'}{path}", encoded=True)


def _readable(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in response.headers.items()
        if name.isascii() and value.isascii()
    }


async def _body_of(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > PAYLOAD_BYTES_MAX:
            raise ResourceError(f"the response has more than {PAYLOAD_BYTES_MAX} bytes")
    return bytes(body)


def _denial(error: BaseException) -> str | None:
    """What the policy said, if that is the cause of *error*."""
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return None
        if isinstance(cause, _DeniedError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return None
