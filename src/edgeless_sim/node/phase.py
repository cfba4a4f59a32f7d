"""Where a function instance is in its life."""

from enum import IntEnum

__all__ = ["Phase"]


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
