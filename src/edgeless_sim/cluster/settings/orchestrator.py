"""``orchestrator.toml`` as a value (spec 8.0, 8.2). Not here: reading and writing it (`file`)."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from edgeless_sim.cluster.settings.urls import (
    AnnouncedUrl,
    BoundUrl,
    OptionalBoundUrl,
    OptionalUrl,
)
from edgeless_sim.cluster.settings.values import ControlEdgelessSimTable, Seconds, Text
from edgeless_sim.model.toml_table import Name, Table

__all__ = [
    "BaselineTable",
    "CollectorTable",
    "DatasetTable",
    "OrchestratorEdgelessSimTable",
    "OrchestratorGeneral",
    "OrchestratorSettingsFile",
    "ProxyTable",
]

#: Nodes that lived a moment longer than they said are not dead yet.
_TICK_S: Final = 1.0
_GC_PERIOD_S_MAX: Final = 10 * 365 * 86_400


def _proxy_type(value: object) -> object:
    # EDGELESS takes any case.
    known = {"none": "None", "redis": "Redis", "": "None"}
    return known.get(value.lower(), value) if isinstance(value, str) else value


class OrchestratorGeneral(Table):
    """``[general]``: who the ε-ORC is and where it listens."""

    domain_register_url: OptionalUrl = None
    """Where it registers its domain; absent = the ε-CON has it in its static list."""
    subscription_refresh_interval_sec: Seconds = 2
    """How often it repeats its registration, in s."""
    domain_id: Name
    """The name of the domain."""
    orchestrator_url: BoundUrl
    """Where it takes requests of the ε-CON."""
    orchestrator_url_announced: AnnouncedUrl = ""
    """The same as others reach it; empty = as bound."""
    orchestrator_coap_url: Text = ""
    """Not available: empty."""
    orchestrator_coap_url_announced: Text = ""
    """Not available: empty."""
    node_register_url: OptionalBoundUrl = None
    """Where nodes register; absent or empty = at *orchestrator_url*."""
    node_register_coap_url: Text = ""
    """Not available: empty."""
    agent_url: OptionalBoundUrl = None
    """Of the collector's own node; opened only with a collector."""
    agent_url_announced: AnnouncedUrl = ""
    invocation_url: OptionalBoundUrl = None
    """As *agent_url*."""
    invocation_url_announced: AnnouncedUrl = ""


class BaselineTable(Table):
    """``[baseline]``: placement, and when a silent node counts as gone."""

    orchestration_strategy: Name = "Random"
    """A name of the entry points ``edgeless.strategies``, or ``module:Class``."""
    keep_alive_interval_secs: Seconds = 2
    """See `node_refresh_s` and `node_deadline_s`; files of newer EDGELESS versions lack it."""

    @property
    def node_refresh_s(self) -> float:
        """How often nodes are told to repeat their registration, in s."""
        return self.keep_alive_interval_secs / 2

    @property
    def node_deadline_s(self) -> float:
        """How long a node may be silent until it is deregistered, in s."""
        return 2 * self.keep_alive_interval_secs + _TICK_S


class DatasetTable(Table):
    """``[proxy.dataset_settings]``: CSV files of what happens in the domain (spec 7.3)."""

    dataset_path: Text = ""
    """What their names begin with, such as ``out/``; empty = none are written."""
    append: bool = True
    """Go on with files that are there; else they begin anew."""
    additional_fields: Text = ""
    """What each row begins with."""
    additional_header: Text = ""
    """What each header begins with."""


class ProxyTable(Table):
    """``[proxy]``: the mirror of the ε-ORC's state, from which it also takes intents (spec 7)."""

    proxy_type: Annotated[Literal["None", "Redis"], BeforeValidator(_proxy_type)] = "None"
    """``None`` = the ε-ORC alone shows its domain."""
    proxy_gc_period_seconds: Annotated[int, Field(ge=0, le=_GC_PERIOD_S_MAX)] = 0
    """How long health and measurements are kept; 0 = in a Redis for ever."""
    redis_url: Text = Field(default="", repr=False)
    """Where the Redis is; may have a user and a password."""
    dataset_settings: DatasetTable = DatasetTable()


class CollectorTable(Table):
    """``[collector]``: a node beside the ε-ORC that keeps what workflows measure of themselves."""

    # The same two words, in any case.
    collector_type: Annotated[Literal["None", "Redis"], BeforeValidator(_proxy_type)] = "None"
    redis_url: Text = Field(default="", repr=False)
    """Where samples are kept; needed if *collector_type* is ``Redis``."""


class OrchestratorEdgelessSimTable(ControlEdgelessSimTable):
    """``[edgeless_sim]`` of an ε-ORC."""

    keep_alive_secs: Annotated[float, Field(ge=0.1, le=86_400)] | None = None
    """As ``baseline.keep_alive_interval_secs``, which it overrides; need not be whole."""
    flush_mirror: bool = False
    """Empty the Redis's database at start, as EDGELESS does; else only the mirror's keys go."""
    fencing: Literal["none", "lease"] = "none"
    """What an isolated node does with its instances: it keeps them; ``lease`` is not available."""


class OrchestratorSettingsFile(Table):
    """The settings of an ε-ORC."""

    general: OrchestratorGeneral
    baseline: BaselineTable = BaselineTable()
    proxy: ProxyTable = ProxyTable()
    collector: CollectorTable = CollectorTable()
    edgeless_sim: OrchestratorEdgelessSimTable = OrchestratorEdgelessSimTable()

    @property
    def name(self) -> str:
        """What people and the journal call the ε-ORC."""
        return self.edgeless_sim.name or f"orc/{self.general.domain_id}"

    @property
    def registration_url(self) -> str:
        """Where nodes register."""
        return self.general.node_register_url or self.general.orchestrator_url

    @property
    def announced_url(self) -> str:
        """What the ε-CON is told to connect to."""
        return self.general.orchestrator_url_announced or self.general.orchestrator_url
