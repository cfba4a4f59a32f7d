"""Faults of a cluster's network, in whichever world: partitions, loss, delay, and their end.

What a fault is called and whom it concerns is here; how frames or bytes are hindered is the
network's (`network`, `wire_network`). What a stream of bytes cannot do to frames, such as doubling
them, is refused in the worlds of sockets.
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

    def duplicate(self, probability: float, a: Sequence[str] = (), b: Sequence[str] = ()) -> Fault:
        """Frames between *a* and *b* arrive twice with *probability*.

        Raises `RejectedError` in worlds of sockets, as do the next three but `bandwidth`.
        """
        undo = self._double(probability, link_between(a, b))
        return self._install(undo, f"duplicate {probability:g}", a, b)

    def reorder(
        self, window_ns: int, probability: float, a: Sequence[str] = (), b: Sequence[str] = ()
    ) -> Fault:
        """Frames between *a* and *b* are up to *window_ns* late with *probability*, and those
        sent after them overtake them."""
        undo = self._shuffle(window_ns, probability, link_between(a, b))
        return self._install(undo, f"reorder {probability:g}, {window_ns / 1e6:g} ms", a, b)

    def bandwidth(self, bytes_per_s: int, a: Sequence[str] = (), b: Sequence[str] = ()) -> Fault:
        """Each link between *a* and *b* carries *bytes_per_s* in each direction."""
        undo = self._narrow(bytes_per_s, link_between(a, b))
        return self._install(undo, f"bandwidth {bytes_per_s} B/s", a, b)

    def lose_answers(
        self, method: str, a: Sequence[str], b: Sequence[str], *, first: int = 1, count: int = 1
    ) -> Fault:
        """Calls of *method* between *a* and *b* are carried out, and their answers are lost.

        From number *first* on, *count* of them. *method* is a path as in `api.methods`.
        """
        undo = self._swallow(method, link_between(a, b), first, count)
        return self._install(undo, f"answers lost, {method}", a, b)

    def late_requests(
        self,
        method: str,
        delay_ns: int,
        a: Sequence[str],
        b: Sequence[str],
        *,
        again: bool = False,
        first: int = 1,
        count: int = 1,
    ) -> Fault:
        """Requests of *method* between *a* and *b* arrive *delay_ns* later; or, with *again*, in
        time and once more then. From number *first* on, *count* of them."""
        undo = self._retard(method, delay_ns, link_between(a, b), again, first, count)
        what = f"requests {'again ' if again else ''}{delay_ns / 1e9:g} s late, {method}"
        return self._install(undo, what, a, b)

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

    @abstractmethod
    def _narrow(self, bytes_per_s: int, match: Match) -> _Undo:
        """Let what *match* says pass one after the other."""

    @abstractmethod
    def _double(self, probability: float, match: Match) -> _Undo:
        """Deliver twice what *match* says, or raise `RejectedError`."""

    @abstractmethod
    def _shuffle(self, window_ns: int, probability: float, match: Match) -> _Undo:
        """Let frames overtake what *match* says, or raise `RejectedError`."""

    @abstractmethod
    def _swallow(self, method: str, match: Match, first: int, count: int) -> _Undo:
        """Lose answers to *method*, or raise `RejectedError`."""

    @abstractmethod
    def _retard(
        self, method: str, delay_ns: int, match: Match, again: bool, first: int, count: int
    ) -> _Undo:
        """Deliver requests of *method* late, or raise `RejectedError`."""

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
