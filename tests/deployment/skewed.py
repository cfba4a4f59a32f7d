"""Run by tests: a daemon on a host whose calendar clock is wrong.

``python skewed.py YEARS PROGRAM [OPTION …]``: what *PROGRAM* reads as the calendar time is so many
years off. What it measures durations with goes on as ever, as on such a host.
"""

import sys
import time
from datetime import datetime, timedelta, tzinfo
from importlib.metadata import entry_points

from edgeless_sim.kernel import clock

years, program = float(sys.argv[1]), sys.argv[2]
SKEW = timedelta(days=365 * years)
real_time = time.time


class _Calendar(datetime):
    """Stands for `datetime` where the kernel reads the calendar."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # its own would be a _Calendar
        """The time on this host's calendar."""
        return datetime.now(tz) + SKEW


def _skewed_time() -> float:
    # gRPC adds a time-out to this, and its C part, which we do not reach, takes that from its own.
    outside = sys._getframe(1).f_globals.get("__name__", "").startswith("grpc")
    return real_time() + (0 if outside else SKEW.total_seconds())


vars(clock)["datetime"] = _Calendar
time.time = _skewed_time
sys.argv = sys.argv[2:]
(script,) = entry_points(group="console_scripts", name=program)
script.load()()
