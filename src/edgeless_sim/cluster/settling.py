"""When is a cluster settled: nothing but periodic background work is pending."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from edgeless_sim.errors import SettingsError, SimulationError
from edgeless_sim.kernel.clock import Clock
from edgeless_sim.kernel.journal import Journal, Record
from edgeless_sim.kernel.loop import VirtualTimeLoop
from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_sim.model.event import EventType

__all__ = ["RealSettling", "Settling", "VirtualSettling", "virtual_loop"]

_POLL_S: Final = 0.02
#: So long nothing may move in real time: what is in a socket is seen nowhere.
_QUIET_S: Final = 0.3
_LAST_OF_WAY_IN: Final = int(EventType.CAST)


class Settling(Protocol):
    """Waits for a cluster to settle."""

    async def settled(self, timeout_s: float) -> None:
        """Return when it is; raise `SimulationError` that names what moves after *timeout_s*."""
        ...


class VirtualSettling:
    """In virtual time: the loop knows exactly."""

    async def settled(self, timeout_s: float) -> None:
        """See `Settling.settled`."""
        loop = virtual_loop()
        if not await loop.settled(timeout_s):
            moving = "; ".join(loop.scheduler.describe_foreground())
            raise SimulationError(f"not settled after {timeout_s:g} s: {moving}")


class RealSettling:
    """In real time: for a while, no event was on its way and no foreground work was pending here.

    Reads the journal. What a process of its own has not sent yet, such as a delayed cast, does not
    show.
    """

    def __init__(
        self,
        clock: Clock,
        scheduler: TimerQueue,
        journal: Journal,
        caught_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._journal = journal
        self._caught_up = caught_up
        #: Serials of events that are on their way, wait, or are being handled.
        self._open: dict[int, None] = {}
        journal.subscribe(self._read)

    async def settled(self, timeout_s: float) -> None:
        """See `Settling.settled`."""
        deadline_ns = self._clock.now_ns() + round(timeout_s * 1e9)
        quiet_since_ns: int | None = None
        while True:
            await self._caught_up()
            self._journal.flush()
            now_ns = self._clock.now_ns()
            if self._open or not self._scheduler.foreground_idle():
                quiet_since_ns = None
            elif quiet_since_ns is None:
                quiet_since_ns = now_ns
            elif now_ns - quiet_since_ns >= _QUIET_S * 1e9:
                return
            if now_ns > deadline_ns:
                moving = "; ".join(self._scheduler.describe_foreground())
                raise SimulationError(
                    f"not settled after {timeout_s:g} s: {len(self._open)} events are open"
                    + (f"; {moving}" if moving else "")
                )
            await self._clock.sleep(_POLL_S)

    def _read(self, batch: Sequence[Record]) -> None:
        pending = self._open
        for record in batch:
            kind = record[1]
            if kind == "send":
                # What answers a call ends by being received, as if it had a negative serial.
                pending[record[2] if record[5] <= _LAST_OF_WAY_IN else -record[2]] = None
            elif kind == "recv":
                pending.pop(-record[2], None)
            elif kind in ("end", "drop"):
                pending.pop(record[2], None)
                pending.pop(-record[2], None)


def virtual_loop() -> VirtualTimeLoop:
    """The running loop; raise `SettingsError` if it is not a virtual one."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise SettingsError(
            "a simulated cluster needs the virtual loop: use edgeless_sim.kernel.run(main), or "
            "the cluster fixture of the pytest plugin in a test that is `async def`"
        )
    return loop
