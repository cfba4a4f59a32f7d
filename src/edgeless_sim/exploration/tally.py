"""What seeds did, and what came of it: counts that add up over seeds and processes."""

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["SeedResult", "Tally"]


@dataclass(slots=True)
class Tally:
    """Counts by name."""

    operations: Counter[str] = field(default_factory=Counter)
    """Tried, by kind."""
    answers: Counter[str] = field(default_factory=Counter)
    """How operations ended: ``KIND: ok``, ``KIND: refused``, ``KIND: no answer``."""
    faults: Counter[str] = field(default_factory=Counter)
    """Made, by kind."""
    effects: Counter[str] = field(default_factory=Counter)
    """What the network, the nodes and resources counted."""
    situations: Counter[str] = field(default_factory=Counter)
    """States that something was in: ``orphan``, ``redeployed``, ``lost`` …"""
    checks: Counter[str] = field(default_factory=Counter)
    """How often each invariant was looked at."""

    def add(self, other: "Tally") -> None:
        """Add what another seed did."""
        for mine, theirs in zip(self.tables(), other.tables(), strict=True):
            mine.update(theirs)

    def tables(self) -> tuple[Counter[str], ...]:
        """All of them, in a fixed order."""
        return (
            self.operations,
            self.answers,
            self.faults,
            self.effects,
            self.situations,
            self.checks,
        )


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One seed."""

    seed: int
    digest: str
    """Of its journal."""
    violations: tuple[str, ...]
    tally: Tally
    simulated_s: float
    records: int
