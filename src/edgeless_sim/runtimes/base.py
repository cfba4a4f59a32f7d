"""What a function run-time is: sans-I/O and synchronous (design, decision 20).

Whoever drives an instance gives it one event at a time and performs what comes back. A run-time
knows no clock, no network and no other instance; what an event cost is returned as fuel or as a
service time, and the driver turns it into simulated time.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from random import Random
from typing import ClassVar, Final, Protocol, TypeAlias

import msgspec

from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import InstanceId

__all__ = [
    "Blocked",
    "Call",
    "CallRaw",
    "Cast",
    "CastRaw",
    "DelayedCast",
    "Done",
    "Failed",
    "FunctionInstance",
    "FunctionRuntime",
    "GuestEvent",
    "GuestEventKind",
    "Log",
    "LogLevel",
    "Output",
    "Refused",
    "RuntimeSettings",
    "Step",
    "Sync",
]

#: About 25 ms at 3 GHz; a scenario key raises it.
FUEL_PER_EVENT_DEFAULT: Final = 10**8
#: Five times an event's fuel, as the quotas of the real worlds have it (1 s and 5 s).
FUEL_PER_INIT_DEFAULT: Final = 5 * 10**8
PAYLOAD_BYTES_MAX: Final = 1 << 20
ALIAS_BYTES_MAX: Final = 255
LOG_BYTES_MAX: Final = 8 << 10
STATE_BYTES_MAX: Final = 1 << 20


class GuestEventKind(IntEnum):
    """Which handler of the guest an event is for."""

    INIT = 0
    CAST = 1
    CALL = 2
    STOP = 3


class GuestEvent(msgspec.Struct, gc=False):
    """One entry into a guest.

    ``source`` is the sender's 32-byte `InstanceKey` (casts and calls). ``payload`` is the message
    or, for INIT, the ``init-payload`` annotation: None when there is none (spec 1.3). ``state`` is
    the serialised state for INIT, None when there is none.
    """

    kind: GuestEventKind
    source: bytes = b""
    payload: str | None = None
    state: str | None = None


class LogLevel(IntEnum):
    """Levels of a guest's log entries; the numbers are the ABI's (spec 1.1)."""

    ERROR = 1
    WARN = 2
    INFO = 3
    DEBUG = 4
    TRACE = 5


class Cast(msgspec.Struct, gc=False):
    """Send *payload* to the output channel (or ``self``) called *alias*."""

    alias: str
    payload: str


class CastRaw(msgspec.Struct, gc=False):
    """Send *payload* to the instance with the 32-byte key *target*."""

    target: bytes
    payload: str


class DelayedCast(msgspec.Struct, gc=False):
    """Send *payload* to *alias* when *delay_ms* have passed."""

    delay_ms: int
    alias: str
    payload: str


class Log(msgspec.Struct, gc=False):
    """A log entry. ``level`` is a `LogLevel` or, for the driver to map, any other number."""

    level: int
    target: str
    message: str


class Sync(msgspec.Struct, gc=False):
    """Store *state*; it is given back at the next INIT on this node."""

    state: str


class Refused(msgspec.Struct, gc=False):
    """Something the guest asked for that is dropped and counted, e.g. a cast that is not UTF-8."""

    operation: str
    cause: str


class Call(msgspec.Struct, gc=False):
    """The guest waits for *alias* to answer *payload*."""

    alias: str
    payload: str

    def __await__(self) -> Generator["Call", CallReturn, CallReturn]:
        """For functions in Python: ``await`` is ``yield`` in a coroutine."""
        return (yield self)


class CallRaw(msgspec.Struct, gc=False):
    """The guest waits for the instance with the 32-byte key *target* to answer *payload*."""

    target: bytes
    payload: str

    def __await__(self) -> Generator["CallRaw", CallReturn, CallReturn]:
        """See `Call`."""
        return (yield self)


Output: TypeAlias = Cast | CastRaw | DelayedCast | Log | Sync | Refused


class Done(msgspec.Struct, gc=False):
    """The handler ended. ``reply`` is set for a CALL only.

    ``fuel`` is WebAssembly fuel, whose duration depends on the node's clock; ``service_ns`` is a
    duration in nanoseconds as it stands. The segment took the sum of both.
    """

    outputs: list[Output]
    reply: CallReturn | None
    fuel: int
    service_ns: int


class Blocked(msgspec.Struct, gc=False):
    """The handler waits for a call; `FunctionInstance.resume` goes on. Outputs precede the call."""

    outputs: list[Output]
    call: Call | CallRaw
    fuel: int
    service_ns: int


class Failed(msgspec.Struct, gc=False):
    """The guest trapped or used up a quota. The instance takes no further event but discard."""

    reason: str
    outputs: list[Output]
    fuel: int
    service_ns: int


Step: TypeAlias = Done | Blocked | Failed


class FunctionInstance(Protocol):
    """One instance of one function. Never re-entered: the driver serialises its events."""

    def dispatch(self, event: GuestEvent) -> Step:
        """Run init, a cast, a call or stop until it ends or blocks in a call."""
        ...

    def resume(self, reply: CallReturn) -> Step:
        """Answer the call that the guest waits for."""
        ...

    def discard(self) -> None:
        """Free everything, also when the guest is blocked. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Limits and sources that a run-time is made with."""

    fuel_per_event: int = FUEL_PER_EVENT_DEFAULT
    fuel_per_init: int = FUEL_PER_INIT_DEFAULT
    memory_bytes_max: int = 128 << 20
    #: Most guests alive at once; their memories are reserved, not committed.
    instances_max: int = 100_000
    #: Folders from which PYTHON functions may be loaded.
    python_folders: tuple[Path, ...] = ()
    #: Where serialised modules are kept; None = in memory only.
    module_cache: Path | None = field(default=None)


class FunctionRuntime(Protocol):
    """Makes instances of one ``function_type``, e.g. RUST_WASM. Made once per process."""

    function_type: ClassVar[str]

    def __init__(self, settings: RuntimeSettings) -> None: ...

    def instantiate(
        self, pid: InstanceId, request: SpawnFunctionRequest, dice: Random
    ) -> FunctionInstance:
        """Make an instance; raise `BadCodeError` if the code cannot be loaded.

        *dice* belongs to the instance alone.
        """
        ...

    def close(self) -> None:
        """Free what all instances shared. No instance is used afterwards."""
        ...
