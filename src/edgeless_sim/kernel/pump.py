"""The scheduler of the real worlds: one handle of the asyncio loop runs the kernel's callbacks.

A tick runs at most `BATCH` ready callbacks, so that sockets are served in between; asyncio's own
timers and handles are used for the next deadline only (performance.md 6: a callback through the
loop costs ten times one through this queue).
"""

import asyncio
import time  # noqa: TID251 - real time comes from here; what uvloop calls time is a cached millisecond
from collections.abc import Callable
from typing import Any, ClassVar, Final

from edgeless_sim.kernel.scheduler import Callback, Timer, TimerQueue

__all__ = ["BATCH", "PumpedScheduler"]

BATCH: Final = 256


class PumpedScheduler(TimerQueue):
    """A `TimerQueue` driven by an asyncio or uvloop loop, in real time."""

    __slots__ = ("_alarm", "_alarm_ns", "_loop", "_pumping", "_start_ns", "on_bug")

    _of_loop: ClassVar["dict[asyncio.AbstractEventLoop, PumpedScheduler]"] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._start_ns = time.monotonic_ns()
        self._pumping = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ns = 0
        #: Takes what a callback raises; None = the loop's exception handler does.
        self.on_bug: Callable[[Exception], None] | None = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "PumpedScheduler":
        """The one scheduler of *loop*."""
        scheduler = cls._of_loop.get(loop)
        if scheduler is None:
            # A scheduler holds its loop, so that no key would ever be garbage.
            for ended in [known for known in cls._of_loop if known.is_closed()]:
                del cls._of_loop[ended]
            scheduler = cls._of_loop[loop] = cls(loop)
        return scheduler

    @property
    def started_ns(self) -> int:
        """The machine's monotonic clock when the run began: what `begin` takes elsewhere."""
        return self._start_ns

    def begin(self, started_ns: int) -> None:
        """Count time from *started_ns*, at which a run of several processes began. Once, before
        anything is scheduled."""
        self._start_ns = started_ns

    def now_ns(self) -> int:
        """Nanoseconds of the machine's monotonic clock since the run began."""
        # It never goes back.
        self.now = now_ns = time.monotonic_ns() - self._start_ns
        return now_ns

    def call_soon(self, callback: Callback, *args: Any) -> None:
        """See `Scheduler.call_soon`."""
        super().call_soon(callback, *args)
        self._wake()

    def foreground_soon(self, callback: Callback, *args: Any) -> None:
        """See `Scheduler.foreground_soon`."""
        super().foreground_soon(callback, *args)
        self._wake()

    def call_at(self, when_ns: int, callback: Callback, *args: Any) -> None:
        """See `Scheduler.call_at`."""
        super().call_at(when_ns, callback, *args)
        self._set_alarm(when_ns)

    def background_at(self, when_ns: int, callback: Callback, *args: Any) -> Timer:
        """See `Scheduler.background_at`."""
        timer = super().background_at(when_ns, callback, *args)
        self._set_alarm(when_ns)
        return timer

    def _wake(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _set_alarm(self, when_ns: int) -> None:
        if self._pumping:
            return  # `_rearm` will see to it.
        if self._alarm is not None:
            if self._alarm_ns <= when_ns:
                return
            self._alarm.cancel()
        self._alarm_ns = when_ns
        # Whole milliseconds, as all loops wait: uvloop would round down, and wake up in vain.
        delay_ms = max(0, -((self.now_ns() - when_ns) // 1_000_000))
        self._alarm = self._loop.call_later(delay_ms / 1e3, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _pump(self) -> None:
        now_ns = self.now_ns()
        budget = BATCH
        ready = self.ready
        try:
            while budget:
                if ready:
                    callback, args, self.background = ready.popleft()
                else:
                    when_ns = self.next_deadline()
                    if when_ns is None or when_ns > now_ns:
                        break
                    _, _, callback, args = self.pop()
                budget -= 1
                callback(*args)
        except Exception as bug:
            if self.on_bug is None:
                raise
            self.on_bug(bug)
        finally:
            self._rearm(now_ns)

    def _rearm(self, now_ns: int) -> None:
        self._pumping = False
        self.background = False
        when_ns = self.next_deadline()
        if self.ready or (when_ns is not None and when_ns <= now_ns):
            self._wake()
        elif when_ns is not None:
            self._set_alarm(when_ns)
