"""Marks: how the order of a sender's events outlives a migration of their target.

Whose output moves from one instance to another sends a mark on the old way, behind its last event
there, and one on the new way, before its first event there. The new instance holds that sender's
events between the second mark and the first, which comes to it through the old instance (I23).

A mark is an event that nobody takes for anything else: a return of no call. Peers that know no
marks, such as EDGELESS's own, drop it as that.
"""

from edgeless_sim.model.event import METADATA_ROOT, Event, EventType

__all__ = ["is_mark", "leads_to", "mark"]

_KIND = int(EventType.CALL_NO_RET)
#: Of casts; no return has it.
_STREAM = 0
#: Characters of a key in hexadecimal digits.
_PAYLOAD = 64


def mark(source: bytes, target: bytes, leads_to: bytes) -> Event:
    """Tell *target* that what *source* sends goes to *leads_to* from now on."""
    return Event(_KIND, target, source, _STREAM, leads_to.hex(), 0, METADATA_ROOT, 0)


def is_mark(event: Event) -> bool:
    """Whether *event* is a mark."""
    return event.kind == _KIND and event.stream == _STREAM and len(event.payload) == _PAYLOAD


def leads_to(event: Event) -> bytes:
    """Where the sender of a mark sends from now on; empty if that cannot be read."""
    try:
        return bytes.fromhex(event.payload)
    except ValueError:
        return b""
