"""The frames of ``tcp://`` and ``tls+tcp://`` as bytes: the format.

`FrameWriter` and `FrameReader` write and read it. A stream is a sequence of packets, a packet one
of groups: frames of one kind and method that follow each other. Numbers are in network order::

    packet:  length 4 | checksum 4 | groups
                      '-- CRC-32 --'(length bytes)
    group:   kind 1 | method 2 | count 4 | item x count | payloads
    item:    payload's length 4 | call 8, timeout 4 (in requests, answers, pings and pongs only)

The first packet of each side holds a hello only: magic, version, announced address; what follows
those in it is for later versions and skipped. ``timeout`` is what is left of a request's deadline
in ms. A method is sent as text once (define) and by its number from then on; number 0 says that its
text stands before the payload.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from edgeless_transports.base import Address
from edgeless_transports.errors import AddressError, TransportError

__all__ = [
    "ANSWERS",
    "CAST",
    "DEFINE",
    "FRAMES_MAX",
    "GOODBYE",
    "GROUP",
    "GROUP_BYTES",
    "HELLO",
    "HELLO_LENGTH_MAX",
    "ITEM",
    "ITEM_BYTES",
    "LENGTH",
    "LENGTH_BYTES",
    "LENGTH_MIN",
    "MAGIC",
    "METHODS_MAX",
    "NUMBERED",
    "PACKET_BYTES",
    "PAYLOAD_BYTES_MAX",
    "PING",
    "PONG",
    "PREFIX",
    "PREFIX_BYTES",
    "REFUSAL",
    "REPLY",
    "REQUEST",
    "ROOM_BYTES",
    "VERSION",
    "WITH_METHOD",
    "Hello",
    "ProtocolError",
]

MAGIC: Final = b"EDGS"
VERSION: Final = 1
#: A control message of 16 MiB and what encloses it.
PAYLOAD_BYTES_MAX: Final = (16 << 20) + (64 << 10)
#: Methods of one direction of a connection that have a number; further ones travel as text.
METHODS_MAX: Final = 1024

# Plain integers: an enum member costs a look-up per frame.
HELLO: Final = 1
DEFINE: Final = 2
REQUEST: Final = 3
REPLY: Final = 4
REFUSAL: Final = 5
CAST: Final = 6
PING: Final = 7
PONG: Final = 8
GOODBYE: Final = 9

PREFIX: Final = Struct(">II")
GROUP: Final = Struct(">BHI")
LENGTH: Final = Struct(">I")
ITEM: Final = Struct(">IQI")
_HELLO: Final = Struct(">4sHH")
PREFIX_BYTES: Final = PREFIX.size
GROUP_BYTES: Final = GROUP.size
LENGTH_BYTES: Final = LENGTH.size
ITEM_BYTES: Final = ITEM.size
#: Kinds whose items have a call.
NUMBERED: Final = frozenset({REQUEST, REPLY, REFUSAL, PING, PONG})
ANSWERS: Final = (REPLY, REFUSAL)
WITH_METHOD: Final = (CAST, REQUEST)
#: A packet takes no further frame when it has so many bytes: a frame that is larger ends it.
PACKET_BYTES: Final = 64 << 10
#: More cannot be in a packet that takes no further frame, but for a definition and the last frame.
FRAMES_MAX: Final = PACKET_BYTES // LENGTH_BYTES + 2
LENGTH_MIN: Final = GROUP_BYTES + LENGTH_BYTES
#: The definition of the longest method, or the method itself before a payload, and three groups.
ROOM_BYTES: Final = 3 * (GROUP_BYTES + ITEM_BYTES) + 256
#: Before the hello nothing longer is read: HTTP and TLS fail by their first four bytes.
HELLO_LENGTH_MAX: Final = 4096
_ANNOUNCED_BYTES_MAX: Final = 1024


class ProtocolError(TransportError):
    """The peer sent what no peer may send; its connection is of no more use.

    ``reason`` is one of: checksum, goodbye, hello, kind, length, magic, method, version.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Hello:
    """What a side says of itself: its version, and the address at which it can be reached or ""."""

    announced: str = ""
    version: int = VERSION

    def encode(self) -> bytes:
        """The payload of a hello frame; raise `AddressError` if the address cannot be announced."""
        _check_announced(self.announced)
        address = self.announced.encode()
        return _HELLO.pack(MAGIC, self.version, len(address)) + address

    @classmethod
    def decode(cls, payload: bytes) -> "Hello":
        """Read what `encode` wrote, by this version; raise `ProtocolError` for anything else."""
        if not payload.startswith(MAGIC):
            raise ProtocolError("magic", f"a hello begins with {MAGIC!r}, not {payload[:4]!r}")
        if len(payload) < _HELLO.size:
            raise ProtocolError("hello", "the hello ends too early")
        _, version, length = _HELLO.unpack_from(payload)
        if version != VERSION:
            raise ProtocolError(
                "version", f"the peer speaks version {version}, we speak version {VERSION}"
            )
        address = payload[_HELLO.size : _HELLO.size + length]
        if len(address) < length:
            raise ProtocolError("hello", "the announced address ends too early")
        try:
            announced = address.decode()
            _check_announced(announced)
        except ValueError as error:
            raise ProtocolError("hello", "the announced address is not one") from error
        return cls(announced, version)


def _check_announced(text: str) -> None:
    if text:
        Address.parse(text)
        if len(text.encode()) > _ANNOUNCED_BYTES_MAX:
            raise AddressError(f"an announced address has {_ANNOUNCED_BYTES_MAX} bytes at most")
