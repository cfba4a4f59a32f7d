"""What an ε-ORC mirrors its domain to, and takes intents from (spec 4.7, 7).

A mirror is optional: without it nothing is lost but the view from outside (defect U21). Not here:
the mirror of this process (`mirror`), a Redis (`redis_proxy`) and CSV files (`datasets`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from edgeless_sim.model.ids import DomainId, InstanceId, LogicalId, NodeId
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.mirror import MirroredComponent, MirroredHealth, MirroredNode, Point, Series
from edgeless_sim.orchestrator.records import Changes
from edgeless_sim.orchestrator.series import SeriesKey

__all__ = ["INTENTS_MAX", "INTENTS_PER_TICK_MAX", "DomainSource", "Proxy"]

#: Intents that wait to be obeyed.
INTENTS_MAX: Final = 1_024
#: Reliability B74: a flood of intents must not keep an ε-ORC from its work.
INTENTS_PER_TICK_MAX: Final = 100


class DomainSource(Protocol):
    """A domain as it is at the moment it is asked."""

    domain_id: DomainId

    def node(self, node_id: NodeId) -> MirroredNode | None:
        """A node, None if it is not here."""
        ...

    def has_node(self, node_id: NodeId) -> bool:
        """Whether a node is here."""
        ...

    def component(self, logical_id: LogicalId) -> MirroredComponent | None:
        """A component, None if it is not here."""
        ...

    def nodes(self) -> Iterable[NodeId]:
        """Those that are here, as a list of its own."""
        ...

    def components(self) -> Iterable[LogicalId]:
        """Those that are here, as a list of its own."""
        ...

    def series(self, after: SeriesKey | None = None) -> Iterator[Series]:
        """What was measured lately, behind *after*; to be read before anything else happens."""
        ...

    def names(self) -> dict[str, NodeId]:
        """What the nodes that are here are called."""
        ...

    def now_s(self) -> float:
        """Seconds since 1970."""
        ...


class Proxy(Protocol):
    """A mirror outside. It is told and never waited for: nothing here may wait or raise."""

    kind: str
    """What it is, for measurements."""
    counters: Counter[str]
    """How much was written, failed, was left out or refused, since it began."""

    def begin(self, domain: DomainSource, obey: Callable[[Iterable[Intent]], None]) -> None:
        """Mirror *domain* from now on; give *obey* what comes, at most
        `INTENTS_PER_TICK_MAX` after each `tick`."""
        ...

    def tick(self, changes: Changes) -> None:
        """A second has passed; *changes* is what is different since the last one."""
        ...

    def health(self, node_id: NodeId, sample: MirroredHealth) -> None:
        """A node has refreshed its registration."""
        ...

    def points(self, instance: InstanceId, name: str, points: list[Point]) -> None:
        """A node has measured something of an instance, or it has logged something."""
        ...

    def end(self) -> None:
        """Stop, without a last word."""
        ...
