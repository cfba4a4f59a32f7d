"""A bar on standard error for runs that take longer than a second; nothing if nobody watches.

Shows the scenario's time and how much is left; of a simulation, the speed-up. Only the bar looks at
the wall clock here.
"""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from edgeless_sim.kernel.clock import wall_seconds

__all__ = ["count_progress", "progress"]

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


@contextmanager
def count_progress(
    wanted_count: int, what: str, *, wanted: bool
) -> Generator[Callable[[int, str], None] | None]:
    """Yield what takes how many of *what* are done, and a remark; None as with `progress`."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    line = _Line()
    begun_s = wall_seconds()

    def update(count: int, remark: str) -> None:
        left_s = (wall_seconds() - begun_s) / count * (wanted_count - count)
        line.show(count / wanted_count, f"{count} of {wanted_count} {what}", left_s, remark)

    try:
        yield update
    finally:
        line.close()


class _Line:
    """One line that is written again and again."""

    def __init__(self) -> None:
        self._shown_s = wall_seconds() + _PATIENCE_S - _EVERY_S
        self._width = 0

    @property
    def due(self) -> bool:
        """Whether it is time to show something."""
        return wall_seconds() - self._shown_s >= _EVERY_S

    def show(self, share: float, where: str, left_s: float, remark: str = "") -> None:
        """Write it, if it is time."""
        if not self.due:
            return
        self._shown_s = wall_seconds()
        filled = round(30 * min(1.0, share))
        text = f"[{'#' * filled}{'.' * (30 - filled)}] {where}  {left_s:4.0f} s left  {remark}"
        self._width = max(self._width, len(text))
        sys.stderr.write("\r" + text.rstrip().ljust(self._width))
        sys.stderr.flush()

    def close(self) -> None:
        """Wipe it away."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()


class _Bar:
    def __init__(self, duration_ns: int, *, real: bool) -> None:
        self._duration_ns = duration_ns
        self._real = real
        self._begun_s = wall_seconds()
        self._line = _Line()

    def update(self, now_ns: int) -> None:
        """Show *now_ns*, if it is time to show something."""
        if not self._line.due:
            return
        wall_s = max(wall_seconds() - self._begun_s, 1e-6)
        share = min(1.0, now_ns / self._duration_ns)
        where = f"{now_ns / 1e9:9.3f} s"
        if self._real:
            left_s = max(0, self._duration_ns - now_ns) / 1e9
        else:
            left_s = wall_s / share - wall_s if share else 0
            where += f"  {now_ns / 1e9 / wall_s:6.1f} x"
        self._line.show(share, where, left_s)

    def close(self) -> None:
        """Wipe the bar away."""
        self._line.close()
