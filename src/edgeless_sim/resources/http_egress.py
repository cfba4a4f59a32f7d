"""http-egress: a call is an HTTP request to the world, its reply the response (spec 6.3).

What may be asked for is bounded, and private addresses are refused unless the node allows them. Not
here: the client that sees to this (`http_client`), and what may be asked for (`egress_rules`).
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import anyio

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.event import ERR, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink, ResourceHost
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.egress_rules import (
    CONNECTIONS_MAX,
    INSTANCES_MAX,
    REDIRECTS_MAX,
    TIMEOUT_S,
    WAITING_MAX,
    place_of,
    sendable_headers,
)
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.http_client import HttpClient
from edgeless_sim.resources.http_messages import (
    HttpRequest,
    HttpResponse,
    decode_request,
    encode_payload,
)
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["CONNECTIONS_MAX", "REDIRECTS_MAX", "TIMEOUT_S", "WAITING_MAX", "HttpEgressProvider"]


@dataclass(slots=True)
class _Instance:
    """What one instance has in hand."""

    pid: InstanceId
    waiting: deque[tuple[Event, Callable[[CallReturn], None]]] = field(default_factory=deque)
    active: list[anyio.CancelScope] = field(default_factory=list)
    gone: bool = False


class HttpEgressProvider:
    """Makes http-egress instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node's list of allowed addresses cannot be understood.
    """

    class_type: ClassVar[str] = "http-egress"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = (
        "HTTP requests to the world: a call is a request, its reply the response"
    )
    configurations: ClassVar[Mapping[str, str]] = {}
    outputs: ClassVar[tuple[str, ...]] = ()
    real_time_only: ClassVar[bool] = True

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._tasks = ProviderTasks(host.spawn, f"{host.node_name}/{provider_id}")
        self._instances: dict[InstanceKey, _Instance] = {}
        self._client = HttpClient(
            self._tasks,
            EgressPolicy(host.settings.http_egress_allow, key="http_egress_allow"),
            redirects_max=REDIRECTS_MAX,
        )

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`."""
        self._client.open()

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
        else:
            return CallReturn.reply(reply)
        return ERR

    def _warn(self, instance: _Instance, message: str) -> None:
        self._host.warn(instance.pid, clipped(f"http-egress: {message}"))

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
        """The response to *request*, redirects followed."""
        place, headers = place_of(request), sendable_headers(request.headers)
        found = await self._client.exchange(
            place, request.method.upper(), headers, bytes(request.body or ())
        )
        return HttpResponse(found.status, found.headers, list(found.body))
