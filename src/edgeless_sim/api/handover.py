"""What two nodes say to each other while a function migrates; ours alone.

The new node asks, the old one answers: `TakeOver` ends the old guest and brings its state,
`Collect` brings its events, again and again, and `GiveBack` takes the answers of calls the other
way. Times are durations: the two clocks need not agree.
"""

import msgspec

from edgeless_sim.model.ids import InstanceId

__all__ = [
    "COLLECT_BYTES_MAX",
    "COLLECT_EVENTS_MAX",
    "FIRST_BYTES_MAX",
    "HANDOVER_REFUSED",
    "Answer",
    "Collect",
    "Collected",
    "GiveBack",
    "HandedEvent",
    "HandedState",
    "TakeOver",
]

#: Most events of one reply, and the size at which it takes no further one.
COLLECT_EVENTS_MAX = 256
COLLECT_BYTES_MAX = 256 << 10
#: The same of the first reply: it proves that the state has arrived, and has to be quick.
FIRST_BYTES_MAX = 32 << 10
#: The summary of each refusal by the old node; another one is not by its handovers.
HANDOVER_REFUSED = "Error when handing over a function"


class TakeOver(msgspec.Struct, frozen=True):
    """*successor* wants to go on where *instance* stops."""

    instance: InstanceId
    successor: InstanceId


class HandedState(msgspec.Struct, frozen=True):
    """The old guest has stopped; it goes on if nothing is collected soon."""

    state: str | None
    """What it had synced; None if nothing."""
    worked_ns: int = 0
    """How long it still worked after it was asked."""


class HandedEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event for the old instance, or a mark (see `edgeless_sim.dataplane.marks`)."""

    kind: int
    source: bytes
    stream: int
    payload: str
    age_ns: int
    metadata: bytes
    serial: int


class Collect(msgspec.Struct, frozen=True):
    """Give *successor* what came for *instance*. The first one is what ends the old instance."""

    instance: InstanceId
    successor: InstanceId
    received: int = 0
    """How many it has got before."""
    begun: bool = False
    """Whether the successor runs."""


class Collected(msgspec.Struct, frozen=True):
    """The next events, in their order; none if none came for a while. ``over`` = none will."""

    events: tuple[HandedEvent, ...]
    over: bool = False


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """How a call ended that was made to the old instance."""

    source: bytes
    stream: int
    kind: int
    """A `CallReturnKind`."""
    payload: str = ""


class GiveBack(msgspec.Struct, frozen=True):
    """The successor's answers to calls that it was handed; their callers wait for the old one's."""

    instance: InstanceId
    successor: InstanceId
    answers: tuple[Answer, ...]
