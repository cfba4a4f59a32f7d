"""What the journal tells about a run, as far as expectations ask: who ran where, what got lost.

A reader of the journal; it asks nobody and changes nothing. Memory grows with components and
events in flight, not with time. Not here: tables for people (`edgeless_sim.report`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.event import EventType
from edgeless_sim.model.ids import InstanceId

__all__ = ["ComponentTrace", "Observer"]

_VISITS_MAX: Final = 1_000
_DOWN: Final = frozenset({"crash", "stop"})
#: Why an instance stops that migrates.
_MOVED: Final = "handed over"
_LAST_OF_WAY_IN: Final = int(EventType.CAST)


class ComponentTrace:
    """One component of one workflow."""

    __slots__ = (
        "handled",
        "instances",
        "moving",
        "name",
        "slow",
        "started_ns",
        "visited",
        "within_ns",
        "workflow_id",
    )

    def __init__(self, name: str, workflow_id: str = "") -> None:
        self.name = name
        self.workflow_id = workflow_id
        #: Node by number of instance: those that live, on nodes that live.
        self.instances: dict[int, str] = {}
        #: Nodes in the order in which it ran on them.
        self.visited: list[str] = []
        #: The instance that was handed over and has no successor yet; -1 = none.
        self.moving = -1
        self.started_ns = 0
        self.handled = 0
        #: Events that took longer than so many ns, by that time.
        self.slow: Counter[int] = Counter()
        self.within_ns: tuple[int, ...] = ()

    @property
    def node(self) -> str:
        """Where it runs; empty if nowhere."""
        return next(reversed(self.instances.values()), "")


class Observer:
    """Subscribe `read` to a journal."""

    def __init__(self, within: Sequence[tuple[str, int]] = ()) -> None:
        """*within* lists (component, ns): count the events of it that take longer."""
        #: Lost events by cause.
        self.losses: Counter[str] = Counter()
        self._within = within
        self._nodes: dict[int, str] = {}
        #: Of instances, in hexadecimal.
        self._keys: dict[int, str] = {}
        self._components: dict[int, ComponentTrace] = {}
        self._workflow_ids: dict[int, str] = {}
        #: Workflow id by the name that the scenario gives it.
        self._ids: dict[str, str] = {}
        self._stopped: set[str] = set()
        self._traces: dict[str, dict[str, ComponentTrace]] = {}
        self._by_instance: dict[int, ComponentTrace] = {}
        self._broken: set[int] = set()
        self._waited: dict[int, int] = {}
        #: When events were sent that have not arrived; answers are negative.
        self._sent_ns: dict[int, int] = {}
        #: Who has an event now: in its queue, or in work.
        self._held_by: dict[int, int] = {}

    # -- what it has seen -----------------------------------------------------------------------

    def workflow_id(self, workflow: str) -> str | None:
        """The id of *workflow*, also after its end; None if it has never been started."""
        return self._ids.get(workflow)

    def components(self, workflow: str) -> dict[str, ComponentTrace]:
        """The components of *workflow* that have ever run, by name."""
        return self._traces.get(self._ids.get(workflow, ""), {})

    def component(self, workflow: str, component: str) -> ComponentTrace:
        """One component; an empty trace if it has never run."""
        return self.components(workflow).get(component) or ComponentTrace(component)

    def instance(self, workflow: str, component: str) -> tuple[InstanceId, str] | None:
        """An instance of a component that runs, and the name of its node."""
        for number, node in reversed(self.component(workflow, component).instances.items()):
            if number not in self._broken:
                return InstanceId.from_key(bytes.fromhex(self._keys[number])), node
        return None

    def workflows(self, workflow: str | None) -> list[tuple[str, dict[str, ComponentTrace]]]:
        """The components of *workflow*, or of all that are not stopped, by name."""
        current = [name for name in self._ids if name not in self._stopped]
        names = current if workflow is None else [workflow]
        return [(name, self.components(name)) for name in names]

    def runs(self, trace: ComponentTrace) -> bool:
        """Whether an instance lives, has not failed, and its node lives."""
        return any(number not in self._broken for number in trace.instances)

    def duplicates(self) -> list[str]:
        """Components with more than one living instance, and where."""
        return [
            f"{workflow}/{name} on {', '.join(trace.instances.values())}"
            for workflow, traces in self.workflows(None)
            for name, trace in traces.items()
            if len(trace.instances) > 1
        ]

    def unexplained(self, before_ns: int) -> int:
        """How many events, sent before that time, have neither arrived nor been dropped.

        What has arrived is explained while its receiver lives: it waits there, or is in work.
        """
        silent = sum(abs(ns) < before_ns for ns in self._sent_ns.values())
        alive = {number for trace in self._by_instance.values() for number in trace.instances}
        return silent + sum(number not in alive for number in self._held_by.values())

    # -- reading --------------------------------------------------------------------------------

    def read(self, batch: Sequence[Record]) -> None:
        """Take a batch of records."""
        sent_ns = self._sent_ns
        for record in batch:
            kind = record[1]
            if kind == "send":
                is_answer = record[5] > _LAST_OF_WAY_IN
                sent_ns[record[2]] = -record[0] if is_answer else record[0]
            elif kind == "recv":
                # Answers have arrived when they are received; casts and calls are held then.
                if sent_ns.pop(record[2], 0) > 0 or record[2] in self._held_by:
                    self._held_by[record[2]] = record[3]
            elif kind == "begin":
                if record[2]:
                    self._begun(record[2], record[3], record[5])
            elif kind == "end":
                if record[2]:
                    self._ended(record)
            elif kind != "log":
                self._rare(kind, record)

    def _begun(self, serial: int, number: int, waited_ns: int) -> None:
        self._sent_ns.pop(serial, None)
        self._held_by[serial] = number
        trace = self._by_instance.get(number)
        if trace is not None and trace.within_ns:
            self._waited[serial] = waited_ns

    def _ended(self, record: Record) -> None:
        self._held_by.pop(record[2], None)
        trace = self._by_instance.get(record[3])
        if trace is None or record[6] != "ok":
            return
        trace.handled += 1
        if trace.within_ns:
            took_ns = self._waited.pop(record[2], 0) + record[5]
            for limit_ns in trace.within_ns:
                if took_ns > limit_ns:
                    trace.slow[limit_ns] += 1

    def _define(self, number: int, what: str, name: str) -> None:
        if what == "node":
            self._nodes[number] = name
        elif what == "instance":
            self._keys[number] = name
        elif what == "workflow":
            self._workflow_ids[number] = name
        elif what == "component":
            workflow, _, component = name.partition("/")
            trace = self._components[number] = ComponentTrace(component, workflow)
            trace.within_ns = tuple(ns for name, ns in self._within if name == component)
            self._traces.setdefault(workflow, {})[component] = trace

    def _rare(self, kind: str, record: Record) -> None:
        if kind == "drop":
            self.losses[record[4]] += 1
            for pending in (self._waited, self._sent_ns, self._held_by):
                pending.pop(record[2], None)
        elif kind == "def":
            self._define(record[2], record[3], record[4])
        elif kind == "start":
            self._started(record[0], record[2], record[3], record[4])
        elif kind == "stop":
            self._ends(record[2], record[3])
            self._forget_portal(record[2])
        elif kind == "fault":
            if record[2] in _DOWN:
                for number in list(self._on_node(record[3])):
                    self._gone(number)
        elif kind == "state":
            self._state(record[2], record[3], record[4])

    def _started(self, ns: int, number: int, component: int, node: int) -> None:
        trace = self._components.get(component)
        if trace is None:
            return
        name = self._nodes.get(node, "")
        self._traces.setdefault(trace.workflow_id, {})[trace.name] = trace
        self._by_instance[number] = trace
        trace.instances.pop(trace.moving, None)
        trace.moving = -1
        trace.instances[number] = name
        trace.started_ns = ns
        if len(trace.visited) < _VISITS_MAX and trace.visited[-1:] != [name]:
            trace.visited.append(name)

    def _gone(self, number: int) -> None:
        trace = self._by_instance.get(number)
        if trace is not None:
            trace.instances.pop(number, None)

    def _forget_portal(self, number: int) -> None:
        """What joins domains is made anew, under other names, whenever a workflow is deployed; what
        was stopped is no part of it any more."""
        trace = self._by_instance.get(number)
        if trace is not None and trace.name.startswith("portal-") and not trace.instances:
            self._traces[trace.workflow_id].pop(trace.name, None)

    def _ends(self, number: int, reason: Any) -> None:
        """An instance has stopped; one that was handed over counts until its successor starts."""
        trace = self._by_instance.get(number)
        if reason == _MOVED and trace is not None and list(trace.instances) == [number]:
            trace.moving = number
        else:
            self._gone(number)

    def _state(self, subject: int, state: Any, reason: Any) -> None:
        if state == "named":
            self._ids[str(reason)] = self._workflow_ids.get(subject, "")
            self._stopped.discard(str(reason))
        elif state == "unnamed":
            self._stopped.add(str(reason))
        elif state in ("failed", "backoff"):
            self._broken.add(subject)
        elif state == "restarted":
            self._broken.discard(subject)
        elif state == "cut off":
            # With the node that handed it on: nobody can say whether it has arrived.
            self._sent_ns.pop(int(reason), None)

    def _on_node(self, node: str) -> Iterator[int]:
        for traces in self._traces.values():
            for trace in traces.values():
                for number, where in trace.instances.items():
                    if where == node:
                        yield number
