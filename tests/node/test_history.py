"""Whatever happens to nodes, instances and network: the promises of the data plane hold.

Hypothesis writes histories; the journal of each is read by `Reader`, which knows that a faulty
network may deliver a frame twice. I21 nothing begins after a stop, I22 at most once, I23 order per
pair, I24 every loss has a cause, I25 every call ends, I28 one handler at a time, I38 bounds, I39
nothing is left.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.event import EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.function import QUEUE_EVENTS_MAX
from edgeless_transports.rules import duplicate, loss, partition, reorder

NODES, SLOTS = 3, 7
CHANNELS = ("0", "1", "2", "self", "none")
RULES = {
    "loss": lambda: loss(0.3),
    "duplicate": lambda: duplicate(0.5),
    "reorder": lambda: reorder(5_000_000, 0.3),
    "cut": lambda: partition("node/edge/0", lambda place: place.startswith("node/edge/")),
}

hops = st.builds(str.__add__, st.sampled_from("ccrrdx"), st.sampled_from(CHANNELS))
routes = st.lists(hops, max_size=5).map(" ".join)
slots = st.integers(0, SLOTS - 1)
steps = st.one_of(
    st.tuples(st.sampled_from(["cast", "call"]), slots, routes),
    st.tuples(st.sampled_from(["cast", "call"]), slots, routes),
    st.tuples(st.just("patch"), slots, st.tuples(slots, slots, slots)),
    st.tuples(st.sampled_from(["stop", "start"]), slots, st.none()),
    st.tuples(st.just("crash"), st.integers(0, NODES - 1), st.none()),
    st.tuples(st.sampled_from(["break", "heal"]), st.none(), st.sampled_from(sorted(RULES))),
    st.tuples(st.just("wait"), st.integers(0, 1500), st.none()),
)


class Reader:
    """What the journal says about each event, and what is wrong with that."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.faults: list[str] = []
        self.sent: dict[int, Record] = {}
        self.handled: set[int] = set()
        self.dropped: set[int] = set()
        self._last: dict[tuple[int, int], int] = defaultdict(int)
        self._inside: dict[int, int] = {}
        self._stopping: set[int] = set()
        self._gone: set[int] = set()
        for record in records:
            getattr(self, f"_{record[1]}", self._other)(record)
        for serial in sorted(self.sent.keys() - self.handled - self.dropped):
            self.faults.append(f"I24: nobody knows what became of {self.sent[serial]}")

    def _other(self, record: Record) -> None:
        """A kind of record that tells nothing about events."""

    def _send(self, record: Record) -> None:
        self.sent[record[2]] = record

    def _recv(self, record: Record) -> None:
        sent = self.sent[record[2]]
        if sent[5] >= EventType.CALL_RET:
            self._handle(record[2])

    def _begin(self, record: Record) -> None:
        _, _, serial, instance, _, _ = record
        if instance in self._inside:
            self.faults.append(f"I28: a handler inside a handler: {record}")
        self._inside[instance] = serial
        if instance in self._gone or (instance in self._stopping and serial):
            self.faults.append(f"I21: began after the stop: {record}")
        if not serial:
            return
        self._handle(serial)
        link = (self.sent[serial][3], instance)
        if serial <= self._last[link]:
            self.faults.append(f"I23: overtaken: {record}")
        self._last[link] = serial

    def _handle(self, serial: int) -> None:
        if serial in self.handled:
            self.faults.append(f"I22: handled twice: {self.sent[serial]}")
        self.handled.add(serial)

    def _end(self, record: Record) -> None:
        self._inside.pop(record[3], None)

    def _drop(self, record: Record) -> None:
        self.dropped.add(record[2])

    def _state(self, record: Record) -> None:
        if record[3] == "stop asked":
            self._stopping.add(record[2])

    def _stop(self, record: Record) -> None:
        self._gone.add(record[2])
        self._inside.pop(record[2], None)


class History:
    """Carries out steps on a rig: three nodes, seven places for a function each."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig
        self.peer = rig.peer()
        self.nodes = [rig.node(call_timeout_s=3) for _ in range(NODES)]
        self.places: list[InstanceId | None] = [None] * SLOTS
        self.rules: dict[str, Any] = {}
        self.replies: list[Any] = []
        self.generation = 0

    async def run(self, history: list[tuple[Any, ...]]) -> None:
        for slot in range(SLOTS):
            await self.start(slot, None)
        for slot in range(SLOTS):
            await self.patch(slot, ((slot + 1) % SLOTS, (slot + 2) % SLOTS, (slot + 4) % SLOTS))
        for step, place, detail in history:
            await getattr(self, step.replace("break", "harm"))(place, detail)
            self._check_bounds()
        await self._end()

    async def cast(self, slot: int, route: str) -> None:
        if (pid := self.places[slot]) is not None:
            self.peer.cast(pid, route)

    async def call(self, slot: int, route: str) -> None:
        if (pid := self.places[slot]) is not None:
            self.replies.append(self.peer.call(pid, route))

    async def patch(self, slot: int, targets: tuple[int, ...]) -> None:
        pid = self.places[slot]
        if pid is not None:
            self.generation += 1
            found = {str(n): to for n, t in enumerate(targets) if (to := self.places[t])}
            request = PatchRequest(pid, self.rig.mapping(found), self.generation)
            await self.rig.nodes[pid.node_id].agent.patch_function(request)

    async def start(self, slot: int, _: None) -> None:
        node = self.nodes[slot % NODES]
        if self.places[slot] is None and node is not None:
            self.places[slot] = await self.rig.start(node, "Wanderer")

    async def stop(self, slot: int, _: None) -> None:
        pid, self.places[slot] = self.places[slot], None
        if pid is not None:
            agent = self.rig.nodes[pid.node_id].agent
            self.rig.journal.record("state", agent.functions[pid].handle.number, "stop asked", "")
            await agent.stop_function(pid)

    async def crash(self, number: int, _: None) -> None:
        node, self.nodes[number] = self.nodes[number], None
        if node is not None:
            self.rig.crash(node)
            for slot in range(number, SLOTS, NODES):
                self.places[slot] = None

    async def harm(self, _: None, rule: str) -> None:
        if rule not in self.rules:
            self.rules[rule] = self.rig.network.memory.install(RULES[rule](), first=True)

    async def heal(self, _: None, rule: str) -> None:
        if rule in self.rules:
            self.rules.pop(rule).remove()

    async def wait(self, milliseconds: int, _: None) -> None:
        await self.rig.after(milliseconds / 1000)

    def _check_bounds(self) -> None:
        for node in self.nodes:
            for hosted in node.agent.functions.values() if node is not None else ():
                assert len(hosted._queue) <= QUEUE_EVENTS_MAX
                assert hosted._queue_bytes == sum(len(e.payload) for e in hosted._queue)

    async def _end(self) -> None:
        for rule in list(self.rules):
            await self.heal(None, rule)
        # Longer than a call and all the pauses of a guest that fails again and again.
        await self.rig.after(90)
        for slot in range(SLOTS):
            await self.stop(slot, None)
        await self.rig.after(5)
        assert all(reply.done() for reply in self.replies), "I25: a call has not ended"
        for node in [node for node in self.nodes if node is not None]:
            left = len(node.plane.calls), len(node.plane.local), len(node.agent.functions)
            assert left == (0, 0, 0), "I39: something is left"
        assert len(self.peer.plane.calls) == 0
        assert self.rig.scheduler.foreground_pending() == 0, "I39: a timer is left"


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(steps, max_size=40), seed=st.integers(0, 99))
def test_no_history_breaks_a_promise(play: Any, history: list[Any], seed: int) -> None:
    async def story(rig: Any) -> None:
        await History(rig).run(history)
        rig.journal.flush()
        assert Reader(rig.records).faults == []

    play(story, seed=seed, checked=False)


def test_without_faults_nothing_is_lost(play: Any) -> None:
    async def story(rig: Any) -> None:
        history = [("cast", slot, "c0 c1 d2 c0 c1") for slot in range(SLOTS)] * 20
        await History(rig).run(history)
        rig.journal.flush()
        reader = Reader(rig.records)
        assert reader.faults == []
        assert reader.dropped == set()
        assert len(reader.handled) == len(reader.sent) == 20 * SLOTS * 6

    play(story)


SENT = (0, "send", 1, 7, 8, 1, 0)
AGAIN = (0, "send", 2, 7, 8, 1, 0)


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([SENT], "I24"),
        ([SENT, (0, "begin", 1, 8, 1, 0), (0, "end", 1, 8), (0, "begin", 1, 8, 1, 0)], "I22"),
        ([SENT, AGAIN, (0, "begin", 2, 8, 1, 0), (0, "begin", 1, 8, 1, 0)], "I28"),
        (
            [SENT, AGAIN, (0, "begin", 2, 8, 1, 0), (0, "end", 2, 8), (0, "begin", 1, 8, 1, 0)],
            "I23",
        ),
        ([SENT, (0, "stop", 8, ""), (0, "begin", 1, 8, 1, 0)], "I21"),
        ([SENT, (0, "state", 8, "stop asked"), (0, "begin", 1, 8, 1, 0)], "I21"),
    ],
)
def test_the_reader_sees_what_is_wrong(records: list[Record], fault: str) -> None:
    assert any(each.startswith(fault) for each in Reader(records).faults)
