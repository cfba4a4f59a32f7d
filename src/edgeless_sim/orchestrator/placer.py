"""Gives components their nodes: performs what `plan` says about where they run, and remembers why.

Not here: saying it to the nodes (`performer`), and when to look (`orchestrator`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.model.intent import Migrate
from edgeless_sim.orchestrator.backoff import after_pause
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.decisions import DecisionLog
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.judge import Judge
from edgeless_sim.orchestrator.plan import Hold, Place, Suffice, plan_migration, plan_refresh
from edgeless_sim.orchestrator.records import Component, Placement
from edgeless_sim.orchestrator.requests import ComponentRequests, infeasible

__all__ = ["Placer"]


@dataclass(slots=True)
class Placer:
    """Places the components of one domain."""

    scheduler: Scheduler
    state: DomainState
    requests: ComponentRequests
    chronicle: Chronicle
    decisions: DecisionLog
    judge: Judge
    dice: Random
    kick: Callable[[], None]
    """To be called when there is something to look at again."""
    blamed: str = ""
    """What the strategy's last attempt to rebalance failed with."""

    def place_all(self) -> None:
        """Find nodes for all that wait for one."""
        for step in plan_refresh(self.state, self.dice, self.judge):
            component = self.state.components[step.logical_id]
            match step:
                case Place():
                    self._place(component, step)
                case Suffice():
                    self._suffice(component, step)
                case Hold():
                    self._hold(component, step)

    def migrate(self, intent: Migrate) -> None:
        """Move a component, or say why not."""
        component = self.state.components.get(intent.component)
        if component is None:
            self.chronicle.domain("declined", f"migrate {intent.component}: unknown component")
            return
        step = plan_migration(self.state, component, intent.targets, self.dice)
        if isinstance(step, Place):
            self._place(component, step, migrates=True)
        else:
            self.chronicle.component(component, "declined", f"migrate: {step.reason}")
            self._decide(component, "declined", step.reason)

    def rebalance(self) -> tuple[Migrate, ...]:
        """The migrations that the strategy proposes, if it does such things."""
        if not self.judge.rebalances:
            return ()
        try:
            proposed = self.judge.rebalance(self.state.view(components=True), self.dice)
        except RejectedError as fault:
            if fault.summary != self.blamed:
                self.blamed = fault.summary
                self.chronicle.domain("rebalance", fault.summary)
            return ()
        self.blamed = ""
        return proposed

    def _place(self, component: Component, step: Place, *, migrates: bool = False) -> None:
        placement = Placement(step.instance_id, step.provider_id)
        self.state.place(component, placement, migrates=migrates)
        node = self.state.nodes[step.instance_id.node_id]
        self.chronicle.placed(component, node.view, step.reason)
        outcome = "migrated" if migrates else "placed"
        self._decide(component, outcome, step.reason, chosen=node.view.name, step=step)

    def _hold(self, component: Component, step: Hold) -> None:
        if not component.accepted and step.fault:
            self.requests.refuse(component, RejectedError("Placement failed", step.reason))
            return
        if not component.accepted:
            refusal = component.refusal if component.tried else None
            self.requests.refuse(component, refusal or infeasible(component, self.state))
            return
        self.chronicle.component(component, "pending", step.reason)
        self._decide(component, "pending", step.reason)
        self.state.hold(component, step.reason)
        if step.retry:
            component.failures += 1
            after_pause(self.scheduler, component.failures, self._retry, component)

    def _suffice(self, component: Component, step: Suffice) -> None:
        self.state.waiting.suffice(component)
        if step.retry:
            component.further_failures += 1
            after_pause(self.scheduler, component.further_failures, self._retry, component)

    def _retry(self, component: Component) -> None:
        known = self.state.components.get(component.logical_id) is component
        if known and self.state.waiting.recall_one(component.logical_id):
            self.kick()

    def _decide(
        self,
        component: Component,
        outcome: str,
        reason: str,
        *,
        chosen: str = "",
        step: Place | None = None,
    ) -> None:
        """Remember a decision, for those who ask."""
        self.decisions.note(
            component.logical_id,
            outcome,
            self.state.feasible(component.needs),
            chosen=chosen,
            reason=reason,
            scores=None if step is None else step.scores,
        )
