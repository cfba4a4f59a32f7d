"""Which nodes can host what, kept node by node: a change of one node is no reason to ask them all.

Not here: whether one node can host one component (`requirements`).
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from edgeless_sim.model.ids import LogicalId
from edgeless_sim.orchestrator.records import Component
from edgeless_sim.orchestrator.requirements import (
    OUT_MAX,
    Feasibility,
    Needs,
    feasible_nodes,
    infeasible_reason,
)
from edgeless_sim.orchestrator.view import NodeView

__all__ = ["Candidates", "HeldComponents"]

#: Different needs whose candidates are kept.
_NEEDS_MAX: Final = 256


class _Sorted:
    """Nodes sorted by id."""

    __slots__ = ("_numbers", "views")

    def __init__(self, views: Sequence[NodeView] = ()) -> None:
        self.views = list(views)
        self._numbers = [view.node_id.int for view in views]

    def put(self, view: NodeView) -> None:
        """Take in a node, in the place of that with its id if there is one."""
        number = view.node_id.int
        place = bisect_left(self._numbers, number)
        if place < len(self._numbers) and self._numbers[place] == number:
            self.views[place] = view
        else:
            self._numbers.insert(place, number)
            self.views.insert(place, view)

    def discard(self, view: NodeView) -> bool:
        """Drop the node with the id of *view*; whether there was one."""
        number = view.node_id.int
        place = bisect_left(self._numbers, number)
        if place == len(self._numbers) or self._numbers[place] != number:
            return False
        del self._numbers[place]
        del self.views[place]
        return True


class _Fit:
    """The candidates for one kind of needs."""

    __slots__ = ("_feasible", "_found", "_needs", "_others")

    def __init__(self, needs: Needs, views: Sequence[NodeView]) -> None:
        self._needs = needs
        self._found: Feasibility | None = feasible_nodes(needs, views)
        self._feasible = _Sorted(self._found.nodes)
        fitting = {view.node_id.int for view in self._found.nodes}
        self._others = _Sorted([view for view in views if view.node_id.int not in fitting])

    def found(self) -> Feasibility:
        """See `Candidates.feasible`."""
        if self._found is None:
            others = self._others.views
            out = [
                (view.name, infeasible_reason(self._needs, view) or "")
                for view in islice(others, OUT_MAX)
            ]
            feasible = self._feasible.views
            self._found = Feasibility.of(feasible, len(feasible) + len(others), out)
        return self._found

    def put(self, view: NodeView) -> None:
        """A node has come or changed."""
        self.discard(view)
        fits = infeasible_reason(self._needs, view) is None
        (self._feasible if fits else self._others).put(view)

    def discard(self, view: NodeView) -> None:
        """A node has gone."""
        self._found = None
        if not self._feasible.discard(view):
            self._others.discard(view)


class Candidates:
    """All nodes, and those of them that can host what came up lately."""

    def __init__(self) -> None:
        self._nodes = _Sorted()
        self._views: tuple[NodeView, ...] | None = ()
        self._fits: dict[Needs, _Fit] = {}

    def views(self) -> tuple[NodeView, ...]:
        """All nodes, sorted by id."""
        if self._views is None:
            self._views = tuple(self._nodes.views)
        return self._views

    def feasible(self, needs: Needs) -> Feasibility:
        """The nodes that can host a component with *needs*; the same object while they do."""
        fit = self._fits.get(needs)
        if fit is None:
            if len(self._fits) >= _NEEDS_MAX:
                self._fits.clear()
            fit = self._fits[needs] = _Fit(needs, self.views())
        return fit.found()

    def put(self, view: NodeView) -> None:
        """A node has come or changed."""
        self._views = None
        self._nodes.put(view)
        for fit in self._fits.values():
            fit.put(view)

    def discard(self, view: NodeView) -> None:
        """A node has gone."""
        self._views = None
        self._nodes.discard(view)
        for fit in self._fits.values():
            fit.discard(view)


class HeldComponents:
    """Components that wait for a node that can host them."""

    def __init__(self) -> None:
        self._needs: dict[LogicalId, Needs] = {}
        self._by_needs: dict[Needs, dict[LogicalId, None]] = {}

    def __contains__(self, logical_id: LogicalId) -> bool:
        return logical_id in self._needs

    def __iter__(self) -> Iterator[LogicalId]:
        return iter(self._needs)

    def add(self, component: Component) -> None:
        """*component* waits from now on, or goes on to."""
        self._needs[component.logical_id] = component.needs
        self._by_needs.setdefault(component.needs, {})[component.logical_id] = None

    def discard(self, logical_id: LogicalId) -> None:
        """A component waits no more, if it did."""
        needs = self._needs.pop(logical_id, None)
        if needs is not None:
            waiting = self._by_needs[needs]
            del waiting[logical_id]
            if not waiting:
                del self._by_needs[needs]

    def fitting(self, view: NodeView) -> list[LogicalId]:
        """Those that a node can host. Asked once for all that have the same needs."""
        return [
            logical_id
            for needs, waiting in self._by_needs.items()
            if infeasible_reason(needs, view) is None
            for logical_id in waiting
        ]
