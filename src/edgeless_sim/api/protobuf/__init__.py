"""EDGELESS's own wire, generation H: protobuf messages of the gRPC package ``edgeless_api``."""

from edgeless_sim.api.protobuf.events import EVENT_BYTES_MAX, EventWire
from edgeless_sim.api.protobuf.identifiers import IdKind, Place
from edgeless_sim.api.protobuf.refusals import MalformedRequestError
from edgeless_sim.api.protobuf.wire import ProtobufWire

__all__ = [
    "EVENT_BYTES_MAX",
    "EventWire",
    "IdKind",
    "MalformedRequestError",
    "Place",
    "ProtobufWire",
]
