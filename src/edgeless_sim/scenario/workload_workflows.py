"""Starts workflows as they arrive and stops them when their time is over (spec 11).

A request to the ε-CON waits for its answer, so each is a task. Not here: when one arrives
(`arrivals`).
"""

from collections.abc import Iterator

from anyio.abc import TaskGroup

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import EdgelessError, WorkflowSpecError
from edgeless_sim.model.ids import WorkflowId
from edgeless_sim.scenario.arrivals import Arrival
from edgeless_sim.scenario.map_reduce import MapReduceMaker
from edgeless_sim.scenario.workflow_names import WorkflowNames
from edgeless_sim.scenario.workflow_template import WorkflowTemplate
from edgeless_sim.scenario.workload_counts import REJECTED, STARTED, WorkloadCounts
from edgeless_sim.scenario.workload_sources import WorkloadSource
from edgeless_sim.scenario.workloads import WorkflowWorkload

__all__ = ["WorkflowSource"]


class WorkflowSource(WorkloadSource):
    """Workflows that come and go."""

    def __init__(
        self,
        table: WorkflowWorkload,
        arrivals: Iterator[Arrival],
        counts: WorkloadCounts,
        cluster: Cluster,
        begun_ns: int,
        *,
        template: WorkflowTemplate | MapReduceMaker,
        names: WorkflowNames,
        group: TaskGroup,
        end_ns: int,
    ) -> None:
        """*end_ns* is when the workload ends, in the scenario's time."""
        super().__init__(table, arrivals, counts, cluster.scheduler, begun_ns)
        self._table = table
        self._cluster = cluster
        self._template = template
        self._names = names
        self._group = group
        self._zero_ns = begun_ns + table.start
        self._end_ns = begun_ns + end_ns

    def issue(self, number: int, arrival: Arrival) -> None:
        """See `WorkloadSource.issue`."""
        self._group.start_soon(self._live, number, arrival)

    async def _live(self, number: int, arrival: Arrival) -> None:
        name = self._table.workflow_name(number)
        try:
            request = self._template.request(number)
            status = await self._cluster.start_workflow(request, name=name)
        except (WorkflowSpecError, EdgelessError):
            # The ε-CON's reason is in the journal.
            self.settle(number, REJECTED, has_answer=False)
            return
        self._names.named(name, status.workflow_id)
        self.settle(number, STARTED)
        until_ns = self._zero_ns + arrival.end_ns
        if until_ns > self._end_ns:
            if self._table.keep:
                return
            until_ns = self._end_ns
        left_ns = until_ns - self.scheduler.now_ns()
        if left_ns > 0:
            await self._cluster.clock.sleep(left_ns / 1e9)
        await self._end(name, status.workflow_id)

    async def _end(self, name: str, workflow: WorkflowId) -> None:
        try:
            await self._cluster.controller.stop(workflow)
        except EdgelessError:
            # It goes on, and is in the tables of the run.
            return
        self._names.unnamed(name)
