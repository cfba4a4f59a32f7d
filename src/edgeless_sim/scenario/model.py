"""A scenario: who is there, what is done, what goes wrong, what must hold. One TOML file.

A closed vocabulary, validated by pydantic: an unknown key is an error. Not here: reading the file
(`loader`) and what its names refer to (`checks`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, PrivateAttr

from edgeless_sim.cluster.settings.urls import HttpUrl
from edgeless_sim.cluster.topology import (
    BalancerTopology,
    DomainTopology,
    LinkTopology,
    NodeGroup,
    Topology,
)
from edgeless_sim.dataplane.correlation import CALL_TIMEOUT_S
from edgeless_sim.errors import ResourceError
from edgeless_sim.model.node import CLOCK_MHZ_MAX, CPUS_MAX
from edgeless_sim.model.toml_table import Few, Name, Probability, Table, Texts
from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.resources.base import (
    COLLECTOR_REDIS_URL,
    KAFKA_ALLOW,
    REDIS_ALLOW,
    ServerlessSettings,
)
from edgeless_sim.resources.egress_rules import place_of_url
from edgeless_sim.runtimes.base import FUEL_PER_EVENT_DEFAULT
from edgeless_sim.scenario.arrivals import Arrival
from edgeless_sim.scenario.expectations import Expectation
from edgeless_sim.scenario.http_tables import BackendTable
from edgeless_sim.scenario.map_reduce import MapReduceClasses
from edgeless_sim.scenario.steps import StartWorkflow, Step
from edgeless_sim.scenario.units import Bandwidth, Duration, MemorySize
from edgeless_sim.scenario.workflow_template import WorkflowTemplate
from edgeless_sim.scenario.workloads import Workload

__all__ = [
    "SEED_MAX",
    "Balancer",
    "Domain",
    "Link",
    "Network",
    "NodeTable",
    "Scenario",
    "ScenarioFiles",
    "ServerlessNodeTable",
]

#: Any integer that TOML must be able to hold.
SEED_MAX: Final = (1 << 63) - 1

_PositiveDuration = Annotated[Duration, Field(gt=0)]


def _function_url(value: str) -> str:
    try:
        place_of_url(value)
    except ResourceError as cause:
        raise ValueError(str(cause)) from None
    return value


class ServerlessNodeTable(Table):
    """``[[domain.nodes.serverless]]``: a function that runs elsewhere, as a class of resources."""

    class_type: Name
    function_url: Annotated[str, AfterValidator(_function_url)]
    version: Name = "1.0"


_HERE: Final = Path()


class NodeTable(Table):
    """``[[domain.nodes]]``: nodes of one kind."""

    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    labels: Texts = ()
    cpus: Annotated[int, Field(ge=1, le=CPUS_MAX)] = 1
    clock_mhz: Annotated[float, Field(ge=0, le=CLOCK_MHZ_MAX)] = 3000.0
    memory: MemorySize = 4096
    providers: Texts = ()
    http_ingress_url: HttpUrl = "http://127.0.0.1:0"
    http_egress_allow: Texts = ()
    serverless: Annotated[tuple[ServerlessNodeTable, ...], Few] = ()
    redis_allow: Texts = REDIS_ALLOW
    kafka_allow: Texts = KAFKA_ALLOW
    collector_redis_url: str = Field(default=COLLECTOR_REDIS_URL, repr=False)
    file_pusher_directory: Name | None = None
    runtimes: Texts = ("RUST_WASM", "PYTHON", "MODELLED")
    tee: bool = False
    tpm: bool = False

    def group(self, folder: Path = _HERE) -> NodeGroup:
        """The same for the cluster; *folder* is that of the scenario."""
        pushed = self.file_pusher_directory
        return NodeGroup(
            count=self.count,
            cpus=self.cpus,
            clock_mhz=self.clock_mhz,
            memory_mib=self.memory,
            labels=self.labels,
            runtimes=self.runtimes,
            providers=self.providers,
            http_ingress_url=self.http_ingress_url,
            http_egress_allow=self.http_egress_allow,
            serverless=tuple(
                ServerlessSettings(
                    provider_id=each.class_type,
                    class_type=each.class_type,
                    function_url=each.function_url,
                    version=each.version,
                )
                for each in self.serverless
            ),
            redis_allow=self.redis_allow,
            kafka_allow=self.kafka_allow,
            collector_redis_url=self.collector_redis_url,
            file_pusher_directory=None if pushed is None else folder / pushed,
            tee=self.tee,
            tpm=self.tpm,
        )


class Domain(Table):
    """``[[domain]]``: an ε-ORC and its nodes."""

    name: Annotated[Name, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
    strategy: Name = "Random"
    keep_alive: Annotated[Duration, Field(ge=100_000_000, le=86_400 * 10**9)] = 2_000_000_000
    nodes: Annotated[tuple[NodeTable, ...], Few, Field(min_length=1)]

    @property
    def nodes_total(self) -> int:
        """How many nodes the domain has."""
        return sum(group.count for group in self.nodes)


class Balancer(Table):
    """``[[balancer]]``: an ε-BAL, which joins a domain to a portal domain."""

    domain: Name
    portal: Name

    def topology(self) -> BalancerTopology:
        """The same for the cluster."""
        return BalancerTopology(self.domain, self.portal)


class _LinkTable(Table):
    latency: Duration = 0
    jitter: Duration = 0
    loss: Probability = 0.0
    bandwidth: Bandwidth | None = None

    def topology(self, side_a: str = "", side_b: str = "") -> LinkTopology:
        """The same for the cluster."""
        return LinkTopology(
            side_a,
            side_b,
            latency_ns=self.latency,
            jitter_ns=self.jitter,
            loss=self.loss,
            bandwidth_bytes_per_s=self.bandwidth,
        )


class Link(_LinkTable):
    """``[[network.link]]``: what frames meet between two domains, nodes, ε-ORCs, or the ε-CON."""

    between: Annotated[tuple[Name, Name], Few]


class Network(_LinkTable):
    """``[network]``: what frames meet, and where it differs."""

    link: Annotated[tuple[Link, ...], Few] = ()


@dataclass(frozen=True, slots=True)
class ScenarioFiles:
    """What the files say that a scenario names, each by its name as written."""

    workflows: dict[str, SpawnWorkflowRequest] = field(default_factory=dict)
    templates: dict[str, WorkflowTemplate] = field(default_factory=dict)
    """Those that workloads start."""
    classes: dict[str, MapReduceClasses] = field(default_factory=dict)
    """What map-reduce workflows consist of, by folder."""
    traces: dict[str, tuple[Arrival, ...]] = field(default_factory=dict)


class Scenario(Table):
    """One experiment as data. Times are ns since the run began: in real time, since the
    cluster was up."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, le=SEED_MAX)] = 0
    duration: _PositiveDuration
    worlds: Annotated[Texts, Field(min_length=1)] = ("sim",)
    fuel_per_event: Annotated[int, Field(ge=1_000, le=10**12)] = FUEL_PER_EVENT_DEFAULT
    call_timeout: _PositiveDuration = round(CALL_TIMEOUT_S * 1e9)
    performance_samples: bool = False
    domains: Annotated[tuple[Domain, ...], Few, Field(min_length=1, alias="domain")]
    balancers: Annotated[tuple[Balancer, ...], Few, Field(alias="balancer")] = ()
    network: Network = Network()
    backends: Annotated[tuple[BackendTable, ...], Few, Field(alias="backend")] = ()
    workloads: Annotated[tuple[Workload, ...], Few, Field(alias="workload")] = ()
    steps: Annotated[tuple[Step, ...], Few, Field(alias="step")] = ()
    expectations: Annotated[tuple[Expectation, ...], Few, Field(alias="expect")] = ()

    _folder: Path = PrivateAttr(default_factory=Path)
    _label: str = PrivateAttr(default="")
    _files: ScenarioFiles = PrivateAttr(default_factory=ScenarioFiles)
    _warnings: tuple[str, ...] = PrivateAttr(default=())

    def located(
        self,
        folder: Path,
        label: str,
        files: ScenarioFiles,
        warnings: tuple[str, ...],
    ) -> Self:
        """The same scenario, and what the loader found out about it."""
        self._folder = folder
        self._label = label
        self._files = files
        self._warnings = warnings
        return self

    @property
    def folder(self) -> Path:
        """What the files in it are relative to."""
        return self._folder

    @property
    def label(self) -> str:
        """What the user called it: the argument that runs it again."""
        return self._label or self.name

    @property
    def files(self) -> ScenarioFiles:
        """What the files say that it names."""
        return self._files

    @property
    def workflows(self) -> dict[str, SpawnWorkflowRequest]:
        """The workflows that the steps and the workloads start, by file as written."""
        firsts = {file: template.first for file, template in self._files.templates.items()}
        return firsts | self._files.workflows

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but probably not meant."""
        return self._warnings

    def ingresses(self) -> list[str]:
        """The http-ingresses of the workflows that steps start, as ``WORKFLOW/COMPONENT``."""
        return [
            f"{step.workflow}/{resource.name}"
            for step in self.steps
            if isinstance(step, StartWorkflow) and step.file in self._files.workflows
            for resource in self._files.workflows[step.file].resources
            if resource.class_type == "http-ingress"
        ]

    def topology(self) -> Topology:
        """The cluster that the scenario happens in."""
        folder = self._folder.resolve()
        links = [self.network.topology(), *(x.topology(*x.between) for x in self.network.link)]
        return Topology(
            domains=tuple(
                DomainTopology(
                    domain.name,
                    nodes=tuple(group.group(folder) for group in domain.nodes),
                    strategy=domain.strategy,
                    keep_alive_s=domain.keep_alive / 1e9,
                )
                for domain in self.domains
            ),
            links=tuple(links),
            fuel_per_event=self.fuel_per_event,
            call_timeout_s=self.call_timeout / 1e9,
            performance_samples=self.performance_samples,
            python_folders=(folder,),
            balancers=tuple(balancer.topology() for balancer in self.balancers),
        )
