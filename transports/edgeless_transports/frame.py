"""A frame of the memory network, and the type of the rules that decide when it arrives.

Rules themselves are in `rules`; the network that applies them is in `network`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import TypeAlias

from edgeless_transports.base import Incoming

__all__ = ["Frame", "FrameKind", "Rule"]


class FrameKind(Enum):
    """What a frame is for. Every kind passes the rules."""

    CAST = "cast"
    REQUEST = "request"
    REPLY = "reply"
    #: The handler refused or failed; the payload is an encoded `RemoteError`.
    REFUSAL = "refusal"
    #: The listener was closed while it served the request.
    RESET = "reset"


@dataclass(slots=True, eq=False)
class Frame(Incoming):
    """One frame on its way. It is its own `Incoming`, so that delivery allocates nothing."""

    #: Location that sent it; the same as ``peer``, under the name that rules are written in.
    source: str
    #: Location that it is for.
    destination: str
    kind: FrameKind
    #: When it was handed to the network, before any rule.
    sent_ns: int
    #: Takes the answer. A request carries it out, and its answer carries it back.
    on_answer: "Callable[[Frame], None] | None" = None

    @property
    def size(self) -> int:
        """Bytes that the least framing would send: method and payload."""
        return len(self.method) + len(self.payload)


#: Maps a frame's delivery times (ns) to new ones: ``()`` loses it, two entries duplicate it. The
#: times never lie before ``frame.sent_ns``. A rule with an attribute ``cause`` names its losses.
Rule: TypeAlias = Callable[[Frame, tuple[int, ...], Random], tuple[int, ...]]
