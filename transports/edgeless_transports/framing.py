"""The frames of ``tcp://`` and ``tls+tcp://`` as bytes: a writer and an incremental reader.

Sans-I/O: nothing here knows sockets, loops or time. A stream is a sequence of frames, numbers in
network order::

    length 4 | checksum 4 | kind 1 | call 8 | method 2 | timeout 4 | payload
             '-- CRC-32 of -->'----------- length bytes -------------------'

The first frame of each side is a hello: magic, version, announced address; what follows those in it
is for later versions and skipped. ``call`` is 0 in all but requests and their answers, ``timeout``
is what is left of a request's deadline in ms. A method is sent as text once (define) and by its
number from then on; number 0 says that its text stands before the payload.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final, TypeAlias
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
    "PAYLOAD_BYTES_MAX",
    "PING",
    "PONG",
    "REFUSAL",
    "REPLY",
    "REQUEST",
    "VERSION",
    "FrameReader",
    "FrameWriter",
    "Hello",
    "ProtocolError",
    "WireFrame",
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

#: kind, call, method, timeout in ms, payload. A tuple: this is the event path.
WireFrame: TypeAlias = tuple[int, int, str, int, bytes]

_LENGTH: Final = Struct(">I")
_PREFIX: Final = Struct(">II")
_TAIL: Final = Struct(">BQHI")
_HEADER: Final = Struct(">IIBQHI")
_HELLO: Final = Struct(">4sHH")
HEADER_BYTES: Final = _HEADER.size
_LENGTH_MIN: Final = _TAIL.size
#: Before the hello nothing longer is read: HTTP and TLS fail by their first four bytes.
_HELLO_LENGTH_MAX: Final = 4096
_ANNOUNCED_BYTES_MAX: Final = 1024
_TIMEOUT_MS_MAX: Final = 0xFFFF_FFFF


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
    """Turns frames of one direction of a connection into bytes; knows which methods it defined."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def write(
        self, kind: int, call: int = 0, method: str = "", timeout_ms: int = 0, payload: bytes = b""
    ) -> bytes:
        """The bytes of a frame, after those that define its method if they are needed.

        Raises ValueError for a *method* that is none; "" = the kind has none. A timeout beyond
        2^32 ms is cut. The size of *payload* is the caller's to check.
        """
        before = b""
        number = self._numbers.get(method, 0)
        if not number and method:
            if len(self._numbers) < METHODS_MAX:
                check_method(method)
                number = self._numbers[method] = len(self._numbers) + 1
                before = _frame(DEFINE, 0, number, 0, method.encode())
            else:
                check_method(method)
                payload = bytes((len(method),)) + method.encode() + payload
        if timeout_ms > _TIMEOUT_MS_MAX:
            timeout_ms = _TIMEOUT_MS_MAX
        frame = _frame(kind, call, number, timeout_ms, payload)
        return before + frame if before else frame


def _frame(kind: int, call: int, number: int, timeout_ms: int, payload: bytes) -> bytes:
    body = _TAIL.pack(kind, call, number, timeout_ms) + payload
    return _PREFIX.pack(len(body), crc32(body)) + body


class FrameReader:
    """Turns the bytes of one direction of a connection into frames, however they are split.

    Hello and define frames are kept, not returned. Memory grows with the bytes that came, never
    with a length that was announced.
    """

    __slots__ = ("_buffer", "_length_max", "_methods", "_need", "error", "hello", "housekeeping")

    def __init__(self, payload_bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        #: The peer's hello, once it came.
        self.hello: Hello | None = None
        #: Set by frames about the connection itself (ping, pong, goodbye); the user resets it.
        self.housekeeping = False
        #: Why nothing more is read. The frames before it were returned, for any split.
        self.error: ProtocolError | None = None
        # The longest method may stand before the longest payload.
        self._length_max = _LENGTH_MIN + payload_bytes_max + 256
        self._methods: list[str] = [""]
        self._buffer = bytearray()
        #: Bytes that the buffer must hold before it is worth a look.
        self._need = _LENGTH.size

    @property
    def unfinished(self) -> int:
        """Bytes of a frame that has not ended yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[WireFrame]:
        """The frames that *data* completes. Never raises: see `error`."""
        frames: list[WireFrame] = []
        if self.error is not None:
            return frames
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return frames
            data = bytes(self._buffer)
            self._buffer.clear()
        try:
            used = self._read(data, frames)
        except ProtocolError as error:
            self.error = error
            return frames
        if used < len(data):
            self._buffer += memoryview(data)[used:]
        return frames

    def _read(self, data: bytes, frames: list[WireFrame]) -> int:
        """Append the frames of *data*; return how many bytes they take."""
        view = memoryview(data)
        at, end = 0, len(data)
        while end - at >= HEADER_BYTES:
            length, checksum, kind, call, number, timeout_ms = _HEADER.unpack_from(data, at)
            if not _LENGTH_MIN <= length <= self._length_max or self.hello is None:
                self._check_length(length)
            stop = at + 8 + length
            if stop > end:
                self._need = stop - at
                return at
            payload = data[at + HEADER_BYTES : stop]
            if crc32(view[at + 8 : stop]) != checksum:
                raise ProtocolError("checksum", "a frame was changed on its way")
            at = stop
            if self.hello is None or kind <= DEFINE or kind > GOODBYE:
                self._note(kind, number, payload)
            elif kind in (REQUEST, CAST):
                if (call == 0) is (kind == REQUEST):
                    raise ProtocolError("call", f"a frame of kind {kind} cannot have call {call}")
                if not 0 < number < len(self._methods):
                    method, payload = self._odd_method(number, payload)
                else:
                    method = self._methods[number]
                frames.append((kind, call, method, timeout_ms, payload))
            else:
                frames.append((kind, call, "", timeout_ms, payload))
                if kind >= PING:
                    self.housekeeping = True
        self._await_rest(data, at)
        return at

    def _await_rest(self, data: bytes, at: int) -> None:
        """Less than a header is left: refuse it by its length alone, whether or not more comes."""
        self._need = _LENGTH.size
        if len(data) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, at)
            self._check_length(length)
            self._need = 8 + length

    def _check_length(self, length: int) -> None:
        longest = self._length_max if self.hello is not None else _HELLO_LENGTH_MAX
        if not _LENGTH_MIN <= length <= longest:
            raise ProtocolError(
                "length", f"a frame has {_LENGTH_MIN} to {longest} bytes here, not {length}"
            )

    def _note(self, kind: int, number: int, payload: bytes) -> None:
        """A frame that nobody else sees."""
        if self.hello is None:
            self._greet(kind, payload)
        elif kind == DEFINE:
            self._define(number, payload)
        else:
            raise ProtocolError("kind", f"a frame of kind {kind} is not expected")

    def _greet(self, kind: int, payload: bytes) -> None:
        if kind == GOODBYE:
            text = payload[:1024].decode("utf-8", "replace")
            raise ProtocolError("hello", f"the peer refused the connection: {text}")
        if kind != HELLO:
            raise ProtocolError("hello", f"a frame of kind {kind} came before the hello")
        self.hello = Hello.decode(payload)

    def _define(self, number: int, payload: bytes) -> None:
        if number != len(self._methods) or number > METHODS_MAX:
            raise ProtocolError("method", f"method {number} is defined out of turn")
        self._methods.append(_method_of(payload))

    def _odd_method(self, number: int, payload: bytes) -> tuple[str, bytes]:
        """The method that stands before the payload, and what is behind it."""
        if number:
            raise ProtocolError("method", f"method {number} is not defined")
        start = 1 + payload[0] if payload else 1
        return _method_of(payload[1:start]), payload[start:]


def _method_of(text: bytes) -> str:
    method = text.decode("latin-1")
    try:
        check_method(method)
    except ValueError as error:
        raise ProtocolError("method", str(error)) from error
    return method
