"""Why a workflow is where it is: the ε-CON's last decisions, and those of its domains.

Not here: deciding (`choice`, `portal`), and what an ε-ORC decides about a component.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from edgeless_sim.controller.choice import Choice
from edgeless_sim.controller.link import DomainLink
from edgeless_sim.controller.workflows import Phase, Workflow, WorkflowTable
from edgeless_sim.errors import EdgelessError, UnknownComponentError, UnreachableError
from edgeless_sim.model.decision import CANDIDATES_SHOWN_MAX, Candidate, Decision
from edgeless_sim.model.ids import DomainId, LogicalId, WorkflowId
from edgeless_sim.model.names import clipped

__all__ = ["Explanations"]

#: Most decisions that are remembered of a workflow; the oldest go first.
REMEMBERED_MAX: Final = 4
_PENDING_RESET: Final = "it has not confirmed its reset yet"


class Explanations:
    """Remembers decisions about workflows; serves `WorkflowExplanationApi`."""

    def __init__(
        self,
        table: WorkflowTable,
        links: Mapping[DomainId, DomainLink],
        now_s: Callable[[], float],
    ) -> None:
        """*now_s* tells the seconds since 1970."""
        self._table = table
        self._links = links
        self._now_s = now_s

    def note(
        self,
        workflow: Workflow,
        outcome: str,
        choice: Choice | None,
        *,
        chosen: str = "",
        reason: str = "",
    ) -> None:
        """Remember a decision; of the same one again and again, the last."""
        decision = Decision(
            self._now_s(),
            workflow.title,
            outcome,
            chosen,
            "ε-CON",
            clipped(reason),
            () if choice is None else _candidates(choice),
            0 if choice is None else len(choice.feasible),
            0 if choice is None else _total(choice),
        )
        before = workflow.decisions
        if before and _undated(before[-1]) == _undated(decision):
            before = before[:-1]
        workflow.decisions = (*before, decision)[-REMEMBERED_MAX:]

    async def explain(self, workflow_id: WorkflowId) -> tuple[Decision, ...]:
        """See `WorkflowExplanationApi.explain`. A domain that does not answer is said to."""
        workflow = self._table.get(workflow_id)
        if workflow is None or workflow.phase is Phase.STARTING:
            raise UnknownComponentError("Unknown workflow identifier", str(workflow_id))
        by_domain: dict[DomainId, list[LogicalId]] = {}
        if workflow.deployment is not None:
            for component in workflow.deployment.components:
                by_domain.setdefault(component.domain_id, []).append(component.lid)
        told = await asyncio.gather(
            *(self._of_domain(each, lids) for each, lids in by_domain.items())
        )
        return (*workflow.decisions, *(decision for decisions in told for decision in decisions))

    async def _of_domain(self, domain_id: DomainId, lids: list[LogicalId]) -> tuple[Decision, ...]:
        try:
            link = self._links.get(domain_id)
            if link is None:
                raise UnreachableError("its domain has gone meanwhile")
            return await link.explain(tuple(lids))
        except EdgelessError as error:
            reason = clipped(f"the ε-ORC does not explain: {error}")
            return (Decision(self._now_s(), "", "unknown", "", f"ε-ORC of {domain_id}", reason),)


def _candidates(choice: Choice) -> tuple[Candidate, ...]:
    candidates = [
        *(Candidate(domain_id) for domain_id in choice.feasible),
        *(Candidate(domain_id, _PENDING_RESET) for domain_id in choice.pending),
        *(Candidate(domain_id, why) for domain_id, why in choice.refused),
    ]
    return tuple(candidates[:CANDIDATES_SHOWN_MAX])


def _total(choice: Choice) -> int:
    return len(choice.feasible) + len(choice.pending) + len(choice.refused)


def _undated(decision: Decision) -> Decision:
    return msgspec.structs.replace(decision, time_s=0.0)
