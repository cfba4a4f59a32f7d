"""Time as the rest of the system sees it. Which loop runs decides whether it is real.

This is the only module that may look at the wall clock, but for the scheduler of the real worlds.
"""

import asyncio
import time  # noqa: TID251 - the one place that may
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import anyio

from edgeless_sim.kernel.loop import VirtualTimeLoop, current_scheduler
from edgeless_sim.kernel.scheduler import Scheduler

__all__ = ["EPOCH", "Clock", "LoopClock", "WallPacer", "cpu_seconds", "wall_seconds"]

#: Calendar time at which every simulation begins.
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """The only source of time. Code that imports ``time`` does not pass review."""

    def now_ns(self) -> int:
        """Nanoseconds since the run began; never goes back."""
        ...

    def utc(self) -> datetime:
        """The calendar time that goes into EDGELESS timestamps and log lines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""
        ...

    def fail_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        """Raise TimeoutError if the block takes longer."""
        ...


class LoopClock:
    """The clock of the running loop: virtual in sim, the wall clock elsewhere."""

    def __init__(self, scheduler: Scheduler, epoch: datetime) -> None:
        self.scheduler = scheduler
        self._epoch = epoch

    @classmethod
    def running(cls) -> "LoopClock":
        """The clock of the loop that runs now."""
        scheduler = current_scheduler()
        if isinstance(asyncio.get_running_loop(), VirtualTimeLoop):
            return cls(scheduler, EPOCH)
        passed = timedelta(microseconds=scheduler.now_ns() // 1000)
        return cls(scheduler, datetime.now(UTC) - passed)  # noqa: TID251 - the one place that may

    @property
    def epoch_ns(self) -> int:
        """Calendar time at `now_ns` = 0, in ns since 1970."""
        return (self._epoch - _UNIX_EPOCH) // timedelta(microseconds=1) * 1000

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return self.scheduler.now_ns()

    def utc(self) -> datetime:
        """See `Clock.utc`. Microseconds, as far as `datetime` goes."""
        return self._epoch + timedelta(microseconds=self.scheduler.now_ns() // 1000)

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await anyio.sleep(seconds)

    def fail_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        """See `Clock.fail_after`."""
        return anyio.fail_after(seconds)


class WallPacer:
    """Keeps virtual time from running ahead of the wall clock (``--realtime``, ``--speed``)."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._start = time.monotonic()

    def wait_until(self, when_ns: int) -> None:
        """See `Pacer.wait_until`. Blocks the thread: nothing else can happen before that time."""
        delay = self._start + when_ns / 1e9 / self._speed - time.monotonic()
        if delay > 0:
            time.sleep(delay)


def wall_seconds() -> float:
    """Seconds of a monotonic wall clock, for progress displays only; never in a journal."""
    return time.monotonic()


def cpu_seconds() -> float:
    """Seconds of computing that this process has used, for what is not to use too many of them."""
    return time.process_time()
