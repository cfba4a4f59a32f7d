"""What must hold at every moment of a seed: read from the journal, or looked at whenever it can
have changed.

I04 two rival targets, I06 and I14 requirements and cordons at each placement, I09 nothing stopped
is placed again, I38 tables that stay small.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from edgeless_sim.exploration.hands import Hands
from edgeless_sim.exploration.oracle import Part, parts_of
from edgeless_sim.exploration.setting import unplaceable
from edgeless_sim.kernel.journal import Record
from edgeless_sim.node.agent import INSTANCES_MAX
from edgeless_sim.testing.checkers import rival_targets

__all__ = ["Watch"]

_LOOK_NS: Final = 5_000_000
_VIOLATIONS_MAX: Final = 50


class Watch:
    """Watches one seed from its beginning to the moment at which everything has healed."""

    def __init__(self, hands: Hands, *, lone: bool) -> None:
        """*lone*: no component may have two instances that others send to."""
        self.violations: list[str] = []
        self._hands = hands
        self._lone = lone
        self._seen: Any = None
        self._ended = False
        journal = hands.cluster.journal
        # Asking for a number that exists changes nothing.
        self._nodes = {journal.intern("node", name): name for name in hands.cluster.nodes}
        self._domains = {journal.intern("domain", name): name for name in hands.cluster.domains}
        self._components: dict[int, tuple[str, str]] = {}
        self._parts: dict[str, list[Part]] = {}
        self._situations: Counter[str] = hands.tally.situations
        for request in (*(each for _, each in hands.setting.workflows), unplaceable()):
            for part in parts_of(request):
                self._parts.setdefault(part.name, []).append(part)
        journal.subscribe(self._read)
        self._look()

    def end(self) -> None:
        """Look no more."""
        self._ended = True

    def _look(self) -> None:
        if self._ended:
            return
        cluster = self._hands.cluster
        seen = [
            (node.node.agent.revision, node.node.agent.changes) if node.alive else None
            for node in cluster.nodes.values()
        ]
        if seen != self._seen:
            self._seen = seen
            self._compare()
        when_ns = cluster.clock.now_ns() + _LOOK_NS
        cluster.scheduler.background_at(when_ns, self._look)

    def _compare(self) -> None:
        if self._lone:
            self._hands.tally.checks["I04"] += 1
            for violation in rival_targets(self._hands.cluster):
                when_s = self._hands.now_ns / 1e9
                self._note(f"{violation} instances that others send to at {when_s:.6f} s")
        for name, node in self._hands.cluster.nodes.items():
            if node.alive and len(node.node.agent.functions) > INSTANCES_MAX:
                self._note(f"I38: {name} hosts more than {INSTANCES_MAX} instances")

    def _read(self, batch: Sequence[Record]) -> None:
        for record in batch:
            kind = record[1]
            if kind == "def" and record[3] == "component":
                workflow, _, component = record[4].rpartition("/")
                self._components[record[2]] = workflow, component
            elif kind == "place":
                self._placed(record)
            elif kind == "state":
                self._situations[record[3]] += 1

    def _placed(self, record: Record) -> None:
        now_ns, _, number, where = record[:4]
        workflow, component = self._components[number]
        node = self._nodes.get(where)
        if node is None:
            self._given(now_ns, workflow, self._domains.get(where, "?"))
            return
        checks = self._hands.tally.checks
        parts = self._parts.get(component)
        checks["I06"] += parts is not None
        if parts and not any(self._hands.oracle.fits(part, node) for part in parts):
            self._note(
                f"I06: {component} was placed on {node} at {now_ns / 1e9:g} s, which lacks "
                "what it wants"
            )
        checks["I14"] += 1
        if self._hands.cordons.at(node, now_ns):
            self._note(
                f"I14: {component} was placed on {node} at {now_ns / 1e9:g} s, which was cordoned"
            )

    def _given(self, now_ns: int, workflow: str, domain: str) -> None:
        """The ε-CON has given a workflow to a domain."""
        self._hands.tally.checks["I09"] += 1
        for workflow_id, stopped_ns in self._hands.promises.stopped.items():
            if str(workflow_id) == workflow and now_ns > stopped_ns:
                self._note(
                    f"I09: {workflow} was given to {domain} at {now_ns / 1e9:g} s, stopped "
                    f"at {stopped_ns / 1e9:g} s"
                )

    def _note(self, violation: str) -> None:
        if len(self.violations) < _VIOLATIONS_MAX:
            self.violations.append(violation)
