"""The mirror that an ε-ORC keeps of its domain in memory, and tells its proxies of (spec 7.1).

Nodes and components are made from the state when they are asked for; only what the state does not
have is kept: health and measurements, bounded. A refresh that says nothing new is not even decoded:
its time is taken from the register. Not here: who asks (`mirror_service`).
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final

from msgspec.structs import replace as replaced

from edgeless_sim.api.messages import UpdateNodeRequest
from edgeless_sim.kernel.clock import Clock
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import DomainId, FunctionId, InstanceId, LogicalId, NodeId
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.mirror import (
    LAST_UPDATES,
    MirroredComponent,
    MirroredHealth,
    MirroredNode,
    Point,
    Series,
    SeriesMetric,
)
from edgeless_sim.model.node import FunctionLogEntry, NodePerformanceSamples, Sample
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.proxy import Proxy
from edgeless_sim.orchestrator.records import Changes, Component
from edgeless_sim.orchestrator.register import NodeRegister
from edgeless_sim.orchestrator.series import SeriesKey, SeriesStore
from edgeless_sim.orchestrator.view import NodeView

__all__ = ["GC_PERIOD_S", "HEALTH_MAX", "Mirror", "mirrored_component"]

#: Of one node, and of all together; each node keeps its last one.
HEALTH_MAX: Final = 60
_HEALTH_TOTAL_MAX: Final = 100_000
#: A proxy costs the loop up to 0.1 ms for each: with 10,000 idle nodes it hears of each every 5 s.
_REPEATS_PER_TICK_MAX: Final = 2_000
#: How long measurements are kept where nothing else is said; EDGELESS's default.
GC_PERIOD_S: Final = 360.0
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_METRICS: Final = (
    ("function_instantiate_times", SeriesMetric.INSTANTIATE),
    ("function_init_times", SeriesMetric.INIT),
    ("function_execution_times", SeriesMetric.EXECUTION),
    ("function_stop_times", SeriesMetric.STOP),
    ("function_transfer_times", SeriesMetric.TRANSFER),
)
_METRIC_NAMES: Final = frozenset(metric.value for metric in SeriesMetric)
#: As many as a node of ours sends at once, and as many log lines.
_POINTS_PER_REFRESH_MAX: Final = 20_000
_NO_SAMPLES: Final = NodePerformanceSamples()


class Mirror:
    """The mirror of one life of one ε-ORC; a `DomainSource`. *gc_period_s* 0 = the default."""

    def __init__(
        self,
        clock: Clock,
        state: DomainState,
        register: NodeRegister,
        domain_id: DomainId,
        proxies: Sequence[Proxy] = (),
        *,
        gc_period_s: float = 0.0,
    ) -> None:
        self.domain_id = domain_id
        self._clock = clock
        self._state = state
        self._register = register
        self._proxies = proxies
        self._gc_period_s = gc_period_s or GC_PERIOD_S
        #: Calendar time at `now_ns` = 0, in ns since 1970.
        self._epoch_ns = (clock.utc() - _UNIX_EPOCH) // _MICROSECOND * 1000 - clock.now_ns()
        self._health: dict[NodeId, deque[MirroredHealth]] = {}
        self._series = SeriesStore()
        self._lap: list[NodeId] = []
        self.last_updates: dict[str, float] = {}
        """By `LAST_UPDATES`: seconds since 1970."""

    def counters(self) -> Counter[str]:
        """What the mirrors counted since they began: ``redis_failures``, ``points_refused`` …"""
        counted = Counter({"points_refused": self._series.refused_total})
        for proxy in self._proxies:
            for name, number in proxy.counters.items():
                counted[f"{proxy.kind}_{name.replace(' ', '_')}"] += number
        return counted

    # --- what happens

    def begin(self, obey: Callable[[Iterable[Intent]], None]) -> None:
        """Tell the proxies from now on; what they bring is given to *obey*."""
        for proxy in self._proxies:
            proxy.begin(self, obey)

    def end(self) -> None:
        """Tell the proxies nothing more."""
        for proxy in self._proxies:
            proxy.end()

    def take(self, request: UpdateNodeRequest) -> None:
        """A registration that was accepted and says something new."""
        sample = MirroredHealth(self.now_s(), request.health_status)
        self._add_health(request.node_id, sample)
        if request.performance_samples != _NO_SAMPLES:
            self._take_samples(request.node_id, request.performance_samples)

    def tick(self) -> None:
        """A second has passed."""
        changes, self._state.unmirrored = self._state.unmirrored, Changes()
        now_s = self.now_s()
        for part, changed in zip(
            LAST_UPDATES,
            (changes.nodes, changes.nodes, changes.instances, changes.dependencies),
            strict=True,
        ):
            if changed:
                self.last_updates[part] = now_s
        for node_id in changes.nodes:
            if node_id not in self._state.nodes:
                self._health.pop(node_id, None)
        self._series.expire(now_s - self._gc_period_s)
        if self._proxies:
            self._tell_repeated()
        for proxy in self._proxies:
            proxy.tick(changes)

    # --- the domain, see `DomainSource`

    def now_s(self) -> float:
        """See `DomainSource.now_s`."""
        return self._unix_s(self._clock.now_ns())

    def node(self, node_id: NodeId) -> MirroredNode | None:
        """See `DomainSource.node`."""
        node = self._state.nodes.get(node_id)
        return None if node is None else self.mirrored_node(node.view, 0.0)

    def has_node(self, node_id: NodeId) -> bool:
        """See `DomainSource.has_node`."""
        return node_id in self._state.nodes

    def component(self, logical_id: LogicalId) -> MirroredComponent | None:
        """See `DomainSource.component`."""
        component = self._state.components.get(logical_id)
        return None if component is None else mirrored_component(component)

    def nodes(self) -> list[NodeId]:
        """See `DomainSource.nodes`."""
        return [view.node_id for view in self._state.views()]

    def components(self) -> list[LogicalId]:
        """See `DomainSource.components`."""
        return list(self._state.components)

    def series(self, after: SeriesKey | None = None, since_s: float = 0.0) -> Iterator[Series]:
        """See `DomainSource.series`: those behind *after*, without what is from before."""
        return self._series.after(after, since_s)

    def names(self) -> dict[str, NodeId]:
        """See `DomainSource.names`."""
        return {view.name: view.node_id for view in reversed(self._state.views())}

    def mirrored_node(self, view: NodeView, since_s: float) -> MirroredNode:
        """A node that is here, with its health since then."""
        return MirroredNode(
            view.node_id,
            view.capabilities,
            view.providers,
            tuple(each for each in self._healths(view.node_id) if each.time_s >= since_s),
            view.name,
            view.cordoned,
            view.reachable,
        )

    # --- inside

    def _unix_s(self, now_ns: int) -> float:
        return (self._epoch_ns + now_ns) / 1e9

    def _add_health(self, node_id: NodeId, sample: MirroredHealth) -> None:
        kept = self._health.get(node_id)
        if kept is None:
            kept = self._health[node_id] = deque()
        if kept and kept[-1].health == sample.health:
            # As in a sorted set: the same again has a new time only.
            kept.pop()
        kept.append(sample)
        room = min(HEALTH_MAX, max(1, _HEALTH_TOTAL_MAX // len(self._health)))
        while len(kept) > room:
            kept.popleft()
        for proxy in self._proxies:
            proxy.health(node_id, sample)

    def _healths(self, node_id: NodeId) -> Iterable[MirroredHealth]:
        """All that is known and not too old; the last one has the time of the last refresh."""
        kept = self._health.get(node_id)
        heard_ns = self._register.refreshed_ns(node_id)
        if not kept:
            return
        last = kept[-1]
        oldest_s = self.now_s() - self._gc_period_s
        for sample in kept:
            if sample is not last and sample.time_s >= oldest_s:
                yield sample
        if heard_ns is not None and self._unix_s(heard_ns) > last.time_s:
            last = MirroredHealth(self._unix_s(heard_ns), last.health)
        yield last

    def _tell_repeated(self) -> None:
        """Which nodes have refreshed without a word that is new; in turns where there are many."""
        if not self._lap:
            self._lap = list(self._health)
        nodes, self._lap = self._lap[:_REPEATS_PER_TICK_MAX], self._lap[_REPEATS_PER_TICK_MAX:]
        for node_id in nodes:
            kept = self._health.get(node_id)
            heard_ns = self._register.refreshed_ns(node_id)
            if not kept or heard_ns is None or self._unix_s(heard_ns) <= kept[-1].time_s:
                continue
            kept[-1] = MirroredHealth(self._unix_s(heard_ns), kept[-1].health)
            for proxy in self._proxies:
                proxy.health(node_id, kept[-1])

    def _take_samples(self, node_id: NodeId, samples: NodePerformanceSamples) -> None:
        room = _POINTS_PER_REFRESH_MAX
        for function_id, name, points in _measured(samples):
            if len(points) > room:
                self._series.refused_total += len(points) - room
            self._add_points(InstanceId(node_id, function_id), name, points[:room])
            room -= min(room, len(points))

    def _add_points(self, instance: InstanceId, name: str, points: Sequence[Point]) -> None:
        now_s = self.now_s()
        taken: dict[str, list[Point]] = {}
        for point in points:
            series = self._series.add(instance, name, point, now_s)
            if series is not None:
                taken.setdefault(series, []).append(point)
        for proxy in self._proxies:
            for series, added in taken.items():
                proxy.points(instance, series, added)


def mirrored_component(component: Component) -> MirroredComponent:
    """The component as a value, without its code."""
    request, current = component.request, component.current
    runs = current is not None and current.confirmed
    instances = (current.instance_id,) if current is not None and runs else ()
    if isinstance(request, SpawnFunctionRequest):
        request = replaced(request, code=replaced(request.code, binary=None), output_mapping=None)
        function, resource = request, None
    else:
        function, resource = None, replaced(request, output_mapping=None)
    return MirroredComponent(component.logical_id, function, resource, instances, component.mapping)


def _measured(samples: NodePerformanceSamples) -> Iterator[tuple[FunctionId, str, list[Point]]]:
    """Instance, name of the series and points; what is no number is left out."""
    for field, metric in _METRICS:
        measured: dict[FunctionId, tuple[Sample, ...]] = getattr(samples, field)
        for function_id, values in measured.items():
            yield (
                function_id,
                metric.value,
                [Point(_time_s(each), each.sample) for each in values if isfinite(each.sample)],
            )
    for function_id, entries in samples.function_log_entries.items():
        by_target: dict[str, list[Point]] = {}
        for entry in entries:
            # Lines must not get among the numbers of a metric, whatever their target is called.
            target = f"{entry.target} log" if entry.target in _METRIC_NAMES else entry.target
            by_target.setdefault(target, []).append(Point(_time_s(entry), entry.msg))
        for target, points in by_target.items():
            yield function_id, target, points


def _time_s(sample: Sample | FunctionLogEntry) -> float:
    return sample.timestamp_sec + sample.timestamp_ns / 1e9
