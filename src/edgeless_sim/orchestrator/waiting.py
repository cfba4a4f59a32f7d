"""Components whose placement is to be looked at, and those that wait until nodes change.

Two kinds of waiting: for a first instance, and for a further one of a function that may have
several. Not here: what is decided (`plan`).
"""

from collections.abc import Callable

from edgeless_sim.model.ids import LogicalId
from edgeless_sim.orchestrator.records import Component

__all__ = ["Waiting"]


class Waiting:
    """The queues of one domain. *components* is the domain's own table."""

    def __init__(self, components: dict[LogicalId, Component]) -> None:
        self._components = components
        self.unplaced: dict[LogicalId, None] = {}
        """Components without an instance, to be looked at."""
        self.held: dict[LogicalId, None] = {}
        """Components without an instance that wait for a node that can host them."""
        self.short: dict[LogicalId, None] = {}
        """Components that may have further instances, to be looked at."""
        self.sated: dict[LogicalId, None] = {}
        """Components that may have further instances, for which there is no node at present."""

    def forget(self, logical_id: LogicalId) -> None:
        """A component is wanted no longer."""
        for queue in (self.unplaced, self.held, self.short, self.sated):
            queue.pop(logical_id, None)

    def placed(self, logical_id: LogicalId) -> None:
        """A component has an instance."""
        self.unplaced.pop(logical_id, None)
        self.held.pop(logical_id, None)

    def hold(self, logical_id: LogicalId) -> None:
        """No node can host a component at present."""
        self.unplaced.pop(logical_id, None)
        self.held[logical_id] = None

    def suffice(self, logical_id: LogicalId) -> None:
        """No node can host a further instance at present."""
        self.short.pop(logical_id, None)
        self.sated[logical_id] = None

    def note_short(self, component: Component) -> None:
        """A component has got or lost an instance."""
        logical_id = component.logical_id
        self.sated.pop(logical_id, None)
        if component.short:
            self.short[logical_id] = None
        else:
            self.short.pop(logical_id, None)

    def recall(self, may_be_hosted: Callable[[Component], bool]) -> None:
        """Look again, with all nodes as candidates, at those that wait and may be hosted now."""
        for logical_id in list(self.held):
            component = self._components[logical_id]
            if may_be_hosted(component):
                del self.held[logical_id]
                component.tried.clear()
                self.unplaced[logical_id] = None
        for logical_id in list(self.sated):
            component = self._components[logical_id]
            if may_be_hosted(component):
                del self.sated[logical_id]
                component.further_tried.clear()
                self.short[logical_id] = None

    def recall_one(self, logical_id: LogicalId) -> bool:
        """The same for one, whether it may be hosted or not; False if it does not wait."""
        waits = logical_id in self.held or logical_id in self.sated
        if waits:
            self.recall(lambda component: component.logical_id == logical_id)
        return waits
