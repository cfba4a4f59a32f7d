"""The simulated network of a cluster: rules from the topology, faults, and what they cost.

The only maker of memory rules. Every event that the network loses is recorded with the cause, so
that the journal explains it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from edgeless_sim.api.codec import decode_event
from edgeless_sim.api.services import HANDLE
from edgeless_sim.api.wires import OUR_WIRES, Role, Wires
from edgeless_sim.cluster.addresses import url_of
from edgeless_sim.cluster.faults import Match, Member, link_between
from edgeless_sim.cluster.network_base import Crash, Network
from edgeless_sim.cluster.topology import LinkTopology
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.model.ids import NodeId
from edgeless_transports import (
    Address,
    CastReceiver,
    Frame,
    Handler,
    MemoryConnection,
    MemoryNetwork,
    MemoryTransport,
    Rule,
)
from edgeless_transports.frame import FrameKind
from edgeless_transports.network import QUEUE_FULL
from edgeless_transports.rules import (
    bandwidth,
    between,
    chain,
    duplicate,
    fifo,
    latency,
    loss,
    one_way_partition,
    partition,
    per_link,
    reorder,
)
from edgeless_transports.selection import ANSWERS, numbered, observed, only, overtaking, repeated

__all__ = ["NetworkHandle"]

_DELAYED: Final = "frames delayed"
_DUPLICATED: Final = "frames duplicated"
_OVERTAKING: Final = "frames that overtook others"
_NARROWED: Final = "frames slowed by bandwidth"
_LATE: Final = "late requests"
_AGAIN: Final = "requests again"


class NetworkHandle(Network):
    """The simulated network as tests and scenarios see it."""

    def __init__(
        self,
        scheduler: Scheduler,
        journal: Journal,
        dice: Random,
        links: Sequence[LinkTopology],
    ) -> None:
        super().__init__(journal)
        self._scheduler = scheduler
        self._ordered = False
        self._effects: Counter[str] = Counter()
        self.memory = MemoryNetwork(scheduler, dice, on_lost=self._lost)
        self._build(links)

    def url(self, location: str) -> str:
        """See `Network.url`."""
        return url_of(location)

    async def attach(
        self, location: str, handler: Handler, on_cast: CastReceiver | None = None
    ) -> Crash:
        """See `Network.attach`."""
        transport = MemoryTransport(self._scheduler, self.memory, location)
        listener = transport.attach(Address.parse(url_of(location)), handler, on_cast=on_cast)
        return listener.crash

    def location(self, url: str) -> str:
        """See `Network.location`."""
        return url.partition("://")[2] or url

    def wires(self, role: Role, home: NodeId | None = None) -> Wires:  # noqa: ARG002 - see `Network`
        """See `Network.wires`."""
        return OUR_WIRES

    def lost_by_cause(self) -> Counter[str]:
        """See `Network.lost_by_cause`."""
        return Counter(self.memory.counters.lost_by_cause)

    def effects(self) -> Counter[str]:
        """See `Network.effects`."""
        return Counter(self._effects)

    def _connection(self, here: str, url: str) -> MemoryConnection:
        """See `Network.connection`."""
        return MemoryConnection(self.memory, here, self.memory.place(self.location(url)))

    # -- faults ---------------------------------------------------------------------------------

    def _cut(self, here: Member, there: Member, *, both_ways: bool) -> Callable[[], None]:
        rule = partition(here, there) if both_ways else one_way_partition(here, there)
        return self._installed(rule)

    def _lose(self, probability: float, match: Match) -> Callable[[], None]:
        return self._installed(between(loss(probability, cause="loss"), match))

    def _slow(self, latency_ns: int, jitter_ns: int, match: Match) -> Callable[[], None]:
        self._keep_order()
        rule = observed(latency(latency_ns, jitter_ns), self._counter(_DELAYED))
        return self._installed(between(rule, match))

    def _narrow(self, bytes_per_s: int, match: Match) -> Callable[[], None]:
        self._keep_order()
        rule = observed(bandwidth(bytes_per_s), self._counter(_NARROWED))
        return self._installed(between(rule, match))

    def _double(self, probability: float, match: Match) -> Callable[[], None]:
        rule = observed(duplicate(probability), self._counter(_DUPLICATED))
        return self._installed(between(rule, match))

    def _shuffle(self, window_ns: int, probability: float, match: Match) -> Callable[[], None]:
        rule = chain(reorder(window_ns, probability), overtaking(self._counter(_OVERTAKING)))
        return self._installed_last(between(rule, match))

    def _swallow(self, method: str, match: Match, first: int, count: int) -> Callable[[], None]:
        lost = loss(1.0, cause=f"answer lost: {_short(method)}")
        rule = only(numbered(lost, first, count), method=method, kinds=ANSWERS)
        return self._installed(between(rule, match))

    def _retard(
        self, method: str, delay_ns: int, match: Match, again: bool, first: int, count: int
    ) -> Callable[[], None]:
        rule = repeated(delay_ns) if again else latency(delay_ns)
        counted = observed(rule, self._counter(f"{_AGAIN if again else _LATE}: {_short(method)}"))
        late = only(numbered(counted, first, count), method=method, kinds=(FrameKind.REQUEST,))
        return self._installed_last(between(late, match))

    def _counter(self, effect: str) -> Callable[[Frame, int], None]:
        def note(_frame: Frame, count: int) -> None:
            self._effects[effect] += count

        return note

    def _keep_order(self) -> None:
        """Frames of one link never overtake one another, not even when a delay is healed."""
        if not self._ordered:
            self.memory.install(fifo())
            self._ordered = True

    def _installed_last(self, rule: Rule) -> Callable[[], None]:
        """Behind all that keeps order, now or later."""
        self._keep_order()
        return self.memory.install(rule).remove

    def _installed(self, rule: Rule) -> Callable[[], None]:
        # First, so that a fifo rule of the topology sees the final delivery times.
        return self.memory.install(rule, first=True).remove

    # -- the network of the topology ------------------------------------------------------------

    def _build(self, links: Sequence[LinkTopology]) -> None:
        base, *special = links
        if not special:
            for rule in _rules_of(base):
                self.memory.install(rule)
            return
        matches = [(link_between([x.side_a], [x.side_b]), chain(*_rules_of(x))) for x in special]
        default = chain(*_rules_of(base))

        def choose(source: str, destination: str) -> Rule:
            for match, rule in reversed(matches):
                if match(source, destination):
                    return rule
            return default

        self.memory.install(per_link(choose))

    def _lost(self, frame: Frame, cause: str) -> None:
        # A full queue is told to the sender, whose data plane records it.
        if frame.method == HANDLE and cause != QUEUE_FULL:
            event = decode_event(frame.payload)
            number = self._journal.intern("instance", event.target.hex())
            self._journal.record("drop", event.serial, number, cause)


def _short(method: str) -> str:
    """``FunctionInstance/Start`` of ``/edgeless_api.FunctionInstance/Start``."""
    return method.rpartition(".")[2]


def _rules_of(link: LinkTopology) -> list[Rule]:
    rules: list[Rule] = []
    if link.latency_ns:
        rules.append(latency(link.latency_ns, link.jitter_ns))
    if link.loss:
        rules.append(loss(link.loss))
    if link.bandwidth_bytes_per_s is not None:
        rules.append(bandwidth(link.bandwidth_bytes_per_s))
    if link.jitter_ns or link.bandwidth_bytes_per_s is not None:
        rules.append(fifo())
    return rules
