"""How deep the blocks of a function nest: compilers recurse, or hold memory, per level.

Almost always the answer is an upper bound found by counting bytes. Only a body that could be too
deep is decoded, instruction by instruction.
"""

from typing import Final

from edgeless_sim.runtimes.wasm.reader import MalformedError, Reader

__all__ = ["nesting_depth"]

_BLOCK, _LOOP, _IF, _END = 0x02, 0x03, 0x04, 0x0B
_BR_TABLE, _SELECT_TYPED = 0x0E, 0x1C
_PREFIX_BULK, _PREFIX_VECTOR = 0xFC, 0xFD


def _one_byte_table() -> dict[int, str]:
    """Immediates by opcode: v a number, m a memory access, 4 and 8 that many bytes."""
    table = dict.fromkeys([0x00, 0x01, 0x05, 0x0F, 0x1A, 0x1B, 0xD1, 0xD3, 0xD4], "")
    table |= dict.fromkeys(range(0x45, 0xC5), "")
    table |= dict.fromkeys([0x0C, 0x0D, 0x10, 0x12, 0x14, 0x15, *range(0x20, 0x27)], "v")
    table |= dict.fromkeys([0x3F, 0x40, 0x41, 0x42, 0xD0, 0xD2, 0xD5, 0xD6], "v")
    table |= dict.fromkeys([0x11, 0x13], "vv")
    table |= dict.fromkeys(range(0x28, 0x3F), "m")
    table |= {0x43: "4", 0x44: "8"}
    return table


_PLAIN: Final = _one_byte_table()
_BULK: Final = (
    dict.fromkeys(range(8), "")
    | dict.fromkeys([9, 11, 13, 15, 16, 17], "v")
    | dict.fromkeys([8, 10, 12, 14], "vv")
)


def nesting_depth(body: Reader, enough: int) -> int:
    """Return the depth of the instructions that *body* stands at, or a bound not above *enough*.

    Raises MalformedError for instructions that are unknown or cut off.
    """
    data, at, end = body.data, body.at, body.end
    openings = (data.count(bytes((opcode,)), at, end) for opcode in (_BLOCK, _LOOP, _IF))
    bound = sum(openings)
    return bound if bound <= enough else _decoded_depth(body, enough)


def _decoded_depth(body: Reader, enough: int) -> int:
    depth = deepest = 0
    while body.at < body.end and deepest <= enough:
        opcode = body.byte()
        if opcode in (_BLOCK, _LOOP, _IF):
            depth += 1
            deepest = max(deepest, depth)
            if body.byte() in (0x63, 0x64) or body.data[body.at - 1] >= 0x80:
                body.skip_varint()
        elif opcode == _END:
            depth -= 1
        else:
            _skip_immediates(body, opcode)
    return deepest


def _skip_immediates(body: Reader, opcode: int) -> None:
    start = body.at - 1
    if opcode == _BR_TABLE:
        for _ in range(body.number() + 1):
            body.skip_varint()
        return
    if opcode == _SELECT_TYPED:
        for _ in range(body.number()):
            body.value_type()
        return
    if opcode == _PREFIX_BULK:
        shape = _BULK.get(body.number())
    elif opcode == _PREFIX_VECTOR:
        shape = _vector_shape(body.number())
    else:
        shape = _PLAIN.get(opcode)
    if shape is None:
        raise MalformedError(f"unknown instruction 0x{opcode:02x}", start)
    _skip(body, shape)


def _vector_shape(opcode: int) -> str | None:
    if opcode <= 11 or opcode in (92, 93):
        return "m"
    if opcode in (12, 13):
        return "88"
    if 21 <= opcode <= 34:
        return "1"
    if 84 <= opcode <= 91:
        return "m1"
    return "" if opcode <= 0x113 else None


def _skip(body: Reader, shape: str) -> None:
    for item in shape:
        if item == "v":
            body.skip_varint()
        elif item == "m":
            if body.number() & 0x40:  # the memory is named
                body.skip_varint()
            body.skip_varint()
        else:
            body.skip(int(item))
