"""Events of the data plane, what a call returns, and how outputs are wired.

`Event` is on the hot path: a slotted struct outside the garbage collector's care, with 16-byte
ids joined to 32-byte keys. It is encoded only between nodes (spec 5.3).
"""

from enum import IntEnum
from typing import Final

import msgspec

from edgeless_sim.model.ids import FUNCTION_ID_NONE, NODE_ID_NONE, InstanceId

__all__ = [
    "ERR",
    "METADATA_ROOT",
    "NO_REPLY",
    "UNPLACED",
    "CallReturn",
    "CallReturnKind",
    "Event",
    "EventType",
    "FurtherTarget",
    "PatchRequest",
    "Target",
    "event_bytes",
]


class EventType(IntEnum):
    """What an event is; the numbers are EDGELESS's (spec 10.3)."""

    CALL = 0
    CAST = 1
    CALL_RET = 2
    CALL_NO_RET = 3
    ERR = 4


class CallReturnKind(IntEnum):
    """How a call ended; the numbers are those a guest sees (spec 1.1)."""

    NO_REPLY = 0
    REPLY = 1
    ERR = 2


class CallReturn(msgspec.Struct, frozen=True, gc=False):
    """The end of a call: a reply with its payload, no reply, or an error."""

    kind: CallReturnKind
    payload: str = ""

    @classmethod
    def reply(cls, payload: str) -> "CallReturn":
        """A reply with *payload*."""
        return cls(CallReturnKind.REPLY, payload)


NO_REPLY: Final = CallReturn(CallReturnKind.NO_REPLY)
ERR: Final = CallReturn(CallReturnKind.ERR)

#: Trace id (16 bytes) and span id (8 bytes) of an event that no other event caused.
METADATA_ROOT: Final = bytes(24)


class Event(msgspec.Struct, array_like=True, gc=False):
    """One event on its way from one instance to another."""

    kind: int
    """An `EventType`."""
    target: bytes
    """`InstanceKey` of the receiver."""
    source: bytes
    """`InstanceKey` of the sender."""
    stream: int
    """0 for casts; the call's number for calls and their returns."""
    payload: str
    created_ns: int
    """When the sender made it; 0 for returns, as in EDGELESS."""
    metadata: bytes
    """Trace and span id of the event in whose handling this one was made (24 bytes)."""
    serial: int
    """The journal's number of this event."""


#: As a target: "this channel is mapped, but its component has no instance at present". Ours: peers
#: of EDGELESS's own get a mapping without the channel instead.
UNPLACED: Final = InstanceId(NODE_ID_NONE, FUNCTION_ID_NONE)


def event_bytes(event: Event) -> int:
    """Bytes of its payload in UTF-8, of which queues hold so many."""
    payload = event.payload
    return len(payload) if payload.isascii() else len(payload.encode())


class FurtherTarget(msgspec.Struct, frozen=True):
    """Another instance of the same component; see `Target`."""

    instance: InstanceId
    invocation_url: str


class Target(msgspec.Struct, frozen=True):
    """Where an output goes: an instance, and the URL at which its node takes events.

    The URL travels with the instance so that a node knows only the peers it talks to (design,
    decision 7).
    """

    instance: InstanceId
    invocation_url: str
    further: tuple[FurtherTarget, ...] = ()
    """Other instances of the same component, between which events are spread in turn."""


class PatchRequest(msgspec.Struct, frozen=True):
    """Rewires the outputs of one component; it replaces the whole output map (case D21).

    ``generation`` grows with every patch of the same component: an older one that arrives late
    is ignored (reliability F44).
    """

    function_id: InstanceId
    output_mapping: dict[str, Target]
    generation: int
