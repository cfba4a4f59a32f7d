"""Nodes in the order of a rank by how much they host, kept while that changes. Pure.

So that a strategy need not look at ten thousand nodes to find the emptiest.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

from edgeless_sim.orchestrator.view import Loads, NodeView

__all__ = ["Rank", "Rankings"]

#: A node's rank by how many components it hosts, the least first; None = not to be chosen.
Rank: TypeAlias = Callable[[NodeView, int], float | None]

#: Sets of candidates for which an order is kept.
_RANKINGS_MAX: Final = 16


class Rankings:
    """The order of each set of candidates that came up lately; sets are told by identity."""

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._rankings: dict[int, _Ranking] = {}

    def first(
        self, feasible: Sequence[NodeView], loads: Loads, besides: Collection[str] = ()
    ) -> NodeView | None:
        """The node with the least rank, by id among equals, whose name is not in *besides*."""
        return self._of(feasible, loads).first(besides)

    def named(
        self, feasible: Sequence[NodeView], loads: Loads, names: Iterable[str]
    ) -> list[NodeView]:
        """The nodes of *feasible* that have one of *names*."""
        by_name = self._of(feasible, loads).by_name
        return [node for name in names for node in by_name.get(name, ())]

    def _of(self, feasible: Sequence[NodeView], loads: Loads) -> "_Ranking":
        key = id(feasible)
        ranking = self._rankings.get(key)
        if ranking is None or ranking.loads is not loads or not ranking.follow():
            if len(self._rankings) >= _RANKINGS_MAX:
                del self._rankings[next(iter(self._rankings))]
            # It holds *feasible*, so that nothing else gets the same id meanwhile.
            ranking = self._rankings[key] = _Ranking(feasible, loads, self._rank)
        return ranking


class _Ranking:
    """A heap in which each node has its present rank; older ones are dropped when they come up."""

    def __init__(self, feasible: Sequence[NodeView], loads: Loads, rank: Rank) -> None:
        self.loads: Final = loads
        self._feasible = feasible
        self._rank = rank
        self._nodes: dict[int, NodeView] = {node.node_id.int: node for node in feasible}
        self._begin()

    @cached_property
    def by_name(self) -> dict[str, list[NodeView]]:
        """The nodes by name; two may have the same."""
        found: dict[str, list[NodeView]] = {}
        for node in self._feasible:
            found.setdefault(node.name, []).append(node)
        return found

    def _begin(self) -> None:
        self._seen = self.loads.changes.version
        self._ranks: dict[int, float] = {}
        for node in self._feasible:
            rank = self._rank(node, self.loads.count(node))
            if rank is not None:
                self._ranks[node.node_id.int] = rank
        self._heap = [(rank, number) for number, rank in self._ranks.items()]
        heapify(self._heap)

    def follow(self) -> bool:
        """Take in how loads have changed; False if nobody remembers that."""
        changes = self.loads.changes
        if self._seen < changes.floor:
            return False
        if self._seen == changes.version:
            return True
        changed, self._seen = changes.since(self._seen)
        for node_id in changed:
            node = self._nodes.get(node_id.int)
            if node is not None:
                self._set(node_id.int, self._rank(node, self.loads.count(node)))
        if len(self._heap) > 2 * len(self._nodes) + 64:
            self._begin()
        return True

    def _set(self, number: int, rank: float | None) -> None:
        if rank is None:
            self._ranks.pop(number, None)
        elif self._ranks.get(number) != rank:
            self._ranks[number] = rank
            heappush(self._heap, (rank, number))

    def first(self, besides: Collection[str]) -> NodeView | None:
        """See `Rankings.first`."""
        passed: list[tuple[float, int]] = []
        found: NodeView | None = None
        while self._heap and found is None:
            entry = self._heap[0]
            rank, number = entry
            if self._ranks.get(number) != rank or entry in passed[-1:]:
                # Out of date, or there twice.
                heappop(self._heap)
                continue
            node = self._nodes[number]
            if node.name in besides:
                passed.append(heappop(self._heap))
            else:
                found = node
        for entry in passed:
            heappush(self._heap, entry)
        return found
