"""What frames said: from bytes back to values, later and elsewhere, whoever sent them.

An actor knows on which wire its peer speaks, and in which role; who reads a capture knows the name
of the wire alone. Nothing here raises for bytes. Not here: files (`cluster.capture_file`).
"""

from dataclasses import dataclass
from typing import Any, Final

from edgeless_sim.api.methods import BY_PATH
from edgeless_sim.api.services import HANDLE
from edgeless_sim.api.wire import OUR_WIRE, EventError, OurWire, Wire
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.errors import RejectedError
from edgeless_transports import RemoteError

__all__ = ["EVENT_FRAME", "MSGPACK", "PROTOBUF", "FrameDecoder", "Said", "wire_name"]

MSGPACK: Final = "msgpack"
EVENT_FRAME: Final = "event-frame"
PROTOBUF: Final = "protobuf"

#: A URL whose peers speak that wire, and the roles of those who may speak it to them. In EDGELESS's
#: own messages an id says itself whether it is logical or physical, so both are tried.
_SPOKEN: Final = {
    EVENT_FRAME: ("tcp://", (Role.CLIENT,)),
    PROTOBUF: ("http://", (Role.CONTROLLER, Role.ORCHESTRATOR)),
}
_MALFORMED: Final = "malformed message"
_REFUSAL: Final = b"\x01"


def wire_name(url: str, method: str) -> str:
    """What a frame of *method* to *url* is written in; see `edgeless_sim.api.wires`."""
    scheme, separator, _ = url.partition("://")
    if scheme in ("http", "https"):
        return PROTOBUF
    if method == HANDLE and separator and scheme != "memory":
        return EVENT_FRAME
    return MSGPACK


@dataclass(frozen=True, slots=True)
class Said:
    """A value, a refusal, or a fault: why the bytes cannot be read."""

    value: Any = None
    refusal: RejectedError | None = None
    fault: str = ""


class FrameDecoder:
    """Reads frames of one capture. *epoch_ns* is the calendar time (ns since 1970) at its 0."""

    def __init__(self, epoch_ns: int = 0) -> None:
        self._epoch_ns = epoch_ns
        self._now_ns = 0
        self._made: dict[str, tuple[Wire, ...]] = {MSGPACK: (OUR_WIRE,)}

    def request(self, wire: str, method: str, payload: bytes, at_ns: int) -> Said:
        """What was asked, or the event, at *at_ns*: calendar deadlines become durations."""
        self._now_ns = at_ns
        wires = self._wires(wire)
        if not wires:
            return Said(fault=f"there is no wire {wire[:64]!r}")
        if method == HANDLE:
            try:
                return Said(wires[0].decode_event(payload))
            except EventError as error:
                return Said(fault=f"no event: {error}")
        if method not in BY_PATH:
            return Said(fault="the method is not known")
        fault = ""
        for each in wires:
            try:
                return Said(each.decode_request(method, payload))
            except RejectedError as error:
                fault = str(error)
        return Said(fault=fault)

    def reply(self, wire: str, method: str, payload: bytes, at_ns: int) -> Said:
        """What was answered: a result or a refusal."""
        self._now_ns = at_ns
        wires = self._wires(wire)
        if method == HANDLE:
            return Said()
        if method not in BY_PATH or not wires:
            return Said(fault="the method is not known")
        said = Said()
        for each in wires:
            said = _replied(each, method, payload)
            if not said.fault:
                break
        return said

    def refusal(self, wire: str, method: str, code: str, message: str) -> Said:
        """The refusal that came instead of a reply."""
        remote = RemoteError(code, message)
        wires = self._wires(wire)
        if method not in BY_PATH or not wires:
            return Said(refusal=RejectedError(code, message or None))
        return Said(refusal=wires[0].decode_refusal(method, remote))

    def _wires(self, name: str) -> tuple[Wire, ...]:
        """All that the wire called *name* may be; none if there is no such wire."""
        found = self._made.get(name)
        if found is None:
            url, roles = _SPOKEN.get(name, ("", ()))
            found = self._made[name] = tuple(
                Wires(role, epoch_ns=self._epoch_ns, now_ns=lambda: self._now_ns).calling(url)
                for role in roles
            )
        return found


def _replied(wire: Wire, method: str, payload: bytes) -> Said:
    try:
        return Said(wire.decode_reply(method, payload))
    except RejectedError as error:
        # Our own wire marks refusals; one may say that the request was malformed.
        marked = isinstance(wire, OurWire) and payload[:1] == _REFUSAL
        if error.summary == _MALFORMED and not marked:
            return Said(fault=str(error))
        return Said(refusal=error)
