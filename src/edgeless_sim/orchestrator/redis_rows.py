"""What has to be written to a Redis so that it shows a domain, and what there is the mirror's.

Each row is made of the domain as it is when the row is written, so that the last state wins. Not
here: when (`redis_proxy`) and in which form (`redis_schema`).
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final
from uuid import UUID

from edgeless_sim.model.ids import LogicalId, NodeId, parse_uuid
from edgeless_sim.model.mirror import LAST_UPDATES, MirroredHealth, Point
from edgeless_sim.orchestrator import redis_schema as schema
from edgeless_sim.orchestrator.proxy import DomainSource
from edgeless_sim.orchestrator.records import Changes
from edgeless_sim.orchestrator.redis_writer import Command

__all__ = ["RedisRows"]

_LAP_KEYS_MAX: Final = 1_000
_LAPS_PER_PERIOD: Final = 10


class RedisRows:
    """The rows of one domain; remembers what was written where the domain cannot tell."""

    def __init__(self, domain: DomainSource, *, gc_period_s: float) -> None:
        self._domain = domain
        self._gc_period_s = gc_period_s
        self._providers: dict[NodeId, tuple[str, ...]] = {}
        self._owners: dict[str, dict[NodeId, None]] = {}
        # The sorted sets, with the time of their newest member; complete until `settle`.
        self._sets: dict[str, float] = {}
        self._tracks_sets = True
        self._lap: list[str] = []
        self._next_lap_s = 0.0

    def begin(self) -> None:
        """Nothing is written yet."""
        self._providers.clear()
        self._owners.clear()
        self._sets.clear()
        self._tracks_sets = True

    def settle(self) -> None:
        """All is written and `is_wanted` is not asked any more."""
        self._tracks_sets = self._gc_period_s > 0
        if not self._tracks_sets:
            self._sets.clear()

    # --- commands

    def node(self, node_id: NodeId) -> Iterator[Command]:
        """Capabilities and providers of a node, or that it has gone."""
        node = self._domain.node(node_id)
        new = () if node is None else node.providers
        kept = {each.provider_id for each in new}
        for provider_id in self._providers.pop(node_id, ()):
            if provider_id not in kept:
                yield from self._without(provider_id, node_id)
        if node is None:
            self._sets.pop(schema.health_key(node_id), None)
            yield "DEL", schema.capabilities_key(node_id), schema.health_key(node_id)
            return
        value = schema.capabilities_json(node.capabilities)
        yield "SET", schema.capabilities_key(node_id), value
        self._providers[node_id] = tuple(each.provider_id for each in new)
        for each in new:
            owners = self._owners.setdefault(each.provider_id, {})
            owners[node_id] = None
            if next(iter(owners)) == node_id:
                value = schema.provider_json(node_id, each)
                yield "SET", schema.provider_key(each.provider_id), value

    def instance(self, logical_id: LogicalId) -> Command:
        """Where a component runs, or that it has gone."""
        component = self._domain.component(logical_id)
        key = schema.instance_key(logical_id)
        if component is None:
            return "DEL", key
        return "SET", key, schema.instance_json(component)

    def dependency(self, logical_id: LogicalId) -> Command:
        """Where the outputs of a component lead, or that there are none."""
        component = self._domain.component(logical_id)
        key = schema.dependency_key(logical_id)
        if component is None or not component.outputs:
            return "DEL", key
        return "SET", key, schema.dependency_json(component.outputs)

    def past_health(self, node_id: NodeId) -> Iterator[Command]:
        """What is known of how a node fared."""
        node = self._domain.node(node_id)
        for sample in () if node is None else node.health:
            yield self._added(
                schema.health_key(node_id), sample.time_s, schema.health_json(sample.health)
            )

    def health(self, node_id: NodeId, samples: Iterable[MirroredHealth]) -> Iterator[Command]:
        """How a node has fared since; nothing if it has gone."""
        if self._domain.has_node(node_id):
            for sample in samples:
                yield self._added(
                    schema.health_key(node_id), sample.time_s, schema.health_json(sample.health)
                )

    def point(self, key: str, point: Point) -> Command:
        """What was measured."""
        return self._added(key, point.time_s, schema.point_member(point))

    def updates(self, changes: Changes) -> list[Command]:
        """When the parts that have changed did so."""
        stamp = schema.stamp(self._domain.now_s())
        changed = (changes.nodes, changes.nodes, changes.instances, changes.dependencies)
        return [
            ("SET", schema.update_key(part), stamp)
            for part, ids in zip(LAST_UPDATES, changed, strict=True)
            if ids
        ]

    def outdated(self) -> list[Command]:
        """Removes what is too old; some of it, as often as is needed for all."""
        now_s = self._domain.now_s()
        if not self._gc_period_s:
            return []
        if not self._lap and now_s >= self._next_lap_s:
            self._lap = list(self._sets)
            self._next_lap_s = now_s + self._gc_period_s / _LAPS_PER_PERIOD
        before_s = now_s - self._gc_period_s
        keys, self._lap = self._lap[:_LAP_KEYS_MAX], self._lap[_LAP_KEYS_MAX:]
        for key in keys:
            # Then its last member goes, and Redis forgets the key itself.
            if self._sets.get(key, now_s) < before_s:
                del self._sets[key]
        return [("ZREMRANGEBYSCORE", key, "-inf", schema.stamp(before_s)) for key in keys]

    # --- keys

    def is_wanted(self, key: bytes) -> bool:
        """Whether what stands at *key*, which is the mirror's, is of this domain as it is now."""
        name = key.decode(errors="replace")
        if schema.is_update_key(name):
            return True
        kind, _, rest = name.partition(":")
        if kind == "performance":
            return name in self._sets
        if kind == "provider":
            return schema.decoded(rest) in self._owners
        if kind == "node":
            node_id = _uuid(rest.partition(":")[2])
            return node_id is not None and self._domain.has_node(NodeId(node_id))
        component_id = _uuid(rest)
        if component_id is None:
            return False
        component = self._domain.component(LogicalId(component_id))
        return component is not None and (kind == "instance" or bool(component.outputs))

    # --- inside

    def _without(self, provider_id: str, node_id: NodeId) -> Iterator[Command]:
        """A node has no such provider any more; another one may (defect 55)."""
        owners = self._owners[provider_id]
        owners.pop(node_id, None)
        for other in islice(owners, 1):
            node = self._domain.node(other)
            for each in () if node is None else node.providers:
                if each.provider_id == provider_id:
                    value = schema.provider_json(other, each)
                    yield "SET", schema.provider_key(provider_id), value
        if not owners:
            del self._owners[provider_id]
            yield "DEL", schema.provider_key(provider_id)

    def _added(self, key: str, time_s: float, member: bytes | str) -> Command:
        if self._tracks_sets:
            self._sets[key] = max(time_s, self._sets.get(key, time_s))
        return "ZADD", key, schema.stamp(time_s), member


def _uuid(text: str) -> UUID | None:
    try:
        return parse_uuid(text)
    except ValueError:
        return None
