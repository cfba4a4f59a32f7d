"""The data plane of one node: who is here, who is where, and what became of each event.

Every event that is sent is delivered once or dropped with a cause; the journal has both
(invariant I24). An event for nobody that somebody waits for is answered with Err at once (U11).
What a peer sends is checked before it is believed: sizes, whose name it bears, and whether it has
been here before (I22, I23).
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from edgeless_sim.api.wire import OUR_WIRE, EventError, Wire
from edgeless_sim.api.wires import OUR_WIRES, Wires
from edgeless_sim.dataplane.correlation import CALL_TIMEOUT_S, PendingCalls
from edgeless_sim.dataplane.links import EventPort, Inbox, Link, LocalLink, RemoteLink, Route
from edgeless_sim.dataplane.marks import is_mark
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.model.event import ERR, CallReturn, CallReturnKind, Event, EventType
from edgeless_sim.model.ids import NodeId

__all__ = ["EVENT_BYTES_MAX", "PEERS_MAX", "SOURCES_MAX", "Dataplane", "Frame"]

#: Largest encoded event: a payload of 1 MiB, and room for the rest.
EVENT_BYTES_MAX: Final = (1 << 20) + 1024
#: Most peers that are learned from what they send.
PEERS_MAX: Final = 10_000
#: Most senders per instance whose last event is remembered.
SOURCES_MAX: Final = 1024
_NUMBERS_MAX: Final = 100_000
_KEY_BYTES: Final = 32
_METADATA_BYTES: Final = 24

_CALL: Final = int(EventType.CALL)
_CAST: Final = int(EventType.CAST)
_RETURN_KIND: Final = {
    CallReturnKind.NO_REPLY: int(EventType.CALL_NO_RET),
    CallReturnKind.REPLY: int(EventType.CALL_RET),
    CallReturnKind.ERR: int(EventType.ERR),
}


class Frame(Protocol):
    """What the data plane reads of a transport's incoming frame."""

    @property
    def payload(self) -> bytes:
        """The encoded event."""
        ...

    @property
    def peer(self) -> str:
        """The URL at which the sender takes events; empty if it is not known."""
        ...


class Dataplane:
    """Moves the events of one node's instances. Plain callbacks; nothing here waits."""

    __slots__ = (
        "_connect",
        "_decode",
        "_journal",
        "_local_link",
        "_numbers",
        "_peers",
        "_record",
        "_seen",
        "_wires",
        "calls",
        "counters",
        "local",
        "marks",
        "node_bytes",
        "relays",
        "scheduler",
    )

    def __init__(
        self,
        node_id: NodeId,
        scheduler: Scheduler,
        journal: Journal,
        draw_dice: Callable[[], Random],
        connect: Callable[[str], EventPort],
        *,
        call_timeout_s: float = CALL_TIMEOUT_S,
        wires: Wires = OUR_WIRES,
        wire: Wire = OUR_WIRE,
    ) -> None:
        """*wire* is that on which events arrive here; *wires* know those of the peers."""
        self.node_bytes = node_id.bytes
        self.scheduler = scheduler
        self.calls = PendingCalls(scheduler, draw_dice, timeout_s=call_timeout_s)
        #: Instances of this node by key; changed by `attach` and `detach` only.
        self.local: dict[bytes, Inbox] = {}
        #: Who takes the marks for an instance, by its key.
        self.marks: dict[bytes, Callable[[Event], None]] = {}
        #: Who answers calls that were made to an instance of another node, by that one's key.
        self.relays: dict[bytes, Callable[[Event, CallReturn], None]] = {}
        #: Drops and oddities by cause.
        self.counters: Counter[str] = Counter()
        self._connect = connect
        self._wires = wires
        self._decode = wire.decode_event
        self._journal = journal
        self._record = journal.record
        self._peers: dict[bytes, RemoteLink] = {}
        self._local_link: Link = LocalLink(self.arrive)
        self._numbers: dict[bytes, int] = {}
        #: Serial of the last event from a peer, by target, then by source.
        self._seen: dict[bytes, dict[bytes, int]] = {}

    # -- who is where ---------------------------------------------------------------------------

    def attach(self, key: bytes, inbox: Inbox) -> None:
        """Give the events for *key* to *inbox* from now on."""
        self.local[key] = inbox

    def detach(self, key: bytes) -> None:
        """Take no further event for *key*, and remember nothing of it."""
        self.local.pop(key, None)
        self.marks.pop(key, None)
        self._seen.pop(key, None)

    def number(self, key: bytes) -> int:
        """The journal's number of the instance *key*."""
        number = self._numbers.get(key)
        if number is None:
            if len(self._numbers) >= _NUMBERS_MAX:
                # Only a shorter way to what the journal knows.
                self._numbers.clear()
            number = self._numbers[key] = self._journal.intern("instance", key.hex())
        return number

    def add_peer(self, node: bytes, url: str) -> None:
        """Reach the node with the 16-byte id *node* at *url* from now on."""
        link = self._peers.get(node)
        # EDGELESS tells a node that it is its own peer, too.
        if node != self.node_bytes and (link is None or link.url != url):
            self._peers[node] = RemoteLink(
                url, self._connect(url), self.refuse, self._wires.calling(url)
            )

    def remove_peer(self, node: bytes) -> None:
        """Forget a peer that has gone, and end the open calls to its instances with Err.

        Routes that lead there stay until they are patched.
        """
        if self._peers.pop(node, None) is not None:
            self.calls.lose(node)

    def clear_peers(self) -> None:
        """Forget all peers (defect U20 absent). That says of none that it has gone."""
        self._peers.clear()

    def link_to(self, key: bytes) -> Link | None:
        """The link that leads to the instance *key*; None if its node is not known."""
        if key[:16] == self.node_bytes:
            return self._local_link
        return self._peers.get(key[:16])

    def route_to(self, key: bytes, url: str = "") -> Route | None:
        """A route to the instance *key*, whose node takes events at *url* if that is given."""
        if url:
            self.add_peer(key[:16], url)
        link = self.link_to(key)
        return None if link is None else Route(key, self.number(key), link)

    # -- the way in -----------------------------------------------------------------------------

    def receive(self, frame: Frame) -> None:
        """An event from a peer."""
        payload = frame.payload
        try:
            event = self._decode(payload)
        except EventError:
            self.counters["malformed event"] += 1
            return
        source = event.source
        if len(source) != _KEY_BYTES or len(event.metadata) != _METADATA_BYTES:
            self.counters["malformed event"] += 1
            return
        node = source[:16]
        if len(payload) > EVENT_BYTES_MAX or (
            node not in self._peers and not self._learn(node, frame.peer)
        ):
            self._turn_away(event)
            return
        kind = event.kind
        if kind != _CAST and kind != _CALL:
            self._take_return(event)
            return
        target = event.target
        inbox = self.local.get(target)
        if inbox is None:
            self.refuse(event, "no such instance")
            return
        serial = event.serial
        if serial > 0:
            seen = self._seen.get(target)
            if seen is None:
                seen = self._seen[target] = {}
            last = seen.get(source, 0)
            if serial <= last:
                # No Err even to a call: it may be the copy of one that is being handled.
                self.drop(event, "duplicate" if serial == last else "duplicate or overtaken")
                return
            if not last and len(seen) >= SOURCES_MAX:
                del seen[next(iter(seen))]
            seen[source] = serial
        inbox.deliver(event)

    def arrive(self, event: Event) -> None:
        """An event of this node for an instance of this node."""
        kind = event.kind
        if kind != _CAST and kind != _CALL:
            self._take_return(event)
            return
        inbox = self.local.get(event.target)
        if inbox is None:
            self.refuse(event, "no such instance")
        else:
            inbox.deliver(event)

    def _take_return(self, event: Event) -> None:
        if self.calls.close(event):
            self._record("recv", event.serial, self._number(event.target))
        elif is_mark(event):
            if take := self.marks.get(event.target):
                take(event)
        else:
            self.drop(event, "a return that nobody waits for")

    def _turn_away(self, event: Event) -> None:
        if event.source[:16] == self.node_bytes:
            # No Err: it would go to the instance in whose name the peer spoke.
            self.drop(event, "a peer used our name")
        else:
            self.refuse(event, "event too large")

    def _learn(self, node: bytes, url: str) -> bool:
        """Learn the way back: replies and raw casts go to nodes that nobody told us about.

        False if the peer claims to be this node.
        """
        if node == self.node_bytes:
            return False
        if url and len(self._peers) < PEERS_MAX:
            self.add_peer(node, url)
        return True

    # -- the way out ----------------------------------------------------------------------------

    def answer(self, call: Event, result: CallReturn) -> None:
        """Send the return of *call* to its caller. Casts have none."""
        if call.kind != _CALL:
            return
        if self.relays and (relay := self.relays.get(call.target)):
            relay(call, result)
            return
        serial = self._journal.serial()
        kind = _RETURN_KIND[result.kind]
        payload = result.payload
        size = len(payload) if payload.isascii() else len(payload.encode())
        event = Event(
            kind, call.source, call.target, call.stream, payload, 0, call.metadata, serial
        )
        self._record(
            "send", serial, self._number(call.target), self._number(call.source), kind, size
        )
        link = self.link_to(call.source)
        if link is None:
            self.drop(event, "no such peer")
        else:
            link.send(event)

    def refuse(self, event: Event, cause: str) -> None:
        """Drop *event*; if somebody waits for its answer, say Err."""
        self.drop(event, cause)
        if event.kind == _CALL:
            self.answer(event, ERR)

    def drop(self, event: Event, cause: str) -> None:
        """Count and record that *event* is lost."""
        self.counters[cause] += 1
        self._record("drop", event.serial, self._number(event.target), cause)

    def _number(self, key: bytes) -> int:
        """As `number`, for keys that a peer may have made up: they must not fill the journal."""
        number = self._numbers.get(key)
        if number is not None:
            return number
        if len(key) != _KEY_BYTES or len(self._numbers) >= _NUMBERS_MAX // 2:
            key = bytes(_KEY_BYTES)
        return self.number(key)
