"""When work arrives, and until when it stays: models of arrival as pure functions of their dice.

EDGELESS's benchmark has some of them (spec 11.2); the others are ours. Times are in ns since the
workload begins. Not here: what arrives, and who waits for it (`workload_runner`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import count, islice, takewhile
from math import pi, sin
from random import Random
from typing import Final, NamedTuple

from edgeless_sim.errors import SettingsError
from edgeless_sim.model.names import quoted
from edgeless_sim.scenario.units import DURATION_NS_MAX

__all__ = [
    "ARRIVALS_MAX",
    "MODELS",
    "TRACE_MODEL",
    "Arrival",
    "ArrivalPlan",
    "arrivals",
    "parse_trace",
]

#: Most arrivals of one workload.
ARRIVALS_MAX: Final = 10_000_000
#: Most lines of a trace.
_TRACE_LINES_MAX: Final = 1_000_000
_AFTER_THE_END_NS: Final = 1_000
TRACE_MODEL: Final = "trace"


class Arrival(NamedTuple):
    """One arrival."""

    at_ns: int
    end_ns: int
    """Until when it stays, if it is something that stays; it may be after the end."""


@dataclass(frozen=True, slots=True)
class ArrivalPlan:
    """What the models are functions of. Raises `SettingsError` for what would never end."""

    model: str
    duration_ns: int
    """Nothing arrives at or after this."""
    interarrival_ns: int = 0
    """Between two arrivals, or on average; between two bursts."""
    lifetime_ns: int = 0
    """How long one stays, or on average."""
    warmup_ns: int = 0
    """Until when ``incremental-and-keep`` adds something."""
    count_max: int = ARRIVALS_MAX
    burst: int = 1
    """How many arrive at once."""
    period_ns: int = 86_400 * 10**9
    """Of a day."""
    amplitude: float = 1.0
    """How far a day's rate goes above and below its mean, as a share of it."""
    trace: tuple[Arrival, ...] = ()

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise SettingsError(f"unknown model {quoted(self.model)}; known: {', '.join(MODELS)}")
        if self.interarrival_ns <= 0 and self.model not in ("single", TRACE_MODEL):
            raise SettingsError(f"the model {self.model} needs an interarrival time above 0")


def arrivals(plan: ArrivalPlan, dice: Random) -> Iterator[Arrival]:
    """The arrivals of *plan*, in the order of their times: none at or after its duration."""
    within = takewhile(lambda each: each.at_ns < plan.duration_ns, MODELS[plan.model](plan, dice))
    return islice(within, min(plan.count_max, ARRIVALS_MAX))


def parse_trace(text: str) -> tuple[Arrival, ...]:
    """A trace: ``arrival,end`` in seconds per line. Raise `ValueError` that names the line."""
    found: list[Arrival] = []
    for number, line in enumerate(text.splitlines(), 1):
        if len(found) >= _TRACE_LINES_MAX:
            raise ValueError(f"more than {_TRACE_LINES_MAX} lines")
        fields = line.split(",")
        if len(fields) != 2:
            raise ValueError(f"line {number}: expected 'arrival,end' in seconds, as '0.5,12'")
        at_ns, end_ns = (_nanoseconds(field, number) for field in fields)
        if end_ns <= at_ns:
            raise ValueError(f"line {number}: the end is not after the arrival")
        if found and at_ns < found[-1].at_ns:
            raise ValueError(f"line {number}: it arrives before the one above it")
        found.append(Arrival(at_ns, end_ns))
    if not found:
        raise ValueError("a trace needs at least one line")
    return tuple(found)


def _nanoseconds(field: str, line: int) -> int:
    try:
        seconds = Decimal(field.strip())
    except InvalidOperation:
        raise ValueError(f"line {line}: {quoted(field.strip())} is no number") from None
    if not (seconds.is_finite() and 0 <= seconds <= DURATION_NS_MAX // 10**9):
        raise ValueError(f"line {line}: {quoted(field.strip())} is not between 0 and ten years")
    return int(seconds * 10**9)


def _constant(plan: ArrivalPlan, _: Random) -> Iterator[Arrival]:
    for at_ns in count(0, plan.interarrival_ns):
        yield Arrival(at_ns, at_ns + plan.lifetime_ns)


def _incremental_and_keep(plan: ArrivalPlan, _: Random) -> Iterator[Arrival]:
    for at_ns in count(0, plan.interarrival_ns):
        if at_ns >= plan.warmup_ns:
            return
        yield Arrival(at_ns, plan.duration_ns + _AFTER_THE_END_NS)


def _single(plan: ArrivalPlan, _: Random) -> Iterator[Arrival]:
    yield Arrival(0, plan.duration_ns + _AFTER_THE_END_NS)


def _poisson(plan: ArrivalPlan, dice: Random) -> Iterator[Arrival]:
    at_ns = 0
    while True:
        at_ns += _exponential(dice, plan.interarrival_ns)
        yield Arrival(at_ns, at_ns + _exponential(dice, plan.lifetime_ns))


def _burst(plan: ArrivalPlan, _: Random) -> Iterator[Arrival]:
    for at_ns in count(0, plan.interarrival_ns):
        for _number in range(plan.burst):
            yield Arrival(at_ns, at_ns + plan.lifetime_ns)


def _diurnal(plan: ArrivalPlan, dice: Random) -> Iterator[Arrival]:
    """A Poisson process whose rate is a sine: lowest at the beginning of each period."""
    peak = 1 + plan.amplitude
    at_ns = 0
    while True:
        at_ns += _exponential(dice, plan.interarrival_ns / peak)
        phase = at_ns % plan.period_ns / plan.period_ns
        rate = 1 + plan.amplitude * sin(2 * pi * phase - pi / 2)
        if dice.random() * peak < rate:
            yield Arrival(at_ns, at_ns + _exponential(dice, plan.lifetime_ns))


def _trace(plan: ArrivalPlan, _: Random) -> Iterator[Arrival]:
    return iter(plan.trace)


def _exponential(dice: Random, mean_ns: float) -> int:
    return round(dice.expovariate(1 / mean_ns)) if mean_ns else 0


#: By the name that a scenario gives them. ``incremental`` is EDGELESS's name of ``constant``.
MODELS: Final[dict[str, Callable[[ArrivalPlan, Random], Iterator[Arrival]]]] = {
    "burst": _burst,
    "constant": _constant,
    "diurnal": _diurnal,
    "incremental": _constant,
    "incremental-and-keep": _incremental_and_keep,
    "poisson": _poisson,
    "single": _single,
    TRACE_MODEL: _trace,
}
