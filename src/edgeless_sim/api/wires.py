"""Which wire a peer understands: it follows from the scheme of its URL and from who speaks.

``memory`` and ``tcp`` speak `OurWire`, ``http`` and ``https`` EDGELESS's own. On that one an id is
a logical or a physical one (spec 10.1), and a patch from EDGELESS's own ε-ORC has half an id, so
that the role of a component matters.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final
from uuid import UUID

from edgeless_sim.api.event_frame import EventFrames
from edgeless_sim.api.wire import OUR_WIRE, OurWire, Wire
from edgeless_sim.model.ids import NodeId

__all__ = ["OUR_WIRES", "Role", "Wires"]

_NIL: Final = NodeId(UUID(int=0))
_IN_MEMORY: Final = "memory"
_EDGELESS: Final = frozenset({"http", "https"})


class Role(Enum):
    """Who speaks."""

    CLIENT = "client"
    CONTROLLER = "controller"
    ORCHESTRATOR = "orchestrator"
    NODE = "node"


class Wires:
    """The wires of one component, made when they are first needed.

    *epoch_ns* is the calendar time (ns since 1970) at *now_ns* = 0; *home* is the id of the node
    whose wires they are.
    """

    def __init__(
        self,
        role: Role,
        *,
        epoch_ns: int = 0,
        now_ns: Callable[[], int] = lambda: 0,
        home: NodeId | None = None,
    ) -> None:
        self._role = role
        self._epoch_ns = epoch_ns
        self._now_ns = now_ns
        self._home = home or _NIL
        self._made: dict[tuple[str, bool], Wire] = {}

    def calling(self, url: str) -> Wire:
        """The wire on which this component asks, or sends events to, whoever listens at *url*."""
        return self._wire(url, logical=self._role in (Role.CLIENT, Role.CONTROLLER))

    def serving(self, url: str) -> Wire:
        """The wire on which this component is asked at its own *url*."""
        return self._wire(url, logical=self._role is not Role.NODE)

    def _wire(self, url: str, *, logical: bool) -> Wire:
        scheme, separator, _ = url.partition("://")
        # Peers on the memory network are known by their bare location, too.
        if scheme == _IN_MEMORY or not separator:
            return OUR_WIRE
        key = (scheme, logical)
        wire = self._made.get(key)
        if wire is None:
            wire = self._made[key] = self._make(scheme, logical=logical)
        return wire

    def _make(self, scheme: str, *, logical: bool) -> Wire:
        if scheme not in _EDGELESS:
            frames = EventFrames(self._epoch_ns)
            return OurWire(frames.encode, frames.decode)
        # Loaded only where it is spoken: protobuf is a third of the time to start.
        from edgeless_sim.api.protobuf import IdKind, Place, ProtobufWire

        place = Place(
            unix_s=lambda: (self._epoch_ns + self._now_ns()) / 1e9,
            ids=IdKind.LOGICAL if logical else IdKind.PHYSICAL,
            home=self._home,
        )
        return ProtobufWire(place, epoch_ns=self._epoch_ns)


#: For whoever speaks on the memory network only.
OUR_WIRES: Final = Wires(Role.CLIENT)
