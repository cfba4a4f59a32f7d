"""What a node measures of its instances: EDGELESS's three metrics, and a few of ours (spec 5.6).

Gauges are read when somebody asks, from what there is; only the two histograms are written while
events are handled.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.node import Node
from edgeless_sim.node.telemetry import TelemetryEvent, TelemetryKind

__all__ = ["NodeMetrics", "joined_registry"]

#: In seconds; EDGELESS's.
BUCKETS: Final = tuple(tenths / 10 for tenths in range(1, 11))


class NodeMetrics(Collector):
    """The metrics of *node*; `registry` has all of them."""

    def __init__(self, node: Node) -> None:
        self.registry = CollectorRegistry()
        self._node = node
        self._node_id = str(node.settings.node_id)
        self._executions = Histogram(
            "execution_times",
            "How long the handling of an event took, in seconds",
            ("node_id", "function_id", "function_type", "invocation_type"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._transfers = Histogram(
            "transfer_times",
            "How old an event was when its handling began, in seconds",
            ("node_id", "function_id"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        #: Looking a child up by its labels costs more than observing.
        self._series: dict[tuple[InstanceId, str], Histogram] = {}
        #: The labels of each, by which it is forgotten.
        self._labels: dict[tuple[InstanceId, str], tuple[str, ...]] = {}
        self.registry.register(self)
        node.telemetry.observe(self._observe)

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`. What belongs to instances that are gone was shown once more."""
        node = self._node
        functions, resources = node.agent.functions, node.agent.resources
        types = Counter(each.request.code.function_type for each in functions.values())
        count = GaugeMetricFamily(
            "function_count", "Instances of functions", labels=("node_id", "function_type")
        )
        for function_type, number in sorted(types.items()):
            count.add_metric((self._node_id, function_type), number)
        yield count
        classes = Counter(each.specification.class_type for each in resources.values())
        resource_count = GaugeMetricFamily(
            "edgeless_resource_count", "Instances of resources", labels=("node_id", "class_type")
        )
        for class_type, number in sorted(classes.items()):
            resource_count.add_metric((self._node_id, class_type), number)
        yield resource_count
        lost = CounterMetricFamily(
            "edgeless_events_lost", "Events that were dropped here", labels=("node_id", "cause")
        )
        for cause, number in sorted(node.plane.counters.items()):
            lost.add_metric((self._node_id, cause), number)
        yield lost
        yield self._one("edgeless_open_calls", "Calls without an answer yet", len(node.plane.calls))
        registered = int(node.subscriber.registered)
        yield self._one("edgeless_registered", "Whether the ε-ORC knows the node", registered)
        self._forget_gone()

    def _one(self, name: str, text: str, value: int) -> Metric:
        family = GaugeMetricFamily(name, text, labels=("node_id",))
        family.add_metric((self._node_id,), value)
        return family

    def _observe(self, event: TelemetryEvent) -> None:
        kind = event.kind
        if kind is TelemetryKind.COMPLETED:
            series = self._series.get((event.pid, event.tag)) or self._execution_series(event)
        elif kind is TelemetryKind.TRANSFER:
            series = self._series.get((event.pid, "")) or self._transfer_series(event)
        else:
            return
        series.observe(event.value / 1e9)  # type: ignore[operator]  # both kinds have durations

    def _execution_series(self, event: TelemetryEvent) -> Histogram:
        pid = event.pid
        agent = self._node.agent
        type_name = ""
        if pid in agent.functions:
            type_name = agent.functions[pid].request.code.function_type
        elif pid in agent.resources:
            type_name = agent.resources[pid].specification.class_type
        labels = (self._node_id, str(pid.function_id), type_name, event.tag.capitalize())
        return self._keep(self._executions, pid, event.tag, labels)

    def _transfer_series(self, event: TelemetryEvent) -> Histogram:
        labels = (self._node_id, str(event.pid.function_id))
        return self._keep(self._transfers, event.pid, "", labels)

    def _keep(
        self, parent: Histogram, pid: InstanceId, tag: str, labels: tuple[str, ...]
    ) -> Histogram:
        series = parent.labels(*labels)
        self._series[pid, tag] = series
        self._labels[pid, tag] = labels
        return series

    def _forget_gone(self) -> None:
        """So that the number of series is bounded by that of instances, not by history."""
        agent = self._node.agent
        for pid, tag in list(self._series):
            if pid in agent.functions or pid in agent.resources:
                continue
            del self._series[pid, tag]
            parent = self._executions if tag else self._transfers
            parent.remove(*self._labels.pop((pid, tag)))


def joined_registry(nodes: Sequence[Node]) -> CollectorRegistry:
    """The metrics of several nodes of one process, each family once."""
    registries = [NodeMetrics(node).registry for node in nodes]
    joined = CollectorRegistry()
    joined.register(_Joined(registries))
    return joined


class _Joined(Collector):
    def __init__(self, registries: Sequence[CollectorRegistry]) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        families: dict[str, Metric] = {}
        for registry in self._registries:
            for family in registry.collect():
                known = families.setdefault(family.name, family)
                if known is not family:
                    known.samples.extend(family.samples)
        yield from families.values()
