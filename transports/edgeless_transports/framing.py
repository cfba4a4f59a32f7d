"""The frames of ``tcp://`` and ``tls+tcp://`` as bytes: a writer and an incremental reader.

Sans-I/O: nothing here knows sockets, loops or time. A stream is a sequence of packets, and a packet
a sequence of whole frames that were written together; numbers are in network order::

    packet:  length 4 | checksum 4 | frames
                      '-- CRC-32 --'(length bytes)
    frame:   length 4 | kind 1 | method 2 | call 8 | timeout 4 | payload (length bytes)

The first frame of each side is a hello, in a packet of its own: magic, version, announced address;
what follows those in it is for later versions and skipped. ``call`` is 0 in all but requests and
their answers, ``timeout`` is what is left of a request's deadline in ms. A method is sent as text
once (define) and by its number from then on; number 0 says that its text stands before the payload.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final, Protocol
from zlib import crc32

from edgeless_transports.base import Address, check_method
from edgeless_transports.errors import AddressError, TransportError

__all__ = [
    "CAST",
    "DEFINE",
    "GOODBYE",
    "HEADER_BYTES",
    "HELLO",
    "MAGIC",
    "METHODS_MAX",
    "PACKET_BYTES",
    "PAYLOAD_BYTES_MAX",
    "PING",
    "PONG",
    "PREFIX_BYTES",
    "REFUSAL",
    "REPLY",
    "REQUEST",
    "VERSION",
    "FrameReader",
    "FrameWriter",
    "Hello",
    "ProtocolError",
    "Receiver",
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

_LENGTH: Final = Struct(">I")
_PREFIX: Final = Struct(">II")
_HEADER: Final = Struct(">IBHQI")
_HELLO: Final = Struct(">4sHH")
PREFIX_BYTES: Final = _PREFIX.size
HEADER_BYTES: Final = _HEADER.size
#: A packet takes no further frame when it has so many bytes: a frame that is larger is alone in it.
PACKET_BYTES: Final = 64 << 10
#: The definition of the longest method, or the method itself before a payload.
_METHOD_BYTES_MAX: Final = HEADER_BYTES + 256
#: Before the hello nothing longer is read: HTTP and TLS fail by their first four bytes.
_HELLO_LENGTH_MAX: Final = 4096
_ANNOUNCED_BYTES_MAX: Final = 1024


class ProtocolError(TransportError):
    """The peer sent what no peer may send; its connection is of no more use.

    ``reason`` is one of: call, checksum, hello, kind, length, magic, method, version.
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


class FrameWriter:
    """Packs frames of one direction of a connection; knows which methods it defined.

    Frames wait until `take`. A caller that reads `waiting` before `add` bounds them.
    """

    __slots__ = ("_cut_at", "_numbers", "_packets", "_parts", "waiting")

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self._packets: deque[bytes] = deque()
        self._parts: list[bytes] = []
        #: Bytes of the frames that wait.
        self.waiting = 0
        self._cut_at = PACKET_BYTES

    def add(
        self, kind: int, call: int = 0, method: str = "", timeout_ms: int = 0, payload: bytes = b""
    ) -> None:
        """Append a frame, after one that defines its method if that is needed.

        Raises ValueError for a *method* that is none; "" = the kind has none. The size of *payload*
        is the caller's to check, and that the numbers fit.
        """
        number = self._numbers.get(method)
        if number is None:
            number = self._define(method)
            if not number:
                payload = bytes((len(method),)) + method.encode() + payload
        size = len(payload)
        # Twice: by one append each is the cheapest way, and nothing is copied before `take`.
        self._parts.append(_HEADER.pack(size, kind, number, call, timeout_ms))
        self._parts.append(payload)
        self.waiting = waiting = self.waiting + size + HEADER_BYTES
        if waiting >= self._cut_at:
            self._cut()

    def take(self) -> bytes:
        """The next packet to send; b"" if nothing waits."""
        if not self._packets:
            if not self._parts:
                return b""
            self._cut()
        packet = self._packets.popleft()
        size = len(packet) - PREFIX_BYTES
        self.waiting -= size
        self._cut_at -= size
        return packet

    def write(
        self, kind: int, call: int = 0, method: str = "", timeout_ms: int = 0, payload: bytes = b""
    ) -> bytes:
        """As `add` and `take`: the bytes of this frame, and of those that waited."""
        self.add(kind, call, method, timeout_ms, payload)
        return b"".join(iter(self.take, b""))

    def _cut(self) -> None:
        """Make a packet of the frames that are in none."""
        frames = b"".join(self._parts)
        self._packets.append(_PREFIX.pack(len(frames), crc32(frames)) + frames)
        self._parts.clear()
        self._cut_at = self.waiting + PACKET_BYTES

    def _define(self, method: str) -> int:
        """Number *method*; 0 if there are enough of them."""
        check_method(method)
        # One of them is "".
        number = len(self._numbers)
        if number > METHODS_MAX:
            return 0
        text = method.encode()
        self._parts += (_HEADER.pack(len(text), DEFINE, number, 0, 0), text)
        self.waiting += HEADER_BYTES + len(text)
        self._numbers[method] = number
        return number


class Receiver(Protocol):
    """Takes the frames of one connection, one by one, in their order.

    May raise `ProtocolError`: then nothing more is read. Anything else that it raises is its own.
    """

    def cast(self, method: str, payload: bytes) -> None:
        """A cast came."""
        ...

    def request(self, call: int, method: str, timeout_ms: int, payload: bytes) -> None:
        """A request came."""
        ...

    def answer(self, kind: int, call: int, payload: bytes) -> None:
        """A reply or a refusal came."""
        ...


class FrameReader:
    """Turns the bytes of one direction of a connection into frames, however they are split.

    *greet* takes the peer's hello and says who takes its frames; *control* takes those that are
    about the connection itself: kind (ping, pong, goodbye), call, payload. Memory grows with the
    bytes that came, never with a length that was announced.
    """

    __slots__ = (
        "_buffer",
        "_control",
        "_greet",
        "_length_max",
        "_methods",
        "_need",
        "_payload_max",
        "_receiver",
        "error",
    )

    def __init__(
        self,
        greet: Callable[[Hello], Receiver],
        control: Callable[[int, int, bytes], None],
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
    ) -> None:
        #: Why nothing more is read. The frames before it were delivered, for any split.
        self.error: ProtocolError | None = None
        self._greet = greet
        self._control = control
        self._receiver: Receiver | None = None
        # The longest method may stand before the longest payload.
        self._payload_max = payload_bytes_max + 256
        self._length_max = PACKET_BYTES + HEADER_BYTES + self._payload_max + _METHOD_BYTES_MAX
        self._methods: dict[int, str] = {}
        self._buffer = bytearray()
        #: Bytes that the buffer must hold before it is worth a look.
        self._need = _LENGTH.size

    @property
    def unfinished(self) -> int:
        """Bytes of a packet that has not ended yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> bool:
        """Deliver the frames that *data* completes; False if it completes none.

        Raises what a receiver raises, but no `ProtocolError`: see `error`.
        """
        if self.error is not None:
            return False
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return False
            data = bytes(self._buffer)
            self._buffer.clear()
        try:
            used = self._read(data)
        except ProtocolError as error:
            self.error = error
            return False
        if used < len(data):
            self._buffer += memoryview(data)[used:]
        return used > 0

    def _read(self, data: bytes) -> int:
        """Deliver the packets of *data*; return how many bytes they take."""
        view = memoryview(data)
        at, end = 0, len(data)
        while end - at >= PREFIX_BYTES:
            length, checksum = _PREFIX.unpack_from(data, at)
            if not HEADER_BYTES <= length <= self._length_max or self._receiver is None:
                self._check_length(length)
            start = at + PREFIX_BYTES
            stop = start + length
            if stop > end:
                self._need = stop - at
                return at
            if crc32(view[start:stop]) != checksum:
                raise ProtocolError("checksum", "a packet was changed on its way")
            if self._receiver is None:
                self._receiver = self._greeted(data, start, stop)
            else:
                self._deliver(data, start, stop, self._receiver)
            at = stop
        self._await_rest(data, at)
        return at

    def _deliver(self, data: bytes, at: int, stop: int, receiver: Receiver) -> None:
        """Deliver the frames between *at* and *stop*: the event path."""
        unpack_from, method_of = _HEADER.unpack_from, self._methods.get
        take_cast, take_request, take_answer = receiver.cast, receiver.request, receiver.answer
        large = stop - at > self._payload_max
        last = stop - HEADER_BYTES
        while at <= last:
            size, kind, number, call, timeout_ms = unpack_from(data, at)
            start = at + HEADER_BYTES
            at = start + size
            if at > stop or (large and size > self._payload_max):
                raise ProtocolError("length", f"a frame cannot have {size} bytes here")
            payload = data[start:at]
            if kind == CAST and not call and (method := method_of(number)):
                take_cast(method, payload)
            elif kind == REPLY:
                take_answer(kind, call, payload)
            elif kind == REQUEST and call and (method := method_of(number)):
                take_request(call, method, timeout_ms, payload)
            else:
                self._deliver_odd(kind, number, call, timeout_ms, payload, receiver)
        if at != stop:
            raise ProtocolError("length", "a packet ends within a frame")

    def _deliver_odd(
        self,
        kind: int,
        number: int,
        call: int,
        timeout_ms: int,
        payload: bytes,
        receiver: Receiver,
    ) -> None:
        """Deliver, or refuse, a frame of which there are few."""
        if kind == DEFINE:
            self._define(number, payload)
        elif kind == REFUSAL:
            receiver.answer(kind, call, payload)
        elif PING <= kind <= GOODBYE:
            self._control(kind, call, payload)
        elif kind not in (REQUEST, CAST):
            raise ProtocolError("kind", f"a frame of kind {kind} is not expected")
        elif (call == 0) is (kind == REQUEST):
            raise ProtocolError("call", f"a frame of kind {kind} cannot have call {call}")
        elif number:
            raise ProtocolError("method", f"method {number} is not defined")
        else:
            method, payload = _split_method(payload)
            if kind == CAST:
                receiver.cast(method, payload)
            else:
                receiver.request(call, method, timeout_ms, payload)

    def _await_rest(self, data: bytes, at: int) -> None:
        """Less than a prefix is left: refuse it by its length alone, whether or not more comes."""
        self._need = _LENGTH.size
        if len(data) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, at)
            self._check_length(length)
            self._need = PREFIX_BYTES + length

    def _check_length(self, length: int) -> None:
        longest = self._length_max if self._receiver is not None else _HELLO_LENGTH_MAX
        if not HEADER_BYTES <= length <= longest:
            raise ProtocolError(
                "length", f"a packet has {HEADER_BYTES} to {longest} bytes here, not {length}"
            )

    def _greeted(self, data: bytes, at: int, stop: int) -> Receiver:
        """Read the first packet."""
        size, kind, _, _, _ = _HEADER.unpack_from(data, at)
        payload = data[at + HEADER_BYTES : stop]
        if kind == GOODBYE:
            text = payload[:1024].decode("utf-8", "replace")
            raise ProtocolError("hello", f"the peer refused the connection: {text}")
        if kind != HELLO:
            raise ProtocolError("hello", f"a frame of kind {kind} came before the hello")
        if size != len(payload):
            raise ProtocolError("hello", "a hello is alone in its packet")
        return self._greet(Hello.decode(payload))

    def _define(self, number: int, payload: bytes) -> None:
        if number != len(self._methods) + 1 or number > METHODS_MAX:
            raise ProtocolError("method", f"method {number} is defined out of turn")
        self._methods[number] = _method_of(payload)


def _split_method(payload: bytes) -> tuple[str, bytes]:
    """The method that stands before the payload, and what is behind it."""
    start = 1 + payload[0] if payload else 1
    return _method_of(payload[1:start]), payload[start:]


def _method_of(text: bytes) -> str:
    method = text.decode("latin-1")
    try:
        check_method(method)
    except ValueError as error:
        raise ProtocolError("method", str(error)) from error
    return method
