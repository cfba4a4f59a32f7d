"""What arrives all the time in a scenario: requests, events, workflows. A closed vocabulary.

Each ``[[workload]]`` has a ``kind`` and a ``model`` of arrival. Not here: when something arrives
(`arrivals`), and who brings it (`workload_runner`).
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from edgeless_sim.model.toml_table import Name, Table
from edgeless_sim.runtimes.base import PAYLOAD_BYTES_MAX
from edgeless_sim.scenario.arrivals import ARRIVALS_MAX, Arrival, ArrivalPlan
from edgeless_sim.scenario.http_tables import HttpQuestion
from edgeless_sim.scenario.map_reduce import MapReduceTable
from edgeless_sim.scenario.units import Duration

__all__ = [
    "WAITING_MAX",
    "EventWorkload",
    "HttpWorkload",
    "Model",
    "WorkflowWorkload",
    "Workload",
    "WorkloadTable",
]

#: Most requests of one workload that wait at a time.
WAITING_MAX: Final = 10_000

Model: TypeAlias = Literal[
    "burst",
    "constant",
    "diurnal",
    "incremental",
    "incremental-and-keep",
    "poisson",
    "single",
    "trace",
]
_Positive: TypeAlias = Annotated[Duration, Field(gt=0)]


class WorkloadTable(Table):
    """What all workloads have. Times but ``start`` and ``end`` count from the start."""

    name: Annotated[Name, Field(max_length=64)]
    model: Model = "constant"
    interarrival: _Positive | None = None
    """Between two arrivals, or on average; between two bursts."""
    start: Duration = 0
    end: Duration | None = None
    """Nothing arrives from then on; None = from the end of the run on."""
    duration: _Positive | None = None
    """Instead of ``end``."""
    warmup: Duration = 0
    """What arrives within it is in no statistics."""
    count: Annotated[int, Field(ge=1, le=ARRIVALS_MAX)] | None = None
    burst: Annotated[int, Field(ge=1, le=100_000)] | None = None
    period: _Positive | None = None
    amplitude: Annotated[float, Field(ge=0, le=1)] | None = None
    trace: Name | None = None
    """A file with a line ``arrival,end`` in seconds each, relative to the scenario's folder."""
    waiting_max: Annotated[int, Field(ge=1, le=WAITING_MAX)] = 1_000
    """What arrives while so many wait is not sent, and counted as ``overload``."""

    @property
    def lifetime_ns(self) -> int:
        """How long something of it stays."""
        return 0

    def end_ns(self, run_ns: int) -> int:
        """When nothing arrives any more, in a run of *run_ns*."""
        end = run_ns if self.end is None else self.end
        return min(end, run_ns) if self.duration is None else min(self.start + self.duration, end)

    def plan(self, run_ns: int, trace: tuple[Arrival, ...]) -> ArrivalPlan:
        """When something arrives, in a run of *run_ns*."""
        defaults = ArrivalPlan("single", 0)
        return ArrivalPlan(
            self.model,
            max(0, self.end_ns(run_ns) - self.start),
            self.interarrival or 0,
            self.lifetime_ns,
            self.warmup,
            self.count or ARRIVALS_MAX,
            self.burst or 1,
            self.period or defaults.period_ns,
            defaults.amplitude if self.amplitude is None else self.amplitude,
            trace,
        )


class HttpWorkload(WorkloadTable, HttpQuestion):
    """Requests to an http-ingress."""

    kind: Literal["http"]


class EventWorkload(WorkloadTable):
    """Events to a component, ``WORKFLOW/COMPONENT``."""

    kind: Literal["event"]
    to: Name
    payload: Annotated[str, Field(max_length=PAYLOAD_BYTES_MAX)] = ""
    call: bool = False
    """Whether they are calls, whose answers are counted."""
    timeout: _Positive = 30_000_000_000


class WorkflowWorkload(WorkloadTable):
    """Workflows that are started, stay for a time, and are stopped, as by EDGELESS's benchmark."""

    kind: Literal["workflow"]
    file: Name = "workflow.json"
    """In which ``@WF_ID`` stands for the number of the workflow: 0, 1, ..."""
    prefix: Annotated[Name, Field(max_length=64)] | None = None
    """They are called ``PREFIX-0``, ``PREFIX-1``, ...; None = as the workload."""
    lifetime: _Positive | None = None
    map_reduce: MapReduceTable | None = None
    """Instead of a file: workflows of drawn shapes."""
    keep: bool = False
    """Whether those that still run when the workload ends go on."""

    @property
    def lifetime_ns(self) -> int:
        """See `WorkloadTable.lifetime_ns`."""
        return self.lifetime or 0

    def workflow_name(self, number: int) -> str:
        """What the workflow *number* is called."""
        return f"{self.prefix or self.name}-{number}"


Workload: TypeAlias = Annotated[
    HttpWorkload | EventWorkload | WorkflowWorkload, Field(discriminator="kind")
]
