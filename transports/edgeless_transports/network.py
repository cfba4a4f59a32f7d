"""The in-process network: who listens where, the rules, and what became of every frame.

It has no clock and no dice of its own: both come with the constructor, so one seed gives one run.
Connections and listeners are in `memory`; this module moves frames and knows nothing of calls.

Every frame has exactly one end, and the counters add up at all times::

    sent + duplicated = delivered + lost + in flight
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from random import Random
from types import TracebackType
from typing import Final, Protocol

from edgeless_transports.base import CastReceiver, Scheduler
from edgeless_transports.errors import AddressError
from edgeless_transports.frame import Frame, FrameKind, Rule
from edgeless_transports.rules import ConstantLatency, cause_of

__all__ = [
    "IN_FLIGHT_MAX",
    "NOBODY_LISTENS",
    "QUEUE_FULL",
    "Counters",
    "InstalledRule",
    "MemoryNetwork",
    "Place",
    "Receiver",
]

#: Frames on their way to one location, unless the constructor says otherwise.
IN_FLIGHT_MAX: Final = 100_000
NOBODY_LISTENS: Final = "nobody listens"
QUEUE_FULL: Final = "network queue full"

_CAST: Final = FrameKind.CAST
_REQUEST: Final = FrameKind.REQUEST


@dataclass(slots=True)
class Counters:
    """What became of the frames of one network, in copies: a duplicate is a copy of its own."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    #: Copies that rules added.
    duplicated: int = 0
    #: Answers that were delivered after their caller had stopped waiting.
    late_answers: int = 0
    #: Casts whose handler failed (listeners without ``on_cast``).
    casts_failed: int = 0
    lost_by_cause: dict[str, int] = field(default_factory=dict)


class Receiver(Protocol):
    """Who listens at a location."""

    @property
    def on_cast(self) -> CastReceiver:
        """Takes casts; read once, when the receiver is attached."""
        ...

    def on_request(self, frame: Frame) -> None:
        """Take a request; its answer goes to ``frame.source``."""
        ...

    def crash(self) -> None:
        """Stop at once and tell nobody."""
        ...


class Place:
    """One location: who receives there, and how many frames are on their way to it."""

    __slots__ = ("_network", "_on_cast", "_on_request", "in_flight", "location", "receiver")

    def __init__(self, network: "MemoryNetwork", location: str) -> None:
        self._network = network
        self.location: Final = location
        self.in_flight = 0
        self.receiver: Receiver | None = None
        # Bound once: a frame costs no look-up of the receiver's methods.
        self._on_cast: Callable[[Frame], None] | None = None
        self._on_request: Callable[[Frame], None] | None = None

    def hand_over(self, receiver: Receiver | None) -> None:
        """Give what arrives from now on to *receiver*."""
        self.receiver = receiver
        self._on_cast = None if receiver is None else receiver.on_cast
        self._on_request = None if receiver is None else receiver.on_request

    def deliver(self, frame: Frame) -> None:
        """The end of a frame's way: the scheduler calls this."""
        self.in_flight -= 1
        kind = frame.kind
        receive: Callable[[Frame], None] | None
        if kind is _CAST:
            receive = self._on_cast
        elif kind is _REQUEST:
            receive = self._on_request
        else:
            receive = frame.on_answer
        if receive is None:
            self._network.lose(frame, NOBODY_LISTENS)
            return
        self._network.counters.delivered += 1
        receive(frame)


class InstalledRule:
    """The life of a rule in a network: ends with `remove`, or with the ``with`` block."""

    __slots__ = ("_network", "rule")

    def __init__(self, network: "MemoryNetwork", rule: Rule) -> None:
        self._network = network
        self.rule: Final = rule

    def remove(self) -> None:
        """Take the rule out again. Idempotent."""
        self._network._uninstall(self)  # noqa: SLF001 - the network's own half of the guard

    def __enter__(self) -> "InstalledRule":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


class MemoryNetwork:
    """Moves frames between locations of one process.

    *on_lost* is told of each lost copy of a frame, with the cause; it must not raise. The network
    keeps one small object per location for ever: locations are those of a topology.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        dice: Random,
        rules: Iterable[Rule] = (),
        *,
        on_lost: Callable[[Frame, str], None] | None = None,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        self.scheduler: Final = scheduler
        self.counters: Final = Counters()
        self.on_lost = on_lost
        self._dice = dice
        self._in_flight_max = in_flight_max
        self._places: dict[str, Place] = {}
        self._installed: list[InstalledRule] = []
        # What `send` reads: the sum of the leading constant latencies, and the rules behind them.
        self._delay_ns = 0
        self._rules: tuple[Rule, ...] = ()
        for rule in rules:
            self.install(rule)

    def install(self, rule: Rule, *, first: bool = False) -> InstalledRule:
        """Apply *rule* to the frames sent from now on, after the other rules or before them.

        Use ``first`` for what changes delivery times while a `fifo` is installed.
        """
        installed = InstalledRule(self, rule)
        self._installed.insert(0 if first else len(self._installed), installed)
        self._compile()
        return installed

    def _uninstall(self, installed: InstalledRule) -> None:
        if installed in self._installed:
            self._installed.remove(installed)
            self._compile()

    def _compile(self) -> None:
        """Fold constant latencies at the front: they are the usual case, and an addition."""
        rules = [installed.rule for installed in self._installed]
        folded = list(takewhile(lambda rule: isinstance(rule, ConstantLatency), rules))
        self._delay_ns = sum(rule.delay_ns for rule in folded if isinstance(rule, ConstantLatency))
        self._rules = tuple(rules[len(folded) :])

    def place(self, location: str) -> Place:
        """The place called *location*, made at first use."""
        place = self._places.get(location)
        if place is None:
            place = self._places[location] = Place(self, location)
        return place

    def listens(self, location: str) -> bool:
        """Whether somebody listens at *location* now."""
        place = self._places.get(location)
        return place is not None and place.receiver is not None

    def attach(self, location: str, receiver: Receiver) -> Place:
        """Let frames for *location* arrive; raise `AddressError` if somebody listens there."""
        place = self.place(location)
        if place.receiver is not None:
            raise AddressError(f"somebody listens at {location!r} already")
        place.hand_over(receiver)
        return place

    def detach(self, place: Place, receiver: Receiver) -> None:
        """Lose requests and casts for *place* from now on, those on their way included.

        Nothing happens if another receiver is there by now.
        """
        if place.receiver is receiver:
            place.hand_over(None)

    def drop(self, location: str) -> None:
        """Crash whoever listens at *location*: its callers are not told and run into deadlines.

        Nothing happens if nobody does.
        """
        place = self._places.get(location)
        if place is not None and place.receiver is not None:
            place.receiver.crash()

    def send(self, frame: Frame, place: Place) -> bool:
        """Put *frame* on its way to *place*, its destination; False if the queue there is full.

        The frame arrives by the scheduler, never inside this call. Losses by rules return True:
        a sender cannot know of them.
        """
        self.counters.sent += 1
        if place.in_flight >= self._in_flight_max:
            self.lose(frame, QUEUE_FULL)
            return False
        if self._rules:
            return self._send_by_rules(frame, place)
        place.in_flight += 1
        if self._delay_ns:
            self.scheduler.call_at(frame.sent_ns + self._delay_ns, place.deliver, frame)
        else:
            self.scheduler.call_soon(place.deliver, frame)
        return True

    def _send_by_rules(self, frame: Frame, place: Place) -> bool:
        times: tuple[int, ...] = (frame.sent_ns + self._delay_ns,)
        dice = self._dice
        for rule in self._rules:
            before = len(times)
            times = rule(frame, times, dice)
            change = len(times) - before
            if change > 0:
                self.counters.duplicated += change
            elif change < 0:
                cause = cause_of(rule)
                for _ in range(-change):
                    self.lose(frame, cause)
                if not times:
                    return True
        queued = 0
        for when_ns in times:
            assert when_ns >= frame.sent_ns, "a rule delivers a frame before it was sent"
            if place.in_flight >= self._in_flight_max:
                self.lose(frame, QUEUE_FULL)
                continue
            place.in_flight += 1
            queued += 1
            # Also for what is due now: only one of the scheduler's queues keeps the order.
            self.scheduler.call_at(when_ns, place.deliver, frame)
        return queued > 0

    def lose(self, frame: Frame, cause: str) -> None:
        """Count one copy of *frame* as lost by *cause*, and tell `on_lost`."""
        counters = self.counters
        counters.lost += 1
        counters.lost_by_cause[cause] = counters.lost_by_cause.get(cause, 0) + 1
        if self.on_lost is not None:
            self.on_lost(frame, cause)

    def in_flight(self) -> int:
        """Copies on their way now. Walks all locations: for reports and tests."""
        return sum(place.in_flight for place in self._places.values())
