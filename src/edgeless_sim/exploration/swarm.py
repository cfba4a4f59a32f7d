"""What a seed turns on: a random half of the operations and faults, and how they follow.

With all of them in every seed, rare combinations of a few would never be alone (swarm testing).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from edgeless_sim.exploration.faults import FAULTS, ISOLATING
from edgeless_sim.exploration.operations import ALWAYS, OPERATIONS

__all__ = ["EVENTS_MAX", "Occasion", "Swarm", "draw_swarm", "occasions"]

#: Operations and faults of one seed.
EVENTS_MAX: Final = 80
_EVENTS_MIN: Final = 10
#: After these, two instances of one component may both be sent to for a moment.
_MOVING: Final = frozenset({"migrate", "migrate storm", "move to domain"})
_CALM_SHARE: Final = 0.3
_PAUSES_S: Final = ((0.0, 0.001, 0.02), (0.0, 0.05, 0.6), (0.02, 1.0, 4.0), (0.5, 3.0, 12.0))


@dataclass(frozen=True, slots=True)
class Swarm:
    """The temper of one seed."""

    operations: tuple[str, ...]
    faults: tuple[str, ...]
    events: int
    pauses_s: tuple[float, ...]
    fault_share: float
    """How many of the events are faults."""
    lone: bool
    """Whether at no moment two instances of one component may both be sent to (I04)."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One operation or fault, and the pause before it."""

    kind: str
    fault: bool
    pause_s: float


def draw_swarm(dice: Random) -> Swarm:
    """What a seed does, drawn from *dice*."""
    operations = [name for name in OPERATIONS if dice.random() < 0.5 or name == ALWAYS]
    faults = [name for name in FAULTS if dice.random() < 0.5]
    lone = dice.random() < _CALM_SHARE
    if lone:
        operations = [name for name in operations if name not in _MOVING]
        faults = [name for name in faults if name not in ISOLATING]
    return Swarm(
        tuple(operations),
        tuple(faults),
        dice.randint(_EVENTS_MIN, EVENTS_MAX),
        dice.choice(_PAUSES_S),
        dice.uniform(0.1, 0.5) if faults else 0.0,
        lone,
    )


def occasions(swarm: Swarm, dice: Random) -> Iterator[Occasion]:
    """What happens, in order. The first is a start: an empty cluster has nothing to lose."""
    yield Occasion(ALWAYS, fault=False, pause_s=0.0)
    for _ in range(swarm.events - 1):
        fault = dice.random() < swarm.fault_share
        kind = dice.choice(swarm.faults if fault else swarm.operations)
        yield Occasion(kind, fault, dice.choice(swarm.pauses_s))
