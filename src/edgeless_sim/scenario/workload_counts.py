"""What became of one workload, counted while it happens.

Every arrival after the warm-up ends in exactly one count of `answers`, or is in flight. Not here:
percentiles for people (`edgeless_sim.report`).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from edgeless_sim.model.histogram import Histogram
from edgeless_sim.scenario.outcome import WorkloadResult

__all__ = ["OVERLOAD", "REJECTED", "STARTED", "TIMEOUT", "WorkloadCounts"]

OVERLOAD: Final = "overload"
"""It was not sent: too many waited."""
REJECTED: Final = "rejected"
STARTED: Final = "started"
TIMEOUT: Final = "timeout"


class WorkloadCounts:
    """The counts of one workload."""

    __slots__ = ("answers", "kind", "latency", "name", "requested", "slow", "within_ns")

    def __init__(self, name: str, kind: str, within_ns: Iterable[int] = ()) -> None:
        """*within_ns*: count those whose answer takes longer."""
        self.name = name
        self.kind = kind
        #: How many arrived.
        self.requested = 0
        #: What they came to: the status of a response, ``reply``, `STARTED`, `TIMEOUT`, ...
        self.answers: Counter[str] = Counter()
        #: From the arrival to the answer, of those that got one.
        self.latency = Histogram()
        self.within_ns = tuple(sorted(set(within_ns)))
        #: Answers that took longer than so many ns, by that time.
        self.slow: Counter[int] = Counter()

    @property
    def in_flight(self) -> int:
        """How many wait."""
        return self.requested - self.answers.total()

    @property
    def blocking(self) -> float:
        """The share of requested workflows that was not started (spec 11.4); 0 of none."""
        return 1 - self.answers[STARTED] / self.requested if self.requested else 0.0

    def answered(self, answer: str, took_ns: int) -> None:
        """Count an answer that came after *took_ns*."""
        self.answers[answer] += 1
        self.latency.add(took_ns)
        for limit_ns in self.within_ns:
            if took_ns > limit_ns:
                self.slow[limit_ns] += 1

    def failed(self, cause: str) -> None:
        """Count one that got no answer."""
        self.answers[cause] += 1

    def result(self) -> WorkloadResult:
        """The counts as they are now."""
        return WorkloadResult(
            self.name,
            self.kind,
            self.requested,
            self.in_flight,
            dict(sorted(self.answers.items())),
            self.blocking if self.kind == "workflow" else None,
            self.latency,
        )
