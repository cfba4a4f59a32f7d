"""The state of one instance: what its ``init`` gets, what its ``sync`` keeps (spec 5.5)."""

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.function import StateSpecification
from edgeless_sim.node.hosting import HostingContext

__all__ = ["InstanceState"]


class InstanceState:
    """Loads and stores; a store that fails is counted and recorded, and the node lives (U19)."""

    __slots__ = ("_context", "_number", "_specification")

    def __init__(
        self, specification: StateSpecification, number: int, context: HostingContext
    ) -> None:
        """*number* is the instance's number in the journal."""
        self._specification = specification
        self._number = number
        self._context = context

    def load(self) -> str | None:
        """The stored state; None if there is none, or if it cannot be read."""
        try:
            return self._context.states.load(self._specification)
        except ResourceError as error:
            self._note("state not restored", str(error))
            return None

    def sync(self, state: str) -> None:
        """Store *state*, if the policy says so."""
        counters = self._context.plane.counters
        try:
            kept = self._context.states.store(self._specification, state)
        except ResourceError as error:
            # By kind, not by text: texts differ, and counters are for ever.
            counters["sync failed"] += 1
            self._note("sync failed", str(error))
            return
        if kept:
            self._note("synced", str(len(state)))
        else:
            counters[f"sync with policy {self._specification.policy}"] += 1

    def _note(self, state: str, reason: str) -> None:
        self._context.actor.journal.record("state", self._number, state, reason[:300])
