"""Asks a placement strategy, and blames it by name for whatever goes wrong.

Users write strategies: one that raises, answers nonsense or never returns must not end or hang its
domain. Not here: what is done with its answer (`plan`), and how it is found (`placement`).
"""

import signal
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from random import Random
from types import FrameType
from typing import Any, Final, TypeVar
from uuid import UUID

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.intent import Migrate
from edgeless_sim.orchestrator.placement import PlacementStrategy, wants_components
from edgeless_sim.orchestrator.view import ComponentView, DomainView, NodeView

__all__ = ["MIGRATIONS_PER_TICK_MAX", "SCORES_MAX", "STRATEGY_S_MAX", "Choice", "Judge"]

T = TypeVar("T")

#: How long a strategy may think, in s of real time: nothing else happens in its process meanwhile.
STRATEGY_S_MAX: Final = 1.0
#: How long one that thought longer is not asked again.
_BENCHED_NS: Final = 30_000_000_000
#: Most migrations that a strategy may propose at once.
MIGRATIONS_PER_TICK_MAX: Final = 100
#: Most candidates for whose scores a strategy is asked at each placement.
SCORES_MAX: Final = 8
_FAULT_CHARS_MAX: Final = 200


class _TookTooLong(BaseException):
    """Not an Exception: a strategy that catches everything must not catch this."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a strategy chose."""

    node_id: NodeId
    scores: Mapping[str, float]
    """What it gives to the first candidates, by name, if it scores."""


class Judge:
    """A strategy with the name that it has in the journal."""

    def __init__(
        self,
        name: str,
        strategy: PlacementStrategy,
        now_ns: Callable[[], int] = lambda: 0,
        *,
        seconds_max: float = STRATEGY_S_MAX,
    ) -> None:
        self.name: Final = name
        self.strategy: Final = strategy
        self.wants_components: Final = wants_components(strategy)
        self.rebalances: Final = callable(getattr(strategy, "rebalance", None))
        self._score: Callable[..., Any] | None = getattr(strategy, "score", None)
        self._now_ns = now_ns
        self._seconds_max = seconds_max
        self._benched_until_ns: int | None = None

    def choose(
        self,
        candidates: Sequence[NodeView],
        component: ComponentView,
        view: DomainView,
        dice: Random,
    ) -> Choice:
        """Its choice, perhaps of no node; raise `RejectedError` that blames it for a fault."""

        def ask() -> Choice:
            chosen: object = self.strategy.choose(candidates, component, view, dice)
            if not isinstance(chosen, UUID):
                raise TypeError(f"it chose {chosen!r}, which is no id of a node")
            return Choice(NodeId(chosen), self._scores(candidates, component, view))

        return self._asked(ask)

    def rebalance(self, view: DomainView, dice: Random) -> tuple[Migrate, ...]:
        """The migrations that it proposes; raise `RejectedError` that blames it for a fault."""

        def ask() -> tuple[Migrate, ...]:
            rebalance: Callable[..., Any] = self.strategy.rebalance  # type: ignore[attr-defined]  # `rebalances` says that it is there
            proposed = tuple(islice(rebalance(view, dice), MIGRATIONS_PER_TICK_MAX))
            for migration in proposed:
                if not _is_migration(migration):
                    raise TypeError(f"it proposed {migration!r}, which is no Migrate of ids")
            return proposed

        return self._asked(ask)

    def blame(self, what: str) -> RejectedError:
        """An error that names the strategy."""
        return RejectedError(f"the strategy {self.name} has failed: {what[:_FAULT_CHARS_MAX]}")

    def _scores(
        self, candidates: Sequence[NodeView], component: ComponentView, view: DomainView
    ) -> dict[str, float]:
        """What the strategy thinks of some candidates, as far as it says so in numbers."""
        if self._score is None:
            return {}
        told = {
            node.name: self._score(node, component, view) for node in islice(candidates, SCORES_MAX)
        }
        return {name: float(score) for name, score in told.items() if _is_score(score)}

    def _asked(self, ask: Callable[[], T]) -> T:
        now_ns = self._now_ns()
        too_long = f"it took longer than {self._seconds_max:g} s"
        if self._benched_until_ns is not None and now_ns < self._benched_until_ns:
            raise self.blame(too_long)
        try:
            with _limited(self._seconds_max):
                return _guarded(ask)
        except _TookTooLong:
            self._benched_until_ns = now_ns + _BENCHED_NS
            raise self.blame(too_long) from None
        except Exception as fault:
            raise self.blame(f"{type(fault).__name__}: {fault}") from fault


def _is_migration(proposed: object) -> bool:
    return (
        isinstance(proposed, Migrate)
        and isinstance(proposed.component, UUID)
        and isinstance(proposed.targets, tuple)
        and all(isinstance(target, UUID) for target in proposed.targets)
    )


def _is_score(told: object) -> bool:
    return isinstance(told, int | float) and isfinite(told)


def _guarded(ask: Callable[[], T]) -> T:
    """Where `_TookTooLong` may be raised."""
    return ask()


@contextmanager
def _limited(seconds: float) -> Generator[None]:
    """Raise `_TookTooLong` in what is `_guarded` if the block takes longer.

    By a signal, which interrupts a loop as well as a wait; only the main thread gets one. An alarm
    that was set before goes off when it should have.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_it(_number: int, frame: FrameType | None) -> None:
        # Nowhere else: it may go off when the strategy has just answered.
        while frame is not None:
            if frame.f_code is _guarded.__code__:
                raise _TookTooLong
            frame = frame.f_back

    handler = signal.signal(signal.SIGALRM, raise_it)
    # Again and again: one raised where exceptions are dropped, as in a destructor, is lost.
    before_s, _ = signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)
    try:
        yield
    finally:
        left_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if before_s:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, before_s - seconds + left_s))
