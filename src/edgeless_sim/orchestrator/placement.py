"""Placement strategies: which of the feasible nodes hosts a component. Pure (design, decision 29).

A strategy is found by its name among the entry points "edgeless.strategies", or as
``module:Class``. It has no clock, no I/O and no dice of its own, and it may remember what it chose.
"""

from bisect import bisect_right
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from itertools import accumulate
from random import Random
from typing import Final, Protocol, cast

from edgeless_sim.errors import SettingsError
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.names import clipped, quoted, suggestion
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.orchestrator.view import ComponentView, DomainView, NodeView

__all__ = [
    "PlacementStrategy",
    "RandomPlacement",
    "RoundRobinPlacement",
    "compute_weight",
    "create_strategy",
    "strategy_fault",
    "wants_components",
]

_GROUP: Final = "edgeless.strategies"


class PlacementStrategy(Protocol):
    """Chooses among feasible nodes.

    The view it gets is good until it has chosen. Walking through the components of that takes long
    in large domains; `DomainView.loads` and its like do not. A class attribute
    ``wants_components = False`` says that nothing such will be asked: the view has nodes only.
    Two methods may be added:

    ``score(node, component, view) -> float`` tells what it thinks of a candidate, the higher the
    better; `edgeless_cli workflow explain` shows it.

    ``rebalance(view, dice) -> Iterable[Migrate]`` is asked once a second for components that had
    better move; what cannot be done is declined.
    """

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,
        view: DomainView,
        dice: Random,
    ) -> NodeId:
        """Pick one of *feasible*, which is never empty and is sorted by node_id."""
        ...


def wants_components(strategy: PlacementStrategy) -> bool:
    """Whether the view that *strategy* gets must list the components; True unless it says no."""
    return bool(getattr(strategy, "wants_components", True))


def compute_weight(capabilities: NodeCapabilities) -> float:
    """How much a node counts in a random choice (case D16)."""
    return max(capabilities.num_cores, capabilities.num_cpus) * capabilities.clock_freq_cpu or 1.0


class RandomPlacement:
    """Weighted by compute capacity, as in EDGELESS."""

    wants_components = False

    def __init__(self) -> None:
        self._feasible: Sequence[NodeView] = ()
        self._sums: list[float] = []

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,  # noqa: ARG002 - the shape of a strategy
        view: DomainView,  # noqa: ARG002 - the shape of a strategy
        dice: Random,
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        # The same candidates come again and again: adding 10,000 weights each time would show.
        if feasible is not self._feasible:
            self._feasible = feasible
            self._sums = list(accumulate(compute_weight(node.capabilities) for node in feasible))
        return dice.choices(feasible, cum_weights=self._sums)[0].node_id


class RoundRobinPlacement:
    """The next feasible node after the last one chosen, in the order of their ids."""

    wants_components = False

    def __init__(self) -> None:
        self._last = -1

    def choose(
        self,
        feasible: Sequence[NodeView],
        component: ComponentView,  # noqa: ARG002 - the shape of a strategy
        view: DomainView,  # noqa: ARG002 - the shape of a strategy
        dice: Random,  # noqa: ARG002 - the shape of a strategy
    ) -> NodeId:
        """See `PlacementStrategy.choose`."""
        place = bisect_right(feasible, self._last, key=lambda node: node.node_id.int)
        chosen = feasible[place % len(feasible)].node_id
        self._last = chosen.int
        return chosen


def create_strategy(name: str) -> PlacementStrategy:
    """The strategy called *name*; raise `SettingsError` if there is none that can be made."""
    made_of = _strategy_class(name)
    try:
        return cast(PlacementStrategy, made_of())
    except (Exception, SystemExit) as fault:
        raise _unusable(name, fault) from fault


def strategy_fault(name: str) -> str | None:
    """Why `create_strategy` would refuse *name*; None if it would not.

    A strategy is imported and made to see that, with all that its module does then.
    """
    try:
        create_strategy(name)
    except SettingsError as fault:
        return str(fault)
    return None


def _strategy_class(name: str) -> type:
    found = _found(name)
    # Any function of any module could be named; only what can be a strategy is ever called.
    if not isinstance(found, type) or not callable(getattr(found, "choose", None)):
        raise SettingsError(
            f"orchestration strategy {quoted(name)} is no class with a method choose()"
        )
    return found


def _found(name: str) -> object:
    known = {point.name: point for point in entry_points(group=_GROUP)}
    module_name, colon, class_name = name.partition(":")
    if name not in known and not colon:
        raise SettingsError(
            f"orchestration strategy {quoted(name)} is not known: one of "
            f"{', '.join(sorted(known))}, or module:Class{suggestion(name, known)}"
        )
    try:
        if name in known:
            return known[name].load()
        return getattr(import_module(module_name), class_name)
    except (Exception, SystemExit) as fault:
        raise _unusable(name, fault) from fault


def _unusable(name: str, fault: BaseException) -> SettingsError:
    return SettingsError(
        clipped(f"orchestration strategy {quoted(name)}: {type(fault).__name__}: {fault}")
    )
