"""How long something takes, as people write it: ``c(5)``, ``u(1;9)``, ``e(5)``, in milliseconds.

The notation is that of EDGELESS's trigger functions (case C113), with decimals added, because
service times are often shorter than a millisecond. Durations are whole nanoseconds inside; a
decimal is read exactly, never through a float. Not here: where the dice come from.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from math import log
from random import Random
from typing import Final, TypeAlias

from edgeless_sim.model.names import quoted

__all__ = [
    "DURATION_MS_MAX",
    "Constant",
    "Distribution",
    "Exponential",
    "Uniform",
    "parse_distribution",
]

#: Eleven days. In nanoseconds it is below 2**53, so that a float holds every duration exactly.
DURATION_MS_MAX: Final = 10**9
_TEXT_CHARS_MAX: Final = 64
#: A hundred thousand functions of one kind have one distribution.
_REMEMBERED: Final = 1024
_BLANK: Final = " \t\r\n"
_NUMBER: Final = r"([0-9]{1,10}(?:\.[0-9]{1,6})?)"
_FORM: Final = re.compile(rf"([cue])\({_NUMBER}(?:;{_NUMBER})?\)")
_HOW_TO: Final = (
    "write c(5) for always 5 ms, u(1;9) for anything between 1 and 9 ms, or e(5) for exponential "
    "with a mean of 5 ms; at most six decimals, such as c(0.5)"
)


@dataclass(frozen=True, slots=True)
class Constant:
    """Always *duration_ns*."""

    duration_ns: int

    def draw_ns(self, dice: Random) -> int:  # noqa: ARG002 - the shape of every distribution
        """The duration in nanoseconds; draws nothing from *dice*."""
        return self.duration_ns


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every whole number of nanoseconds from *low_ns* to *high_ns*, both included, alike."""

    low_ns: int
    high_ns: int

    def draw_ns(self, dice: Random) -> int:
        """A duration in nanoseconds."""
        # Rounding cannot reach the end: the width is below 2**53.
        return self.low_ns + int(dice.random() * (self.high_ns - self.low_ns + 1))


@dataclass(frozen=True, slots=True)
class Exponential:
    """Exponentially distributed; a draw is at most 37 times *mean_ns*."""

    mean_ns: int

    def draw_ns(self, dice: Random) -> int:
        """A duration in nanoseconds, rounded down."""
        return int(-self.mean_ns * log(1.0 - dice.random()))


Distribution: TypeAlias = Constant | Uniform | Exponential


@lru_cache(maxsize=_REMEMBERED)
def parse_distribution(text: str) -> Distribution:
    """Read ``c(T)``, ``u(LOW;HIGH)`` or ``e(MEAN)``, in ms; blanks around it do not count.

    Raise ValueError, with how to write it, for anything else: other digits than ASCII ones,
    signs, exponents, LOW not below HIGH, or more than `DURATION_MS_MAX`.
    """
    found = _FORM.fullmatch(text.strip(_BLANK)) if len(text) <= _TEXT_CHARS_MAX else None
    if found is None or (found[3] is not None) != (found[1] == "u"):
        raise ValueError(f"{quoted(text)} is not a duration: {_HOW_TO}")
    kind, first_ns = found[1], _nanoseconds(found[2], text)
    if kind == "c":
        return Constant(first_ns)
    if kind == "e":
        return Exponential(first_ns)
    second_ns = _nanoseconds(found[3], text)
    if first_ns >= second_ns:
        raise ValueError(f"{quoted(text)}: in u(low;high) low must be less than high; {_HOW_TO}")
    return Uniform(first_ns, second_ns)


def _nanoseconds(number: str, text: str) -> int:
    whole, _, decimals = number.partition(".")
    duration_ns = int(whole) * 10**6 + int(decimals.ljust(6, "0"))
    if duration_ns > DURATION_MS_MAX * 10**6:
        raise ValueError(f"{quoted(text)}: a duration is at most {DURATION_MS_MAX} ms (11 days)")
    return duration_ns
