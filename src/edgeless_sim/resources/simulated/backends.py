"""The world that resources meet in simulation: servers that exist as soon as somebody asks.

One per cluster. A twin of a resource class keeps what its back-end holds as an object of its own
kind per address (`Backends.of`), and asks with `Backends.reach` whether it would have got there, so
that a scenario can make every back-end slow, wrong or silent in the same way. Not here: what a kind
of back-end holds and answers (the twins' modules).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.scheduler import Scheduler, Timer
from edgeless_sim.model.names import clipped, quoted

__all__ = ["BACKENDS_MAX", "BackendState", "Backends", "Reach", "backend_address"]

T = TypeVar("T")

#: Addresses that a run may name, in conditions and in what it asks for.
BACKENDS_MAX: Final = 10_000
_PORTS: Final = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "kafka": 9092}


class Reach(Enum):
    """What came of an attempt at a back-end."""

    REACHED = "reached"
    REFUSED = "refused"
    """Nobody listens there: the failure is immediate."""
    LATE = "late"
    """It did not answer in time."""
    WRONG = "wrong"
    """It answered, but not as its protocol wants it."""


@dataclass(slots=True)
class BackendState:
    """How one back-end does. Fresh ones are well and take no time."""

    down: bool = False
    wrong: bool = False
    delay_ns: int = 0
    """Until it answers."""


def backend_address(url: str) -> str:
    """The address of the back-end that *url* leads to, as ``scheme://host:port``.

    Raise `SettingsError` if there is none. User, password, path and query are not part of it; a URL
    without a host, as for files, stands for itself.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingsError(clipped(f"{quoted(url)}: {error}")) from None
    if not parts.scheme:
        raise SettingsError(f"{quoted(url)}: write scheme://host:port")
    if not parts.hostname or parts.scheme == "sqlite":
        return url
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = _PORTS.get(parts.scheme) if port is None else port
    return f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")


class Backends:
    """All back-ends of one cluster, by address (see `backend_address`)."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._states: dict[str, BackendState] = {}
        self._held: dict[tuple[Any, str], Any] = {}

    def state(self, address: str) -> BackendState:
        """How the back-end at *address* does; what is changed there takes effect at once.

        Raise `SettingsError` if there would be too many.
        """
        state = self._states.get(address)
        if state is None:
            self._check_room(self._states)
            state = self._states[address] = BackendState()
        return state

    def of(self, kind: Callable[[], T], address: str) -> T:
        """What the back-end at *address* holds, a value made by *kind* when it is first asked for.

        Raise `SettingsError` if there would be too many.
        """
        found: T | None = self._held.get((kind, address))
        if found is None:
            self._check_room(self._held)
            found = self._held[kind, address] = kind()
        return found

    def all(self, kind: Callable[[], T]) -> dict[str, T]:
        """Everything of one *kind*, by address, in the order in which it was first asked for."""
        return {address: held for (each, address), held in self._held.items() if each == kind}

    def reach(self, address: str, then: Callable[[Reach], None], *, timeout_s: float) -> Timer:
        """Go to *address*: *then* gets what came of it, once, later, unless the timer is cancelled.

        How the back-end does counts when it is reached, and again when it answers. Raise
        `SettingsError` if there would be too many.
        """
        now_ns = self._scheduler.now_ns()
        timeout_ns = round(timeout_s * 1e9)
        state = self.state(address)
        if state.down:
            return self._scheduler.timer_at(now_ns, then, Reach.REFUSED)
        if state.delay_ns > timeout_ns:
            return self._scheduler.timer_at(now_ns + timeout_ns, then, Reach.LATE)
        return self._scheduler.timer_at(now_ns + state.delay_ns, self._arrive, state, then)

    async def reached(self, address: str, *, timeout_s: float) -> Reach:
        """See `reach`."""
        found: asyncio.Future[Reach] = asyncio.get_running_loop().create_future()
        timer = self.reach(address, found.set_result, timeout_s=timeout_s)
        try:
            return await found
        finally:
            timer.cancel()

    def soon(self, then: Callable[..., None], *args: Any) -> None:
        """Call *then* later, at this time."""
        self._scheduler.call_soon(then, *args)

    @staticmethod
    def _arrive(state: BackendState, then: Callable[[Reach], None]) -> None:
        if state.down:
            then(Reach.REFUSED)
        else:
            then(Reach.WRONG if state.wrong else Reach.REACHED)

    @staticmethod
    def _check_room(table: Mapping[Any, Any]) -> None:
        if len(table) >= BACKENDS_MAX:
            raise SettingsError(f"more than {BACKENDS_MAX} back-ends")
