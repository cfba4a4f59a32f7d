"""Reads the journal of a run into counts and histograms. Memory does not grow with time.

What is kept per event is kept only while the event is on its way. Not here: what the numbers look
like (`summary`, `tables`) and what functions said (`logs`).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.event import EventType
from edgeless_sim.model.histogram import Histogram
from edgeless_sim.report.names import Names

__all__ = ["ComponentCounts", "NodeCounts", "RunReader"]

_FAULTS_MAX: Final = 1_000
_MOVES_MAX: Final = 100
#: What is noted of an event on its way, until the time it waited is known.
_EXPECTED: Final = -1
_RETURN: Final = -2
_LAST_OF_WAY_IN: Final = int(EventType.CAST)


class ComponentCounts:
    """What one component of one workflow did."""

    __slots__ = (
        "failures",
        "fuel",
        "handled",
        "latency",
        "losses",
        "moves",
        "name",
        "nodes",
        "restarts",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        #: (ns, node) of each start.
        self.nodes: list[tuple[int, str]] = []
        self.moves = 0
        #: Casts and calls that its handlers have ended.
        self.handled = 0
        #: From being sent to the end of the handler.
        self.latency = Histogram()
        self.fuel = 0
        self.losses: Counter[str] = Counter()
        self.failures = 0
        self.restarts = 0


class NodeCounts:
    """What became of one node."""

    __slots__ = ("crashes", "handled", "joined", "lost", "started")

    def __init__(self) -> None:
        self.started = 0
        self.handled = 0
        self.joined = 0
        self.lost = 0
        self.crashes = 0


class RunReader:
    """Subscribe `read` to a journal from its beginning."""

    def __init__(self) -> None:
        self.names = Names()
        self.records = 0
        self.sent = 0
        self.handled = 0
        self.losses: Counter[str] = Counter()
        self.faults: list[tuple[int, str, str]] = []
        self.faults_total = 0
        self._components: dict[int, ComponentCounts] = {}
        self.nodes: dict[str, NodeCounts] = {}
        self._by_instance: dict[int, tuple[ComponentCounts, NodeCounts]] = {}
        #: By serial: how long it waited, or what it is while that is not known.
        self._open: dict[int, int] = {}

    @property
    def in_flight(self) -> int:
        """Events that were sent and neither handled nor dropped yet; answers included."""
        return len(self._open)

    def components(self) -> list[tuple[str, ComponentCounts]]:
        """(workflow, what its component did), of those that have ever run."""
        return [
            (self.names.workflow_of(number), counts)
            for number, counts in self._components.items()
            if counts.nodes
        ]

    def read(self, batch: Sequence[Record]) -> None:
        """Take a batch of records."""
        self.records += len(batch)
        pending = self._open
        sent = 0
        for record in batch:
            kind = record[1]
            if kind == "send":
                sent += 1
                pending[record[2]] = _EXPECTED if record[5] <= _LAST_OF_WAY_IN else _RETURN
            elif kind == "recv":
                if pending.get(record[2]) == _RETURN:
                    del pending[record[2]]
            elif kind == "begin":
                if record[2]:
                    pending[record[2]] = record[5]
            elif kind == "end":
                self._ended(record)
            elif kind != "log":
                self._rare(kind, record)
        self.sent += sent

    def _ended(self, record: Record) -> None:
        _, _, serial, instance, fuel, duration_ns, outcome = record
        waited_ns = self._open.pop(serial, _EXPECTED)
        found = self._by_instance.get(instance)
        if found is None:
            return
        component, node = found
        component.fuel += fuel
        if outcome != "ok":
            component.failures += 1
        elif serial:
            self.handled += 1
            node.handled += 1
            component.handled += 1
            component.latency.add(max(waited_ns, 0) + duration_ns)

    def _rare(self, kind: str, record: Record) -> None:
        if kind == "drop":
            self._dropped(record[2], record[3], record[4])
        elif kind == "def":
            self.names.define(record[2], record[3], record[4])
        elif kind == "place":
            self.names.placed(record[2], record[3], record[4])
        elif kind == "start":
            self._started(record[0], record[2], record[3], record[4])
        elif kind == "state":
            self._state(record[2], record[3], record[4])
        elif kind == "fault":
            self._fault(record[0], record[2], record[3])

    def _dropped(self, serial: int, number: int, cause: str) -> None:
        self._open.pop(serial, None)
        self.losses[cause] += 1
        found = self._by_instance.get(number)
        if found is not None:
            found[0].losses[cause] += 1

    def _started(self, ns: int, instance: int, component: int, node: int) -> None:
        counts = self._components.get(component)
        if counts is None:
            name = self.names.component_of(component)
            counts = self._components[component] = ComponentCounts(name)
        where = self.names.node(node)
        if counts.nodes and counts.nodes[-1][1] != where:
            counts.moves += 1
        if len(counts.nodes) < _MOVES_MAX:
            counts.nodes.append((ns, where))
        here = self._node(where)
        here.started += 1
        self._by_instance[instance] = counts, here

    def _state(self, subject: int, state: Any, reason: Any) -> None:
        if state == "named":
            self.names.name_workflow(subject, str(reason))
        elif state == "restarted":
            if subject in self._by_instance:
                self._by_instance[subject][0].restarts += 1
        elif state in ("joined", "lost"):
            name = self.names.node(subject)
            if name and state == "joined":
                self._node(name).joined += 1
            elif name:
                self._node(name).lost += 1

    def _fault(self, ns: int, what: str, where: str) -> None:
        self.faults_total += 1
        if len(self.faults) < _FAULTS_MAX:
            self.faults.append((ns, what, where))
        if what == "crash" and "/" in where and not where.startswith("orc/"):
            self._node(where).crashes += 1

    def _node(self, name: str) -> NodeCounts:
        counts = self.nodes.get(name)
        if counts is None:
            counts = self.nodes[name] = NodeCounts()
        return counts
