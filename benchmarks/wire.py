"""What the benchmarks of the wire have in common: two processes, and one way beside another.

A rate is taken twice from the same run: by the CPU time of the busier process (with a core for
each, that one decides; other work on the machine does not show) and by the wall clock. Latencies
are wall time, from before sending until the answer, or until the receiver of a cast.
"""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import quantiles
from struct import Struct
from typing import Any, Final, TypeAlias, TypeVar

import anyio
from measure import Baseline, Figure, Figures, Sample

from edgeless_sim.kernel.loop import run

__all__ = [
    "BATCH",
    "EVENT",
    "LOOPS",
    "Comparison",
    "Latencies",
    "Way",
    "call_percentiles",
    "child",
    "compare",
    "cpu_of",
    "on_loop",
    "percentiles_of",
    "served_until_told",
]

T = TypeVar("T")

#: An event with 100 bytes of payload, as it is encoded between nodes.
EVENT: Final = bytes(181)
#: One-way events of one turn of the loop.
BATCH: Final = 64
_SENT: Final = Struct(">BQ")
_REPORT: Final = Struct(">dd")

Work: TypeAlias = "Callable[[Way], Awaitable[None]]"
MakeLoop: TypeAlias = Callable[[], asyncio.AbstractEventLoop]


def _loops() -> dict[str, MakeLoop]:
    loops: dict[str, MakeLoop] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        print("uvloop is not installed: its figures are left out", file=sys.stderr)
    else:
        loops["uvloop"] = uvloop.new_event_loop
    return loops


#: Event loops by name.
LOOPS: Final = _loops()


def on_loop(name: str, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run *main* in real time on the loop called *name*."""
    return run(main, world="real", make_loop=LOOPS[name])


class Latencies:
    """At the receiver: how long casts that carry the time of sending were on their way."""

    def __init__(self) -> None:
        self._us: list[float] = []

    def take(self, payload: bytes) -> None:
        """A cast whose payload does not begin with a zero byte."""
        # One clock for all processes of a machine.
        self._us.append((time.monotonic_ns() - _SENT.unpack_from(payload)[1]) / 1e3)

    def report(self) -> bytes:
        """p50 and p99 of those that came since the last time."""
        report = _REPORT.pack(*percentiles_of(self._us)) if self._us else b""
        self._us.clear()
        return report


def percentiles_of(us: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = quantiles(us, n=100)
    return cuts[49], cuts[98]


@dataclass(frozen=True, slots=True)
class Way:
    """One way of moving events to the process *pid*."""

    name: str
    pid: int
    #: Send `EVENT`; return when the answer has come.
    call: Callable[[], Awaitable[object]]
    #: Send so many casts with this payload; return when more can be sent.
    cast: Callable[[int, bytes], Awaitable[None]]
    #: Return what `Latencies.report` returns, when all casts have been taken.
    drain: Callable[[], Awaitable[bytes]]


@contextmanager
def child(script: str, *arguments: str) -> Iterator[tuple[int, str]]:
    """A server in a process of its own: its pid, and the line that it prints."""
    command = [sys.executable, script, "--serve", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        try:
            yield one.pid, one.stdout.readline().strip()
        finally:
            one.stdin.close()


async def served_until_told(line: object) -> None:
    """In the child: print *line*; return when the parent closes our standard input."""
    print(line, flush=True)
    await anyio.to_thread.run_sync(sys.stdin.read)


async def _calls(in_flight: int, number: int, way: Way, us: list[float] | None = None) -> None:
    async def work() -> None:
        call = way.call
        for _ in range(number // in_flight):
            if us is None:
                await call()
            else:
                began = time.perf_counter()
                await call()
                us.append((time.perf_counter() - began) * 1e6)

    async with anyio.create_task_group() as group:
        for _ in range(in_flight):
            group.start_soon(work)


async def call_percentiles(in_flight: int, number: int, way: Way) -> tuple[float, float]:
    """p50 and p99 of so many calls, in us."""
    us: list[float] = []
    await _calls(in_flight, number, way, us)
    return percentiles_of(us)


async def _casts(number: int, way: Way) -> None:
    for _ in range(number // BATCH):
        await way.cast(BATCH, EVENT)
    await way.drain()


async def _cast_percentiles(number: int, way: Way) -> tuple[float, float]:
    """Of batches with a call after each: no queue, but the one of a batch."""
    await way.drain()
    for _ in range(number // BATCH):
        await way.cast(BATCH, _SENT.pack(1, time.monotonic_ns()).ljust(len(EVENT), b"\0"))
        await way.call()
    p50, p99 = _REPORT.unpack(await way.drain())
    return p50, p99


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, by the number that Linux gives to its clock."""
    return time.clock_gettime((~pid << 3) | 2)


async def _rates(number: int, way: Way, work: Work) -> tuple[float, float]:
    """Events per second of the busier process, and of the wall clock."""
    gc.collect()
    ours, theirs, began = time.process_time(), cpu_of(way.pid), time.perf_counter()
    await work(way)
    wall_s = time.perf_counter() - began
    busier_s = max(time.process_time() - ours, cpu_of(way.pid) - theirs)
    return number / busier_s, number / wall_s


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is measured, and what is good enough. Events per repeat; floors per second."""

    label: str
    #: Of the rates to those of the other way.
    ratio_floor: float
    repeats: int
    casts: int
    casts_floor: float | None = None
    #: In flight, calls, floor.
    calls: tuple[tuple[int, int, float | None], ...] = ()


async def compare(what: Comparison, ours: Way, theirs: Way) -> Figures:
    """Figures of *ours* beside *theirs*."""
    found: list[Figure] = []
    if what.casts:
        found += await _compared(
            what,
            (ours, theirs),
            f"{what.label}, one way, {BATCH} a turn",
            (what.casts, what.casts_floor),
            partial(_casts, what.casts),
            partial(_cast_percentiles, max(BATCH * 5, what.casts // 20)),
        )
    for in_flight, number, floor in what.calls:
        found += await _compared(
            what,
            (ours, theirs),
            f"{what.label}, calls, {in_flight:,} in flight",
            (number, floor),
            partial(_calls, in_flight, number),
            partial(call_percentiles, in_flight, number),
        )
    return iter(found)


async def _compared(
    what: Comparison,
    ways: tuple[Way, Way],
    name: str,
    size: tuple[int, float | None],
    work: Work,
    percentiles: Callable[[Way], Awaitable[tuple[float, float]]],
) -> list[Figure]:
    number, floor = size
    rows: tuple[list[tuple[float, ...]], list[tuple[float, ...]]] = ([], [])
    # Alternating and compared in pairs: how long a process takes to wake up differs twofold from
    # one second to the next. The first time does not count.
    for _ in range(what.repeats + 1):
        for way, found in zip(ways, rows, strict=True):
            found.append((*await _rates(number, way, work), *await percentiles(way)))
    ours, theirs = (list(zip(*found[1:], strict=True)) for found in rows)
    figures = []
    for column, (title, unit, least, ratio) in enumerate(
        (
            (name, "per CPU s", floor, what.ratio_floor),
            ("  by the wall clock", "per s", None, None),
            ("  p50", "us", None, None),
            ("  p99", "us", None, None),
        )
    ):
        lower = unit == "us"
        baseline = Baseline(ways[1].name, Sample(theirs[column], lower), ratio, paired=True)
        figures.append(Figure(title, unit, Sample(ours[column], lower), least, baseline))
    return figures
