"""What a transport is: frames from here to an address, and answers back.

Nothing here knows what the frames mean, how they travel, or whether time is real.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from edgeless_transports.errors import AddressError, TransportError

__all__ = [
    "METHOD_CHARS_MAX",
    "Address",
    "Answer",
    "CastLost",
    "CastReceiver",
    "Connection",
    "Handler",
    "Incoming",
    "Scheduler",
    "Timer",
    "Transport",
    "check_method",
]

METHOD_CHARS_MAX: Final = 255
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody listens: ``scheme://location``. What a location means is the transport's."""

    scheme: str
    location: str

    def __post_init__(self) -> None:
        if not _SCHEME.fullmatch(self.scheme):
            raise AddressError(f"{self.scheme!r} is not a scheme: use letters, digits and + . -")
        if not self.location or not self.location.isprintable() or " " in self.location:
            raise AddressError(f"{self.location!r} is not a location: it must be printable text")

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``scheme://location``; raise `AddressError` for anything else."""
        scheme, separator, location = text.partition("://")
        if not separator:
            raise AddressError(f"{text!r} is not an address: write scheme://location")
        return cls(scheme, location)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.location}"


@dataclass(slots=True, eq=False)
class Incoming:
    """One frame at the serving end. Not to be changed: a transport may deliver it twice."""

    method: str
    payload: bytes = field(repr=False)
    #: Who sent it, as far as the transport proved it.
    peer: str
    #: When its caller stops waiting, on this process's scheduler; None for casts.
    deadline_ns: int | None


#: Serves one frame: returns the reply at once, or something to await for it. Only the latter costs
#: a task. Raise `RemoteError` to refuse. A cast's reply is dropped.
Handler: TypeAlias = Callable[[Incoming], bytes | Awaitable[bytes]]

#: Takes one cast, at once. What it raises is a bug of the receiver.
CastReceiver: TypeAlias = Callable[[Incoming], None]

#: Hears of a cast that was accepted and did not arrive, or not for sure: method, payload, cause.
CastLost: TypeAlias = Callable[[str, bytes, str], None]

#: Takes the end of a call: the reply or the reason why there is none.
Answer: TypeAlias = Callable[[bytes | TransportError], None]


class Timer(Protocol):
    """A timer that can be cancelled."""

    def cancel(self) -> None:
        """Never fire. Idempotent, also after it fired."""
        ...


class Scheduler(Protocol):
    """All that a transport knows of time. The same in virtual and in real time."""

    def now_ns(self) -> int:
        """Nanoseconds since the run began; never goes back."""
        ...

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Run *callback* after everything that is ready now."""
        ...

    def call_at(self, when_ns: int, callback: Callable[..., None], *args: Any) -> None:
        """Run *callback* at *when_ns*; equal times run in the order in which they were set."""
        ...

    def timer_at(self, when_ns: int, callback: Callable[..., None], *args: Any) -> Timer:
        """As `call_at`, with a handle to cancel it."""
        ...

    def background_at(self, when_ns: int, callback: Callable[..., None], *args: Any) -> Timer:
        """As `timer_at`, for housekeeping: nobody waits for it to be over."""
        ...

    def hold(self) -> None:
        """Until `release`, something is under way that no timer shows. They add up."""
        ...

    def release(self) -> None:
        """End one `hold`."""
        ...


class Connection(Protocol):
    """A connected client end. Safe for many concurrent calls; frames keep the order of sending.

    *method* is 1 to 255 printable ASCII characters, otherwise every function raises ValueError.
    """

    async def call(self, method: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Send a frame and wait for its reply, *timeout_s* seconds at most.

        Raises `RemoteError` if the peer refused, `ConnectionLost` if it went away, `CallTimeout`
        if nothing came in time, and a bare `TransportError` if too many calls wait already.
        """
        ...

    def call_nowait(self, method: str, payload: bytes, answer: Answer, *, timeout_s: float) -> None:
        """As `call`, without a task: *answer* takes the reply or the error.

        It is called exactly once, and never before this function has returned.
        """
        ...

    async def cast(self, method: str, payload: bytes) -> None:
        """Send a frame; return once it is on its way.

        Raises `ConnectionLost` on a closed connection, a bare `TransportError` on a full queue.
        """
        ...

    def cast_nowait(self, method: str, payload: bytes) -> bool:
        """The event path: queue a frame without a task switch.

        False (and counted) if the queue is full or the connection closed.
        """
        ...


class Transport(Protocol):
    """One way of moving frames. Chosen by ``Address.scheme``, see `registry.create_transport`."""

    def listen(
        self, address: Address, handler: Handler, *, on_cast: CastReceiver | None = None
    ) -> AbstractAsyncContextManager[Address]:
        """Serve *handler*; yield the address really bound (port 0 is resolved).

        Casts go to *on_cast* if it is given, otherwise to *handler*. Left without an exception, the
        context tells the callers that still wait (`ConnectionLost`); left by one or by
        cancellation, it is as silent as a crash. Raises `AddressError` if the address is taken.
        """
        ...

    def connect(self, address: Address) -> AbstractAsyncContextManager[Connection]:
        """Open a connection; raise `ConnectError` if nobody listens.

        Left without an exception, the context ends the calls that still wait with `ConnectionLost`;
        otherwise they end by their own deadlines.
        """
        ...


def check_method(method: str) -> None:
    """Raise ValueError unless *method* is 1 to 255 printable ASCII characters without spaces."""
    fits = 0 < len(method) <= METHOD_CHARS_MAX and method.isascii() and method.isprintable()
    if not fits or " " in method:
        raise ValueError(
            f"not a method name (1 to {METHOD_CHARS_MAX} printable ASCII characters): "
            f"{method[:64]!r}"
        )
