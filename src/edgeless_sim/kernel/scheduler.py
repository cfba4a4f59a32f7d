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
from heapq import heapify, heappop, heappush, nsmallest
from typing import Any, Final, Protocol, TypeAlias

__all__ = ["Callback", "Scheduler", "Timer", "TimerQueue"]

Callback: TypeAlias = Callable[..., None]
#: (deadline in ns, sequence, callback, arguments)
_Entry: TypeAlias = tuple[int, int, Callback, tuple[Any, ...]]

#: Cancelled timers that are not worth a compaction.
_DEAD_MIN: Final = 64


class _Heap(list[_Entry]):
    """A heap of timers that counts the cancelled ones in it, and gets rid of them."""

    __slots__ = ("background", "dead")

    def __init__(self, *, background: bool) -> None:
        super().__init__()
        self.background: Final = background
        self.dead = 0

    def bury(self) -> None:
        """A timer of this heap was cancelled. Compacts when most are: amortised, a step each."""
        self.dead += 1
        if self.dead > _DEAD_MIN and 2 * self.dead > len(self):
            # In place, and without a trace: the order of (deadline, sequence) is total.
            self[:] = [entry for entry in self if not _is_dead(entry)]
            heapify(self)
            self.dead = 0

    def behead(self) -> None:
        """Drop cancelled timers from the head, so that time does not stop for them."""
        while self and _is_dead(self[0]):
            heappop(self)
            self.dead -= 1


class Timer:
    """A timer that can be cancelled. Cancelling twice, or after it fired, does nothing."""

    __slots__ = ("_args", "_callback", "_heap")

    def __init__(self, callback: Callback, args: tuple[Any, ...], heap: _Heap | None) -> None:
        self._callback: Callback | None = callback
        self._args = args
        #: None = never set, such as a deadline at infinity.
        self._heap = heap

    @property
    def pending(self) -> bool:
        """Whether it has neither fired nor been cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        """Never fire."""
        if self._callback is not None:
            self._callback = None
            self._args = ()
            if self._heap is not None:
                self._heap.bury()

    def fire(self) -> None:
        """Run the callback once; the scheduler calls this when it takes the timer off the heap."""
        callback = self._callback
        if callback is not None:
            args = self._args
            self._callback = None
            self._args = ()
            callback(*args)
        elif self._heap is not None:
            self._heap.dead -= 1

    @property
    def name(self) -> str:
        """What it would run, for error messages."""
        return _name_of(self._callback)


#: In a heap, a `Timer` is this function and itself as the argument: cheap to tell from the others.
_FIRE: Final = Timer.fire


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
        self._timers = _Heap(background=False)
        self._timers_background = _Heap(background=True)
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
        heap = self._timers_background if self.background else self._timers
        timer = Timer(callback, args, heap)
        self.call_at(when_ns, _FIRE, timer)
        return timer

    def background_at(self, when_ns: int, callback: Callback, *args: Any) -> Timer:
        """See `Scheduler.background_at`."""
        heap = self._timers_background
        timer = Timer(callback, args, heap)
        self._sequence = sequence = self._sequence + 1
        heappush(heap, (when_ns, sequence, _FIRE, (timer,)))
        return timer

    def foreground_pending(self) -> int:
        """See `Scheduler.foreground_pending`."""
        timers = self._timers
        live = self._holds + len(timers) - timers.dead
        return live + sum(not background for _, _, background in self.ready)

    def foreground_idle(self) -> bool:
        """Whether `foreground_pending` is 0; cheap enough to ask before every step of time."""
        timers = self._timers
        return (
            len(timers) == timers.dead
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
        live = nsmallest(count_max, (entry for entry in self._timers if not _is_dead(entry)))
        names = [f"{_name_of_entry(entry)} at {entry[0] / 1e9:.3f} s" for entry in live]
        return [*names, f"{self._holds} calls without an answer"] if self._holds else names

    def next_heap(self) -> _Heap | None:
        """The heap whose head is the next live timer, None if there is none."""
        timers, others = self._timers, self._timers_background
        # A cancelled timer in the middle of a heap does no harm; one at its head must go.
        if timers.dead and timers[0][2] is _FIRE:
            timers.behead()
        if others.dead and others[0][2] is _FIRE:
            others.behead()
        if others and (not timers or others[0] < timers[0]):
            return others
        return timers or None

    def next_deadline(self) -> int | None:
        """When the next live timer fires, None if there is none."""
        heap = self.next_heap()
        return None if heap is None else heap[0][0]

    def pop(self) -> _Entry:
        """Take the next live timer and set `background` for it; there must be one."""
        heap = self.next_heap()
        assert heap is not None, "no timer is set"
        self.background = heap.background
        return heappop(heap)


def _is_dead(entry: _Entry) -> bool:
    """Whether the entry is a `Timer` that was cancelled."""
    return entry[2] is _FIRE and not entry[3][0].pending


def _name_of_entry(entry: _Entry) -> str:
    return entry[3][0].name if entry[2] is _FIRE else _name_of(entry[2])


def _name_of(callback: Callback | None) -> str:
    # A handle of asyncio's tells what it would run, not that it is a handle.
    inner = getattr(getattr(callback, "__self__", None), "_callback", None) or callback
    return getattr(inner, "__qualname__", type(inner).__name__)
