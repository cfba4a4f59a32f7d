"""The simulated network of a cluster: rules from the topology, faults, and what they cost.

The only maker of memory rules. Every event that the network loses is recorded with the cause, so
that the journal explains it.
"""

from collections.abc import Callable, Sequence
from itertools import count
from random import Random

from edgeless_sim.api.codec import decode_event
from edgeless_sim.api.services import HANDLE
from edgeless_sim.cluster.addresses import CLIENT, member_of
from edgeless_sim.cluster.topology import LinkTopology
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_transports import Frame, InstalledRule, MemoryConnection, MemoryNetwork, Rule
from edgeless_transports.network import QUEUE_FULL
from edgeless_transports.rules import (
    bandwidth,
    between,
    chain,
    fifo,
    latency,
    loss,
    one_way_partition,
    partition,
    per_link,
)

__all__ = ["Fault", "NetworkHandle"]


class Fault:
    """A fault of the network, until it is healed."""

    def __init__(self, installed: InstalledRule, healed: Callable[["Fault"], None]) -> None:
        self._installed = installed
        self._healed = healed

    def heal(self) -> None:
        """Undo the fault. Idempotent."""
        self._installed.remove()
        self._healed(self)


class NetworkHandle:
    """The network as tests and scenarios see it."""

    def __init__(
        self,
        scheduler: Scheduler,
        journal: Journal,
        dice: Random,
        links: Sequence[LinkTopology],
    ) -> None:
        self._journal = journal
        self._faults: dict[Fault, None] = {}
        self._numbers = count(1)
        self._ordered = False
        self.memory = MemoryNetwork(scheduler, dice, on_lost=self._lost)
        self._build(links)

    def connection(self, here: str, url: str) -> MemoryConnection:
        """A connection from the location *here*; it works whenever somebody listens at *url*."""
        location = url.partition("://")[2] or url
        return MemoryConnection(self.memory, here, self.memory.place(location))

    # -- faults ---------------------------------------------------------------------------------

    def partition(self, a: Sequence[str], b: Sequence[str] = ()) -> Fault:
        """Nothing passes between the sides *a* and *b*; an empty *b* is everybody else."""
        here = member_of(a)
        there = member_of(b) if b else _others(here)
        return self._install(partition(here, there), "partition", a, b)

    def one_way(self, sources: Sequence[str], destinations: Sequence[str] = ()) -> Fault:
        """Nothing passes from *sources* to *destinations*; the way back is open."""
        here = member_of(sources)
        there = member_of(destinations) if destinations else _others(here)
        rule = one_way_partition(here, there)
        return self._install(rule, "one-way partition", sources, destinations)

    def loss(self, probability: float, a: Sequence[str] = (), b: Sequence[str] = ()) -> Fault:
        """Frames between *a* and *b* are lost with *probability*."""
        rule = between(loss(probability, cause="loss"), _link_between(a, b))
        return self._install(rule, f"loss {probability:g}", a, b)

    def delay(
        self, extra_ns: int, jitter_ns: int = 0, a: Sequence[str] = (), b: Sequence[str] = ()
    ) -> Fault:
        """Frames between *a* and *b* take *extra_ns* more, plus or minus *jitter_ns*.

        Nothing becomes faster: with a *jitter_ns* above *extra_ns*, *jitter_ns* is the mean delay
        and frames take between nothing and twice that more.
        """
        if not self._ordered:
            # Frames of one link never overtake one another, not even when the delay is healed.
            self.memory.install(fifo())
            self._ordered = True
        rule = between(latency(max(extra_ns, jitter_ns), jitter_ns), _link_between(a, b))
        return self._install(rule, f"delay {extra_ns / 1e6:g} ms", a, b)

    def heal_all(self) -> None:
        """Undo all faults."""
        for fault in list(self._faults):
            fault.heal()

    def _install(self, rule: Rule, what: str, a: Sequence[str], b: Sequence[str]) -> Fault:
        number = next(self._numbers)
        where = f"{','.join(a) or 'all'} | {','.join(b) or 'others'}"
        self._journal.record("fault", f"{what} #{number}", where)

        def healed(fault: Fault) -> None:
            if self._faults.pop(fault, fault) is None:
                self._journal.record("fault", f"heal #{number}", where)

        # First, so that a fifo rule of the topology sees the final delivery times.
        fault = Fault(self.memory.install(rule, first=True), healed)
        self._faults[fault] = None
        return fault

    # -- the network of the topology ------------------------------------------------------------

    def _build(self, links: Sequence[LinkTopology]) -> None:
        base, *special = links
        if not special:
            for rule in _rules_of(base):
                self.memory.install(rule)
            return
        matches = [(_link_between([x.side_a], [x.side_b]), chain(*_rules_of(x))) for x in special]
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


def _others(here: Callable[[str], bool]) -> Callable[[str], bool]:
    # A fault never cuts off the experimenter, who is not part of the cluster.
    return lambda location: location != CLIENT and not here(location)


def _link_between(a: Sequence[str], b: Sequence[str]) -> Callable[[str, str], bool]:
    here, there = member_of(a), member_of(b)

    def match(source: str, destination: str) -> bool:
        return (here(source) and there(destination)) or (there(source) and here(destination))

    return match
