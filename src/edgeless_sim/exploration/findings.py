"""What an exploration found: which seeds broke what, what happened how often, what never did."""

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from edgeless_sim.api.methods import METHODS
from edgeless_sim.exploration.faults import FAULTS, RPC_KINDS
from edgeless_sim.exploration.operations import OPERATIONS
from edgeless_sim.exploration.tally import SeedResult, Tally, total

__all__ = ["Findings", "Happened", "SeedFinding", "findings_of", "repeat_command"]

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
    wall_s: float
    simulated_s: float
    records: int
    violations: list[SeedFinding]
    operations: list[Happened]
    faults: list[Happened]
    effects: list[Happened]
    situations: dict[str, int]
    checks: dict[str, int]
    never: list[str]
    """Kinds that were possible and did not happen."""
    digests: dict[int, str]
    """Of the journals, by seed."""


def findings_of(
    results: Sequence[SeedResult],
    *,
    scenario: str | None,
    first_seed: int,
    seeds_wanted: int,
    wall_s: float,
) -> Findings:
    """What *results* amount to."""
    results = sorted(results, key=lambda result: result.seed)
    everything = total(results)
    operations = _happened(results, lambda tally: tally.operations, OPERATIONS, everything.answers)
    faults = _happened(results, lambda tally: tally.faults, FAULTS)
    effects = _happened(results, lambda tally: tally.effects, _expected_effects())
    return Findings(
        scenario=scenario,
        first_seed=first_seed,
        seeds_wanted=seeds_wanted,
        seeds=len(results),
        wall_s=wall_s,
        simulated_s=sum(result.simulated_s for result in results),
        records=sum(result.records for result in results),
        violations=[
            SeedFinding(x.seed, x.violations, repeat_command(x.seed, scenario))
            for x in results
            if x.violations
        ],
        operations=operations,
        faults=faults,
        effects=effects,
        situations=dict(sorted(everything.situations.items())),
        checks=dict(sorted(everything.checks.items())),
        never=[
            f"{what} {each.kind!r}"
            for what, kinds in (("operation", operations), ("fault", faults), ("effect", effects))
            for each in kinds
            if not each.times
        ],
        digests={result.seed: result.digest for result in results},
    )


def repeat_command(seed: int, scenario: str | None) -> str:
    """The command that explores *seed* alone."""
    words = ["edgeless-sim", "explore", "--seeds", "1", "--seed", str(seed)]
    return shlex.join(words if scenario is None else [*words, "--scenario", scenario])


def _happened(
    results: Sequence[SeedResult],
    table: Callable[[Tally], Counter[str]],
    expected: Sequence[str] | Mapping[str, object],
    ends: Mapping[str, int] = {},
) -> list[Happened]:
    """The expected kinds in their order, then the others in that of their names."""
    times: Counter[str] = Counter()
    seeds: Counter[str] = Counter()
    for result in results:
        times.update(table(result.tally))
        seeds.update(kind for kind, count in table(result.tally).items() if count)
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
