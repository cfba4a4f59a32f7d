"""What one domain should run, what it reports, and the steps that end the difference. Pure.

The difference is computed again with every report, so that a request or reply that was lost is
repaired whatever it was (defects U36 and U37). A report may have been on its way while something
was started or stopped: a component counts as missing, or as still there, only in the second report
after the operation was confirmed. A repair too many does no harm, since starts and stops are
idempotent by logical id.

A report is all that runs, or what has changed since an earlier one, perhaps in several parts. It
costs as many steps as it has lines, and as many more as there are operations it has not shown yet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from edgeless_sim.api.messages import ComponentInventory, ComponentState
from edgeless_sim.controller.deployment import Component, ComponentKind, Start, Stop
from edgeless_sim.model.function import shared_name
from edgeless_sim.model.ids import InstanceId, LogicalId, NodeId

__all__ = ["RETRY_S_MAX", "DomainLedger", "retry_delay_ns"]

#: Longest pause between two attempts at the same repair.
RETRY_S_MAX: Final = 30
#: How many reports after its confirmation an operation must show.
_REPORTS_UNTIL_SEEN: Final = 2


def retry_delay_ns(attempt: int) -> int:
    """The pause after *attempt* failures in a row (1, 2, 3, …): 1, 2, 4 … 30 s, in ns."""
    return min(1 << min(attempt - 1, 8), RETRY_S_MAX) * 1_000_000_000


@dataclass(slots=True)
class _Item:
    """A component that should be there (it has a start) or should be gone (it has none)."""

    start: Start | None
    kind: ComponentKind | None
    confirmed: int | None = None
    """Number of reports there had been when the start or stop was confirmed."""
    attempts: int = 0
    not_before_ns: int = 0
    reason: str = ""


@lru_cache(maxsize=16_384)
def _shared(node_id: NodeId) -> NodeId:
    return node_id


def _sharing(component: ComponentInventory, lid: LogicalId) -> ComponentInventory:
    """*component* without copies that the message brought: 25 MiB of a hundred thousand."""
    instance = component.instance
    if instance is not None:
        instance = InstanceId(_shared(instance.node_id), instance.function_id)
    return replace(component, logical_id=lid, node=shared_name(component.node), instance=instance)


class DomainLedger:
    """The books of one domain. Every component known here is expected or garbage, never both."""

    __slots__ = (
        "_expected",
        "_garbage",
        "_inventory",
        "_settled_at",
        "_starting",
        "_suspects",
        "_todo",
        "_unseen",
        "reports",
        "version",
    )

    def __init__(self) -> None:
        self.reports = 0
        self._expected: dict[LogicalId, _Item] = {}
        self._garbage: dict[LogicalId, _Item] = {}
        # Started by whoever deploys, not answered yet.
        self._starting: dict[LogicalId, None] = {}
        # What repairs are due, in the order in which they became so.
        self._todo: dict[LogicalId, _Item] = {}
        # None = the domain reports no inventory: it is EDGELESS's own.
        self._inventory: dict[LogicalId, ComponentInventory] | None = {}
        self._settled_at = 0
        #: Of the inventory, by the domain's own count; None before its first report.
        self.version: int | None = None
        # Started, and not in the inventory.
        self._unseen: dict[LogicalId, None] = {}
        # In the inventory, and perhaps not wanted there.
        self._suspects: dict[LogicalId, None] = {}

    @property
    def settled(self) -> bool:
        """Whether another report equal to the last one could tell nothing new."""
        return not (self._garbage or self._todo or self._starting) and (
            self.reports >= self._settled_at
        )

    @property
    def expected(self) -> tuple[LogicalId, ...]:
        """What the domain should run."""
        return tuple(self._expected)

    @property
    def garbage(self) -> tuple[LogicalId, ...]:
        """What is to be stopped, or was and has not left the reports yet."""
        return tuple(self._garbage)

    def expect(self, start: Start) -> None:
        """*start* is about to be sent: from now on the component belongs here."""
        self._expected[start.lid] = _Item(start, start.kind)
        self._starting[start.lid] = None

    def rename(self, old: LogicalId, new: LogicalId) -> None:
        """The domain has chosen another logical id, as EDGELESS's ε-ORC does."""
        item = self._expected.pop(old, None)
        if item is not None:
            self._expected[new] = item
            self._starting.pop(old, None)
            self._unseen.pop(old, None)
            self._look_for(new)

    def forget(self, lid: LogicalId) -> None:
        """It was never started: there is nothing to stop."""
        self._expected.pop(lid, None)
        self._starting.pop(lid, None)
        self._todo.pop(lid, None)
        if lid in (self._inventory or {}):
            self._suspects[lid] = None

    def discard(self, lid: LogicalId) -> None:
        """It is wanted no longer: stop it until the reports do not show it."""
        item = self._expected.get(lid)
        if item is not None:
            self.forget(lid)
            self._condemn(lid, item.kind)

    def clear(self) -> None:
        """The domain has stopped everything."""
        for items in (self._expected, self._garbage, self._starting, self._todo):
            items.clear()
        self._unseen.clear()
        self._suspects.clear()
        self._inventory = {}
        self.version = None

    def report(
        self,
        components: Sequence[ComponentInventory] | None,
        *,
        base: int | None = None,
        version: int = 0,
        gone: Iterable[LogicalId] = (),
        more: bool = False,
    ) -> None:
        """Compare with what the domain says that it runs (None: it does not say).

        With *base* it says what has changed, and what is gone, since that version. What leaves a
        gap, or is older than what is known, says nothing. *more* = another part follows: nothing
        is missing before that.
        """
        if components is None:
            self.reports += 1
            self._inventory = self.version = None
            self._forget_stopped()
            return
        if base is None:
            if self.version is not None and version < self.version:
                return
            gone = self._replace()
        elif self.version is None or not base <= self.version <= version:
            return
        self.version = version
        self._take(components, gone)
        if not more:
            self.reports += 1
            self._judge()

    def _replace(self) -> tuple[LogicalId, ...]:
        """Begin the inventory anew; return what was in it."""
        before, self._inventory = self._inventory or {}, {}
        return tuple(before)

    def _take(self, components: Sequence[ComponentInventory], gone: Iterable[LogicalId]) -> None:
        """Change the inventory."""
        inventory = self._inventory
        assert inventory is not None, "a domain with versions has an inventory"
        gone = tuple(gone)
        for lid in gone:
            inventory.pop(lid, None)
        for component in components:
            lid = component.logical_id
            item = self._expected.get(lid)
            if item is not None and item.start is not None and item.start.lid == lid:
                lid = item.start.lid
                component = _sharing(component, lid)
            inventory[lid] = component
            self._unseen.pop(lid, None)
            if item is None:
                self._suspects[lid] = None
        for lid in gone:
            self._look_for(lid)

    def _judge(self) -> None:
        """Find what is missing, and what should not be there."""
        inventory = self._inventory or {}
        seen = self.reports - _REPORTS_UNTIL_SEEN
        for lid in list(self._unseen):
            item = self._expected.get(lid)
            if item is None or item.confirmed is None:
                # Until its start is confirmed, nobody expects to see it.
                del self._unseen[lid]
            elif item.confirmed <= seen:
                del self._unseen[lid]
                item.confirmed = None
                self._todo[lid] = item
        self._forget_stopped()
        for lid, garbage in self._garbage.items():
            if lid in inventory and garbage.confirmed is not None and garbage.confirmed <= seen:
                garbage.confirmed = None
                self._todo[lid] = garbage
        for lid in self._suspects:
            if lid in inventory and lid not in self._expected and lid not in self._garbage:
                self._condemn(lid, None)
        self._suspects.clear()

    def _look_for(self, lid: LogicalId) -> None:
        """Miss *lid* unless it is in the inventory, or comes into it."""
        if lid in self._expected and lid not in (self._inventory or {}):
            self._unseen[lid] = None

    def repairs(self, now_ns: int) -> tuple[Start | Stop, ...]:
        """The steps that are due now, in the order in which they became necessary."""
        return tuple(
            Stop(lid, item.kind) if item.start is None else item.start
            for lid, item in self._todo.items()
            if item.not_before_ns <= now_ns
        )

    def next_repair_ns(self) -> int | None:
        """When the next repair is due; None if there is none."""
        return min((item.not_before_ns for item in self._todo.values()), default=None)

    def succeeded(self, step: Start | Stop) -> None:
        """The domain has confirmed *step*. One that has become irrelevant is ignored."""
        item = self._item_of(step)
        if item is not None:
            item.confirmed = self.reports
            item.attempts = 0
            item.reason = ""
            self._todo.pop(step.lid, None)
            self._starting.pop(step.lid, None)
            self._settled_at = self.reports + _REPORTS_UNTIL_SEEN
            if isinstance(step, Start):
                self._look_for(step.lid)
            if self._inventory is None:
                self._forget_stopped()

    def failed(self, step: Start | Stop, now_ns: int, reason: str) -> None:
        """The domain refused the repair *step*, or did not answer: try again later."""
        item = self._item_of(step)
        if item is not None and step.lid in self._todo:
            item.attempts += 1
            item.not_before_ns = now_ns + retry_delay_ns(item.attempts)
            item.reason = reason

    def describe(self, component: Component) -> ComponentInventory:
        """How *component* is, as far as it is known."""
        reported = (self._inventory or {}).get(component.lid)
        if reported is not None:
            return reported
        item = self._expected.get(component.lid)
        if item is None or item.confirmed is None:
            why = (
                item.reason if item is not None else ""
            ) or f"not started yet in {component.domain_id}"
            return ComponentInventory(component.lid, ComponentState.PENDING, why)
        return ComponentInventory(component.lid, ComponentState.RUNNING)

    def _item_of(self, step: Start | Stop) -> _Item | None:
        items = self._expected if isinstance(step, Start) else self._garbage
        return items.get(step.lid)

    def _condemn(self, lid: LogicalId, kind: ComponentKind | None) -> None:
        self._garbage[lid] = self._todo[lid] = _Item(None, kind)

    def _forget_stopped(self) -> None:
        inventory = self._inventory or {}
        gone = [
            lid
            for lid, item in self._garbage.items()
            if item.confirmed is not None and lid not in inventory
        ]
        for lid in gone:
            del self._garbage[lid]
