"""The workloads of one run: made from their tables, begun and ended together.

Each has dice of its own, so that one more of them changes no other.
"""

from anyio.abc import TaskGroup

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.scenario.arrivals import arrivals
from edgeless_sim.scenario.expectations import WorkloadExpected
from edgeless_sim.scenario.map_reduce import MapReduceMaker
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.observer import Observer
from edgeless_sim.scenario.units import DURATION_NS_MAX
from edgeless_sim.scenario.web_client import WebClient
from edgeless_sim.scenario.workflow_names import WorkflowNames
from edgeless_sim.scenario.workflow_template import WorkflowTemplate
from edgeless_sim.scenario.workload_counts import WorkloadCounts
from edgeless_sim.scenario.workload_sources import EventSource, HttpSource, WorkloadSource
from edgeless_sim.scenario.workload_workflows import WorkflowSource
from edgeless_sim.scenario.workloads import EventWorkload, HttpWorkload, WorkflowWorkload, Workload

__all__ = ["WorkloadRunner", "fresh_counts"]


def fresh_counts(scenario: Scenario) -> dict[str, WorkloadCounts]:
    """Counts for each workload of *scenario*, by name, as its expectations need them."""
    return {
        table.name: WorkloadCounts(
            table.name,
            table.kind,
            [
                each.within
                for each in scenario.expectations
                if isinstance(each, WorkloadExpected)
                and each.workload == table.name
                and each.within is not None
            ],
        )
        for table in scenario.workloads
    }


class WorkloadRunner:
    """Runs the workloads of one scenario on one cluster."""

    def __init__(
        self,
        scenario: Scenario,
        cluster: Cluster,
        observer: Observer,
        counts: dict[str, WorkloadCounts],
        *,
        client: WebClient,
        names: WorkflowNames,
        group: TaskGroup,
        begun_ns: int,
    ) -> None:
        """*begun_ns* is the cluster's time from which those of the scenario count."""
        self._scenario = scenario
        self._cluster = cluster
        self._observer = observer
        self._counts = counts
        self._client = client
        self._names = names
        self._group = group
        self._begun_ns = begun_ns
        self._entropy = Entropy(cluster.seed)
        self._sources = [self._source(table) for table in scenario.workloads]

    def begin(self) -> None:
        """Let things arrive."""
        for source in self._sources:
            source.begin()

    def stop(self) -> None:
        """Let nothing more arrive."""
        for source in self._sources:
            source.stop()

    def _source(self, table: Workload) -> WorkloadSource:
        cluster, begun_ns = self._cluster, self._begun_ns
        run_ns = self._scenario.duration
        trace = self._scenario.files.traces.get(table.trace or "", ())
        dice = self._entropy.stream(f"workload/{table.name}")
        found = arrivals(table.plan(run_ns, trace), dice)
        counts = self._counts[table.name]
        match table:
            case HttpWorkload():
                return HttpSource(
                    table, found, counts, cluster.scheduler, begun_ns, client=self._client
                )
            case EventWorkload():
                return EventSource(table, found, counts, cluster, begun_ns, observer=self._observer)
            case WorkflowWorkload():
                end_ns = table.end_ns(run_ns)
                return WorkflowSource(
                    table,
                    found,
                    counts,
                    cluster,
                    begun_ns,
                    template=self._template(table),
                    names=self._names,
                    group=self._group,
                    # At the end of the run everything ends by itself.
                    end_ns=end_ns if end_ns < run_ns else DURATION_NS_MAX,
                )

    def _template(self, table: WorkflowWorkload) -> WorkflowTemplate | MapReduceMaker:
        """What makes the workflow of each number."""
        files, shape = self._scenario.files, table.map_reduce
        if shape is None:
            return files.templates[table.file]
        seed = self._entropy.stream(f"workload/{table.name}/shapes").getrandbits(62)
        return MapReduceMaker(shape, files.classes[shape.functions], seed)
