"""Events of the data plane on EDGELESS's wire (spec 10.2, 10.5; cases D40, D41).

On the event path: texts of ids are remembered. Not here: where an event goes.
"""

from functools import lru_cache
from typing import Final
from uuid import UUID

from google.protobuf.message import DecodeError

from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.api.protobuf.fields import require
from edgeless_sim.api.protobuf.identifiers import read_instance
from edgeless_sim.model.event import Event, EventType

__all__ = ["EVENT_BYTES_MAX", "EventWire"]

#: Largest event as bytes (reliability 7.3).
EVENT_BYTES_MAX: Final = 4 << 20
_IDS_KNOWN_MAX: Final = 65_536
_NS: Final = 1_000_000_000
_SIGNED_64_MAX: Final = (1 << 63) - 1
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_KINDS: Final = frozenset(int(kind) for kind in EventType)


class EventWire:
    """Encodes and decodes events.

    *epoch_ns* is the calendar time (ns since 1970) at which the run began: inside, times count
    from there. The time 0 of returns stays 0 (case D41).
    """

    def __init__(self, epoch_ns: int = 0) -> None:
        self._epoch_ns = epoch_ns

    def encode(self, event: Event) -> bytes:
        """The bytes of *event*; raise ValueError if they are too many or a number does not fit."""
        created_ns = event.created_ns + self._epoch_ns if event.created_ns else 0
        secs, nsecs = divmod(created_ns, _NS)
        payload: bytes = pb.Event(
            target=_id_message(event.target),
            source=_id_message(event.source),
            stream_id=event.stream,
            msg=pb.EventData(event_type=pb.EventType.ValueType(event.kind), payload=event.payload),
            created=pb.EventTimestamp(secs=secs, nsecs=nsecs),
            metadata=pb.EventSerializedMetadata(
                trace_id=event.metadata[:_TRACE_BYTES], span_id=event.metadata[_TRACE_BYTES:]
            ),
            serial=event.serial,
        ).SerializeToString()
        if len(payload) > EVENT_BYTES_MAX:
            raise ValueError(f"an event of {len(payload)} bytes, at most {EVENT_BYTES_MAX}")
        return payload

    def decode(self, payload: bytes) -> Event:
        """Read an event; raise ValueError when *payload* is none.

        An unknown type of event is an error event (case D40).
        """
        if len(payload) > EVENT_BYTES_MAX:
            raise ValueError(f"an event of {len(payload)} bytes, at most {EVENT_BYTES_MAX}")
        try:
            message = pb.Event.FromString(payload)
        except DecodeError as error:
            raise ValueError(str(error)[:512]) from None
        # EDGELESS's own server panics where one of the first four is absent (defect U25).
        require(message, "target", "source", "msg", "created", "metadata")
        kind: int = message.msg.event_type
        return Event(
            kind=kind if kind in _KINDS else EventType.ERR,
            target=_key("target", message.target.node_id, message.target.function_id),
            source=_key("source", message.source.node_id, message.source.function_id),
            stream=message.stream_id,
            payload=message.msg.payload,
            created_ns=self._created_ns(message.created),
            metadata=_metadata(message.metadata),
            serial=message.serial,
        )

    def _created_ns(self, created: pb.EventTimestamp) -> int:
        if created.nsecs >= _NS:
            raise ValueError("created.nsecs: a second or more")
        stamp_ns = created.secs * _NS + created.nsecs
        if not 0 <= stamp_ns <= _SIGNED_64_MAX:
            raise ValueError("created.secs: before 1970 or after 2262")
        return stamp_ns - self._epoch_ns if stamp_ns else 0


def _metadata(message: pb.EventSerializedMetadata) -> bytes:
    if len(message.trace_id) != _TRACE_BYTES or len(message.span_id) != _SPAN_BYTES:
        raise ValueError("metadata: a trace id has 16 bytes, a span id has 8")
    return message.trace_id + message.span_id


def _id_message(key: bytes) -> pb.InstanceId:
    node_id, function_id = _texts(key)
    return pb.InstanceId(node_id=node_id, function_id=function_id)


@lru_cache(_IDS_KNOWN_MAX)
def _texts(key: bytes) -> tuple[str, str]:
    return str(UUID(bytes=key[:16])), str(UUID(bytes=key[16:]))


@lru_cache(_IDS_KNOWN_MAX)
def _key(where: str, node_id: str, function_id: str) -> bytes:
    return read_instance(where, pb.InstanceId(node_id=node_id, function_id=function_id)).key
