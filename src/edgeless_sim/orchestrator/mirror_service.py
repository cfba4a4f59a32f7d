"""`DomainMirrorApi` of an ε-ORC: its mirror in pages, and intents (spec 7).

A page costs what is on it, however large the domain is. Not here: what is mirrored (`mirror`).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from edgeless_sim.api.messages import MirrorPage, MirrorPart, MirrorQuery
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.decision import Decision
from edgeless_sim.model.ids import LogicalId, parse_uuid
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.mirror import DomainMirror, MirroredComponent, MirroredNode, Series
from edgeless_sim.model.names import quoted
from edgeless_sim.orchestrator.decisions import DecisionLog
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.intents import IntentInbox, check_intent
from edgeless_sim.orchestrator.mirror import Mirror, mirrored_component
from edgeless_sim.orchestrator.series import SeriesKey

__all__ = ["PAGE_BYTES_MAX", "PAGE_ROWS_MAX", "MirrorService"]

#: A page ends with the row that reaches one of them.
PAGE_BYTES_MAX: Final = 1 << 18
PAGE_ROWS_MAX: Final = 500
#: Of series, most have nothing new; so many are looked at for one page.
_LOOKED_AT_MAX: Final = 5_000

#: None = there is nothing to show of it.
_Row: TypeAlias = MirroredNode | MirroredComponent | Series | None


class MirrorService:
    """See `DomainMirrorApi`."""

    def __init__(self, state: DomainState, mirror: Mirror, decisions: DecisionLog) -> None:
        self._state = state
        self._decisions = decisions
        self._mirror = mirror
        #: What was submitted and is to be obeyed at the next ticks.
        self.inbox = IntentInbox()
        self._parts: dict[MirrorPart, Callable[[MirrorQuery], Iterator[tuple[str, _Row]]]] = {
            MirrorPart.NODES: self._nodes,
            MirrorPart.COMPONENTS: self._components,
            MirrorPart.SERIES: self._series,
        }
        self._measure = msgspec.msgpack.Encoder().encode

    async def mirror(self, query: MirrorQuery) -> MirrorPage:
        """See `DomainMirrorApi.mirror`. ``next`` is the id of the last row."""
        rows: list[Any] = []
        size, token, following = 0, "", ""
        for looked_at, (place, row) in enumerate(self._parts[query.part](query)):
            full = len(rows) >= PAGE_ROWS_MAX or size >= PAGE_BYTES_MAX
            if full or looked_at >= _LOOKED_AT_MAX:
                following = token
                break
            token = place
            if row is not None:
                rows.append(row)
                size += len(self._measure(row))
        mirror = DomainMirror(
            self._mirror.domain_id,
            last_updates=dict(self._mirror.last_updates),
            **{query.part.value: tuple(rows)},
        )
        return MirrorPage(mirror, following)

    async def submit(self, intent: Intent) -> None:
        """See `DomainMirrorApi.submit`."""
        check_intent(self._state, intent)
        self.inbox.put(intent)

    async def explain(self, components: tuple[LogicalId, ...]) -> tuple[Decision, ...]:
        """See `DomainMirrorApi.explain`."""
        return self._decisions.explain(components)

    # --- rows behind a place, and their own

    def _nodes(self, query: MirrorQuery) -> Iterator[tuple[str, _Row]]:
        views = self._state.views()
        first = 0
        if query.after:
            after = _uuid(query.after).int
            first = bisect_right(views, after, key=lambda view: view.node_id.int)
        for place in range(first, len(views)):
            node = self._mirror.mirrored_node(views[place], query.since_s)
            yield str(node.node_id), node

    def _components(self, query: MirrorQuery) -> Iterator[tuple[str, _Row]]:
        order = self._state.component_order
        first = bisect_right(order, _uuid(query.after).int) if query.after else 0
        for place in range(first, len(order)):
            component = self._state.components[LogicalId(UUID(int=order[place]))]
            yield str(component.logical_id), mirrored_component(component)

    def _series(self, query: MirrorQuery) -> Iterator[tuple[str, _Row]]:
        after = _series_key(query.after) if query.after else None
        for series in self._mirror.series(after, query.since_s):
            instance = series.instance
            place = f"{instance.node_id}/{instance.function_id}/{series.name}"
            yield place, series if series.points else None


def _uuid(after: str) -> UUID:
    try:
        return parse_uuid(after)
    except ValueError:
        raise RejectedError("unknown page", f"after: {quoted(after)} is no id") from None


def _series_key(after: str) -> SeriesKey:
    node, _, rest = after.partition("/")
    function, _, name = rest.partition("/")
    return _uuid(node).int, _uuid(function).int, name
