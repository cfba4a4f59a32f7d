"""Frames from here to an address, and answers back: the floor that edgeless-sim stands on.

It knows nothing of EDGELESS and takes its time from a `Scheduler`. The suite that every transport
must pass is in `edgeless_transports.conformance`, the rules of the memory network are in
`edgeless_transports.rules`.
"""

from edgeless_transports._tasks import background_tasks
from edgeless_transports.base import (
    METHOD_CHARS_MAX,
    Address,
    Answer,
    CastLost,
    CastReceiver,
    Connection,
    Handler,
    Incoming,
    Scheduler,
    Timer,
    Transport,
)
from edgeless_transports.errors import (
    AddressError,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    RemoteError,
    TransportError,
)
from edgeless_transports.frame import Frame, FrameKind, Rule
from edgeless_transports.memory import MemoryConnection, MemoryListener, MemoryTransport
from edgeless_transports.network import Counters, InstalledRule, MemoryNetwork
from edgeless_transports.registry import create_transport, known_schemes

__all__ = [
    "METHOD_CHARS_MAX",
    "Address",
    "AddressError",
    "Answer",
    "CallTimeout",
    "CastLost",
    "CastReceiver",
    "ConnectError",
    "Connection",
    "ConnectionLost",
    "Counters",
    "Frame",
    "FrameKind",
    "Handler",
    "Incoming",
    "InstalledRule",
    "MemoryConnection",
    "MemoryListener",
    "MemoryNetwork",
    "MemoryTransport",
    "RemoteError",
    "Rule",
    "Scheduler",
    "Timer",
    "Transport",
    "TransportError",
    "background_tasks",
    "create_transport",
    "known_schemes",
]
