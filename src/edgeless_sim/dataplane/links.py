"""Ways by which an event leaves: to an instance of the same node, to a peer, or not yet."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from edgeless_sim.api.services import HANDLE
from edgeless_sim.api.wire import OUR_WIRE, Wire
from edgeless_sim.model.event import Event

__all__ = [
    "HELD_MAX",
    "EventPort",
    "HoldingLink",
    "Inbox",
    "Link",
    "LocalLink",
    "RemoteLink",
    "Route",
]

#: Most events that wait for a target that is not placed yet, per channel.
HELD_MAX: Final = 1024


class Inbox(Protocol):
    """Where the events of one instance arrive."""

    def deliver(self, event: Event) -> None:
        """Take an event; never wait. A full queue refuses it and says so."""
        ...


class EventPort(Protocol):
    """What the event path needs of a transport's connection."""

    def cast_nowait(self, method: str, payload: bytes) -> bool:
        """Queue a frame; False when the queue is full."""
        ...


class Link(Protocol):
    """One way of moving an event on."""

    def send(self, event: Event) -> None:
        """Move *event* on, or refuse it with a cause. Never waits."""
        ...


class Route:
    """One output: the target's key, its number in the journal, and the link that leads there.

    ``after`` is the route of the next event, where a component has several instances.
    """

    __slots__ = ("after", "link", "number", "target")

    def __init__(self, target: bytes, number: int, link: Link) -> None:
        self.target = target
        self.number = number
        self.link = link
        self.after: Route | None = None

    def round(self) -> "list[Route]":
        """This one and those that come after it, each once."""
        routes = [self]
        while (after := routes[-1].after) is not None and after is not self:
            routes.append(after)
        return routes


class LocalLink:
    """To the instances of the same node: no encoding, no network."""

    __slots__ = ("_arrive",)

    def __init__(self, arrive: Callable[[Event], None]) -> None:
        self._arrive = arrive

    def send(self, event: Event) -> None:
        """See `Link.send`."""
        self._arrive(event)


class RemoteLink:
    """To one peer node."""

    __slots__ = ("_cast_nowait", "_encode", "_refuse", "url")

    def __init__(
        self,
        url: str,
        port: EventPort,
        refuse: Callable[[Event, str], None],
        wire: Wire = OUR_WIRE,
    ) -> None:
        self.url = url
        self._cast_nowait = port.cast_nowait
        self._encode = wire.encode_event
        self._refuse = refuse

    def send(self, event: Event) -> None:
        """See `Link.send`."""
        try:
            payload = self._encode(event)
        except ValueError:
            self._refuse(event, "event too large")
            return
        if not self._cast_nowait(HANDLE, payload):
            self._refuse(event, "network queue full")


class HoldingLink:
    """To a target that has no instance at present: events wait, in order, until there is one.

    That covers what ``init`` sends before its targets are placed (design, decision 27) and what
    is sent while a target moves after a crash. Bounded; what does not fit is refused.
    """

    __slots__ = ("_refuse", "held")

    def __init__(self, refuse: Callable[[Event, str], None]) -> None:
        self._refuse = refuse
        self.held: deque[Event] = deque()

    def send(self, event: Event) -> None:
        """See `Link.send`."""
        if len(self.held) >= HELD_MAX:
            self._refuse(event, "target not placed")
        else:
            self.held.append(event)

    def take(self) -> list[Event]:
        """All that waits, in order; nothing waits afterwards."""
        taken = list(self.held)
        self.held.clear()
        return taken
