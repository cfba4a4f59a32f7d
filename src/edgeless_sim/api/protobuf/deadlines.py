"""Until when a registration counts: calendar seconds of EDGELESS, a duration of ours (spec 10.5).

EDGELESS compares a calendar deadline with the receiver's clock, so its hosts must agree on the
time. Peers of ours tell the duration too, and then nobody looks at a calendar.
"""

from math import isfinite
from typing import Final, Protocol

from edgeless_sim.api.protobuf.identifiers import Place

__all__ = ["TTL_S_MAX", "TTL_S_MIN", "deadline_of", "read_ttl_s"]

#: Bounds of what a foreign deadline can mean: a clock that is wrong, or for ever (reliability B59).
TTL_S_MIN: Final = 1.0
TTL_S_MAX: Final = 3600.0


class _Deadline(Protocol):
    """The two fields, in whichever message."""

    @property
    def refresh_deadline(self) -> int: ...

    @property
    def ttl_s(self) -> float: ...


def deadline_of(place: Place, ttl_s: float) -> int:
    """The whole second, since 1970, at which *ttl_s* from now ends (truncated)."""
    return max(0, int(place.unix_s() + ttl_s))


def read_ttl_s(place: Place, told: bool, message: _Deadline) -> float:
    """Seconds from now; *told*: the peer sent the duration itself.

    A duration is at most an hour, and one from a calendar deadline at least a second. Raise
    ValueError for a duration that is none.
    """
    if not told:
        return min(max(message.refresh_deadline - place.unix_s(), TTL_S_MIN), TTL_S_MAX)
    if not isfinite(message.ttl_s) or message.ttl_s <= 0:
        raise ValueError(f"ttl_s: {message.ttl_s} is not a duration")
    return min(message.ttl_s, TTL_S_MAX)
