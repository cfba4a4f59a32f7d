"""DomainRegister: which domains there are, until when, and which of them may be used (spec 3.1).

A domain that is new, or has lost its memory, must stop everything first. The order carries an
epoch and is repeated until the domain echoes it (defect U38); before that the domain gets nothing
(defect U04). Not here: what runs in a domain (`ledger`), and talking to it (`link`).
"""

from collections import deque
from dataclasses import dataclass, field, replace
from enum import Enum
from heapq import heappop, heappush
from math import isfinite
from random import Random
from typing import Final

from edgeless_sim.api.messages import UpdateDomainRequest, UpdateDomainResponse
from edgeless_sim.controller.choice import DomainOffer, DomainView
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.names import name_fault, quoted

__all__ = ["DOMAINS_MAX", "TTL_S_MAX", "DomainEntry", "DomainRegister", "News", "Verdict"]

DOMAINS_MAX: Final = 1_000
#: Longest time for which a domain may announce itself.
TTL_S_MAX: Final = 3_600.0
_URL_BYTES_MAX: Final = 2_048
#: Nonces of earlier processes of one domain that are remembered.
_SUPERSEDED_MAX: Final = 16
_EPOCH_BITS: Final = 62


class News(Enum):
    """What a registration changed, for those who have to act."""

    NONE = "none"
    #: A domain that was not there. It is not usable yet.
    JOINED = "joined"
    #: Its process was restarted: what it ran is lost. It is not usable.
    RESTARTED = "restarted"
    #: It confirmed its reset and is usable.
    USABLE = "usable"
    #: It confirmed a second reset of the same process: what it ran is lost, and it is usable.
    RESET = "reset"
    #: It offers something else.
    CHANGED = "changed"


@dataclass(slots=True, eq=False)
class DomainEntry:
    """One registered domain."""

    domain_id: DomainId
    url: str
    capabilities: DomainCapabilities
    nonce: int
    counter: int
    deadline_ns: int
    ttl_ns: int
    epoch: int | None = None
    """The reset that it has confirmed; None = it is not usable."""
    epoch_ordered: int | None = None
    """The reset that it is told to do, and has not confirmed."""
    silent: bool = False
    """It did not answer lately, though it may still register."""
    superseded: deque[int] = field(default_factory=lambda: deque(maxlen=_SUPERSEDED_MAX))
    queued_ns: int = 0
    """The deadline under which it stands in the register's heap."""
    accepted: bytes = b""
    """The last registration, encoded, if one equal to it can tell nothing new; else empty."""
    reply: bytes = b""
    """The encoded reply to `accepted`."""
    view: DomainView = field(init=False)

    def __post_init__(self) -> None:
        self.refresh_view()

    def refresh_view(self) -> None:
        """Make the view anew after a change of capabilities, epoch or silence."""
        offer = DomainOffer.of(self.capabilities)
        self.view = DomainView(self.domain_id, offer, self.epoch is None, self.silent)

    def mark(self, *, silent: bool) -> None:
        """Note whether it answers."""
        if silent is not self.silent:
            self.silent = silent
            self.view = replace(self.view, silent=silent)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one registration."""

    entry: DomainEntry
    response: UpdateDomainResponse
    news: News
    overtaken: bool = False
    """The frame is older than one that arrived before it: what it reports is past."""


class DomainRegister:
    """The registered domains. Deadlines count on the register's own clock."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._entries: dict[DomainId, DomainEntry] = {}
        # (deadline, domain) pairs. A later deadline moves its pair only when that comes up; pairs
        # that are not their entry's ``queued_ns`` are left-overs.
        self._deadlines: list[tuple[int, DomainId]] = []
        # Nonces of domains that have gone: once the domain is back, those are superseded, too.
        self._gone: dict[DomainId, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, domain_id: DomainId) -> DomainEntry | None:
        """The entry of a registered domain."""
        return self._entries.get(domain_id)

    def entries(self) -> list[DomainEntry]:
        """All entries, sorted by domain id."""
        return [self._entries[domain_id] for domain_id in sorted(self._entries)]

    def views(self) -> list[DomainView]:
        """All domains as the choice sees them, sorted by domain id."""
        return [entry.view for entry in self.entries()]

    def update(self, request: UpdateDomainRequest, now_ns: int) -> Verdict:
        """Take a registration; raise `RejectedError` if it is none, or not from the right one."""
        _check(request)
        ttl_ns = round(max(0.0, min(request.ttl_s, TTL_S_MAX)) * 1e9)
        entry = self._entries.get(request.domain_id)
        if entry is None:
            return self._join(request, now_ns, ttl_ns)
        if request.nonce in entry.superseded:
            raise RejectedError(
                "Superseded domain process",
                f"another process has registered as domain {quoted(request.domain_id)} since",
            )
        entry.ttl_ns = ttl_ns
        self.prolong(entry, now_ns)
        if request.nonce != entry.nonce:
            return self._restart(entry, request)
        if entry.epoch is not None and request.epoch == entry.epoch:
            return self._refresh(entry, request)
        return self._acknowledge(entry, request)

    def prolong(self, entry: DomainEntry, now_ns: int) -> None:
        """*entry* was heard of: set its deadline anew."""
        entry.deadline_ns = now_ns + entry.ttl_ns
        if entry.deadline_ns < entry.queued_ns:
            self._queue(entry)

    def trust(self, entry: DomainEntry) -> None:
        """Take it that *entry* has done its reset: it is EDGELESS's own and cannot say so."""
        entry.epoch = 0
        entry.epoch_ordered = None
        entry.refresh_view()

    def expire(self, now_ns: int) -> list[DomainEntry]:
        """Remove and return the domains whose deadline has passed, the earliest first."""
        expired = []
        heap = self._deadlines
        while heap and heap[0][0] < now_ns:
            queued_ns, domain_id = heappop(heap)
            entry = self._entries.get(domain_id)
            if entry is None or entry.queued_ns != queued_ns:
                continue
            if entry.deadline_ns < now_ns:
                del self._entries[domain_id]
                if len(self._gone) >= DOMAINS_MAX:
                    del self._gone[next(iter(self._gone))]
                self._gone[domain_id] = (*entry.superseded, entry.nonce)
                expired.append(entry)
            else:
                self._queue(entry)
        return expired

    def _queue(self, entry: DomainEntry) -> None:
        entry.queued_ns = entry.deadline_ns
        heappush(self._deadlines, (entry.deadline_ns, entry.domain_id))

    def _join(self, request: UpdateDomainRequest, now_ns: int, ttl_ns: int) -> Verdict:
        if len(self._entries) >= DOMAINS_MAX:
            raise RejectedError("Too many domains", f"{DOMAINS_MAX} are registered already")
        entry = DomainEntry(
            domain_id=request.domain_id,
            url=request.orchestrator_url,
            capabilities=request.capabilities,
            nonce=request.nonce,
            counter=request.counter,
            deadline_ns=now_ns + ttl_ns,
            ttl_ns=ttl_ns,
        )
        earlier = self._gone.pop(request.domain_id, ())
        entry.superseded.extend(nonce for nonce in earlier if nonce != request.nonce)
        self._entries[request.domain_id] = entry
        self._queue(entry)
        return self._order_reset(entry, News.JOINED)

    def _restart(self, entry: DomainEntry, request: UpdateDomainRequest) -> Verdict:
        # Remembered, so that two processes with the same domain id do not reset it in turn.
        entry.superseded.append(entry.nonce)
        entry.nonce = request.nonce
        entry.epoch = None
        entry.epoch_ordered = None
        entry.silent = False
        self._take(entry, request)
        entry.refresh_view()
        return self._order_reset(entry, News.RESTARTED)

    def _refresh(self, entry: DomainEntry, request: UpdateDomainRequest) -> Verdict:
        response = UpdateDomainResponse(reset=False, epoch=request.epoch)
        if request.counter <= entry.counter:
            # Equal: it says itself that it offers what it did, so only its deadline moves.
            overtaken = request.counter < entry.counter
            return Verdict(entry, response, News.NONE, overtaken=overtaken)
        if not self._take(entry, request):
            return Verdict(entry, response, News.NONE)
        entry.refresh_view()
        return Verdict(entry, response, News.CHANGED)

    def _acknowledge(self, entry: DomainEntry, request: UpdateDomainRequest) -> Verdict:
        """The same process, but not at the epoch that we know it has confirmed."""
        echoed = entry.epoch_ordered is not None and request.epoch == entry.epoch_ordered
        mute = request.components is None and request.epoch == 0
        if not echoed and not (mute and entry.epoch is None):
            # Not orphaned before it echoes: the frame may be one that was overtaken.
            return self._order_reset(entry, News.NONE)
        news = News.USABLE if entry.epoch is None else News.RESET
        entry.epoch = request.epoch
        entry.epoch_ordered = None
        if request.counter != entry.counter:
            self._take(entry, request)
        entry.refresh_view()
        return Verdict(entry, UpdateDomainResponse(reset=False, epoch=request.epoch), news)

    def _order_reset(self, entry: DomainEntry, news: News) -> Verdict:
        if entry.epoch_ordered is None:
            entry.epoch_ordered = 1 + self._dice.getrandbits(_EPOCH_BITS)
        return Verdict(entry, UpdateDomainResponse(reset=True, epoch=entry.epoch_ordered), news)

    def _take(self, entry: DomainEntry, request: UpdateDomainRequest) -> bool:
        """Store what the domain announces; whether anybody must look at it."""
        changed = (
            entry.capabilities != request.capabilities or entry.url != request.orchestrator_url
        )
        entry.capabilities = request.capabilities
        entry.url = request.orchestrator_url
        entry.counter = request.counter
        return changed


def _check(request: UpdateDomainRequest) -> None:
    if not request.domain_id:
        raise RejectedError("Empty domain identifier")
    fault = name_fault(request.domain_id)
    if fault is not None:
        raise RejectedError("Invalid domain identifier", f"{quoted(request.domain_id)}: {fault}")
    fault = name_fault(request.orchestrator_url, _URL_BYTES_MAX)
    if fault is not None or "://" not in request.orchestrator_url:
        raise RejectedError(
            "Invalid domain configuration",
            f"orchestrator URL {quoted(request.orchestrator_url)}: "
            f"{fault or 'write scheme://location'}",
        )
    if not isfinite(request.ttl_s):
        raise RejectedError("Invalid domain configuration", f"time to live {request.ttl_s} s")
