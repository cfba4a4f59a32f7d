"""Frames of ``tcp://`` to bytes. Sans-I/O: nothing here knows sockets, loops or time."""

from collections.abc import Callable
from struct import pack
from zlib import crc32

from edgeless_transports.base import check_method
from edgeless_transports.framing import (
    CAST,
    DEFINE,
    GROUP,
    GROUP_BYTES,
    ITEM,
    ITEM_BYTES,
    LENGTH,
    LENGTH_BYTES,
    METHODS_MAX,
    NUMBERED,
    PACKET_BYTES,
    PAYLOAD_BYTES_MAX,
    PREFIX,
    PREFIX_BYTES,
    WITH_METHOD,
)

__all__ = ["FrameWriter"]


class FrameWriter:
    """Packs frames of one direction of a connection; knows which methods it defined.

    Frames wait until `take`, *waiting_max* bytes of them at most, but for the first. *wake* is
    called for the first that waits. Sizes of payloads are the caller's to check.
    """

    __slots__ = (
        "_cast_method",
        "_closed",
        "_cut_at",
        "_cut_first",
        "_groups",
        "_items",
        "_kind",
        "_method",
        "_number",
        "_numbered",
        "_numbers",
        "_packets",
        "_payloads",
        "_sizes",
        "_waiting_max",
        "_wake",
        "waiting",
    )

    def __init__(
        self, waiting_max: int = PAYLOAD_BYTES_MAX, wake: Callable[[], None] | None = None
    ) -> None:
        #: Bytes of the frames that wait.
        self.waiting = 0
        self._waiting_max = waiting_max
        self._wake = wake
        self._closed = False
        self._numbers: dict[str, int] = {}
        self._packets: list[bytes] = []
        #: When so much waits, the frames in no packet make one; never beyond *waiting_max*.
        self._cut_at = self._cut_first = min(PACKET_BYTES, waiting_max)
        # What is in no packet yet: groups that ended, and the one that grows.
        self._groups: list[bytes] = []
        self._kind = 0
        self._number = 0
        #: Its kind, if it is one whose items have a call.
        self._numbered = 0
        #: Its method; None = it stands before each payload.
        self._method: str | None = None
        #: The same, if it is one of casts.
        self._cast_method: str | None = None
        self._sizes: list[int] = []
        self._items: list[bytes] = []
        self._payloads: list[bytes] = []

    def cast(self, method: str, payload: bytes) -> bool:
        """As `add` of a cast: the event path."""
        size = len(payload)
        waiting = self.waiting + size + LENGTH_BYTES
        if method != self._cast_method or waiting >= self._cut_at:
            return self._add(CAST, 0, method, 0, payload)
        # The group has a frame already: somebody woke up for it.
        self._sizes.append(size)
        self._payloads.append(payload)
        self.waiting = waiting
        return True

    def add(
        self, kind: int, call: int = 0, method: str = "", timeout_ms: int = 0, payload: bytes = b""
    ) -> bool:
        """Append a frame, after one that defines its method if needed; False if too much waits.

        Raises ValueError for a *method* that is none; "" = the kind has none.
        """
        waiting = self.waiting + ITEM_BYTES + len(payload)
        if waiting >= self._cut_at or kind != self._numbered or method != self._method:
            return self._add(kind, call, method, timeout_ms, payload)
        self._items.append(ITEM.pack(len(payload), call, timeout_ms))
        self._payloads.append(payload)
        self.waiting = waiting
        return True

    def _add(self, kind: int, call: int, method: str, timeout_ms: int, payload: bytes) -> bool:
        """The long way, for the first frame of a group."""
        size, waiting = len(payload), self.waiting
        # Before defining: a method that is defined by a frame must leave with it.
        if waiting:
            if waiting + size > self._waiting_max:
                return False
        elif self._closed:
            return False
        number = self._numbers.get(method)
        if number is None:
            number = self._define(method) if kind in WITH_METHOD else 0
            if method and not number:
                payload = bytes((len(method),)) + method.encode() + payload
                size = len(payload)
        if kind != self._kind or number != self._number:
            self._open_group(kind, number, method)
        if self._numbered:
            self._items.append(ITEM.pack(size, call, timeout_ms))
            self.waiting += size + ITEM_BYTES
        else:
            self._sizes.append(size)
            self.waiting += size + LENGTH_BYTES
        self._payloads.append(payload)
        if self.waiting >= self._cut_at:
            self._cut()
        if not waiting and self._wake is not None:
            self._wake()
        return True

    def take(self) -> bytes:
        """The next packet to send; b"" if nothing waits."""
        if self._packets:
            packet = self._packets.pop(0)
            size = len(packet) - PREFIX_BYTES
            self.waiting -= size
            self._cut_at -= size
            return packet
        if not self.waiting:
            return b""
        self.waiting = 0
        self._cut_at = self._cut_first
        return self._packet()

    def write(
        self, kind: int, call: int = 0, method: str = "", timeout_ms: int = 0, payload: bytes = b""
    ) -> bytes:
        """As `add` and `take`: the bytes of this frame, and of those that waited."""
        self.add(kind, call, method, timeout_ms, payload)
        return b"".join(iter(self.take, b""))

    def close(self) -> None:
        """Forget what waits, and take nothing more."""
        self._packet()
        self._packets.clear()
        self.waiting = 0
        self._closed = True

    def _open_group(self, kind: int, number: int, method: str) -> None:
        if self._kind:
            self._groups.append(self._end_group())
        self._kind, self._number = kind, number
        self._numbered = kind if kind in NUMBERED else 0
        self._method = method if number or not method else None
        self._cast_method = self._method if kind == CAST else None
        self.waiting += GROUP_BYTES

    def _end_group(self) -> bytes:
        sizes, items, payloads = self._sizes, self._items, self._payloads
        count = len(payloads)
        if count == 1:
            item = LENGTH.pack(sizes[0]) if sizes else items[0]
            group = GROUP.pack(self._kind, self._number, 1) + item + payloads[0]
        else:
            if sizes:
                items.append(pack(f">{count}I", *sizes))
            group = b"".join((GROUP.pack(self._kind, self._number, count), *items, *payloads))
        sizes.clear()
        items.clear()
        payloads.clear()
        self._kind = self._numbered = 0
        self._cast_method = None
        return group

    def _packet(self) -> bytes:
        """All that is in no packet."""
        frames = self._end_group() if self._kind else b""
        if self._groups:
            self._groups.append(frames)
            frames = b"".join(self._groups)
            self._groups.clear()
        return PREFIX.pack(len(frames), crc32(frames)) + frames

    def _cut(self) -> None:
        self._packets.append(self._packet())
        self._cut_at = min(self.waiting + PACKET_BYTES, self._waiting_max)

    def _define(self, method: str) -> int:
        """Number *method*; 0 if there are enough of them."""
        check_method(method)
        number = len(self._numbers) + 1
        if number > METHODS_MAX:
            return 0
        text = method.encode()
        self._open_group(DEFINE, number, "")
        self._sizes.append(len(text))
        self._payloads.append(text)
        self.waiting += LENGTH_BYTES + len(text)
        self._numbers[method] = number
        return number
