"""A bar on standard error for runs that take longer than a second; nothing if nobody watches.

Shows the scenario's time and how much is left; of a simulation, the speed-up. Only the bar looks at
the wall clock here.
"""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from edgeless_sim.kernel.clock import wall_seconds

__all__ = ["progress"]

_PATIENCE_S: Final = 1.0
_EVERY_S: Final = 0.1


@contextmanager
def progress(
    duration_ns: int, *, wanted: bool, real: bool = False
) -> Generator[Callable[[int], None] | None]:
    """Yield what takes the scenario's time in ns now and then; None if there is no bar to show.

    *real*: that time is the wall clock's.
    """
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    bar = _Bar(duration_ns, real=real)
    try:
        yield bar.update
    finally:
        bar.close()


class _Bar:
    def __init__(self, duration_ns: int, *, real: bool) -> None:
        self._duration_ns = duration_ns
        self._real = real
        self._begun_s = wall_seconds()
        self._shown_s = self._begun_s + _PATIENCE_S - _EVERY_S
        self._width = 0

    def update(self, now_ns: int) -> None:
        """Show *now_ns*, if it is time to show something."""
        wall_s = wall_seconds()
        if wall_s - self._shown_s < _EVERY_S:
            return
        self._shown_s = wall_s
        self._show(now_ns, max(wall_s - self._begun_s, 1e-6))

    def _show(self, now_ns: int, wall_s: float) -> None:
        share = min(1.0, now_ns / self._duration_ns)
        filled = round(30 * share)
        text = f"[{'#' * filled}{'.' * (30 - filled)}] {now_ns / 1e9:9.3f} s"
        if self._real:
            left_s = max(0, self._duration_ns - now_ns) / 1e9
        else:
            left_s = wall_s / share - wall_s if share else 0
            text += f"  {now_ns / 1e9 / wall_s:6.1f} x"
        text += f"  {left_s:4.0f} s left"
        self._width = max(self._width, len(text))
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()

    def close(self) -> None:
        """Wipe the bar away."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
