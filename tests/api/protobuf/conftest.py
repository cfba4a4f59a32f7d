"""A writer of protobuf that is not the library's: what the bytes must be is said field by field."""

import struct

import pytest


class Scribe:
    """Fields as bytes, by their numbers (varint, 32 and 64 bits, length-delimited)."""

    def varint(self, value: int) -> bytes:
        if value < 0:
            value += 1 << 64
        out = bytearray()
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
        return bytes(out)

    def number(self, field: int, value: int) -> bytes:
        return self.varint(field << 3) + self.varint(value)

    def single(self, field: int, value: float) -> bytes:
        return self.varint(field << 3 | 5) + struct.pack("<f", value)

    def double(self, field: int, value: float) -> bytes:
        return self.varint(field << 3 | 1) + struct.pack("<d", value)

    def block(self, field: int, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return self.varint(field << 3 | 2) + self.varint(len(content)) + content

    def text(self, field: int, value: str) -> bytes:
        return self.block(field, value.encode())

    def entry(self, field: int, key: str, value: str) -> bytes:
        return self.block(field, self.text(1, key), self.text(2, value))

    def instance(self, field: int, node_id: str, function_id: str) -> bytes:
        return self.block(field, self.text(1, node_id), self.text(2, function_id))


@pytest.fixture
def scribe() -> Scribe:
    return Scribe()
