"""When a function that trapped is started again (design, decision 26)."""

from collections import deque
from typing import Final

__all__ = ["RESTARTS_MAX", "WINDOW_S", "RestartPolicy"]

#: Most restarts within `WINDOW_S`; one more failure is final.
RESTARTS_MAX: Final = 5
WINDOW_S: Final = 600
_DELAY_S_MAX: Final = 60


class RestartPolicy:
    """Back-off 1, 2, 4 … 60 s, at most five restarts in ten minutes."""

    __slots__ = ("_times_ns",)

    def __init__(self) -> None:
        # None = it has never failed, as most; a deque takes as much room as ten of these.
        self._times_ns: deque[int] | None = None

    def delay_s(self, now_ns: int) -> int | None:
        """How long to wait before the next start, None if there is none."""
        if self._times_ns is None:
            self._times_ns = deque()
        times_ns = self._times_ns
        while times_ns and now_ns - times_ns[0] > WINDOW_S * 1_000_000_000:
            times_ns.popleft()
        if len(times_ns) >= RESTARTS_MAX:
            return None
        delay_s: int = min(2 ** len(times_ns), _DELAY_S_MAX)
        times_ns.append(now_ns)
        return delay_s
