"""What http-ingress takes and answers, whether requests come by sockets or in virtual time.

Pure, but for the instances that it keeps. Not here: matching (`http_routes`), sockets
(`http_listener`) and time.
"""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.http_messages import (
    METHODS,
    HttpRequest,
    RefusedError,
    encode_payload,
    too_large,
)
from edgeless_sim.resources.http_routes import NEW_REQUEST, Host, Route, RouteTable, read_route

__all__ = [
    "INSTANCES_MAX",
    "OPEN_BYTES_MAX",
    "OPEN_MAX",
    "IngressInstances",
    "call_payload",
    "cast_payload",
]

#: Requests of one instance that wait for its function.
OPEN_MAX: Final = 256
#: Bodies of all requests that are being served.
OPEN_BYTES_MAX: Final = 64 << 20
INSTANCES_MAX: Final = 10_000
_NOT_PATCHED: Final = "Error when patching a resource"


@dataclass(slots=True)
class IngressInstances:
    """The instances of one provider."""

    routes: RouteTable = field(default_factory=RouteTable)

    def start(
        self, pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
    ) -> None:
        """Start or reconfigure an instance, which takes requests from its first patch on.

        Raise `RejectedError` if its configuration is not acceptable, or there are too many.
        """
        known = self.routes.get(pid)
        if known is None and len(self.routes) >= INSTANCES_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {INSTANCES_MAX} instances, the most it can"
            )
        route = read_route(pid, specification, sink)
        if known is not None and specification.output_mapping is None:
            route.patched = known.patched
        self.routes.put(route)

    def patch(self, request: PatchRequest) -> None:
        """Raise `RejectedError` if there is no such instance, or its output is not mapped."""
        route = self.routes.get(request.function_id)
        if route is None:
            raise RejectedError(
                _NOT_PATCHED,
                f"Trying to patch a non-existing resource with PID '{request.function_id}'",
            )
        route.patched = NEW_REQUEST in request.output_mapping
        if not route.patched:
            raise RejectedError(
                _NOT_PATCHED,
                f"Missing channel {NEW_REQUEST} from http-ingress patch request with PID "
                f"'{request.function_id}'",
            )

    def stop(self, pid: InstanceId) -> None:
        """End an instance; nothing happens if there is none."""
        self.routes.remove(pid)

    def matching(self, method: str, host: Host, target: str) -> list[Route]:
        """The instances that take a request for *target*."""
        return self.routes.matching(method, host, _workflow_in(target))


def _workflow_in(target: str) -> str | None:
    """What the first ``wf_id`` of the query says; not decoded (spec 6.1)."""
    for parameter in target.partition("?")[2].split("&"):
        if parameter.startswith("wf_id="):
            return parameter.removeprefix("wf_id=")
    return None


def call_payload(method: str, host: str, target: str, headers: dict[str, str], body: bytes) -> str:
    """The event that a request is to a function that replies; raise `RefusedError` 413.

    *headers* are in lower case, and ASCII.
    """
    asked = METHODS[method]
    message = HttpRequest(asked, "Unknown", host, target, headers, list(body))  # type: ignore[arg-type]  # a value of that table
    payload = encode_payload(message)
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise too_large(PAYLOAD_BYTES_MAX)
    return payload


def cast_payload(body: bytes, *, base64: bool) -> str:
    """The event that a request is to an instance with ``async``.

    Raise `RefusedError` 413, or 400 if the body is to be text and is none.
    """
    if base64:
        if len(body) > PAYLOAD_BYTES_MAX // 4 * 3:
            raise too_large(PAYLOAD_BYTES_MAX)
        return b64encode(body).decode()
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise RefusedError(400, "the body is not UTF-8") from None
