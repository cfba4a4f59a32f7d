"""Launcher: finds domains for a workflow and deploys it there, all of it or nothing.

Domains that fail are left without residue, and others are tried. Not here: what happens to the
workflow then (`controller`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from edgeless_sim.controller.choice import Choice, DomainView, choose
from edgeless_sim.controller.deployment import (
    Assignment,
    Deployment,
    Patch,
    Start,
    plan_deployment,
    plan_patches,
    plan_starts,
)
from edgeless_sim.controller.explanations import Explanations
from edgeless_sim.controller.link import DomainLink, Outcome
from edgeless_sim.controller.portal import Division, divide
from edgeless_sim.controller.workflows import Phase, Workflow
from edgeless_sim.errors import NoFeasibleDomainError, RejectedError
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.model.ids import DomainId, LogicalId
from edgeless_sim.model.names import clipped, quoted

__all__ = ["Attempt", "Launcher"]

#: Reasons in the journal are for people: longer ones are cut.
_REASON_CHARS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of an attempt to deploy a workflow."""

    deployment: Deployment | None
    failures: Mapping[DomainId, str]
    """If there is no deployment: the domains that failed, each with the reason."""

    @property
    def why(self) -> str:
        """The reasons in one line."""
        return "; ".join(f"{domain_id}: {why}" for domain_id, why in self.failures.items())


class Launcher:
    """Deploys workflows. *links* is the controller's own table of usable and other domains."""

    def __init__(
        self,
        links: Mapping[DomainId, DomainLink],
        views: Callable[[], list[DomainView]],
        *,
        dice: Random,
        ids: Random,
        journal: Journal,
        explanations: Explanations,
    ) -> None:
        self._links = links
        self._views = views
        self._dice = dice
        self._ids = ids
        self._journal = journal
        self._explanations = explanations

    async def launch(
        self, workflow: Workflow, wait: Callable[[], Awaitable[bool]] | None = None
    ) -> Deployment:
        """Deploy *workflow* in a domain drawn among the feasible ones; if there is none, in several
        that a portal joins.

        *wait* returns when some domain has confirmed its reset, or False when it is not worth
        waiting. Raises `NoFeasibleDomainError`, or `RejectedError` with the reason for which the
        feasible domains failed.
        """
        tried: dict[DomainId, str] = {}
        waited = False
        while True:
            choice, division = self._assign(workflow, tried, whole=wait is None or not waited)
            if division.assignment is None:
                if not division.pending or wait is None or waited:
                    refusal = _refusal(choice, division, tried)
                    self._explanations.note(workflow, "pending", choice, reason=str(refusal))
                    raise refusal
                waited = not await wait()
                continue
            attempt = await self.deploy(workflow, division.assignment)
            if attempt.deployment is not None:
                where, why = attempt.deployment.where, division.assignment.reason
                self._explanations.note(workflow, "placed", choice, chosen=where, reason=why)
                return attempt.deployment
            tried |= attempt.failures
            self._explanations.note(workflow, "refused", choice, reason=attempt.why)
            if workflow.phase is Phase.STOPPED:
                raise _refusal(choice, division, tried)

    def _assign(
        self, workflow: Workflow, tried: Mapping[DomainId, str], *, whole: bool
    ) -> tuple[Choice, Division]:
        """One domain, or several. With *whole*, none while one domain could have all of it soon."""
        views = self._views()
        choice = choose(workflow.needs, views, self._dice, tried)
        if choice.domain_id is not None:
            assignment = Assignment.whole(workflow.request, choice.domain_id, choice.reason)
            return choice, Division(assignment)
        if whole and choice.pending:
            return choice, Division(None, pending=True)
        return choice, divide(workflow.request, views, self._dice, self._ids, tried)

    async def deploy(self, workflow: Workflow, assignment: Assignment) -> "Attempt":
        """Deploy *workflow* as *assignment* says, in all domains at the same time."""
        gone = [domain_id for domain_id in assignment.domains if domain_id not in self._links]
        if gone:
            return Attempt(None, dict.fromkeys(gone, "it has gone meanwhile"))
        deployment = plan_deployment(assignment, self._ids)
        self._explain(workflow, deployment, assignment.reason)
        starts = plan_starts(workflow.workflow_id, workflow.state_ids, deployment)
        shares = [
            _Share(
                self._links[domain_id],
                tuple(
                    start
                    for start, component in zip(starts, deployment.components, strict=True)
                    if component.domain_id == domain_id
                ),
            )
            for domain_id in deployment.domains
        ]
        await _all(shares, _Share.start)
        if not any(share.failure("") for share in shares):
            # EDGELESS's own ε-ORC: ids are its choice, and outputs come in patches.
            renamed = [share for share in shares if share.renamed]
            for share in renamed:
                deployment = deployment.renamed(share.renamed)
            for share in renamed:
                share.patches = plan_patches(deployment, 1, share.domain_id)
            await _all(renamed, _Share.patch)
        found = {share.domain_id: share.failure(workflow.title) for share in shares}
        failures = {domain_id: why for domain_id, why in found.items() if why}
        if workflow.phase is Phase.STOPPED and not failures:
            failures = dict.fromkeys(found, "the workflow was stopped meanwhile")
        if not failures:
            return Attempt(deployment, {})
        await _all(shares, _Share.undo)
        return Attempt(None, failures)

    def undeploy(self, deployment: Deployment) -> None:
        """Stop every component, again and again until the domains report them no more."""
        for component in deployment.components:
            link = self._links.get(component.domain_id)
            if link is not None:
                link.ledger.discard(component.lid)
        for domain_id in deployment.domains:
            link = self._links.get(domain_id)
            if link is not None:
                link.kick()

    def _explain(self, workflow: Workflow, deployment: Deployment, reason: str) -> None:
        journal = self._journal
        for component in deployment.components:
            domain = journal.intern("domain", component.domain_id)
            why = f"{workflow.title}/{component.name}: {reason}"[:_REASON_CHARS_MAX]
            number = journal.intern("component", f"{workflow.workflow_id}/{component.name}")
            journal.record("place", number, domain, why)


class _Share:
    """The part of a deployment that is in one domain."""

    def __init__(self, link: DomainLink, starts: tuple[Start, ...]) -> None:
        self.link = link
        self.patches: tuple[Patch, ...] = ()
        self._starts = starts
        self._incarnation = link.incarnation
        self._outcomes: list[Outcome] = []
        self._failed: Outcome | None = None
        for start in starts:
            link.ledger.expect(start)

    @property
    def domain_id(self) -> DomainId:
        """Where it is."""
        return self.link.entry.domain_id

    @property
    def renamed(self) -> dict[LogicalId, LogicalId]:
        """The logical ids that the domain has chosen itself, by ours."""
        return {each.step.lid: each.lid for each in self._outcomes if each.lid != each.step.lid}

    async def start(self) -> None:
        """Start its components."""
        if self._starts:
            self._outcomes = await self.link.perform_all(self._starts)
            self._failed = _first_failed(self._outcomes)

    async def patch(self) -> None:
        """Tell those their outputs that could not be told before."""
        if self.patches:
            self._failed = _first_failed(await self.link.perform_all(self.patches))

    def failure(self, title: str) -> str:
        """Why this part does not run; empty if it does."""
        if self._incarnation != self.link.incarnation:
            return "it was restarted meanwhile"
        return "" if self._failed is None else _explain_failure(title, self._failed)

    async def undo(self) -> None:
        """Take back what was started. Return after the first attempt; the rest is repair."""
        ledger = self.link.ledger
        for start, outcome in zip(self._starts, self._outcomes, strict=False):
            if outcome.may_run:
                ledger.discard(outcome.lid)
            else:
                ledger.forget(start.lid)
        for start in self._starts[len(self._outcomes) :]:
            ledger.forget(start.lid)
        attempt = self.link.kick()
        if attempt is not None:
            await attempt


async def _all(shares: Sequence[_Share], work: Callable[[_Share], Awaitable[None]]) -> None:
    """Do *work* in all domains at the same time."""
    if len(shares) == 1:
        await work(shares[0])
    else:
        await asyncio.gather(*(work(share) for share in shares))


def _first_failed(outcomes: Sequence[Outcome]) -> Outcome | None:
    """In the order of the components."""
    return next((outcome for outcome in outcomes if outcome.error is not None), None)


def _explain_failure(title: str, failed: Outcome) -> str:
    step = failed.step
    name = step.name if isinstance(step, Start) else title
    return f"{quoted(name)}: {failed.error}"


def _refusal(choice: Choice, division: Division, tried: Mapping[DomainId, str]) -> RejectedError:
    if not tried:
        reason = "; ".join(each for each in (choice.reason, division.reason) if each)
        return NoFeasibleDomainError("Workflow creation failed", clipped(reason))
    reasons = "; ".join(f"{domain_id}: {why}" for domain_id, why in tried.items())
    return RejectedError("Request rejected", clipped(f"could not start workflow: {reasons}"))
