"""A cursor over the bytes of a WebAssembly module: integers, names, sections, types.

Reads the binary format and nothing else; what a module must look like is in prescan.py. Every
read is bounded by the end given, and a module that ends too early or holds an impossible number
is a `MalformedError` with its offset.
"""

from typing import Final

__all__ = ["VALUE_TYPES", "MalformedError", "Reader"]

VALUE_TYPES: Final = {
    0x7F: "i32",
    0x7E: "i64",
    0x7D: "f32",
    0x7C: "f64",
    0x7B: "v128",
    0x70: "funcref",
    0x6F: "externref",
}
_VARINT_BYTES_MAX: Final = 10


class MalformedError(Exception):
    """The bytes are no WebAssembly module. Never leaves this package."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(f"{what} at offset {offset}")


class Reader:
    """Reads *data* from *at* up to *end*."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def byte(self) -> int:
        """Read one byte."""
        if self.at >= self.end:
            raise MalformedError("the module ends too early", self.at)
        value = self.data[self.at]
        self.at += 1
        return value

    def number(self) -> int:
        """Read an unsigned number (LEB128), at most 32 bits."""
        start = self.at
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise MalformedError("a number of more than 5 bytes", start)
        if value > 0xFFFFFFFF:
            raise MalformedError("a number of more than 32 bits", start)
        return value

    def skip_varint(self) -> None:
        """Skip a signed or unsigned number of any size."""
        start = self.at
        while self.byte() >= 0x80:
            if self.at - start >= _VARINT_BYTES_MAX:
                raise MalformedError("a number of more than 10 bytes", start)

    def skip(self, count: int) -> None:
        """Skip *count* bytes."""
        if count > self.end - self.at:
            raise MalformedError("the module ends too early", self.at)
        self.at += count

    def name(self) -> str:
        """Read a name."""
        size = self.number()
        start = self.at
        self.skip(size)
        try:
            return self.data[start : self.at].decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedError("a name that is not UTF-8", start) from error

    def value_type(self) -> str:
        """Read a value type."""
        start = self.at
        byte = self.byte()
        if byte in (0x63, 0x64):  # (ref null? heap type)
            self.skip_varint()
            return "ref"
        found = VALUE_TYPES.get(byte)
        if found is None:
            raise MalformedError(f"unknown value type 0x{byte:02x}", start)
        return found

    def limits(self) -> tuple[int, int, int | None]:
        """Read flags, minimum and maximum of a memory or table."""
        flags = self.byte()
        wide = flags & 4
        low = self._limit(wide)
        high = self._limit(wide) if flags & 1 else None
        return flags, low, high

    def _limit(self, wide: int) -> int:
        if not wide:
            return self.number()
        self.skip_varint()  # A 64-bit memory is refused whatever its size.
        return 0
