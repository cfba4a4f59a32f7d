"""What a scenario calls its workflows, told to the journal, so that readers can know them by it."""

from edgeless_sim.kernel.journal import Journal
from edgeless_sim.model.ids import WorkflowId

__all__ = ["WorkflowNames"]


class WorkflowNames:
    """The names of the workflows that run."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._numbers: dict[str, int] = {}

    def named(self, name: str, workflow: WorkflowId) -> None:
        """*workflow* is called *name* from now on."""
        number = self._numbers[name] = self._journal.intern("workflow", str(workflow))
        self._journal.record("state", number, "named", name)

    def unnamed(self, name: str) -> None:
        """The workflow called *name* has been stopped."""
        self._journal.record("state", self._numbers.pop(name), "unnamed", name)
