"""What an ε-CON and an ε-ORC know, as metrics; read when somebody asks."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edgeless_sim.controller.controller import Controller
from edgeless_sim.orchestrator.orchestrator import Orchestrator

__all__ = ["controller_registry", "orchestrator_registry"]


class _Gauges(Collector):
    """One gauge per name, with one label."""

    def __init__(
        self, label: str, texts: Mapping[str, str], read: Callable[[], dict[str, Counter[str]]]
    ) -> None:
        self._label = label
        self._texts = texts
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        for name, counted in self._read().items():
            family = GaugeMetricFamily(name, self._texts[name], labels=(self._label,))
            for value, number in sorted(counted.items()):
                family.add_metric((value,), number)
            yield family


def controller_registry(controller: Controller) -> CollectorRegistry:
    """Workflows by phase, and domains by whether they may be used."""
    texts = {
        "edgeless_workflows": "Workflows, by phase",
        "edgeless_domains": "Orchestration domains, by whether they take workflows",
    }

    def read() -> dict[str, Counter[str]]:
        workflows, domains = controller.census()
        return {"edgeless_workflows": workflows, "edgeless_domains": domains}

    return _registry(_Gauges("state", texts, read))


def orchestrator_registry(orchestrator: Orchestrator) -> CollectorRegistry:
    """Nodes by whether they answer, components by state, and what its mirrors counted."""
    texts = {
        "edgeless_nodes": "Nodes of the domain, by what they are good for",
        "edgeless_components": "Functions and resources of the domain, by state",
        "edgeless_mirror": "What the mirrors of the domain have counted since the start",
    }

    def read() -> dict[str, Counter[str]]:
        view = orchestrator.snapshot()
        nodes = Counter(
            "cordoned" if node.cordoned else "usable" if node.reachable else "silent"
            for node in view.nodes
        )
        components = Counter(component.state.value for component in view.components)
        return {
            "edgeless_nodes": nodes,
            "edgeless_components": components,
            "edgeless_mirror": orchestrator.mirror_counters(),
        }

    return _registry(_Gauges("state", texts, read))


def _registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry
