"""What an ε-ORC writes into the journal: who joined, what was placed where and why.

Only the wording and the numbers of names are here; the journal itself is the kernel's.
"""

from typing import Final

from edgeless_sim.kernel.journal import Journal
from edgeless_sim.model.ids import DomainId
from edgeless_sim.orchestrator.records import Component
from edgeless_sim.orchestrator.view import NodeView

__all__ = ["Chronicle"]

_REASON_CHARS_MAX: Final = 300


class Chronicle:
    """The journal, as one ε-ORC sees it."""

    def __init__(self, journal: Journal, domain_id: DomainId) -> None:
        self._journal = journal
        self._domain_id = domain_id

    def placed(self, component: Component, node: NodeView, reason: str) -> None:
        """A component was given to a node."""
        self._journal.record(
            "place", self._component(component), self._node(node), reason[:_REASON_CHARS_MAX]
        )

    @staticmethod
    def name_of(component: Component) -> str:
        """What the journal calls *component*."""
        return f"{component.request.workflow_id}/{component.request.name or component.logical_id}"

    def component(self, component: Component, state: str, reason: str = "") -> None:
        """Something became of a component."""
        self._state(self._component(component), state, reason)

    def node(self, node: NodeView, state: str, reason: str = "") -> None:
        """Something became of a node."""
        self._state(self._node(node), state, reason)

    def domain(self, state: str, reason: str = "") -> None:
        """Something became of the domain."""
        self._state(self._journal.intern("domain", self._domain_id), state, reason)

    def _state(self, subject: int, state: str, reason: str) -> None:
        self._journal.record("state", subject, state, reason[:_REASON_CHARS_MAX])

    def _component(self, component: Component) -> int:
        return self._journal.intern("component", self.name_of(component))

    def _node(self, node: NodeView) -> int:
        return self._journal.intern("node", node.name)
