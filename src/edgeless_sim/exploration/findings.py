"""What an exploration found: which seeds broke what, what happened how often, what never did."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from edgeless_sim.api.methods import METHODS
from edgeless_sim.exploration.faults import FAULTS, RPC_KINDS
from edgeless_sim.exploration.operations import OPERATIONS
from edgeless_sim.exploration.tally import SeedResult, Tally

__all__ = ["FINDINGS_MAX", "Findings", "Happened", "Record", "SeedFinding", "repeat_command"]

#: Most seeds of which it is kept what they broke.
FINDINGS_MAX: Final = 10_000
_ENDS: Final = ("ok", "refused", "no answer", "failed", "reply", "no_reply", "err")
_PLAIN_EFFECTS: Final = (
    "partition",
    "one-way partition",
    "nobody listens",
    "loss",
    "frames delayed",
    "frames slowed by bandwidth",
    "frames duplicated",
    "frames that overtook others",
)


class Happened(msgspec.Struct, frozen=True):
    """One kind of thing: in how many seeds, how often in all, and how it ended where it did."""

    kind: str
    seeds: int
    times: int
    ends: dict[str, int] = {}


class SeedFinding(msgspec.Struct, frozen=True):
    """A seed that broke something."""

    seed: int
    violations: tuple[str, ...]
    repeat: str
    """The command that does it again."""


class Findings(msgspec.Struct, frozen=True):
    """All of it."""

    scenario: str | None
    first_seed: int
    seeds_wanted: int
    seeds: int
    """That were explored to their ends."""
    seeds_broken: int
    """That broke something."""
    wall_s: float
    simulated_s: float
    records: int
    violations: list[SeedFinding]
    """The first `FINDINGS_MAX`, by seed."""
    operations: list[Happened]
    faults: list[Happened]
    effects: list[Happened]
    situations: dict[str, int]
    checks: dict[str, int]
    never: list[str]
    """Kinds that were possible and did not happen."""
    digests: dict[int, str]
    """Of the journals, by seed."""


class Record:
    """Adds up the results of seeds as they come, in any order, and keeps what is told of them."""

    def __init__(self, *, scenario: str | None, first_seed: int, seeds_wanted: int) -> None:
        self.seeds = 0
        #: How many of them broke something.
        self.broken = 0
        self._scenario = scenario
        self._first_seed = first_seed
        self._seeds_wanted = seeds_wanted
        self._total = Tally()
        #: In how many seeds each kind happened, for each table of a tally.
        self._seeds_with = Tally()
        self._simulated_s = 0.0
        self._records = 0
        self._digests: dict[int, str] = {}
        self._violations: list[SeedFinding] = []

    def add(self, result: SeedResult) -> None:
        """One seed has ended."""
        self.seeds += 1
        self._total.add(result.tally)
        for seeds_with, table in zip(self._seeds_with.tables(), result.tally.tables(), strict=True):
            seeds_with.update(kind for kind, count in table.items() if count)
        self._simulated_s += result.simulated_s
        self._records += result.records
        self._digests[result.seed] = result.digest
        if result.violations:
            self.broken += 1
            if len(self._violations) < FINDINGS_MAX:
                repeat = repeat_command(result.seed, self._scenario)
                self._violations.append(SeedFinding(result.seed, result.violations, repeat))

    def findings(self, wall_s: float) -> Findings:
        """What the results amount to, after *wall_s*."""
        total, seeds_with = self._total, self._seeds_with
        operations = _happened(
            total.operations, seeds_with.operations, OPERATIONS, ends=total.answers
        )
        faults = _happened(total.faults, seeds_with.faults, FAULTS)
        effects = _happened(total.effects, seeds_with.effects, _expected_effects())
        return Findings(
            scenario=self._scenario,
            first_seed=self._first_seed,
            seeds_wanted=self._seeds_wanted,
            seeds=self.seeds,
            seeds_broken=self.broken,
            wall_s=wall_s,
            simulated_s=self._simulated_s,
            records=self._records,
            violations=sorted(self._violations, key=lambda finding: finding.seed),
            operations=operations,
            faults=faults,
            effects=effects,
            situations=dict(sorted(total.situations.items())),
            checks=dict(sorted(total.checks.items())),
            never=[
                f"{what} {each.kind!r}"
                for what, kinds in (
                    ("operation", operations),
                    ("fault", faults),
                    ("effect", effects),
                )
                for each in kinds
                if not each.times
            ],
            digests=dict(sorted(self._digests.items())),
        )


def repeat_command(seed: int, scenario: str | None) -> str:
    """The command that explores *seed* alone."""
    words = ["edgeless-sim", "explore", "--seeds", "1", "--seed", str(seed)]
    return shlex.join(words if scenario is None else [*words, "--scenario", scenario])


def _happened(
    times: Counter[str],
    seeds: Counter[str],
    expected: Iterable[str],
    ends: Mapping[str, int] = {},
) -> list[Happened]:
    """The expected kinds in their order, then the others in that of their names."""
    kinds = dict.fromkeys((*expected, *sorted(times)))
    return [Happened(kind, seeds[kind], times[kind], _ends(kind, ends)) for kind in kinds]


def _ends(kind: str, ends: Mapping[str, int]) -> dict[str, int]:
    found = {end: ends.get(f"{kind}: {end}", 0) for end in _ENDS}
    return {end: count for end, count in found.items() if count}


def _expected_effects() -> list[str]:
    """What faults must be seen to have done, besides having been made."""
    lost = dict.fromkeys(f"answer lost: {_rpc(kind)}" for kind in RPC_KINDS)
    late = dict.fromkeys(
        f"{what}: {_rpc(kind)}"
        for what in ("late requests", "requests again")
        for kind in RPC_KINDS
        if kind[2] != "client"
    )
    return [*_PLAIN_EFFECTS, *lost, *late]


def _rpc(kind: tuple[str, str, str, str]) -> str:
    service, method, _, _ = kind
    return METHODS[service][method].path.rpartition(".")[2]
