"""Launcher: finds a domain for a workflow and deploys it there, all of it or nothing.

A domain that fails is left without residue, and the next feasible one is tried. Not here: what
happens to the workflow then (`controller`).
"""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Final

from edgeless_sim.controller.choice import Choice, DomainView, choose
from edgeless_sim.controller.deployment import (
    Deployment,
    Start,
    plan_deployment,
    plan_patches,
    plan_starts,
)
from edgeless_sim.controller.link import DomainLink, Outcome
from edgeless_sim.controller.workflows import Phase, Workflow
from edgeless_sim.errors import NoFeasibleDomainError, RejectedError
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.names import clipped, quoted

__all__ = ["Launcher"]

#: Reasons in the journal are for people: longer ones are cut.
_REASON_CHARS_MAX: Final = 300


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
    ) -> None:
        self._links = links
        self._views = views
        self._dice = dice
        self._ids = ids
        self._journal = journal

    async def launch(
        self, workflow: Workflow, wait: Callable[[], Awaitable[bool]] | None = None
    ) -> Deployment:
        """Deploy *workflow* in a domain drawn among the feasible ones.

        *wait* returns when some domain has confirmed its reset, or False when it is not worth
        waiting. Raises `NoFeasibleDomainError`, or `RejectedError` with the reason for which the
        feasible domains failed.
        """
        tried: dict[DomainId, str] = {}
        while True:
            choice = choose(workflow.needs, self._views(), self._dice, tried)
            if choice.domain_id is None:
                if choice.pending and wait is not None and await wait():
                    continue
                raise _refusal(choice, tried)
            deployment, why = await self.deploy(workflow, choice.domain_id, choice.reason)
            if deployment is not None:
                return deployment
            tried[choice.domain_id] = why
            if workflow.phase is Phase.STOPPED:
                raise _refusal(choice, tried)

    async def deploy(
        self, workflow: Workflow, domain_id: DomainId, reason: str
    ) -> tuple[Deployment | None, str]:
        """Deploy *workflow* in one domain: the deployment, or None and why there is none."""
        link = self._links[domain_id]
        incarnation = link.incarnation
        deployment = plan_deployment(workflow.request, domain_id, self._ids)
        self._explain(workflow, deployment, reason)
        starts = plan_starts(workflow.workflow_id, workflow.request, workflow.state_ids, deployment)
        for start in starts:
            link.ledger.expect(start)
        outcomes = await link.perform_all(starts) if starts else []
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        renamed = {o.step.lid: o.lid for o in outcomes if o.lid != o.step.lid}
        if renamed and not failed:
            # EDGELESS's own ε-ORC: ids are its choice, and outputs come in patches.
            deployment = deployment.renamed(renamed)
            patches = plan_patches(workflow.request, deployment, generation=1)
            patched = await link.perform_all(patches) if patches else []
            failed = [outcome for outcome in patched if outcome.error is not None]
        if incarnation != link.incarnation:
            return None, "it was restarted meanwhile"
        if not failed and workflow.phase is not Phase.STOPPED:
            return deployment, ""
        why = _explain_failure(workflow, failed) if failed else "the workflow was stopped meanwhile"
        await self._undo(link, starts, outcomes)
        return None, why

    def undeploy(self, deployment: Deployment) -> None:
        """Stop every component, again and again until the domain reports them no more."""
        link = self._links.get(deployment.domain_id)
        if link is not None:
            for component in deployment.components:
                link.ledger.discard(component.lid)
            link.kick()

    async def _undo(
        self, link: DomainLink, starts: tuple[Start, ...], outcomes: list[Outcome]
    ) -> None:
        """Take back what was started. Return after the first attempt; the rest is repair."""
        for start, outcome in zip(starts, outcomes, strict=False):
            if outcome.may_run:
                link.ledger.discard(outcome.lid)
            else:
                link.ledger.forget(start.lid)
        for start in starts[len(outcomes) :]:
            link.ledger.forget(start.lid)
        attempt = link.kick()
        if attempt is not None:
            await attempt

    def _explain(self, workflow: Workflow, deployment: Deployment, reason: str) -> None:
        journal = self._journal
        domain = journal.intern("domain", deployment.domain_id)
        for component in deployment.components:
            why = f"{workflow.title}/{component.name}: {reason}"[:_REASON_CHARS_MAX]
            number = journal.intern("component", f"{workflow.workflow_id}/{component.name}")
            journal.record("place", number, domain, why)


def _explain_failure(workflow: Workflow, failed: list[Outcome]) -> str:
    """The first failure, in the order of the components."""
    outcome = failed[0]
    step = outcome.step
    name = step.name if isinstance(step, Start) else workflow.title
    return f"{quoted(name)}: {outcome.error}"


def _refusal(choice: Choice, tried: Mapping[DomainId, str]) -> RejectedError:
    if not tried:
        return NoFeasibleDomainError("Workflow creation failed", choice.reason)
    reasons = "; ".join(f"{domain_id}: {why}" for domain_id, why in tried.items())
    return RejectedError("Request rejected", clipped(f"could not start workflow: {reasons}"))
