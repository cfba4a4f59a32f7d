"""The one scheduler of a process: what runs now, and what runs when (design, decision 13).

Callbacks, not tasks: everything on the event path is a plain function that runs to its end. Ready
callbacks run first in, first out; timers run in the order of (nanosecond, sequence), so that equal
deadlines keep the order in which they were set. Stock asyncio does not promise that.

Work is *foreground* or *background*. Whatever a background callback schedules is background too,
unless it says otherwise. A cluster is settled when nothing but background work is pending: periodic
refreshes and ticks are background, everything that somebody asked for is not.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol, TypeAlias

__all__ = ["Callback", "Scheduler", "Timer", "TimerQueue"]

Callback: TypeAlias = Callable[..., None]
#: (deadline in ns, sequence, callback, arguments)
_Entry: TypeAlias = tuple[int, int, Callback, tuple[Any, ...]]


class Timer:
    """A timer that can be cancelled. Cancelling twice, or after it fired, does nothing."""

    __slots__ = ("_args", "_callback")

    def __init__(self, callback: Callback, args: tuple[Any, ...]) -> None:
        self._callback: Callback | None = callback
        self._args = args

    @property
    def pending(self) -> bool:
        """Whether it has neither fired nor been cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        """Never fire."""
        self._callback = None
        self._args = ()

    def fire(self) -> None:
        """Run the callback once; the scheduler calls this."""
        callback = self._callback
        if callback is not None:
            args = self._args
            self._callback = None
            self._args = ()
            callback(*args)


class Scheduler(Protocol):
    """Runs callbacks now or later. The same interface in virtual and in real time."""

    def now_ns(self) -> int:
        """Nanoseconds since the run began; never goes back."""
        ...

    def call_soon(self, callback: Callback, *args: Any) -> None:
        """Run *callback* after everything that is ready now."""
        ...

    def call_at(self, when_ns: int, callback: Callback, *args: Any) -> None:
        """Run *callback* at *when_ns*, or at once if that has passed."""
        ...

    def timer_at(self, when_ns: int, callback: Callback, *args: Any) -> Timer:
        """As `call_at`, with a handle to cancel it."""
        ...

    def background_at(self, when_ns: int, callback: Callback, *args: Any) -> Timer:
        """As `timer_at`; the callback, and all that it causes, is background work."""
        ...

    def foreground_soon(self, callback: Callback, *args: Any) -> None:
        """As `call_soon`; the callback, and all that it causes, is foreground work."""
        ...

    def foreground_pending(self) -> int:
        """How many ready callbacks, live timers and holds are not background work."""
        ...

    def hold(self) -> None:
        """Count as foreground work until `release`: somebody waits for something from outside."""
        ...

    def release(self) -> None:
        """End one `hold`."""
        ...


class TimerQueue:
    """The ready queue and the two timer heaps that both schedulers are made of."""

    __slots__ = (
        "_holds",
        "_sequence",
        "_timers",
        "_timers_background",
        "background",
        "now",
        "ready",
    )

    def __init__(self) -> None:
        self.ready: deque[tuple[Callback, tuple[Any, ...], bool]] = deque()
        self.now = 0
        #: Whether the callback that runs at present is background work.
        self.background = False
        self._timers: list[_Entry] = []
        self._timers_background: list[_Entry] = []
        self._sequence = 0
        self._holds = 0

    def now_ns(self) -> int:
        """See `Scheduler.now_ns`."""
        return self.now

    def call_soon(self, callback: Callback, *args: Any) -> None:
        """See `Scheduler.call_soon`."""
        self.ready.append((callback, args, self.background))

    def foreground_soon(self, callback: Callback, *args: Any) -> None:
        """See `Scheduler.foreground_soon`."""
        self.ready.append((callback, args, False))

    def call_at(self, when_ns: int, callback: Callback, *args: Any) -> None:
        """See `Scheduler.call_at`."""
        self._sequence = sequence = self._sequence + 1
        heappush(
            self._timers_background if self.background else self._timers,
            (when_ns, sequence, callback, args),
        )

    def timer_at(self, when_ns: int, callback: Callback, *args: Any) -> Timer:
        """See `Scheduler.timer_at`."""
        timer = Timer(callback, args)
        self.call_at(when_ns, timer.fire)
        return timer

    def background_at(self, when_ns: int, callback: Callback, *args: Any) -> Timer:
        """See `Scheduler.background_at`."""
        timer = Timer(callback, args)
        self._sequence = sequence = self._sequence + 1
        heappush(self._timers_background, (when_ns, sequence, timer.fire, ()))
        return timer

    def foreground_pending(self) -> int:
        """See `Scheduler.foreground_pending`. Drops cancelled timers from the head of the heap."""
        timers = self._timers
        while timers and _is_dead(timers[0]):
            heappop(timers)
        live = self._holds + sum(not _is_dead(entry) for entry in timers)
        return live + sum(not background for _, _, background in self.ready)

    def foreground_idle(self) -> bool:
        """Whether `foreground_pending` is 0; cheap enough to ask before every step of time."""
        timers = self._timers
        while timers and _is_dead(timers[0]):
            heappop(timers)
        return (
            not timers
            and not self._holds
            and not any(not background for _, _, background in self.ready)
        )

    def hold(self) -> None:
        """See `Scheduler.hold`."""
        self._holds += 1

    def release(self) -> None:
        """See `Scheduler.release`."""
        assert self._holds > 0, "released more often than held"
        self._holds -= 1

    def describe_foreground(self, count_max: int = 5) -> list[str]:
        """What still moves, for error messages: the earliest live foreground timers."""
        live = sorted(entry[:2] for entry in self._timers if not _is_dead(entry))[:count_max]
        by_key = {entry[:2]: entry for entry in self._timers}
        names = [f"{_name_of(by_key[key])} at {key[0] / 1e9:.3f} s" for key in live]
        return [*names, f"{self._holds} calls without an answer"] if self._holds else names

    def next_deadline(self) -> int | None:
        """When the next timer fires, None if there is none."""
        timers, others = self._timers, self._timers_background
        if timers and others:
            return min(timers[0][0], others[0][0])
        if timers:
            return timers[0][0]
        return others[0][0] if others else None

    def pop(self) -> _Entry:
        """Take the next timer and set `background` for it; there must be one."""
        timers, others = self._timers, self._timers_background
        if not others or (timers and timers[0] < others[0]):
            self.background = False
            return heappop(timers)
        self.background = True
        return heappop(others)


def _is_dead(entry: _Entry) -> bool:
    """Whether the entry is a `Timer` that was cancelled."""
    owner = getattr(entry[2], "__self__", None)
    return isinstance(owner, Timer) and not owner.pending


def _name_of(entry: _Entry) -> str:
    callback = entry[2]
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, Timer) and owner._callback is not None:  # noqa: SLF001 - same module
        callback = owner._callback  # noqa: SLF001 - same module
    return getattr(callback, "__qualname__", repr(type(callback).__name__))
