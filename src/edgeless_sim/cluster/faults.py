"""Faults of a cluster's network, in whichever world: partitions, loss, delay, and their end.

What a fault is called and whom it concerns is here; how frames or bytes are hindered is the
network's (`network`, `wire_network`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeAlias

from edgeless_sim.cluster.addresses import CLIENT, member_of
from edgeless_sim.kernel.journal import Journal

__all__ = ["Fault", "Faults", "Match", "Member", "link_between"]

#: Whether a location is on a side.
Member: TypeAlias = Callable[[str], bool]
#: Whether what goes from a source to a destination is concerned.
Match: TypeAlias = Callable[[str, str], bool]
_Undo: TypeAlias = Callable[[], None]


class Fault:
    """A fault of the network, until it is healed."""

    def __init__(self, healed: Callable[["Fault"], None]) -> None:
        self._healed = healed

    def heal(self) -> None:
        """Undo the fault. Idempotent."""
        self._healed(self)


class Faults(ABC):
    """The faults of one network, as tests and scenarios make them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._faults: dict[Fault, None] = {}
        self._numbers = count(1)

    def partition(self, a: Sequence[str], b: Sequence[str] = ()) -> Fault:
        """Nothing passes between the sides *a* and *b*; an empty *b* is everybody else."""
        here = member_of(a)
        there = member_of(b) if b else _others(here)
        return self._install(self._cut(here, there, both_ways=True), "partition", a, b)

    def one_way(self, sources: Sequence[str], destinations: Sequence[str] = ()) -> Fault:
        """Nothing passes from *sources* to *destinations*; the way back is open."""
        here = member_of(sources)
        there = member_of(destinations) if destinations else _others(here)
        undo = self._cut(here, there, both_ways=False)
        return self._install(undo, "one-way partition", sources, destinations)

    def loss(self, probability: float, a: Sequence[str] = (), b: Sequence[str] = ()) -> Fault:
        """Frames between *a* and *b* are lost with *probability*."""
        undo = self._lose(probability, link_between(a, b))
        return self._install(undo, f"loss {probability:g}", a, b)

    def delay(
        self, extra_ns: int, jitter_ns: int = 0, a: Sequence[str] = (), b: Sequence[str] = ()
    ) -> Fault:
        """Frames between *a* and *b* take *extra_ns* more, plus or minus *jitter_ns*.

        Nothing becomes faster: with a *jitter_ns* above *extra_ns*, *jitter_ns* is the mean delay
        and frames take between nothing and twice that more.
        """
        undo = self._slow(max(extra_ns, jitter_ns), jitter_ns, link_between(a, b))
        return self._install(undo, f"delay {extra_ns / 1e6:g} ms", a, b)

    def heal_all(self) -> None:
        """Undo all faults."""
        for fault in list(self._faults):
            fault.heal()

    @abstractmethod
    def _cut(self, here: Member, there: Member, *, both_ways: bool) -> _Undo:
        """Let nothing pass from *here* to *there*, or between them."""

    @abstractmethod
    def _lose(self, probability: float, match: Match) -> _Undo:
        """Lose with *probability* what *match* says."""

    @abstractmethod
    def _slow(self, latency_ns: int, jitter_ns: int, match: Match) -> _Undo:
        """Delay what *match* says."""

    def _install(self, undo: _Undo, what: str, a: Sequence[str], b: Sequence[str]) -> Fault:
        number = next(self._numbers)
        where = f"{','.join(a) or 'all'} | {','.join(b) or 'others'}"
        self._journal.record("fault", f"{what} #{number}", where)

        def healed(fault: Fault) -> None:
            if self._faults.pop(fault, fault) is None:
                undo()
                self._journal.record("fault", f"heal #{number}", where)

        fault = Fault(healed)
        self._faults[fault] = None
        return fault


def _others(here: Member) -> Member:
    """Everybody else, but never the experimenter: a fault of the network is none of its own."""
    return lambda location: location != CLIENT and not here(location)


def link_between(a: Sequence[str], b: Sequence[str]) -> Match:
    """Between the sides *a* and *b*, in either direction."""
    here, there = member_of(a), member_of(b)

    def match(source: str, destination: str) -> bool:
        return (here(source) and there(destination)) or (there(source) and here(destination))

    return match
