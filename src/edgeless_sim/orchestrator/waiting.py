"""Components whose placement is to be looked at, and those that wait until nodes change.

Two kinds of waiting: for a first instance, and for a further one of a function that may have
several. Not here: what is decided (`plan`).
"""

from edgeless_sim.model.ids import LogicalId
from edgeless_sim.orchestrator.candidates import HeldComponents
from edgeless_sim.orchestrator.records import Component
from edgeless_sim.orchestrator.view import NodeView

__all__ = ["Waiting"]


class Waiting:
    """The queues of one domain. *components* is the domain's own table."""

    def __init__(self, components: dict[LogicalId, Component]) -> None:
        self._components = components
        self.unplaced: dict[LogicalId, None] = {}
        """Components without an instance, to be looked at."""
        self.held = HeldComponents()
        """Components without an instance that wait for a node that can host them."""
        self.short: dict[LogicalId, None] = {}
        """Components that may have further instances, to be looked at."""
        self.sated = HeldComponents()
        """Components that may have further instances, for which there is no node at present."""

    def forget(self, logical_id: LogicalId) -> None:
        """A component is wanted no longer."""
        self.unplaced.pop(logical_id, None)
        self.short.pop(logical_id, None)
        self.held.discard(logical_id)
        self.sated.discard(logical_id)

    def placed(self, logical_id: LogicalId) -> None:
        """A component has an instance."""
        self.unplaced.pop(logical_id, None)
        self.held.discard(logical_id)

    def hold(self, component: Component) -> None:
        """No node can host a component at present."""
        self.unplaced.pop(component.logical_id, None)
        self.held.add(component)

    def suffice(self, component: Component) -> None:
        """No node can host a further instance at present."""
        self.short.pop(component.logical_id, None)
        self.sated.add(component)

    def note_short(self, component: Component) -> None:
        """A component has got or lost an instance."""
        logical_id = component.logical_id
        self.sated.discard(logical_id)
        if component.short:
            self.short[logical_id] = None
        else:
            self.short.pop(logical_id, None)

    def recall(self, view: NodeView) -> None:
        """Look again, with all nodes as candidates, at those that a node can host."""
        for logical_id in (*self.held.fitting(view), *self.sated.fitting(view)):
            self.recall_one(logical_id)

    def recall_one(self, logical_id: LogicalId) -> bool:
        """Look again at one; False if it does not wait."""
        component = self._components.get(logical_id)
        if component is not None and logical_id in self.held:
            self.held.discard(logical_id)
            component.tried = ()
            self.unplaced[logical_id] = None
            return True
        if component is not None and logical_id in self.sated:
            self.sated.discard(logical_id)
            component.further_tried = ()
            self.short[logical_id] = None
            return True
        return False
