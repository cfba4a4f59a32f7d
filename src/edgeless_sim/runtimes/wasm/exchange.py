"""The memory that host and guests talk through: its layout, and how its records are read.

One shared memory per process. The host puts an event, or the reply to a call, into the input
area; module B (see trampoline.py) appends one record to the output area for each thing the guest
asks for. Whoever runs a guest empties the exchange before the next guest runs.

A record is: u32 kind, u32 length of *a*, u32 length of *b*, u32 unused, i64 *x*, *a*, *b*, padding
to 8 bytes. Lengths were checked by B; texts are checked here: a guest may send any bytes.
"""

from struct import Struct
from typing import Final, TypeAlias

from edgeless_sim.runtimes.base import (
    Call,
    CallRaw,
    Cast,
    CastRaw,
    DelayedCast,
    Log,
    Output,
    Refused,
    Sync,
)

__all__ = [
    "ABSENT",
    "END_OFFSET",
    "EXCHANGE_PAGES",
    "FAULT_OFFSET",
    "INPUT_BYTES_MAX",
    "INPUT_OFFSET",
    "LENGTH_OFFSET",
    "OUTPUT_END",
    "OUTPUT_OFFSET",
    "RECORD_CALL",
    "RECORD_CALL_RAW",
    "RECORD_CAST",
    "RECORD_CAST_RAW",
    "RECORD_DELAYED_CAST",
    "RECORD_LOG",
    "RECORD_REFUSED",
    "RECORD_REPLY",
    "RECORD_SYNC",
    "RECORD_TARGET",
    "REPLY_CODE_OFFSET",
    "SHARE_OFFSET",
    "STATE_LENGTH_OFFSET",
    "STATUS_OFFSET",
    "Records",
    "read_records",
]

END_OFFSET: Final = 0
"""u32, from B: end of the records."""
STATUS_OFFSET: Final = 4
"""u32, from B: what ``handle_call_asm`` returned."""
FAULT_OFFSET: Final = 8
"""u32, from B: why it trapped on purpose; see ``FAULTS`` in trampoline.py."""
SHARE_OFFSET: Final = 16
"""u64, from B: fuel that A and B burnt since the entry or the resumption."""
REPLY_CODE_OFFSET: Final = 32
"""u32, from the host: 0, 1 or 2 for the call that the guest waits in."""
STATE_LENGTH_OFFSET: Final = 36
"""u32, from the host: length of the state for init, or `ABSENT`."""
LENGTH_OFFSET: Final = 60
"""u32, from the host: length of the payload or reply, or `ABSENT`. The input follows at once."""
INPUT_OFFSET: Final = 64
"""From the host: node id, component id, payload; or payload, state; or the reply."""
OUTPUT_OFFSET: Final = 4 << 20
"""From B: the records."""
EXCHANGE_PAGES: Final = 320
OUTPUT_END: Final = EXCHANGE_PAGES << 16
INPUT_BYTES_MAX: Final = OUTPUT_OFFSET - INPUT_OFFSET
ABSENT: Final = 0xFFFFFFFF
"""The length that says "there is none", as opposed to an empty text."""

RECORD_CAST: Final = 1
RECORD_CAST_RAW: Final = 2
RECORD_CALL: Final = 3
RECORD_CALL_RAW: Final = 4
RECORD_DELAYED_CAST: Final = 5
RECORD_LOG: Final = 6
RECORD_SYNC: Final = 8
RECORD_REPLY: Final = 9
RECORD_REFUSED: Final = 10
"""x = kind | what was too long << 8: 1 the alias, 2 the payload."""
RECORD_TARGET: Final = 11
"""a, b = node id and component id, for the raw cast or call that follows."""

_OPERATIONS: Final = {
    RECORD_CAST: "cast",
    RECORD_CAST_RAW: "cast_raw",
    RECORD_CALL: "call",
    RECORD_CALL_RAW: "call_raw",
    RECORD_DELAYED_CAST: "delayed_cast",
    RECORD_SYNC: "sync",
    RECORD_REPLY: "reply",
}
_TOO_LONG: Final = {
    1: "the alias is longer than 255 bytes",
    2: "the payload is larger than 1 MiB",
}
_NOT_TEXT: Final = "not UTF-8"

_HEADER: Final = Struct("<IIIxxxxq")


#: What a guest asked for in one segment: its outputs in order, the call it waits in, its reply.
#: Call and reply are None also when they could not be read (not UTF-8), which the outputs then
#: say. A plain tuple: it is made once per event.
Records: TypeAlias = tuple[list[Output], Call | CallRaw | None, str | None]


def read_records(content: bytes) -> Records:
    """Read the records of one segment; never raises for what a guest wrote."""
    outputs: list[Output] = []
    call: Call | CallRaw | None = None
    reply: str | None = None
    target = b""
    header = _HEADER.unpack_from
    at = 0
    size = len(content)
    while at < size:
        kind, a_length, b_length, x = header(content, at)
        a = at + 24
        b = a + a_length
        end = b + b_length
        at = (end + 7) & -8
        try:
            # Casts first: they are most of what is ever recorded.
            if kind == RECORD_CAST:
                outputs.append(Cast(str(content[a:b], "utf-8"), str(content[b:end], "utf-8")))
            elif kind == RECORD_TARGET:
                target = content[a:end]
            elif kind == RECORD_CALL:
                call = Call(str(content[a:b], "utf-8"), str(content[b:end], "utf-8"))
            elif kind == RECORD_CALL_RAW:
                call = CallRaw(target, str(content[b:end], "utf-8"))
            elif kind == RECORD_REPLY:
                reply = str(content[b:end], "utf-8")
            else:
                outputs.append(_rare(kind, x, target, content[a:b], content[b:end]))
        except UnicodeDecodeError:
            outputs.append(Refused(_OPERATIONS[kind], _NOT_TEXT))
    return outputs, call, reply


def _rare(kind: int, x: int, target: bytes, a: bytes, b: bytes) -> Output:
    if kind == RECORD_LOG:
        # A log line is for people: better a mark in it than no line.
        return Log(x, str(a, "utf-8", "replace"), str(b, "utf-8", "replace"))
    if kind == RECORD_CAST_RAW:
        return CastRaw(target, str(b, "utf-8"))
    if kind == RECORD_DELAYED_CAST:
        return DelayedCast(x, str(a, "utf-8"), str(b, "utf-8"))
    if kind == RECORD_SYNC:
        return Sync(str(b, "utf-8"))
    assert kind == RECORD_REFUSED, f"module B wrote a record of kind {kind}"
    return Refused(_OPERATIONS[x & 0xFF], _TOO_LONG[x >> 8])
