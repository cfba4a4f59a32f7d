"""http-egress in virtual time: a call is a request to a simulated server.

The same requests are refused as with sockets, and as many wait. Not here: the servers (`http`).
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

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
    TIMEOUT_S,
    WAITING_MAX,
    place_of,
    sendable_headers,
)
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.http_messages import HttpResponse, decode_request, encode_payload
from edgeless_sim.resources.simulated.http import HttpAnswer, HttpVisit

__all__ = ["SimulatedHttpEgressProvider"]

_Answer = Callable[[CallReturn], None]


@dataclass(slots=True)
class _Instance:
    """What one instance has in hand."""

    pid: InstanceId
    waiting: deque[tuple[Event, _Answer]] = field(default_factory=deque)
    #: The number of a request -> what asks, and who wants to know.
    active: dict[int, tuple[HttpVisit, _Answer]] = field(default_factory=dict)


class SimulatedHttpEgressProvider:
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
    real_time_only: ClassVar[bool] = False

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        assert host.backends is not None, "a twin is for simulation"
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._backends = host.backends
        self._policy = EgressPolicy(host.settings.http_egress_allow, key="http_egress_allow")
        self._timeout_s = min(TIMEOUT_S, host.settings.call_timeout_s)
        self._instances: dict[InstanceKey, _Instance] = {}
        self._begun = 0

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`; there is nothing to do."""

    def close(self) -> None:
        """See `ResourceProvider.close`."""
        for instance in self._instances.values():
            instance.waiting.clear()
            for visit, _ in instance.active.values():
                visit.cancel()
            instance.active.clear()

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

    def handle(self, event: Event, answer: _Answer) -> None:
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
        if instance is None:
            return
        while instance.waiting:
            instance.waiting.popleft()[1](ERR)
        active, instance.active = instance.active, {}
        for visit, answer in active.values():
            visit.cancel()
            answer(ERR)

    def _begin(self, instance: _Instance, event: Event, answer: _Answer) -> None:
        try:
            request = decode_request(event.payload)
            place, headers = place_of(request), sendable_headers(request.headers)
        except ResourceError as error:
            self._warn(instance, str(error))
            answer(ERR)
            return
        self._begun += 1
        number = self._begun

        def end(found: HttpAnswer | str) -> None:
            del instance.active[number]
            answer(self._result(instance, found))
            if instance.waiting:
                self._begin(instance, *instance.waiting.popleft())

        visit = HttpVisit(
            self._backends, self._host.scheduler, self._policy, end, timeout_s=self._timeout_s
        )
        instance.active[number] = visit, answer
        visit.begin(place, request.method.upper(), headers, bytes(request.body or ()))

    def _result(self, instance: _Instance, found: HttpAnswer | str) -> CallReturn:
        if isinstance(found, str):
            self._warn(instance, found)
            return ERR
        headers = {name.lower(): value for name, value in found.headers.items()}
        reply = encode_payload(HttpResponse(found.status, headers, list(found.body)))
        if len(reply) > PAYLOAD_BYTES_MAX:
            self._warn(instance, f"as an event, it has more than {PAYLOAD_BYTES_MAX} bytes")
            return ERR
        return CallReturn.reply(reply)

    def _warn(self, instance: _Instance, message: str) -> None:
        self._host.warn(instance.pid, clipped(f"http-egress: {message}"))
