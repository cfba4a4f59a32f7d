"""Bytes to frames of ``tcp://``. Sans-I/O: nothing here knows sockets, loops or time."""

from collections.abc import Callable
from struct import unpack_from
from typing import Protocol
from zlib import crc32

from edgeless_transports.base import Incoming, check_method
from edgeless_transports.framing import (
    ANSWERS,
    CAST,
    DEFINE,
    FRAMES_MAX,
    GOODBYE,
    GROUP,
    GROUP_BYTES,
    HELLO,
    HELLO_LENGTH_MAX,
    ITEM,
    ITEM_BYTES,
    LENGTH,
    LENGTH_BYTES,
    LENGTH_MIN,
    METHODS_MAX,
    NUMBERED,
    PACKET_BYTES,
    PAYLOAD_BYTES_MAX,
    PREFIX,
    PREFIX_BYTES,
    REQUEST,
    ROOM_BYTES,
    Hello,
    ProtocolError,
)

__all__ = ["FrameReader", "Receiver"]


class Receiver(Protocol):
    """Takes the frames of one connection, one by one, in their order.

    Raises nothing but `ProtocolError`, after which nothing more is read; `cast` may raise anything.
    """

    #: What `Incoming.peer` of casts is.
    peer: str

    def cast(self, incoming: Incoming) -> None:
        """A cast came."""
        ...

    def cast_failed(self, error: Exception) -> None:
        """`cast` raised this; the next frame follows."""
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
        self._length_max = PACKET_BYTES + self._payload_max + ROOM_BYTES
        self._methods: dict[int, str] = {0: ""}
        self._buffer = bytearray()
        #: Bytes that the buffer must hold before it is worth a look.
        self._need = LENGTH_BYTES

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
            # Without its frames, which hold us and the data.
            self.error = error.with_traceback(None)
            return False
        if used < len(data):
            self._buffer += memoryview(data)[used:]
        return used > 0

    def _read(self, data: bytes) -> int:
        """Deliver the packets of *data*; return how many bytes they take."""
        view = memoryview(data)
        at, end = 0, len(data)
        while end - at >= PREFIX_BYTES:
            length, checksum = PREFIX.unpack_from(data, at)
            if not LENGTH_MIN <= length <= self._length_max or self._receiver is None:
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
        self._need = LENGTH_BYTES
        if end - at >= LENGTH_BYTES:
            self._await_rest(data, at)
        return at

    def _deliver(self, data: bytes, at: int, stop: int, receiver: Receiver) -> None:
        """Deliver the groups of a packet that begins at *at*."""
        frames = 0
        while at < stop:
            if stop - at < GROUP_BYTES:
                raise ProtocolError("length", "a packet ends within a group")
            kind, number, count = GROUP.unpack_from(data, at)
            at += GROUP_BYTES
            frames += count
            numbered = kind in NUMBERED
            if not count or frames > FRAMES_MAX:
                # Empty frames take little of a packet, and as much time as others.
                raise ProtocolError("length", f"a packet cannot have {frames} frames")
            if at + count * (ITEM_BYTES if numbered else LENGTH_BYTES) > stop:
                raise ProtocolError("length", f"a packet is too short for {count} frames")
            if kind == CAST:
                at = self._deliver_casts(data, at, stop, number, count, receiver)
            elif numbered:
                at = self._deliver_numbered(data, at, stop, kind, number, count, receiver)
            else:
                at = self._deliver_rare(data, at, stop, kind, number, count)

    def _deliver_casts(
        self, data: bytes, at: int, stop: int, number: int, count: int, receiver: Receiver
    ) -> int:
        """The event path."""
        sizes = unpack_from(f">{count}I", data, at)
        at += count * LENGTH_BYTES
        self._check_sizes(sizes, stop - at)
        take_cast, peer, method = receiver.cast, receiver.peer, self._method(number)
        for size in sizes:
            start = at
            at += size
            payload = data[start:at]
            if not number:
                method, payload = _split_method(payload)
            try:
                take_cast(Incoming(method, payload, peer, None))
            except Exception as error:  # noqa: BLE001 - its to judge; the next frame follows
                receiver.cast_failed(error)
        return at

    def _deliver_numbered(
        self,
        data: bytes,
        at: int,
        stop: int,
        kind: int,
        number: int,
        count: int,
        receiver: Receiver,
    ) -> int:
        """Requests, answers, pings and pongs."""
        start = at
        at += count * ITEM_BYTES
        # A copy: an `iter_unpack` over a memoryview crashes CPython when both are garbage in a
        # cycle, and an exception that keeps this frame makes one.
        items = ITEM.iter_unpack(data[start:at])
        method = self._method(number)
        take_answer = receiver.answer if kind in ANSWERS else self._control
        take_request = receiver.request if kind == REQUEST else None
        for size, call, timeout_ms in items:
            payload = data[at : at + size]
            at += size
            if at > stop or size > self._payload_max:
                self._check_sizes((size,), stop - at + size)
            if take_request is None:
                take_answer(kind, call, payload)
            elif number:
                take_request(call, method, timeout_ms, payload)
            else:
                named, payload = _split_method(payload)
                take_request(call, named, timeout_ms, payload)
        return at

    def _deliver_rare(
        self, data: bytes, at: int, stop: int, kind: int, number: int, count: int
    ) -> int:
        if count > 1:
            raise ProtocolError("kind", f"{count} frames of kind {kind} in a row are not expected")
        size: int = LENGTH.unpack_from(data, at)[0]
        at += LENGTH_BYTES
        self._check_sizes((size,), stop - at)
        payload = data[at : at + size]
        if kind == DEFINE:
            self._define(number, payload)
        elif kind == GOODBYE:
            self._control(kind, 0, payload)
        else:
            raise ProtocolError("kind", f"a frame of kind {kind} is not expected")
        return at + size

    def _check_sizes(self, sizes: tuple[int, ...], room: int) -> None:
        if sum(sizes) > room:
            raise ProtocolError("length", "a packet ends within a payload")
        if room > self._payload_max and max(sizes) > self._payload_max:
            raise ProtocolError("length", f"a payload of {max(sizes)} bytes is too long")

    def _method(self, number: int) -> str:
        """The method that has *number*; "" for 0, which says that it is in the payload."""
        method = self._methods.get(number)
        if method is None:
            raise ProtocolError("method", f"method {number} is not defined")
        return method

    def _await_rest(self, data: bytes, at: int) -> None:
        """Less than a prefix is left: refuse it by its length alone, whether or not more comes."""
        length: int = LENGTH.unpack_from(data, at)[0]
        self._check_length(length)
        self._need = PREFIX_BYTES + length

    def _check_length(self, length: int) -> None:
        longest = self._length_max if self._receiver is not None else HELLO_LENGTH_MAX
        if not LENGTH_MIN <= length <= longest:
            raise ProtocolError(
                "length", f"a packet has {LENGTH_MIN} to {longest} bytes here, not {length}"
            )

    def _greeted(self, data: bytes, at: int, stop: int) -> Receiver:
        """Read the first packet."""
        kind, _, count = GROUP.unpack_from(data, at)
        at += GROUP_BYTES
        (size,) = LENGTH.unpack_from(data, at)
        payload = data[at + LENGTH_BYTES : stop]
        if kind == GOODBYE:
            text = payload[:1024].decode("utf-8", "replace")
            raise ProtocolError("hello", f"the peer refused the connection: {text}")
        if kind != HELLO:
            raise ProtocolError("hello", f"a frame of kind {kind} came before the hello")
        if count != 1 or size != len(payload):
            raise ProtocolError("hello", "a hello is alone in its packet")
        return self._greet(Hello.decode(payload))

    def _define(self, number: int, payload: bytes) -> None:
        if number != len(self._methods) or number > METHODS_MAX:
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
