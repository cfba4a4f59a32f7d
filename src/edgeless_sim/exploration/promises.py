"""What the client was told, and what follows for the list of workflows (I07, I08, I10, G01-G03).

An operation without an answer leaves a doubt: both outcomes are right, each as a whole.
"""

from collections.abc import Iterable

from edgeless_sim.api.messages import WorkflowStatus
from edgeless_sim.model.ids import WorkflowId
from edgeless_sim.model.workflow import SpawnWorkflowRequest

__all__ = ["Promises"]


class Promises:
    """The answers of the ε-CON to one client."""

    def __init__(self) -> None:
        #: Started and not stopped, by id; whether a stop may have happened is in `_doubted`.
        self.running: dict[WorkflowId, str] = {}
        #: When the answer to the stop came, in ns.
        self.stopped: dict[WorkflowId, int] = {}
        self.requests: dict[str, SpawnWorkflowRequest] = {}
        self.violations: list[str] = []
        self._ever: dict[WorkflowId, str] = {}
        self._doubted: dict[WorkflowId, None] = {}
        self._maybe: dict[str, None] = {}

    def asked(self, name: str, request: SpawnWorkflowRequest) -> None:
        """A start was sent."""
        self.requests[name] = request
        self._maybe[name] = None

    def started(self, name: str, workflow_id: WorkflowId) -> None:
        """The start was answered."""
        self._maybe.pop(name, None)
        if workflow_id in self._ever:
            self.violations.append(
                f"I10: {workflow_id} is the id of {name} and of {self._ever[workflow_id]}"
            )
        self._ever[workflow_id] = name
        self.running[workflow_id] = name

    def refused(self, name: str) -> None:
        """The start was answered with an error: nothing may be left of it (G03)."""
        self._maybe.pop(name, None)

    def stopping(self, workflow_id: WorkflowId) -> None:
        """A stop was sent."""
        if workflow_id in self.running:
            self._doubted[workflow_id] = None

    def stop_answered(self, workflow_id: WorkflowId, now_ns: int) -> None:
        """The stop was answered: it is final."""
        self._doubted.pop(workflow_id, None)
        self.running.pop(workflow_id, None)
        self.stopped.setdefault(workflow_id, now_ns)

    def settle(self, listed: Iterable[WorkflowStatus]) -> list[str]:
        """What is wrong with the list of a cluster that had time."""
        found: list[str] = []
        present: set[WorkflowId] = set()
        for status in listed:
            present.add(status.workflow_id)
            found += self._judge(status)
        for workflow_id, name in self.running.items():
            if workflow_id not in present and workflow_id not in self._doubted:
                found.append(f"I07: {name} was started, never stopped, and is not listed")
        return found + self.violations

    def _judge(self, status: WorkflowStatus) -> list[str]:
        workflow_id, name = status.workflow_id, status.name
        if workflow_id in self.stopped:
            return [f"I07: {name} was stopped and is listed"]
        if workflow_id in self.running:
            if self.running[workflow_id] != name:
                return [f"I10: {workflow_id} was {self.running[workflow_id]} and is {name}"]
            return []
        if name in self._maybe:
            self.started(name, workflow_id)
            return []
        return [f"I07: {name or workflow_id} is listed, and nobody was told that it runs"]
