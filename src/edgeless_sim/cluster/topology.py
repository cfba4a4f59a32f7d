"""Who is there: domains, groups of alike nodes, and the network between them.

Plain frozen values, made by hand in a test or from a scenario file; nothing here starts anything.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from edgeless_sim.dataplane.correlation import CALL_TIMEOUT_S
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.resources.base import (
    COLLECTOR_REDIS_URL,
    KAFKA_ALLOW,
    REDIS_ALLOW,
    OllamaSettings,
    ServerlessSettings,
)
from edgeless_sim.runtimes.base import FUEL_PER_EVENT_DEFAULT

__all__ = ["BalancerTopology", "DomainTopology", "LinkTopology", "NodeGroup", "Topology"]

NODES_MAX: Final = 100_000
_OLLAMA: Final = OllamaSettings()


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """*count* nodes of one kind. Their names are ``DOMAIN/INDEX``, counted through the domain."""

    count: int = 1
    cpus: int = 1
    clock_mhz: float = 3000.0
    memory_mib: int = 4096
    labels: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ("RUST_WASM", "PYTHON", "MODELLED")
    #: Classes of resources that each node offers, one provider per class.
    providers: tuple[str, ...] = ()
    #: Where http-ingress takes requests, in real time; port 0 is a free one.
    http_ingress_url: str = "http://127.0.0.1:0"
    #: Private addresses that http-egress and http-poster may send to.
    http_egress_allow: tuple[str, ...] = ()
    #: Where ollama has its models.
    ollama: OllamaSettings = _OLLAMA
    #: Further providers, of functions that run elsewhere; before their ids stands the node's name.
    serverless: tuple[ServerlessSettings, ...] = ()
    #: Private addresses that redis may connect to, in real time.
    redis_allow: tuple[str, ...] = REDIS_ALLOW
    #: Private addresses that kafka-egress may connect to, in real time.
    kafka_allow: tuple[str, ...] = KAFKA_ALLOW
    #: Where metrics-collector keeps its samples.
    collector_redis_url: str = field(default=COLLECTOR_REDIS_URL, repr=False)
    #: Where file-pusher has its files, in simulation too.
    file_pusher_directory: Path | None = None
    tee: bool = False
    tpm: bool = False

    def providers_of(self, node: str) -> dict[str, str]:
        """Id and class of each provider of the node called *node*."""
        return {f"{node}/{class_type}": class_type for class_type in self.providers} | {
            each.provider_id: "serverless" for each in self.serverless_of(node)
        }

    def serverless_of(self, node: str) -> tuple[ServerlessSettings, ...]:
        """What `serverless` is on the node called *node*."""
        return tuple(
            replace(each, provider_id=f"{node}/{each.provider_id}") for each in self.serverless
        )

    def capabilities(self) -> NodeCapabilities:
        """What each node of the group announces."""
        return NodeCapabilities(
            num_cpus=self.cpus,
            model_name_cpu="simulated",
            clock_freq_cpu=self.clock_mhz,
            num_cores=self.cpus,
            mem_size=self.memory_mib,
            labels=tuple(sorted(self.labels)),
            is_tee_running=self.tee,
            has_tpm=self.tpm,
            runtimes=tuple(sorted(self.runtimes)),
        )


@dataclass(frozen=True, slots=True)
class DomainTopology:
    """One orchestration domain: an ε-ORC and its nodes."""

    name: str
    nodes: tuple[NodeGroup, ...] = (NodeGroup(),)
    #: A name of the entry points ``edgeless.strategies``, or ``module:Class``.
    strategy: str = "Random"
    #: The keep-alive of the guide: nodes refresh every half of it.
    keep_alive_s: float = 2.0

    @property
    def nodes_total(self) -> int:
        """How many nodes the domain has."""
        return sum(group.count for group in self.nodes)


@dataclass(frozen=True, slots=True)
class BalancerTopology:
    """An ε-BAL: joins *domain* to the portal domain *portal* by being a node in both."""

    domain: str
    portal: str

    @property
    def name(self) -> str:
        """What it is called, such as ``bal/edge/hub``."""
        return f"bal/{self.domain}/{self.portal}"

    @property
    def local_node(self) -> str:
        """The name of its node in the local domain."""
        return f"{self.domain}/bal-{self.portal}"

    @property
    def portal_node(self) -> str:
        """The name of its node in the portal domain."""
        return f"{self.portal}/bal-{self.domain}"


@dataclass(frozen=True, slots=True)
class LinkTopology:
    """What frames meet between two ends. A side is a domain, a node, ``con``, or empty for all."""

    side_a: str = ""
    side_b: str = ""
    latency_ns: int = 0
    jitter_ns: int = 0
    loss: float = 0.0
    bandwidth_bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.jitter_ns <= self.latency_ns:
            raise SettingsError(
                f"a jitter of {self.jitter_ns} ns is not between 0 and the latency of "
                f"{self.latency_ns} ns"
            )


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole cluster."""

    domains: tuple[DomainTopology, ...]
    #: The first one applies to all links that no later one describes.
    links: tuple[LinkTopology, ...] = (LinkTopology(),)
    fuel_per_event: int = FUEL_PER_EVENT_DEFAULT
    call_timeout_s: float = CALL_TIMEOUT_S
    performance_samples: bool = False
    python_folders: tuple[Path, ...] = ()
    module_cache: Path | None = field(default=None)
    balancers: tuple[BalancerTopology, ...] = ()

    def __post_init__(self) -> None:
        names = [domain.name for domain in self.domains]
        if not names:
            raise SettingsError("a cluster needs at least one domain")
        if len(set(names)) != len(names):
            raise SettingsError(f"two domains have the same name: {sorted(names)}")
        for balancer in self.balancers:
            _check_balancer(balancer, names)
        if len({*self.balancers}) != len(self.balancers):
            raise SettingsError("two balancers join the same domain to the same portal domain")
        if self.nodes_total > NODES_MAX:
            raise SettingsError(f"{self.nodes_total} nodes, at most {NODES_MAX}")

    @property
    def nodes_total(self) -> int:
        """How many nodes there are in all domains, without those of balancers."""
        return sum(domain.nodes_total for domain in self.domains)

    def node_names(self, domain: DomainTopology) -> list[str]:
        """The names of all nodes of *domain*, those of balancers last."""
        names = [f"{domain.name}/{index}" for index in range(domain.nodes_total)]
        names += [each.local_node for each in self.balancers if each.domain == domain.name]
        names += [each.portal_node for each in self.balancers if each.portal == domain.name]
        return names


def _check_balancer(balancer: BalancerTopology, domains: list[str]) -> None:
    for name in (balancer.domain, balancer.portal):
        if name not in domains:
            raise SettingsError(f"a balancer joins {name!r}, which is no domain of the cluster")
    if balancer.domain == balancer.portal:
        raise SettingsError(f"a balancer joins the domain {balancer.domain!r} to itself")
