"""The cores of one node: one queue, first in, first out (design, decision 24).

A segment occupies a core from its dispatch to its end. In a simulation the guest really runs at the
beginning; what it sends leaves at the end, when the time that it took has passed. In real time the
running itself takes the time, and only declared service times are waited for.
"""

from collections import deque
from typing import Final, Protocol

from edgeless_sim.kernel.scheduler import Scheduler

__all__ = ["CLOCK_MHZ_UNKNOWN", "Processor", "RealProcessor", "Work"]

#: What a clock of 0 MHz counts as.
CLOCK_MHZ_UNKNOWN: Final = 3000
#: A unit of fuel takes 0.25 ns at 3 GHz (performance.md 2).
_FUEL_NS_AT_ONE_MHZ: Final = 750


class Work(Protocol):
    """Something that needs a core."""

    def run_segment(self) -> tuple[int, int]:
        """Begin a segment; return its fuel and its service time in ns."""
        ...

    def finish_segment(self, duration_ns: int) -> None:
        """The segment's time has passed."""
        ...


class Processor:
    """Runs segments on a number of cores."""

    __slots__ = ("_alive", "_free", "_mhz", "_queue", "_scheduler", "busy_ns")

    def __init__(self, scheduler: Scheduler, cores: int, clock_mhz: float) -> None:
        self._scheduler = scheduler
        self._free = max(1, cores)
        self._mhz = int(clock_mhz) or CLOCK_MHZ_UNKNOWN
        self._queue: deque[Work] = deque()
        self._alive = True
        #: Core time used so far.
        self.busy_ns = 0

    @property
    def waiting(self) -> int:
        """How many segments wait for a core."""
        return len(self._queue)

    def submit(self, work: Work) -> None:
        """Run a segment of *work* as soon as a core is free."""
        if self._free:
            self._free -= 1
            # At once: beginning sends nothing, so this goes no deeper than one guest.
            self._begin(work)
        else:
            self._queue.append(work)

    def crash(self) -> None:
        """Run nothing more, and finish nothing."""
        self._alive = False
        self._queue.clear()

    def _begin(self, work: Work) -> None:
        if self._alive:
            fuel, service_ns = work.run_segment()
            duration_ns = service_ns + fuel * _FUEL_NS_AT_ONE_MHZ // self._mhz
            self.busy_ns += duration_ns
            scheduler = self._scheduler
            scheduler.call_at(scheduler.now_ns() + duration_ns, self._end, work, duration_ns)

    def _end(self, work: Work, duration_ns: int) -> None:
        if not self._alive:
            return
        work.finish_segment(duration_ns)
        if self._queue:
            self._begin(self._queue.popleft())
        else:
            self._free += 1


class RealProcessor(Processor):
    """Runs segments in real time: fuel has taken its time when a segment returns."""

    __slots__ = ()

    def _begin(self, work: Work) -> None:
        if not self._alive:
            return
        scheduler = self._scheduler
        began_ns = scheduler.now_ns()
        _, service_ns = work.run_segment()
        now_ns = scheduler.now_ns()
        duration_ns = now_ns - began_ns + service_ns
        self.busy_ns += duration_ns
        if service_ns:
            scheduler.call_at(now_ns + service_ns, self._end, work, duration_ns)
        else:
            scheduler.call_soon(self._end, work, duration_ns)
