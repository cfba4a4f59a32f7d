"""The data plane of one node: who is here, who is where, and what became of each event.

Every event that is sent is delivered once or dropped with a cause; the journal has both
(invariant I24). An event for nobody that somebody waits for is answered with Err at once (U11).
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

import msgspec

from edgeless_sim.api.codec import decode_event
from edgeless_sim.dataplane.correlation import CALL_TIMEOUT_S, PendingCalls
from edgeless_sim.dataplane.links import EventPort, Inbox, Link, LocalLink, RemoteLink, Route
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.model.event import CallReturn, CallReturnKind, Event, EventType
from edgeless_sim.model.ids import NodeId

__all__ = ["Dataplane", "Frame"]

_RETURN_KIND: Final = {
    CallReturnKind.NO_REPLY: EventType.CALL_NO_RET,
    CallReturnKind.REPLY: EventType.CALL_RET,
    CallReturnKind.ERR: EventType.ERR,
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
        "_journal",
        "_local_link",
        "_peers",
        "_record",
        "calls",
        "counters",
        "local",
        "node_bytes",
        "scheduler",
    )

    def __init__(
        self,
        node_id: NodeId,
        scheduler: Scheduler,
        journal: Journal,
        dice: Random,
        connect: Callable[[str], EventPort],
        *,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self.node_bytes = node_id.bytes
        self.scheduler = scheduler
        self.calls = PendingCalls(scheduler, dice, timeout_s=call_timeout_s)
        #: Instances of this node by key.
        self.local: dict[bytes, Inbox] = {}
        #: Drops by cause.
        self.counters: Counter[str] = Counter()
        self._connect = connect
        self._journal = journal
        self._record = journal.record
        self._peers: dict[bytes, RemoteLink] = {}
        self._local_link: Link = LocalLink(self.arrive)

    # -- who is where ---------------------------------------------------------------------------

    def number(self, key: bytes) -> int:
        """The journal's number of the instance *key*."""
        return self._journal.intern("instance", key.hex())

    def add_peer(self, node: bytes, url: str) -> None:
        """Reach the node with the 16-byte id *node* at *url* from now on."""
        link = self._peers.get(node)
        if link is None or link.url != url:
            self._peers[node] = RemoteLink(url, self._connect(url), self.refuse)

    def remove_peer(self, node: bytes) -> None:
        """Forget a peer. Routes that lead there stay until they are patched."""
        self._peers.pop(node, None)

    def clear_peers(self) -> None:
        """Forget all peers (defect U20 absent)."""
        self._peers.clear()

    def link_to(self, key: bytes) -> Link | None:
        """The link that leads to the instance *key*; None if its node is not known."""
        if key[:16] == self.node_bytes:
            return self._local_link
        return self._peers.get(key[:16])

    def route_to(self, key: bytes, url: str = "") -> Route | None:
        """A route to the instance *key*, whose node takes events at *url* if that is given."""
        if url and key[:16] != self.node_bytes:
            self.add_peer(key[:16], url)
        link = self.link_to(key)
        return None if link is None else Route(key, self.number(key), link)

    # -- the way in -----------------------------------------------------------------------------

    def receive(self, frame: Frame) -> None:
        """An event from a peer."""
        try:
            event = decode_event(frame.payload)
        except (msgspec.DecodeError, ValueError):
            self.counters["malformed event"] += 1
            return
        node = event.source[:16]
        if node not in self._peers and frame.peer:
            # Learn the way back: replies and raw casts go to nodes nobody told us about.
            self.add_peer(node, frame.peer)
        self.arrive(event)

    def arrive(self, event: Event) -> None:
        """An event for an instance of this node."""
        kind = event.kind
        if kind == EventType.CAST or kind == EventType.CALL:
            inbox = self.local.get(event.target)
            if inbox is None:
                self.refuse(event, "no such instance")
            else:
                inbox.deliver(event)
            return
        if self.calls.close(event):
            self._record("recv", event.serial, self.number(event.target))
        else:
            self.drop(event, "a return that nobody waits for")

    # -- the way out ----------------------------------------------------------------------------

    def answer(self, call: Event, result: CallReturn) -> None:
        """Send the return of *call* to its caller. Casts have none."""
        if call.kind != EventType.CALL:
            return
        serial = self._journal.serial()
        kind = _RETURN_KIND[result.kind]
        event = Event(
            kind, call.source, call.target, call.stream, result.payload, 0, call.metadata, serial
        )
        source, target = self.number(call.target), self.number(call.source)
        self._record("send", serial, source, target, int(kind), len(result.payload))
        link = self.link_to(call.source)
        if link is None:
            self.drop(event, "no such peer")
        else:
            link.send(event)

    def refuse(self, event: Event, cause: str) -> None:
        """Drop *event*; if somebody waits for its answer, say Err."""
        self.drop(event, cause)
        if event.kind == EventType.CALL:
            self.answer(event, CallReturn(CallReturnKind.ERR))

    def drop(self, event: Event, cause: str) -> None:
        """Count and record that *event* is lost."""
        self.counters[cause] += 1
        self._record("drop", event.serial, self.number(event.target), cause)
