"""What came of a run, as frozen values. Not here: tables and files (`edgeless_sim.report`).

Times are the cluster's, as in its journal: ns since the run began.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edgeless_sim.errors import EdgelessError

__all__ = ["Judgement", "Outcome", "StepFailure", "Verdict"]


class Verdict(StrEnum):
    """Whether the scenario held."""

    PASSED = "passed"
    FAILED = "failed"
    """An expectation does not hold."""
    BROKEN = "broken"
    """A step was refused or failed; the run ended there."""
    INCONCLUSIVE = "inconclusive"
    """Nothing was started, or nothing was expected."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One expectation, judged."""

    expectation: str
    """As in the file, on one line."""
    holds: bool
    found: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class StepFailure:
    """The step that ended the run."""

    step: str
    error: EdgelessError
    at_ns: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    scenario: str
    seed: int
    world: str
    verdict: Verdict
    digest: str
    records: int
    """Journal records, all of which are in the digest."""
    ended_ns: int
    begun_ns: int = 0
    """Since when the times of the scenario count: in real time, the cluster was up then."""
    judgements: tuple[Judgement, ...] = ()
    failure: StepFailure | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What resources wrote, by ``node/path``."""
    oddities: Mapping[str, int] = field(default_factory=dict)
    """Losses and oddities counted by nodes and network, by cause."""
