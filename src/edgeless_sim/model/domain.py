"""What a whole orchestration domain offers: the sum over its nodes (spec 10.2, case C020).

Numbers are added, names are united. `DomainTotals` keeps the sum while nodes come and go, so
that 10,000 nodes joining one after the other cost 10,000 steps and not 10,000 sums. Not here: who
the nodes are.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.model.resource import ResourceProviderSpecification

__all__ = ["DomainCapabilities", "DomainTotals", "NodeOffer", "sum_capabilities"]

#: What one node contributes.
NodeOffer: TypeAlias = tuple[NodeCapabilities, Sequence[ResourceProviderSpecification]]

#: The numbers are unsigned and have 32 bits on EDGELESS's wire; more is told as this.
_UINT32_MAX: Final = (1 << 32) - 1


class DomainCapabilities(msgspec.Struct, frozen=True):
    """The sum and union over the nodes of a domain; all names are sorted."""

    num_nodes: int = 0
    num_cpus: int = 0
    num_cores: int = 0
    mem_size: int = 0
    """MiB."""
    labels: tuple[str, ...] = ()
    num_tee: int = 0
    """Nodes that run a trusted execution environment."""
    num_tpm: int = 0
    """Nodes that have a trusted platform module."""
    runtimes: tuple[str, ...] = ()
    disk_tot_space: int = 0
    """MiB."""
    num_gpus: int = 0
    mem_size_gpu: int = 0
    """MiB."""
    resource_providers: tuple[str, ...] = ()
    """Provider ids."""
    resource_classes: tuple[str, ...] = ()


class _CountedNames:
    """A multiset of names whose distinct members are at hand in order."""

    __slots__ = ("_counts", "_sorted")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._sorted: list[str] = []

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            count = self._counts.get(name, 0)
            if not count:
                insort(self._sorted, name)
            self._counts[name] = count + 1

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            count = self._counts.get(name, 0)
            assert count, f"{name!r} was never added"
            if count > 1:
                self._counts[name] = count - 1
                continue
            del self._counts[name]
            del self._sorted[bisect_left(self._sorted, name)]

    def names(self) -> tuple[str, ...]:
        return tuple(self._sorted)


class DomainTotals:
    """The capabilities of a domain, kept while nodes come and go.

    `add` and `remove` take a time that grows with the node's own labels and providers only (but
    for moving pointers in a sorted list). `capabilities` is made anew only after a change.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._labels = _CountedNames()
        self._runtimes = _CountedNames()
        self._providers = _CountedNames()
        self._classes = _CountedNames()
        self._made: DomainCapabilities | None = None

    def add(
        self, node: NodeCapabilities, providers: Sequence[ResourceProviderSpecification] = ()
    ) -> None:
        """Count a node that joins."""
        self._count(node, +1)
        self._labels.add(node.labels)
        self._runtimes.add(node.runtimes)
        self._providers.add(provider.provider_id for provider in providers)
        self._classes.add(provider.class_type for provider in providers)

    def remove(
        self, node: NodeCapabilities, providers: Sequence[ResourceProviderSpecification] = ()
    ) -> None:
        """Count a node that leaves, with what it was added with; anything else is a bug."""
        self._count(node, -1)
        self._labels.remove(node.labels)
        self._runtimes.remove(node.runtimes)
        self._providers.remove(provider.provider_id for provider in providers)
        self._classes.remove(provider.class_type for provider in providers)

    def capabilities(self) -> DomainCapabilities:
        """What the nodes counted now offer together."""
        if self._made is None:
            numbers = {field: min(total, _UINT32_MAX) for field, total in self._numbers.items()}
            self._made = DomainCapabilities(
                labels=self._labels.names(),
                runtimes=self._runtimes.names(),
                resource_providers=self._providers.names(),
                resource_classes=self._classes.names(),
                **numbers,
            )
        return self._made

    def _count(self, node: NodeCapabilities, sign: int) -> None:
        self._made = None
        for field, value in (
            ("num_nodes", 1),
            ("num_cpus", node.num_cpus),
            ("num_cores", node.num_cores),
            ("mem_size", node.mem_size),
            ("num_tee", int(node.is_tee_running)),
            ("num_tpm", int(node.has_tpm)),
            ("disk_tot_space", node.disk_tot_space),
            ("num_gpus", node.num_gpus),
            ("mem_size_gpu", node.mem_size_gpu),
        ):
            total = self._numbers.get(field, 0) + sign * value
            assert total >= 0, f"{field} of nodes that were never added"
            self._numbers[field] = total


def sum_capabilities(nodes: Iterable[NodeOffer]) -> DomainCapabilities:
    """What *nodes* offer together."""
    totals = DomainTotals()
    for capabilities, providers in nodes:
        totals.add(capabilities, providers)
    return totals.capabilities()
