"""Simulated cores: who runs when, and how long (design, decision 24)."""

from typing import Any

import pytest

from edgeless_sim.kernel.scheduler import Scheduler, TimerQueue
from edgeless_sim.node.processor import Processor


class Piece:
    """Work of one segment; remembers when it began and ended."""

    def __init__(self, scheduler: Scheduler, fuel: int = 0, service_ns: int = 0) -> None:
        self.scheduler = scheduler
        self.cost = fuel, service_ns
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.durations: list[int] = []

    def run_segment(self) -> tuple[int, int]:
        self.begun.append(self.scheduler.now_ns())
        return self.cost

    def finish_segment(self, duration_ns: int) -> None:
        self.ended.append(self.scheduler.now_ns())
        self.durations.append(duration_ns)


def drain(scheduler: TimerQueue) -> None:
    while True:
        while scheduler.ready:
            callback, args, _ = scheduler.ready.popleft()
            callback(*args)
        deadline = scheduler.next_deadline()
        if deadline is None:
            return
        scheduler.now = deadline
        _, _, callback, args = scheduler.pop()
        callback(*args)


def test_segments_take_the_cores_in_the_order_in_which_they_came() -> None:
    scheduler = TimerQueue()
    processor = Processor(scheduler, 2, 3000)
    pieces = [Piece(scheduler, service_ns=each) for each in (30, 10, 20, 5)]
    for piece in pieces:
        processor.submit(piece)
    assert processor.waiting == 2
    drain(scheduler)
    assert [piece.begun for piece in pieces] == [[0], [0], [10], [30]]
    assert [piece.ended for piece in pieces] == [[30], [10], [30], [35]]
    assert processor.busy_ns == 65
    assert processor.waiting == 0


@pytest.mark.parametrize(
    ("mhz", "duration_ns"), [(3000, 250_000), (1500, 500_000), (750, 1_000_000), (0, 250_000)]
)
def test_fuel_takes_time_by_the_clock(mhz: float, duration_ns: int) -> None:
    scheduler = TimerQueue()
    processor = Processor(scheduler, 1, mhz)
    piece = Piece(scheduler, fuel=10**6, service_ns=7)
    processor.submit(piece)
    drain(scheduler)
    assert piece.durations == [duration_ns + 7]
    assert piece.ended == [duration_ns + 7]


def test_a_processor_that_crashed_begins_and_ends_nothing() -> None:
    scheduler = TimerQueue()
    processor = Processor(scheduler, 1, 3000)
    begun, waiting, late = (Piece(scheduler, service_ns=10) for _ in range(3))
    processor.submit(begun)
    processor.submit(waiting)
    processor.crash()
    processor.submit(late)
    drain(scheduler)
    assert begun.begun == [0]
    assert begun.ended == waiting.begun == late.begun == []


def test_outputs_leave_when_the_segment_ends(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "c(40)", {"out": peer})
        await rig.after(1)
        peer.cast(pid, "m")
        await rig.after(1)
        # 1 ms there, 40 ms of service, 1 ms back.
        assert peer.times_ns == [1_042_000_000]

    play(story)


def test_a_guest_that_waits_for_an_answer_frees_its_core(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, mute, log = rig.node(), rig.peer(reply=None), rig.peer()
        asker = await rig.start(node, "Asker", {"out": mute, "log": log})
        other = await rig.start(node, "c(1)", {"out": log})
        log.cast(asker, "waits")
        await rig.after(1)
        log.cast(other, "m")
        await rig.after(0.0035)
        assert log.payloads == ["m"]

    play(story)


def test_the_only_core_of_a_node_is_shared_by_its_guests(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pids = [await rig.start(node, "c(10)", {"out": peer}) for _ in range(3)]
        await rig.after(1)
        for pid in pids:
            peer.cast(pid, "m")
        await rig.after(1)
        assert peer.times_ns == [1_012_000_000, 1_022_000_000, 1_032_000_000]
        assert [event.source for event in peer.received] == [pid.key for pid in pids]

    play(story)


def test_a_wasm_guest_takes_longer_on_a_slower_node(play: Any) -> None:
    async def story(rig: Any) -> None:
        durations = []
        for mhz in (3000, 300):
            node = rig.node(mhz=mhz)
            peer = rig.peer()
            pid = await rig.start(node, "wasm:relay", {"out": peer})
            await rig.after(1)
            peer.cast(pid, "m")
            await rig.after(1)
            own = rig.told("start")[-1][0]
            fuel, duration_ns = [r[2:4] for r in rig.told("end") if r[1] == own][-1]
            durations.append((fuel, duration_ns))
        (fuel, fast_ns), (same_fuel, slow_ns) = durations
        assert fuel == same_fuel > 0
        assert fast_ns == fuel * 750 // 3000
        assert slow_ns == fuel * 750 // 300

    play(story)
