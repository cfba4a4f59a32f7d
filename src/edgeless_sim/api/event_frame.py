"""Events on our own wire between processes: a fixed binary header, then the payload.

====== =========== =======================================================
offset bytes       field
====== =========== =======================================================
0      1           version of this layout, 1
1      1           `EventType`
2      8           stream, unsigned
10     8           created, ns since 1970, signed; 0 = none
18     8           serial, unsigned
26     32          target
58     32          source
90     24          metadata
114    the rest    payload, UTF-8
====== =========== =======================================================

Integers are big-endian. On the memory network events are msgpack (`codec`), which is quicker there
and needs no version.
"""

import struct
from typing import Final

from edgeless_sim.model.event import Event, EventType

__all__ = ["HEADER_BYTES", "EventFrames"]

_HEADER: Final = struct.Struct(">BBQqQ32s32s24s")
HEADER_BYTES: Final = _HEADER.size
_VERSION: Final = 1
_KIND_MAX: Final = int(max(EventType))
_KEY_BYTES: Final = 32
_METADATA_BYTES: Final = 24


class EventFrames:
    """Encodes and decodes events.

    *epoch_ns* is the calendar time (ns since 1970) at which the run began: inside, times count
    from there, and processes that began at different times understand each other.
    """

    def __init__(self, epoch_ns: int = 0) -> None:
        self._epoch_ns = epoch_ns

    def encode(self, event: Event) -> bytes:
        """The bytes of *event*; raise ValueError where a field does not fit."""
        # Struct would fill up a short key, and cut a long one, in silence.
        if (
            len(event.target) != _KEY_BYTES
            or len(event.source) != _KEY_BYTES
            or len(event.metadata) != _METADATA_BYTES
        ):
            raise ValueError("an event's keys have 32 bytes, its metadata 24")
        created_ns = event.created_ns
        try:
            return (
                _HEADER.pack(
                    _VERSION,
                    event.kind,
                    event.stream,
                    created_ns + self._epoch_ns if created_ns else 0,
                    event.serial,
                    event.target,
                    event.source,
                    event.metadata,
                )
                + event.payload.encode()
            )
        except struct.error as error:
            raise ValueError(str(error)) from None

    def decode(self, payload: bytes) -> Event:
        """Read an event; raise ValueError when *payload* is none."""
        if len(payload) < HEADER_BYTES:
            raise ValueError("the header of an event ends too early")
        version, kind, stream, created_ns, serial, target, source, metadata = _HEADER.unpack_from(
            payload
        )
        if version != _VERSION or kind > _KIND_MAX:
            raise ValueError(f"an event of version {version}, kind {kind}")
        return Event(
            kind,
            target,
            source,
            stream,
            str(memoryview(payload)[HEADER_BYTES:], "utf-8"),
            created_ns - self._epoch_ns if created_ns else 0,
            metadata,
            serial,
        )
