"""What came of a run, as frozen values. Not here: tables and files (`edgeless_sim.report`).

Times are the cluster's, as in its journal: ns since the run began.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edgeless_sim.errors import EdgelessError
from edgeless_sim.model.histogram import Histogram

__all__ = ["Judgement", "Outcome", "StepFailure", "Verdict", "WorkloadResult"]


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
class WorkloadResult:
    """What came of a workload, without what arrived during its warm-up."""

    name: str
    kind: str
    requested: int
    """How many arrived."""
    in_flight: int
    answers: Mapping[str, int]
    """What the others came to: statuses of HTTP, ``reply``, ``started``, ``timeout``, ..."""
    blocking: float | None
    """Of workflows: the share that was not started."""
    latency: Histogram
    """From the arrival to the answer."""


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
    workloads: tuple[WorkloadResult, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What resources wrote, by ``node/path``."""
    oddities: Mapping[str, int] = field(default_factory=dict)
    """Losses and oddities counted by nodes and network, by cause."""
