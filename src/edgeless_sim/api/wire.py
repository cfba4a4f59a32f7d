"""A wire: how requests, replies, refusals and events become bytes for one kind of peer.

`OurWire` is spoken by the memory network and by ``tcp``; EDGELESS's own is
`edgeless_sim.api.protobuf`. Which one a peer understands follows from the scheme of its URL
(`edgeless_sim.api.wires`). Frames are moved by `edgeless_transports`; nothing here waits.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from edgeless_sim.api.codec import (
    MsgpackCodec,
    decode_event,
    decode_reply,
    encode_event,
    encode_refusal,
    encode_result,
)
from edgeless_sim.api.methods import BY_PATH
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import Event
from edgeless_transports import RemoteError

__all__ = ["OUR_WIRE", "EventError", "OurWire", "Wire"]

#: What `Wire.decode_event` raises for bytes that are no event.
EventError: Final = (msgspec.DecodeError, ValueError)


class Wire(Protocol):
    """What one kind of peer understands. Functions take the path of a method of `METHODS`."""

    repeatable: bool
    """Whether the same bytes say the same at another time: no calendar time is in them."""
    introduces: bool
    """Whether peers say at which URL they take events. Where they do not, an ε-ORC has to."""
    encode_event: Callable[[Event], bytes]
    """The bytes of an event; raise ValueError where the wire cannot carry it."""
    decode_event: Callable[[bytes], Event]
    """Read an event; raise one of `EventError` when the bytes are none."""

    def encode_request(self, path: str, request: object) -> bytes:
        """The bytes of a request; raise `RejectedError` where the wire cannot carry it."""
        ...

    def decode_request(self, path: str, payload: bytes) -> Any:
        """Read a request; raise `RejectedError`, for `encode_refusal`."""
        ...

    def encode_result(self, path: str, result: object) -> bytes:
        """The reply that carries *result*; raise `RejectedError` where the wire cannot."""
        ...

    def encode_refusal(self, path: str, error: RejectedError) -> bytes:
        """The reply that carries *error*; raise `RemoteError` where that has to travel as one."""
        ...

    def decode_reply(self, path: str, payload: bytes) -> Any:
        """The result in a reply; raise the `RejectedError` that it carries instead."""
        ...

    def decode_refusal(self, path: str, error: RemoteError) -> RejectedError:
        """The refusal that came as a transport's error."""
        ...


class OurWire:
    """Control messages as msgpack. Events as msgpack, too, unless another pair of codecs is given.

    A reply is one byte, 0 for a result and 1 for a refusal, then the encoded value.
    """

    repeatable = True
    introduces = True

    def __init__(
        self,
        event_encoder: Callable[[Event], bytes] = encode_event,
        event_decoder: Callable[[bytes], Event] = decode_event,
    ) -> None:
        self._codec = MsgpackCodec()
        self.encode_event = event_encoder
        self.decode_event = event_decoder

    def encode_request(self, path: str, request: object) -> bytes:  # noqa: ARG002 - see `Wire`
        """See `Wire.encode_request`."""
        return self._codec.encode(request)

    def decode_request(self, path: str, payload: bytes) -> Any:
        """See `Wire.decode_request`. What a method without a request is sent is not looked at."""
        kind = BY_PATH[path].request
        return None if kind is None else self._codec.decode(payload, kind)

    def encode_result(self, path: str, result: object) -> bytes:  # noqa: ARG002 - see `Wire`
        """See `Wire.encode_result`."""
        return encode_result(self._codec, result)

    def encode_refusal(self, path: str, error: RejectedError) -> bytes:  # noqa: ARG002 - see `Wire`
        """See `Wire.encode_refusal`."""
        return encode_refusal(self._codec, error)

    def decode_reply(self, path: str, payload: bytes) -> Any:
        """See `Wire.decode_reply`."""
        return decode_reply(self._codec, payload, BY_PATH[path].reply)

    def decode_refusal(self, path: str, error: RemoteError) -> RejectedError:  # noqa: ARG002 - see `Wire`
        """See `Wire.decode_refusal`: here refusals are replies, so the peer has failed."""
        return RejectedError("the peer failed to serve the request", str(error))


#: As the memory network speaks it; without state.
OUR_WIRE: Final[Wire] = OurWire()
