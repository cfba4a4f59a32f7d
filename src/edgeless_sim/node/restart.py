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

    __slots__ = ("_times_ns", "restarts_total")

    def __init__(self) -> None:
        self._times_ns: deque[int] = deque()
        self.restarts_total = 0

    def delay_s(self, now_ns: int) -> int | None:
        """How long to wait before the next start, None if there is none."""
        while self._times_ns and now_ns - self._times_ns[0] > WINDOW_S * 1_000_000_000:
            self._times_ns.popleft()
        if len(self._times_ns) >= RESTARTS_MAX:
            return None
        delay_s: int = min(2 ** len(self._times_ns), _DELAY_S_MAX)
        self._times_ns.append(now_ns)
        self.restarts_total += 1
        return delay_s
