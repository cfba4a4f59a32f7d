"""Where a function instance is in its life."""

from enum import IntEnum
from typing import Final

__all__ = ["INIT", "STOP", "Phase"]

#: What a guest is entered for next, if it is no event.
INIT: Final = -1
STOP: Final = -2


class Phase(IntEnum):
    """Where a function instance is in its life."""

    IDLE = 0
    BUSY = 1
    """A segment waits for a core, or runs."""
    BLOCKED = 2
    """The guest waits for a call to return."""
    BACKOFF = 3
    FAILED = 4
    GONE = 5
    LEAVING = 6
    """The guest has stopped, for another node asked for the instance."""
