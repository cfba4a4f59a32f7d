"""The workflows that the ε-CON has accepted: by id, by name, by domain, and those without one.

Bookkeeping only; bringing workflows up and down is the business of `launcher` and `controller`.
"""

from dataclasses import dataclass
from enum import Enum
from heapq import heappop, heappush
from typing import Final
from uuid import UUID

from edgeless_sim.controller.choice import WorkflowNeeds
from edgeless_sim.controller.deployment import Deployment
from edgeless_sim.controller.ledger import retry_delay_ns
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.decision import Decision
from edgeless_sim.model.ids import DomainId, WorkflowId
from edgeless_sim.model.names import quoted
from edgeless_sim.model.workflow import SpawnWorkflowRequest

__all__ = ["WORKFLOWS_MAX", "Phase", "Workflow", "WorkflowTable"]

WORKFLOWS_MAX: Final = 100_000


class Phase(Enum):
    """Where a workflow is in its life."""

    #: Nobody has been told yet that it exists.
    STARTING = "starting"
    ACTIVE = "active"
    #: It has no domain, and gets one as soon as there is one for it.
    ORPHAN = "orphan"
    #: Never again.
    STOPPED = "stopped"


@dataclass(slots=True, eq=False)
class Workflow:
    """One accepted workflow."""

    workflow_id: WorkflowId
    name: str
    request: SpawnWorkflowRequest
    needs: WorkflowNeeds
    state_ids: tuple[UUID, ...]
    """One per function; they outlive deployments, so that state can be found again."""
    number: int
    """Its number in the journal."""
    phase: Phase = Phase.STARTING
    deployment: Deployment | None = None
    busy: bool = False
    """Somebody is deploying it; nobody else may."""
    reason: str = ""
    """Why it is an orphan."""
    decisions: tuple[Decision, ...] = ()
    """The last ones about where it runs."""
    attempts: int = 0
    retry_ns: int = 0
    """When an orphan is to be looked at again."""

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name or str(self.workflow_id)


class WorkflowTable:
    """All workflows, in the order in which they were started."""

    def __init__(self) -> None:
        self._workflows: dict[WorkflowId, Workflow] = {}
        self._names: dict[str, Workflow] = {}
        self._in_domain: dict[DomainId, dict[WorkflowId, Workflow]] = {}
        self._orphans: dict[WorkflowId, Workflow] = {}
        # (when, order, workflow); pairs that are not their workflow's ``retry_ns`` are left-overs.
        self._retries: list[tuple[int, int, Workflow]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._workflows)

    def get(self, workflow_id: WorkflowId) -> Workflow | None:
        """The workflow of that id, in whatever phase; None if it was stopped or never was."""
        return self._workflows.get(workflow_id)

    def listed(self) -> list[Workflow]:
        """The workflows whose start was answered, in the order of their start."""
        return [w for w in self._workflows.values() if w.phase is not Phase.STARTING]

    def check(self, name: str) -> None:
        """Raise `RejectedError` if another workflow, of that name, cannot be taken."""
        if len(self._workflows) >= WORKFLOWS_MAX:
            raise RejectedError("Too many workflows", f"{WORKFLOWS_MAX} are active already")
        if name and name in self._names:
            raise RejectedError("Workflow name in use", f"a workflow {quoted(name)} is active")

    def add(self, workflow: Workflow) -> None:
        """Take a workflow that `check` let pass."""
        self._workflows[workflow.workflow_id] = workflow
        if workflow.name:
            self._names[workflow.name] = workflow

    def remove(self, workflow: Workflow) -> None:
        """Forget it for good; idempotent."""
        if workflow.phase is Phase.STOPPED:
            return
        self._detach(workflow)
        workflow.phase = Phase.STOPPED
        del self._workflows[workflow.workflow_id]
        if workflow.name:
            del self._names[workflow.name]

    def activate(self, workflow: Workflow, deployment: Deployment) -> None:
        """It runs, as *deployment* says."""
        self._detach(workflow)
        workflow.phase = Phase.ACTIVE
        workflow.deployment = deployment
        workflow.reason = ""
        workflow.attempts = 0
        for domain_id in deployment.domains:
            self._in_domain.setdefault(domain_id, {})[workflow.workflow_id] = workflow

    def orphan(self, workflow: Workflow, reason: str, now_ns: int) -> None:
        """It has lost a domain; it is to be looked at at once."""
        self._detach(workflow)
        workflow.phase = Phase.ORPHAN
        workflow.reason = reason
        self._orphans[workflow.workflow_id] = workflow
        self._queue(workflow, now_ns)

    def postpone(self, orphan: Workflow, reason: str, now_ns: int) -> None:
        """Another attempt has failed: look at it again later, and ever later."""
        orphan.reason = reason
        orphan.attempts += 1
        self._queue(orphan, now_ns + retry_delay_ns(orphan.attempts))

    def hurry(self, now_ns: int) -> bool:
        """There is hope for orphans: look at all of them at once. False if there are none."""
        for orphan in self._orphans.values():
            if not orphan.busy:
                self._queue(orphan, now_ns)
        return bool(self._orphans)

    def tenants(self, domain_id: DomainId) -> list[Workflow]:
        """The workflows of which some component runs in a domain."""
        return list(self._in_domain.get(domain_id, {}).values())

    def due(self, now_ns: int, count_max: int) -> list[Workflow]:
        """Take up to *count_max* orphans whose time has come; the caller makes them busy."""
        found: list[Workflow] = []
        heap = self._retries
        while heap and heap[0][0] <= now_ns and len(found) < count_max:
            when_ns, _, workflow = heappop(heap)
            waits = workflow.phase is Phase.ORPHAN and not workflow.busy
            if waits and workflow.retry_ns == when_ns and workflow not in found:
                found.append(workflow)
        return found

    def next_retry_ns(self) -> int | None:
        """When the next orphan is to be looked at, at the earliest."""
        return self._retries[0][0] if self._retries else None

    def _queue(self, orphan: Workflow, when_ns: int) -> None:
        orphan.retry_ns = when_ns
        self._sequence += 1
        heappush(self._retries, (when_ns, self._sequence, orphan))

    def _detach(self, workflow: Workflow) -> None:
        self._orphans.pop(workflow.workflow_id, None)
        if workflow.deployment is None:
            return
        for domain_id in workflow.deployment.domains:
            tenants = self._in_domain[domain_id]
            del tenants[workflow.workflow_id]
            if not tenants:
                del self._in_domain[domain_id]
        workflow.deployment = None
