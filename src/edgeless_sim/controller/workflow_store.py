"""Where the ε-CON keeps the workflows that it has accepted, for its next life (spec 3.6).

Kept is what the client was promised: id, name, request, state ids. Not kept: domains and logical
ids, since a domain that meets a new ε-CON is reset. On disk: `workflow_database`.
"""

from typing import Protocol
from uuid import UUID

import msgspec

from edgeless_sim.model.ids import WorkflowId
from edgeless_sim.model.workflow import SpawnWorkflowRequest

__all__ = ["MemoryWorkflowStore", "StoredWorkflow", "WorkflowStore"]


class StoredWorkflow(msgspec.Struct, frozen=True):
    """A workflow as it outlives an ε-CON."""

    workflow_id: WorkflowId
    name: str
    request: SpawnWorkflowRequest
    state_ids: tuple[UUID, ...]
    """One per function."""


class WorkflowStore(Protocol):
    """All or nothing: an operation that raises has changed nothing."""

    def load(self) -> tuple[StoredWorkflow, ...]:
        """All workflows, in the order in which they were put; raise `ResourceError`."""
        ...

    def put(self, workflow: StoredWorkflow) -> None:
        """Keep *workflow*, for good when this returns; raise `ResourceError`."""
        ...

    def remove(self, workflow_id: WorkflowId) -> None:
        """Forget it, for good when this returns; idempotent. Raise `ResourceError`."""
        ...


class MemoryWorkflowStore:
    """The virtual disk of a simulated ε-CON; it outlives a crash of the ε-CON."""

    def __init__(self) -> None:
        self._workflows: dict[WorkflowId, StoredWorkflow] = {}

    def load(self) -> tuple[StoredWorkflow, ...]:
        """See `WorkflowStore.load`."""
        return tuple(self._workflows.values())

    def put(self, workflow: StoredWorkflow) -> None:
        """See `WorkflowStore.put`."""
        self._workflows[workflow.workflow_id] = workflow

    def remove(self, workflow_id: WorkflowId) -> None:
        """See `WorkflowStore.remove`."""
        self._workflows.pop(workflow_id, None)
