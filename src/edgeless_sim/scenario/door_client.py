"""A client of http-ingresses in virtual time: it knows their doors.

Not here: sockets (`socket_client`).
"""

from collections.abc import Callable

from edgeless_sim.resources.simulated.backends import Backends
from edgeless_sim.resources.simulated.http_ingress import (
    IngressDoor,
    IngressRequest,
    IngressResponse,
    door_address,
    ingress_doors,
)
from edgeless_sim.scenario.http_tables import INGRESS
from edgeless_sim.scenario.web_client import (
    CUT,
    REFUSED,
    WebAnswer,
    WebClient,
    WebWay,
)

__all__ = ["DoorClient"]


class DoorClient(WebClient):
    """See `WebClient`."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def way(self, request: IngressRequest, node: str | None) -> WebWay:
        """See `WebClient.way`."""
        return _DoorWay(self._backends, request, node)


class _DoorWay:
    """Remembers the door until something changes at any."""

    __slots__ = ("_backends", "_changes", "_door", "_doors", "_node", "_request")

    def __init__(self, backends: Backends, request: IngressRequest, node: str | None) -> None:
        self._backends = backends
        self._request = request
        self._node = node
        self._doors = ingress_doors(backends)
        self._changes = -1
        self._door: IngressDoor | None = None

    def ask_soon(
        self,
        answer: Callable[[WebAnswer], None],
        timeout_s: float,  # noqa: ARG002 - nothing has to be given back then
    ) -> None:
        """See `WebWay.ask_soon`."""

        def take(response: IngressResponse | None) -> None:
            answer(CUT if response is None else response)

        if self._changes != self._doors.changes:
            self._changes = self._doors.changes
            self._door = self._found()
        if self._door is None or not self._door.request(self._request, take):
            self._backends.soon(answer, REFUSED)

    def _found(self) -> IngressDoor | None:
        if self._node is not None:
            return self._backends.of(IngressDoor, door_address(self._node, INGRESS))
        doors = [door for door in self._backends.all(IngressDoor).values() if door.is_open]
        return next((door for door in doors if door.takes(self._request)), next(iter(doors), None))
