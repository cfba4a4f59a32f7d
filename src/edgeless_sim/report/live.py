"""A run as it is now, from its journal: rates over the last seconds, states, what happened last.

A reader of the journal that asks nobody. An event costs a few counts; a `Snapshot` is made when
somebody wants one. Memory grows with what lives and with events in flight, not with time. Not here:
who is there (`scene`), what it looks like, and the sums of a whole run (`reader`).
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.event import EventType
from edgeless_sim.model.histogram import Histogram
from edgeless_sim.report.rows import counted, node_rows, workflow_rows
from edgeless_sim.report.scene import DEGRADED, PENDING, Component, Node, Scene
from edgeless_sim.report.snapshot import NetworkRow, Note, Snapshot
from edgeless_sim.report.window import Counted, Window

__all__ = ["LiveReader"]

#: What is noted of an event on its way, until it waits at a node or it is known how long it did.
_EXPECTED: Final = -1
_RETURN: Final = -2
_LAST_OF_WAY_IN: Final = int(EventType.CAST)
#: Events on their way that are remembered; of more, the oldest count as neither handled nor lost.
_OPEN_MAX: Final = 1_000_000
_NOTES_MAX: Final = 50
_CAUSES_SHOWN: Final = 5
_FAULTS_SHOWN: Final = 5
_DOWN: Final = {"crash": "crashed", "stop": "stopped"}
_TIME_OF: Final = itemgetter(0)


class LiveReader:
    """Subscribe `read` to a journal from its beginning."""

    def __init__(
        self,
        window_ns: int,
        *,
        cores: Mapping[str, int] | None = None,
        on_slot: Callable[[int], None] | None = None,
    ) -> None:
        """*cores* says how many a node has. *on_slot* hears of the end of each tenth of the window,
        when all that came before has been read."""
        self._window = Window(window_ns)
        self._window_s = window_ns / 1e9
        self._cores = cores or {}
        self._on_slot = on_slot
        self._scene = Scene()
        #: Of everybody together, who is gone by now too: sent, and handled as `received`.
        self._all = Counted()
        self._losses: Counter[str] = Counter()
        #: By serial: the node at which it waits, how long it did, or what it is.
        self._open: dict[int, Any] = {}
        self._hindrances: dict[str, str] = {}
        #: What has happened, when it did last, and how often one after the other.
        self._notes: deque[tuple[int, str, str, int]] = deque(maxlen=_NOTES_MAX)
        self._phase = "coming up"
        #: The time of the last record.
        self.reached_ns = 0

    # -- reading --------------------------------------------------------------------------------

    def read(self, batch: Sequence[Record]) -> None:
        """Take a batch of records."""
        if not batch:
            return
        window = self._window
        self.reached_ns = batch[-1][0]
        begin = 0
        while batch[-1][0] >= window.ends_ns:
            end = bisect_left(batch, window.ends_ns, lo=begin, key=_TIME_OF)
            self._take(batch[begin:end])
            begin = end
            # At least: a record that came late must not stop the time.
            self._pass(max(batch[begin][0], window.ends_ns))
        self._take(batch[begin:] if begin else batch)
        pending = self._open
        while len(pending) > _OPEN_MAX:
            oldest = pending.pop(next(iter(pending)))
            if oldest.__class__ is Node:
                oldest.queue -= 1

    def advance(self, now_ns: int) -> None:
        """So late is it, though nothing has happened."""
        if now_ns >= self._window.ends_ns:
            self._pass(now_ns)

    def _pass(self, now_ns: int) -> None:
        window = self._window
        if self._on_slot is None:
            window.skip(now_ns)
            return
        while now_ns >= window.ends_ns:
            end_ns = window.ends_ns
            window.turn()
            self._on_slot(end_ns)

    def _take(self, batch: Sequence[Record]) -> None:  # noqa: C901 - per event: calls would cost
        pending = self._open
        instances = self._scene.instances
        slot = self._window.slot
        sent, received = slot.sent, slot.received
        total = 0
        for record in batch:
            kind = record[1]
            if kind == "send":
                total += 1
                pending[record[2]] = _EXPECTED if record[5] <= _LAST_OF_WAY_IN else _RETURN
                found = instances.get(record[3])
                if found is not None:
                    node = found.node
                    sent[node] = sent.get(node, 0) + 1
            elif kind == "recv":
                serial = record[2]
                what = pending.get(serial)
                if what == _RETURN:
                    del pending[serial]
                found = instances.get(record[3])
                if found is not None:
                    node = found.node
                    received[node] = received.get(node, 0) + 1
                    if what == _EXPECTED:
                        pending[serial] = node
                        node.queue += 1
            elif kind == "begin":
                if record[2]:
                    what = pending.get(record[2])
                    if what.__class__ is Node:
                        what.queue -= 1
                    pending[record[2]] = record[5]
            elif kind == "end":
                self._ended(record)
            elif kind != "log":
                self._rare(kind, record)
        if total:
            sent[self._all] = sent.get(self._all, 0) + total

    def _ended(self, record: Record) -> None:
        _, _, serial, instance, _, duration_ns, outcome = record
        waited = self._open.pop(serial, 0)
        found = self._scene.instances.get(instance)
        if found is None:
            return
        slot = self._window.slot
        busy, node = slot.busy_ns, found.node
        busy[node] = busy.get(node, 0) + duration_ns
        if not serial or outcome != "ok":
            return
        everybody, received = self._all, slot.received
        received[everybody] = received.get(everybody, 0) + 1
        component = found.component
        histogram = slot.handled.get(component)
        if histogram is None:
            histogram = slot.handled[component] = Histogram()
        histogram.add(
            duration_ns + waited if waited.__class__ is int and waited > 0 else duration_ns
        )

    def _rare(self, kind: str, record: Record) -> None:
        scene = self._scene
        if kind == "drop":
            self._dropped(record[2], record[3], record[4])
        elif kind == "def":
            scene.define(record[2], record[3], record[4])
        elif kind == "place":
            self._placed(record[0], record[2], record[3], record[4])
        elif kind == "start":
            scene.started(record[2], record[3], record[4])
        elif kind == "stop":
            scene.stopped(record[2])
        elif kind == "fault":
            self._fault(record[0], record[2], record[3])
        elif kind == "state":
            self._state(record[0], record[2], record[3], str(record[4]))

    def _dropped(self, serial: int, number: int, cause: str) -> None:
        what = self._open.pop(serial, None)
        if what.__class__ is Node:
            what.queue -= 1
        self._losses[cause] += 1
        found = self._scene.instances.get(number)
        node = self._scene.node_numbers.get(number) if found is None else found.node
        if node is not None:
            node.drops += 1

    def _placed(self, ns: int, number: int, place: int, reason: str) -> None:
        component = self._scene.components.get(number)
        if component is None:
            return
        workflow = component.workflow
        node = self._scene.node_numbers.get(place)
        if node is None:
            # The ε-CON's: it says what people call the workflow.
            title, found, _ = reason.partition(f"/{component.name}: ")
            if found and workflow.title == workflow.identifier:
                workflow.title = title
            component.domain = self._scene.domain_numbers.get(place, "")
            workflow.orphan = None
            workflow.give(component.name, ns)
            self._phase = "running"
            return
        if not component.live:
            component.node = node.name
            component.is_now(PENDING, f"placed on {node.name}")
        self._note(ns, "place", f"{workflow.title}/{component.name} on {node.name} ({reason})")

    def _fault(self, ns: int, what: str, where: str) -> None:
        self._note(ns, "fault", f"{what} {where}")
        kind, marked, number = what.partition("#")
        if marked:
            # Of the network: it has a number until it is healed.
            if kind == "heal ":
                self._hindrances.pop(number, None)
            else:
                self._hindrances[number] = f"{kind.strip()} {where}"
            return
        node = self._scene.nodes.get(where)
        if node is None:
            if what in _DOWN:
                self._hindrances[where] = f"{where} {_DOWN[what]}"
            elif what == "restart":
                self._hindrances.pop(where, None)
        elif what in _DOWN:
            self._scene.died(node, _DOWN[what])
        elif what == "restart":
            node.state = "joining"

    def _state(self, ns: int, subject: int, state: Any, reason: str) -> None:
        scene = self._scene
        if subject in scene.instances:
            if state in ("failed", "backoff"):
                scene.broke(subject, f"{state}: {reason}")
                component = scene.instances[subject].component
                self._note(ns, state, f"{component.workflow.title}/{component.name}: {reason}")
            elif state == "restarted":
                scene.mended(subject)
        elif subject in scene.node_numbers:
            self._node_state(ns, scene.node_numbers[subject], str(state), reason)
        elif subject in scene.workflow_numbers:
            self._workflow_state(ns, scene.workflow_numbers[subject], str(state), reason)
        elif subject in scene.components:
            self._component_state(ns, scene.components[subject], str(state), reason)
        elif subject in scene.domain_numbers:
            self._note(ns, "domain", f"{scene.domain_numbers[subject]} {state}{_because(reason)}")

    def _node_state(self, ns: int, node: Node, state: str, reason: str) -> None:
        if state == "joined":
            node.state = "alive"
        elif state == "lost":
            if node.state == "alive":
                node.state = "unreachable"
        elif state in ("cordoned", "uncordoned"):
            node.cordoned = state == "cordoned"
        self._note(ns, "node", f"{node.name} {state}{_because(reason)}")

    def _workflow_state(self, ns: int, identifier: str, state: str, reason: str) -> None:
        workflow = self._scene.workflows.get(identifier)
        if workflow is None:
            return
        if state == "named":
            workflow.title = reason
            return
        if state == "orphan":
            workflow.orphan = reason
        elif state in ("started", "redeployed", "migrated"):
            workflow.orphan = None
            self._scene.deployed(workflow)
        elif state in ("stopped", "refused"):
            self._scene.ended(identifier)
        if state != "unnamed":
            self._note(ns, "workflow", f"{workflow.title} {state}{_because(reason)}")

    def _component_state(self, ns: int, component: Component, state: str, reason: str) -> None:
        if not component.live:
            if state == PENDING:
                component.is_now(PENDING, reason)
            elif state in ("lost", "refused"):
                component.is_now(DEGRADED, f"{state}: {reason}")
        if state in (PENDING, "lost", "refused", "declined"):
            title = f"{component.workflow.title}/{component.name}"
            self._note(ns, state, f"{title}{_because(reason)}")

    def _note(self, ns: int, what: str, text: str) -> None:
        times = 1
        if self._notes and self._notes[-1][1:3] == (what, text):
            times += self._notes.pop()[3]
        self._notes.append((ns, what, text, times))

    # -- showing --------------------------------------------------------------------------------

    def snapshot(
        self,
        now_ns: int,
        *,
        title: str,
        nodes_max: int,
        workflows_max: int,
        notes_max: int = _NOTES_MAX,
        phase: str = "",
        seed: int | None = None,
        speed: float | None = None,
    ) -> Snapshot:
        """The moment *now_ns*; at most so many rows. *phase* instead of what the journal tells."""
        self.advance(now_ns)
        nodes = self._scene.nodes.values()
        workflows = [(each, *each.state()) for each in self._scene.present()]
        notes = list(self._notes)[len(self._notes) - min(notes_max, len(self._notes)) :]
        return Snapshot(
            title=title,
            at_s=now_ns / 1e9,
            phase=phase or self._phase,
            window_s=self._window_s,
            seed=seed,
            speed=speed,
            nodes=node_rows(nodes, nodes_max, self._window, self._cores),
            nodes_total=len(nodes),
            nodes_by_state=counted(each.shown_state for each in nodes),
            workflows=workflow_rows(workflows, workflows_max, self._window),
            workflows_total=len(workflows),
            workflows_by_state=counted(state for _, state, _ in workflows),
            network=self._network(),
            notes=tuple(Note(ns / 1e9, what, text, times) for ns, what, text, times in notes),
        )

    def _network(self) -> NetworkRow:
        seconds = self._window.seconds
        return NetworkRow(
            sent=self._all.sent / seconds,
            handled=self._all.received / seconds,
            in_flight=len(self._open),
            lost=self._losses.total(),
            lost_by_cause=dict(self._losses.most_common(_CAUSES_SHOWN)),
            faults=tuple(self._hindrances.values())[:_FAULTS_SHOWN],
        )


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
