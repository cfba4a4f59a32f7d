"""Who is registered, and until when. A refresh that says nothing new costs a comparison.

Deadlines count on this process's clock from the moment a request arrives; what a node's clock says
is of no interest (defect U06). Not here: what becomes of nodes that join or go (`membership`).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush
from math import isfinite
from typing import Final
from urllib.parse import urlsplit

from edgeless_sim.api.messages import UpdateNodeRequest
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import NODE_ID_NONE, NodeId
from edgeless_sim.model.names import clipped, looks_like_node_name, name_fault, quoted
from edgeless_sim.model.resource import validated_providers

__all__ = ["NODES_MAX", "NodeRegister", "Registration"]

NODES_MAX: Final = 100_000
_TTL_S_MAX: Final = 86_400.0
_URL_CHARS_MAX: Final = 2_048
#: Earlier lives of a node whose late registrations are recognised.
_NONCES_BEFORE_MAX: Final = 16
_STALE: Final = ("stale registration", "the node has restarted since")


class Registration(Enum):
    """What an accepted request was."""

    JOINED = "joined"
    REFRESHED = "refreshed"
    RESTARTED = "restarted"


@dataclass(slots=True, eq=False)
class _Entry:
    node_id: NodeId
    nonce: int
    agent_url: str
    deadline_ns: int
    ttl_ns: int
    nonces_before: deque[int] = field(default_factory=lambda: deque(maxlen=_NONCES_BEFORE_MAX))
    peer: str = ""
    payload: bytes = b""


class NodeRegister:
    """Deadlines and nonces of the nodes of one domain.

    With *keep_alive_s* above 0 our own nodes are asked to refresh every half of it, and are gone
    after twice as long without a refresh (design, decision 4); other nodes, or all of them with 0,
    announce how long they are to be believed. *connect* raises ValueError for a URL that this
    process cannot use.
    """

    def __init__(
        self, keep_alive_s: float, connect: Callable[[str], object], own_url: str = ""
    ) -> None:
        """*own_url* is that of the ε-ORC, at which there can be no node."""
        self._keep_alive_s = keep_alive_s
        self._connect = connect
        self._own_url = own_url
        self._entries: dict[NodeId, _Entry] = {}
        self._by_peer: dict[str, _Entry] = {}
        # Nonces of nodes that have gone: once the node is back, a late registration of one of those
        # lives must not push it out (F44). While it is gone any will do, since none is known to be
        # the last.
        self._gone: dict[NodeId, tuple[int, ...]] = {}
        # Holds each entry once, under a deadline that may have been put off since.
        self._deadlines: list[tuple[int, int, _Entry]] = []
        self._sequence = 0
        self.refreshes_total = 0
        """Refreshes that said nothing new."""

    def __len__(self) -> int:
        return len(self._entries)

    def repeat(self, peer: str, payload: bytes, now_ns: int) -> bool:
        """Whether *payload* is what *peer* said last; then its deadline is put off."""
        entry = self._by_peer.get(peer)
        if entry is None or entry.payload != payload:
            return False
        entry.deadline_ns = now_ns + entry.ttl_ns
        self.refreshes_total += 1
        return True

    def update(self, request: UpdateNodeRequest, now_ns: int) -> Registration:
        """Take a registration or a refresh; raise `RejectedError` for one that cannot be true."""
        ttl_ns = self._ttl_ns(request)
        entry = self._entries.get(request.node_id)
        if entry is not None:
            self._check_rival(entry, request, now_ns)
        _check(request)
        if entry is None or entry.agent_url != request.agent_url:
            self._check_usable(request.agent_url)
        if entry is None:
            if len(self._entries) >= NODES_MAX:
                raise RejectedError("too many nodes", f"{NODES_MAX} are registered")
            self._add(request, now_ns + ttl_ns, ttl_ns)
            return Registration.JOINED
        entry.deadline_ns, entry.ttl_ns = now_ns + ttl_ns, ttl_ns
        entry.agent_url = request.agent_url
        if ttl_ns == 0:
            # It leaves: its old place in the heap may be far ahead.
            self._push(entry)
        if entry.nonce == request.nonce:
            return Registration.REFRESHED
        # Keeping the old nonce would make every further refresh look like a restart (defect U05).
        entry.nonces_before.append(entry.nonce)
        entry.nonce = request.nonce
        return Registration.RESTARTED

    def remember(self, node_id: NodeId, peer: str, payload: bytes) -> None:
        """*payload*, just accepted from *peer*, need not be read again if it comes again."""
        entry = self._entries[node_id]
        if entry.peer != peer:
            self._forget_peer(entry)
        entry.peer, entry.payload = peer, payload
        self._by_peer[peer] = entry

    def refreshed_ns(self, node_id: NodeId) -> int | None:
        """When a node was heard last; None for one that is not here."""
        entry = self._entries.get(node_id)
        return None if entry is None else entry.deadline_ns - entry.ttl_ns

    def expired(self, now_ns: int) -> list[NodeId]:
        """Remove the nodes whose deadline has passed, and return them in the order of that."""
        gone: list[NodeId] = []
        heap = self._deadlines
        while heap and heap[0][0] < now_ns:
            _, _, entry = heappop(heap)
            if self._entries.get(entry.node_id) is not entry:
                continue
            if entry.deadline_ns >= now_ns:
                self._push(entry)
                continue
            del self._entries[entry.node_id]
            self._forget_peer(entry)
            self._remember_gone(entry)
            gone.append(entry.node_id)
        return gone

    def _ttl_ns(self, request: UpdateNodeRequest) -> int:
        ttl_s = request.ttl_s
        if not isfinite(ttl_s) or not 0 <= ttl_s <= _TTL_S_MAX:
            raise RejectedError(
                "invalid node configuration", f"ttl_s: {ttl_s} is not between 0 and {_TTL_S_MAX:g}"
            )
        if self._keep_alive_s and request.inventory is not None and ttl_s:
            ttl_s = 2 * self._keep_alive_s
        return round(ttl_s * 1e9)

    def _check_rival(self, entry: _Entry, request: UpdateNodeRequest, now_ns: int) -> None:
        if request.nonce == entry.nonce:
            return
        if request.nonce in entry.nonces_before:
            raise RejectedError(*_STALE)
        if request.agent_url != entry.agent_url and now_ns <= entry.deadline_ns:
            raise RejectedError(
                "duplicate node id",
                f"{request.node_id} is the id of a living node at {quoted(entry.agent_url)}",
            )

    def _check_usable(self, url: str) -> None:
        if url == self._own_url:
            # It would take what it tells the node for requests of the ε-CON (reliability B61).
            raise RejectedError("invalid node configuration", "agent_url: it is the ε-ORC's own")
        try:
            self._connect(url)
        except ValueError as error:
            detail = clipped(f"agent_url: {error}")
            raise RejectedError("invalid node configuration", detail) from None

    def _add(self, request: UpdateNodeRequest, deadline_ns: int, ttl_ns: int) -> None:
        entry = _Entry(request.node_id, request.nonce, request.agent_url, deadline_ns, ttl_ns)
        earlier = self._gone.pop(request.node_id, ())
        entry.nonces_before.extend(nonce for nonce in earlier if nonce != request.nonce)
        self._entries[request.node_id] = entry
        self._push(entry)

    def _remember_gone(self, entry: _Entry) -> None:
        if len(self._gone) >= NODES_MAX:
            del self._gone[next(iter(self._gone))]
        self._gone[entry.node_id] = (*entry.nonces_before, entry.nonce)

    def _push(self, entry: _Entry) -> None:
        self._sequence += 1
        heappush(self._deadlines, (entry.deadline_ns, self._sequence, entry))

    def _forget_peer(self, entry: _Entry) -> None:
        if self._by_peer.get(entry.peer) is entry:
            del self._by_peer[entry.peer]


def _check(request: UpdateNodeRequest) -> None:
    if request.node_id.int == 0 or request.node_id == NODE_ID_NONE:
        raise RejectedError("invalid node configuration", "the id means 'no node'")
    if request.name and not looks_like_node_name(request.name):
        raise RejectedError("invalid node configuration", f"name: {quoted(request.name)}")
    for key, url in (
        ("agent_url", request.agent_url),
        ("invocation_url", request.invocation_url),
    ):
        fault = _url_fault(url)
        if fault is not None:
            raise RejectedError("invalid node configuration", clipped(f"{key}: {fault}"))
    request.capabilities.validated()
    validated_providers(request.resource_providers)


def _url_fault(url: str) -> str | None:
    fault = name_fault(url, _URL_CHARS_MAX)
    if fault is not None:
        return fault
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        return f"{quoted(url)}: {error}"
    if not parts.scheme or parts.scheme == "file" or not host or " " in url:
        return f"{quoted(url)} is not scheme://host"
    return None
