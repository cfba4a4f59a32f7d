"""What a component of a deployment is told: the values behind its TOML file.

Bound URLs are those that it listens at, announced ones those that others are told; where nothing
is announced, the two are the same. Times are in seconds.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from edgeless_sim.cluster.settings.tls import ComponentTls
from edgeless_sim.dataplane.correlation import CALL_TIMEOUT_S
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.node.subscriber import REFRESH_INTERVAL_S
from edgeless_sim.orchestrator.settings import DatasetSettings
from edgeless_sim.resources.base import (
    KAFKA_ALLOW,
    REDIS_ALLOW,
    OllamaSettings,
    ResourceSettings,
    ServerlessSettings,
)
from edgeless_sim.runtimes.base import FUEL_PER_EVENT_DEFAULT

__all__ = [
    "BalancerComponent",
    "BalancerSide",
    "ComponentSettings",
    "ControllerComponent",
    "NodeComponent",
    "OrchestratorComponent",
]

_STATES: Final = Path("function_state")
_FILES: Final = Path("file-log")
_DATABASES: Final = Path("databases")
_OLLAMA: Final = OllamaSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerComponent:
    """An ε-CON."""

    url: str
    """Where clients ask."""
    domain_url: str = ""
    """Where domains register; empty = at `url`."""
    domains: tuple[tuple[str, str], ...] = ()
    """Id and ε-ORC's URL of each domain that it asks by itself."""
    persistence_filename: str = ""
    """Where it keeps its workflows; empty = nowhere."""
    metrics_url: str = ""
    """Where it shows measurements and health; empty = nowhere."""
    said_level: str = "info"
    """The least urgent level at which what functions say is told in its log."""
    name: str = "con"
    seed: int | None = None
    """Of its dice; None = another one each time."""
    tls: ComponentTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorComponent:
    """An ε-ORC."""

    domain_id: str
    url: str
    """Where the ε-CON asks."""
    announced_url: str = ""
    node_url: str = ""
    """Where nodes register; empty = at `url`."""
    domain_register_url: str = ""
    """Where the ε-CON takes registrations; empty = it registers nowhere."""
    strategy: str = "Random"
    keep_alive_s: float = 2.0
    subscription_interval_s: float = 0.0
    """How often the ε-CON hears of it; 0 = every `keep_alive_s`."""
    collector_redis_url: str = field(default="", repr=False)
    """Where its metrics collector keeps samples; empty = it has none."""
    agent_url: str = ""
    """Of the collector's own node, as the next ones; see `NodeComponent`."""
    agent_announced_url: str = ""
    invocation_url: str = ""
    invocation_announced_url: str = ""
    redis_url: str = field(default="", repr=False)
    """Where it mirrors its domain to; empty = nowhere. May have a password."""
    mirror_gc_period_s: float = 0.0
    """How long a mirror keeps health and measurements; 0 = in a Redis for ever."""
    flush_mirror: bool = False
    """Whether the database of the Redis is emptied at start."""
    datasets: DatasetSettings | None = None
    """The CSV files that it writes."""
    metrics_url: str = ""
    """Where it shows measurements and health; empty = nowhere."""
    said_level: str = "info"
    """The least urgent level at which what functions say is told in its log."""
    name: str = ""
    seed: int | None = None
    tls: ComponentTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeComponent:
    """A node."""

    node_id: NodeId
    agent_url: str
    """Where the ε-ORC asks."""
    agent_announced_url: str = ""
    invocation_url: str
    """Where events arrive; may be `agent_url`."""
    invocation_announced_url: str = ""
    orchestrator_url: str
    """Where the ε-ORC takes registrations."""
    capabilities: NodeCapabilities
    providers: tuple[tuple[str, str], ...] = ()
    """Id and class of each resource provider."""
    performance_samples: bool = False
    refresh_interval_s: float = REFRESH_INTERVAL_S
    """How often the ε-ORC hears of it, until it asks for another interval."""
    call_timeout_s: float = CALL_TIMEOUT_S
    fuel_per_event: int = FUEL_PER_EVENT_DEFAULT
    python_folders: tuple[Path, ...] = ()
    module_cache: Path | None = None
    state_folder: Path = _STATES
    files_folder: Path = _FILES
    database_folder: Path = _DATABASES
    http_ingress_url: str = ""
    """Where http-ingress takes requests; needed if it is among `providers`."""
    http_egress_allow: tuple[str, ...] = ()
    """Private addresses that http-egress and http-poster may send to."""
    ollama: OllamaSettings = _OLLAMA
    serverless: tuple[ServerlessSettings, ...] = ()
    """One for each provider of the class ``serverless``."""
    metrics_url: str = ""
    """Where it shows measurements and health; empty = nowhere."""
    said_level: str = "info"
    """The least urgent level at which what functions say is told in its log."""
    redis_allow: tuple[str, ...] = REDIS_ALLOW
    """Private addresses that redis may connect to."""
    kafka_allow: tuple[str, ...] = KAFKA_ALLOW
    """Private addresses that kafka-egress may connect to."""
    file_pusher_directory: Path | None = None
    """Where file-pusher has its files; needed if it is among `providers`."""
    collector_redis_url: str = field(default="", repr=False)
    """Where metrics-collector keeps samples; needed if it is among `providers`."""
    name: str = ""
    seed: int | None = None
    tls: ComponentTls | None = None

    def resource_settings(self) -> ResourceSettings:
        """What its providers are told."""
        return ResourceSettings(
            self.http_ingress_url,
            self.http_egress_allow,
            self.redis_allow,
            self.call_timeout_s,
            self.ollama,
            self.serverless,
            self.kafka_allow,
            file_pusher_directory=self.file_pusher_directory,
            database_folder=self.database_folder,
            collector_redis_url=self.collector_redis_url,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerSide:
    """What a balancer is in one of its two domains; see `NodeComponent`."""

    node_id: NodeId
    agent_url: str
    agent_announced_url: str = ""
    invocation_url: str
    invocation_announced_url: str = ""
    orchestrator_url: str
    refresh_interval_s: float = REFRESH_INTERVAL_S
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerComponent:
    """A balancer."""

    domain: str
    """The name of the local domain."""
    portal_domain: str = ""
    """The name of the portal domain, to tell it from others; empty = unknown."""
    local: BalancerSide
    portal: BalancerSide
    performance_samples: bool = False
    call_timeout_s: float = CALL_TIMEOUT_S
    metrics_url: str = ""
    """Where it shows measurements and health; empty = nowhere."""
    said_level: str = "info"
    """The least urgent level at which what functions say is told in its log."""
    name: str = ""
    seed: int | None = None
    tls: ComponentTls | None = None


ComponentSettings: TypeAlias = (
    ControllerComponent | OrchestratorComponent | NodeComponent | BalancerComponent
)
