"""Pauses between attempts: 1, 2, 4 … 30 s, for ever.

The first few pauses are foreground work, so that whoever waits for a settled cluster sees the
repair; later ones are background, because something that never heals must not unsettle a cluster.
"""

from typing import Any, Final

from edgeless_sim.kernel.scheduler import Callback, Scheduler

__all__ = ["FOREGROUND_PAUSES", "after_pause", "pause_ns"]

FOREGROUND_PAUSES: Final = 3
_PAUSE_S_MAX: Final = 30


def pause_ns(failures: int) -> int:
    """The pause after so many failures in a row (1 or more)."""
    return min(_PAUSE_S_MAX, 1 << min(failures - 1, 10)) * 1_000_000_000


def after_pause(scheduler: Scheduler, failures: int, callback: Callback, *args: Any) -> None:
    """Call *callback* after the pause that follows so many failures in a row."""
    when_ns = scheduler.now_ns() + pause_ns(failures)
    if failures <= FOREGROUND_PAUSES:
        # Through the ready queue: a timer set by background work would be background work itself.
        scheduler.foreground_soon(scheduler.call_at, when_ns, callback, *args)
    else:
        scheduler.background_at(when_ns, callback, *args)
