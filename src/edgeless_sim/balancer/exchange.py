"""Exchange: pairs the halves of portals by number and forwards what enters the one half by the
other, in both directions, calls with their replies (spec 6.13).

Halves come, go and are patched in any order, any number of times (upstream bug 45): while the other
half is missing or leads nowhere, events wait, in order, in the half they entered. Whoever hosts a
half limits what waits in it.
"""

from collections.abc import Callable
from typing import Final

from edgeless_sim.balancer.half import Half, Waiting
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.model.event import CallReturn, Event
from edgeless_sim.model.ids import InstanceKey
from edgeless_sim.model.portal import PORTAL_OUTPUT, PortalSide
from edgeless_sim.resources.files import REJECTED_SUMMARY

__all__ = ["HALVES_MAX", "NESTED_MAX", "WAITING_MAX", "Exchange"]

HALVES_MAX: Final = 20_000
#: Events that wait in one half.
WAITING_MAX: Final = 1_024
#: Portals that an event passes in this balancer without leaving it.
NESTED_MAX: Final = 16

_TURN_NS: Final = 1_000_000
_NOBODY: Final = "the other half of the portal is missing"
_NOWHERE: Final = "the portal leads nowhere"
_WRONG_HALF: Final = "events do not enter this half of the portal"
_FULL: Final = "queue full"
_CIRCLE: Final = "portals lead in a circle"


class Exchange:
    """What the two nodes of the balancer of *domain* share.

    An event waits for at most *wait_s*, after which nobody would wait for its reply any more.
    """

    def __init__(self, domain: str, scheduler: Scheduler, *, wait_s: float) -> None:
        self.domain = domain
        self._scheduler = scheduler
        self._wait_ns = round(wait_s * 1e9)
        self._halves: dict[InstanceKey, Half] = {}
        self._by_number: dict[tuple[int, PortalSide], Half] = {}
        #: Events that are being forwarded because another one is.
        self._nested = 0

    def __len__(self) -> int:
        return len(self._halves)

    def add(self, half: Half) -> None:
        """Take *half*, in place of what runs under its id.

        Raise `RejectedError` for the second half of one number in the same domain, and for one
        whose role is not that of the other.
        """
        number, side = half.configuration.number, half.configuration.side
        other = self._by_number.get((number, side))
        if other is not None and other.pid != half.pid:
            raise RejectedError(REJECTED_SUMMARY, f"id: there is a {side} half {number} already")
        opposite = self._by_number.get((number, _opposite(side)))
        if opposite is not None and opposite.configuration.role is not half.configuration.role:
            raise RejectedError(
                REJECTED_SUMMARY,
                f"role: the other half of {number} is a {opposite.configuration.role}",
            )
        present = self._halves.get(half.pid.key)
        if present is None and len(self._halves) >= HALVES_MAX:
            raise RejectedError(REJECTED_SUMMARY, f"the balancer has {HALVES_MAX} halves already")
        if present is not None and present.configuration == half.configuration:
            # A start that is repeated because its answer was lost.
            present.sink, present.mapped = half.sink, half.mapped
        else:
            self.remove(half.pid.key)
            self._halves[half.pid.key] = half
            self._by_number[number, side] = half
        self._flush(number)

    def patch(self, key: InstanceKey, *, mapped: bool) -> None:
        """The output of a half leads somewhere else now, or nowhere."""
        half = self._halves.get(key)
        if half is not None:
            half.mapped = mapped
            self._flush(half.configuration.number)

    def remove(self, key: InstanceKey) -> None:
        """A half has gone. What waits in the other one goes on waiting."""
        half = self._halves.pop(key, None)
        if half is not None:
            half.drop_waiting()
            del self._by_number[half.configuration.number, half.configuration.side]

    def take(self, event: Event, answer: Callable[[CallReturn], None]) -> None:
        """An event that has come to one of the halves."""
        half = self._halves[InstanceKey(event.target)]
        if not half.configuration.reads:
            half.sink.refuse(event, _WRONG_HALF)
            return
        if self._nested >= NESTED_MAX:
            half.sink.refuse(event, _CIRCLE)
            return
        exit_half = self._exit_of(half)
        if exit_half is not None and not half.waiting:
            self._forward(exit_half, event, answer)
        elif len(half.waiting) >= WAITING_MAX:
            half.sink.refuse(event, _FULL)
        else:
            until_ns = self._scheduler.now_ns() + self._wait_ns
            half.waiting.append(Waiting(event, answer, until_ns))
            self._watch(half)

    def _exit_of(self, half: Half) -> Half | None:
        """Where events leave that enter *half*; None while they cannot."""
        configuration = half.configuration
        other = self._by_number.get((configuration.number, _opposite(configuration.side)))
        return other if other is not None and other.mapped else None

    def _flush(self, number: int) -> None:
        """Send on what waits, as far as it can go on now."""
        for side in PortalSide:
            half = self._by_number.get((number, side))
            if half is None:
                continue
            for _ in range(WAITING_MAX):
                exit_half = self._exit_of(half)
                if exit_half is None or not half.waiting:
                    break
                event, answer, _ = half.waiting.popleft()
                self._forward(exit_half, event, answer)
            else:
                # Portals may lead in a circle, so that ever more comes back: others have a turn.
                again_ns = self._scheduler.now_ns() + _TURN_NS
                self._scheduler.timer_at(again_ns, self._flush, number)
            if half.timer is not None and not half.waiting:
                half.timer.cancel()
                half.timer = None

    def _forward(self, exit_half: Half, event: Event, answer: Callable[[CallReturn], None]) -> None:
        self._nested += 1
        try:
            exit_half.sink.forward(PORTAL_OUTPUT, event, answer)
        finally:
            self._nested -= 1

    def _watch(self, half: Half) -> None:
        if half.timer is None and half.waiting:
            until_ns = half.waiting[0].until_ns
            half.timer = self._scheduler.timer_at(until_ns, self._expire, half)

    def _expire(self, half: Half) -> None:
        half.timer = None
        now_ns = self._scheduler.now_ns()
        while half.waiting and half.waiting[0].until_ns <= now_ns:
            half.sink.refuse(half.waiting.popleft().event, self._hindrance(half))
        self._watch(half)

    def _hindrance(self, half: Half) -> str:
        configuration = half.configuration
        there = (configuration.number, _opposite(configuration.side)) in self._by_number
        return _NOWHERE if there else _NOBODY


def _opposite(side: PortalSide) -> PortalSide:
    return PortalSide.PORTAL if side is PortalSide.LOCAL else PortalSide.LOCAL
