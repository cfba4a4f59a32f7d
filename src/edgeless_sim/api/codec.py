"""Messages to bytes and back, for our own wire: msgpack by msgspec.

Control messages are always encoded, also between actors of one process: what works in a simulation
must be deployable. A reply is one byte, 0 for a result and 1 for a refusal, then the encoded value.
"""

from typing import Any, Final, Protocol, TypeVar, cast

import msgspec

from edgeless_sim.errors import (
    NoFeasibleDomainError,
    NoFeasibleNodeError,
    RejectedError,
    UnknownComponentError,
)
from edgeless_sim.model.event import Event

__all__ = [
    "MESSAGE_BYTES_MAX",
    "Codec",
    "MsgpackCodec",
    "decode_event",
    "decode_reply",
    "encode_event",
    "encode_refusal",
    "encode_result",
]

T = TypeVar("T")

#: Largest control message (reliability 7.3).
MESSAGE_BYTES_MAX: Final = 16 << 20

_RESULT: Final = b"\x00"
_REFUSAL: Final = b"\x01"
#: Kinds of refusal whose type survives the wire; the order is part of the wire.
_REFUSALS: Final[tuple[type[RejectedError], ...]] = (
    RejectedError,
    NoFeasibleDomainError,
    NoFeasibleNodeError,
    UnknownComponentError,
)


class Codec(Protocol):
    """Encodes and decodes control messages."""

    def encode(self, message: object) -> bytes:
        """Bytes of *message*; raise `RejectedError` when they are too many."""
        ...

    def decode(self, payload: bytes, kind: type[T]) -> T:
        """Read a *kind*; raise `RejectedError` when *payload* is none."""
        ...


class MsgpackCodec:
    """The codec of the memory and tcp transports."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}

    def encode(self, message: object) -> bytes:
        """See `Codec.encode`."""
        payload = self._encoder.encode(message)
        if len(payload) > MESSAGE_BYTES_MAX:
            raise RejectedError(
                "message too large",
                f"{type(message).__name__}: {len(payload)} bytes, at most {MESSAGE_BYTES_MAX}",
            )
        return payload

    def decode(self, payload: bytes, kind: type[T]) -> T:
        """See `Codec.decode`."""
        if len(payload) > MESSAGE_BYTES_MAX:
            raise RejectedError(
                "message too large", f"{len(payload)} bytes, at most {MESSAGE_BYTES_MAX}"
            )
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.msgpack.Decoder(kind)
        try:
            return cast(T, decoder.decode(payload))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            # RecursionError: a field that nobody asked for, nested a thousand times.
            raise RejectedError("malformed message", str(error)[:512]) from None


def encode_result(codec: Codec, result: object) -> bytes:
    """The reply that carries *result*."""
    return _RESULT + codec.encode(result)


def encode_refusal(codec: Codec, error: RejectedError) -> bytes:
    """The reply that carries a refusal."""
    kind = _REFUSALS.index(type(error)) if type(error) in _REFUSALS else 0
    return _REFUSAL + codec.encode((kind, error.summary, (error.detail or "")[:1024]))


def decode_reply(codec: Codec, payload: bytes, kind: type[T]) -> T:
    """The result in a reply; raise the `RejectedError` that it carries instead."""
    if payload[:1] == _RESULT:
        return codec.decode(payload[1:], kind)
    if payload[:1] != _REFUSAL:
        raise RejectedError("malformed message", "a reply begins with 0 or 1")
    number, summary, detail = codec.decode(payload[1:], tuple[int, str, str])
    error = _REFUSALS[number] if 0 <= number < len(_REFUSALS) else RejectedError
    raise error(summary, detail or None)


#: An event between nodes: a msgpack array of its fields.
encode_event = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(Event).decode


def decode_event(payload: bytes) -> Event:
    """Read an event; raise `msgspec.DecodeError` or ValueError when *payload* is none."""
    try:
        return _decode_event(payload)
    except RecursionError as error:
        raise msgspec.DecodeError(str(error)) from None
