"""What was decided about each component, and why: remembered for those who ask (`explain`).

The journal has all decisions in words; here are the last ones with all that was looked at. What is
the same for many decisions is kept once: a domain places a hundred thousand components.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.decision import CANDIDATES_SHOWN_MAX, Candidate, Decision
from edgeless_sim.model.ids import DomainId, LogicalId
from edgeless_sim.model.names import clipped
from edgeless_sim.orchestrator.requirements import Feasibility

__all__ = ["EXPLAINED_MAX", "REMEMBERED_MAX", "DecisionLog"]

#: Most decisions that are remembered of a component; the oldest go first.
REMEMBERED_MAX: Final = 4
#: Most components that are explained at once.
EXPLAINED_MAX: Final = 2_048


@dataclass(frozen=True, slots=True)
class _Decided:
    time_s: float
    outcome: str
    chosen: str
    reason: str
    found: tuple[tuple[str, str], ...]
    """Candidates and what speaks against them; shared by all decisions about the same nodes."""
    totals: tuple[int, int]
    scored: tuple[str, ...]
    """Who got the scores; mostly shared, too."""
    scores: bytes
    """Doubles, side by side; an array takes half as much again."""


class DecisionLog:
    """The last decisions of one ε-ORC, by component."""

    def __init__(
        self,
        domain_id: DomainId,
        strategy: str,
        now_s: Callable[[], float],
        name_of: Callable[[LogicalId], str],
    ) -> None:
        """*now_s* tells the seconds since 1970, *name_of* what a component is called."""
        self._decided_by = f"ε-ORC of {domain_id}, {strategy}"
        self._now_s = now_s
        self._name_of = name_of
        # The last ones, which are those of the next decision as a rule.
        self._reason = ""
        self._scored: tuple[str, ...] = ()
        self._totals = 0, 0
        self._decided: dict[LogicalId, tuple[_Decided, ...]] = {}

    def note(
        self,
        logical_id: LogicalId,
        outcome: str,
        found: Feasibility,
        *,
        chosen: str = "",
        reason: str = "",
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Remember a decision about a component."""
        if reason != self._reason:
            self._reason = reason
        if (scored := tuple(scores or ())) != self._scored:
            self._scored = scored
        if (totals := (len(found.nodes), found.nodes_total)) != self._totals:
            self._totals = totals
        decided = _Decided(
            self._now_s(),
            outcome,
            chosen,
            self._reason,
            found.shown,
            self._totals,
            self._scored,
            array("d", scores.values()).tobytes() if scores else b"",
        )
        before = self._decided.get(logical_id, ())
        self._decided[logical_id] = (*before, decided)[-REMEMBERED_MAX:]

    def forget(self, logical_id: LogicalId) -> None:
        """The component is wanted no longer."""
        self._decided.pop(logical_id, None)

    def explain(self, components: Sequence[LogicalId]) -> tuple[Decision, ...]:
        """The last decisions about *components*, the oldest of each first.

        Raises `RejectedError` for more than `EXPLAINED_MAX` of them.
        """
        if len(components) > EXPLAINED_MAX:
            raise RejectedError(
                "too many components", f"{len(components)}, at most {EXPLAINED_MAX} at once"
            )
        return tuple(
            self._told(self._name_of(logical_id), decided)
            for logical_id in components
            for decided in self._decided.get(logical_id, ())
        )

    def _told(self, component: str, decided: _Decided) -> Decision:
        scores = dict(zip(decided.scored, array("d", decided.scores), strict=True))
        candidates = [Candidate(name, against, scores.get(name)) for name, against in decided.found]
        if decided.chosen and all(each.name != decided.chosen for each in candidates):
            candidates = [Candidate(decided.chosen), *candidates][:CANDIDATES_SHOWN_MAX]
        feasible_total, candidates_total = decided.totals
        return Decision(
            decided.time_s,
            component,
            decided.outcome,
            decided.chosen,
            self._decided_by,
            clipped(decided.reason),
            tuple(candidates),
            feasible_total,
            candidates_total,
        )
