"""Durations, sizes and rates as people write them: a number and its unit, never a bare number.

``"250ms"``, ``"1.5s"``, ``"4GiB"``, ``"10MB/s"``. Strict: ASCII digits only, no blanks but one
before the unit, exact arithmetic. Everything raises ValueError with what is allowed.
"""

import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator

__all__ = [
    "DURATION_NS_MAX",
    "Bandwidth",
    "Duration",
    "MemorySize",
    "duration_text",
    "parse_bandwidth",
    "parse_duration",
    "parse_memory_mib",
]

#: Ten years: whatever is longer is a slip of the pen.
DURATION_NS_MAX: Final = 10 * 365 * 86_400 * 1_000_000_000

_TEXT_CHARS_MAX: Final = 32
_NUMBER: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]+(?:/s)?)")
_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
    "d": 86_400 * 1_000_000_000,
}
_BYTES: Final = {
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_BYTES_PER_S: Final = {
    "B/s": 1,
    "kB/s": 10**3,
    "MB/s": 10**6,
    "GB/s": 10**9,
    "KiB/s": 1 << 10,
    "MiB/s": 1 << 20,
    "GiB/s": 1 << 30,
}
_MEMORY_MIB_MAX: Final = (1 << 32) - 1
_BANDWIDTH_MAX: Final = 10**15


def parse_duration(value: object) -> int:
    """The duration *value* in nanoseconds."""
    exact = _exact(value, _NS, "a duration with its unit, such as '250ms', '1.5s', '2min'")
    if exact != exact.to_integral_value():
        raise ValueError("durations are whole nanoseconds")
    if exact > DURATION_NS_MAX:
        raise ValueError("it is longer than ten years")
    return int(exact)


def parse_memory_mib(value: object) -> int:
    """The amount of memory *value* in MiB, rounded down."""
    exact = _exact(value, _BYTES, "a size with its unit, such as '4GiB', '512MiB'")
    mib = int(exact) >> 20
    if not 1 <= mib <= _MEMORY_MIB_MAX:
        raise ValueError("it is not between 1 MiB and 4 PiB")
    return mib


def parse_bandwidth(value: object) -> int:
    """The bandwidth *value* in bytes per second, at least 1."""
    exact = _exact(value, _BYTES_PER_S, "a rate with its unit, such as '10MB/s', '500kB/s'")
    if not 1 <= exact <= _BANDWIDTH_MAX:
        raise ValueError("it is not between 1B/s and 1000000GB/s")
    return int(exact)


def duration_text(duration_ns: int) -> str:
    """*duration_ns* as a person writes it: ``20s``, ``1.5ms``."""
    for unit in ("s", "ms", "us"):
        if duration_ns >= _NS[unit]:
            return f"{duration_ns / _NS[unit]:.9g}{unit}"
    return f"{duration_ns}ns" if duration_ns else "0s"


def _exact(value: object, units: dict[str, int], expected: str) -> Decimal:
    if not isinstance(value, str):
        raise ValueError(f"expected {expected}")
    found = _NUMBER.fullmatch(value) if len(value) <= _TEXT_CHARS_MAX else None
    if found is None:
        raise ValueError(f"expected {expected}")
    unit = units.get(found[2])
    if unit is None:
        raise ValueError(f"unknown unit '{found[2][:16]}'; known: {', '.join(units)}")
    return Decimal(found[1]) * unit


#: Nanoseconds, written as a text with a unit.
Duration = Annotated[int, BeforeValidator(parse_duration)]
#: MiB, written as a text with a unit.
MemorySize = Annotated[int, BeforeValidator(parse_memory_mib)]
#: Bytes per second, written as a text with a unit.
Bandwidth = Annotated[int, BeforeValidator(parse_bandwidth)]
