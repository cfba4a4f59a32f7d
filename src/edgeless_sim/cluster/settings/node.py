"""``node.toml`` as a value (spec 8.0, 8.3). Not here: its providers (`resources`), reading and
writing it (`file`).
"""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from uuid import UUID

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from edgeless_sim.cluster.settings.resources import ResourcesTable
from edgeless_sim.cluster.settings.urls import (
    AnnouncedUrl,
    BoundUrl,
    OptionalHttpUrl,
    OptionalUrl,
)
from edgeless_sim.cluster.settings.values import (
    EdgelessSimTable,
    Folder,
    OptionalName,
    Seconds,
    Text,
)
from edgeless_sim.dataplane.correlation import CALL_TIMEOUT_S
from edgeless_sim.model.ids import NODE_ID_NONE, NodeId, parse_uuid
from edgeless_sim.model.names import name_fault
from edgeless_sim.model.node import CLOCK_MHZ_MAX, CPUS_MAX, LABELS_MAX, NodeCapabilities
from edgeless_sim.model.toml_table import Few, Table
from edgeless_sim.node.state_store import STATE_FOLDER
from edgeless_sim.runtimes.base import FUEL_PER_EVENT_DEFAULT

__all__ = [
    "CALL_TIMEOUT_S_MAX",
    "CapabilitiesTable",
    "ContainerTable",
    "ModelledTable",
    "NodeEdgelessSimTable",
    "NodeGeneral",
    "NodeSettingsFile",
    "PowerTable",
    "PythonTable",
    "TelemetryTable",
    "WasmTable",
]

FILES_FOLDER: Final = "file-log"
DATABASES_FOLDER: Final = "databases"

_UINT32_MAX: Final = (1 << 32) - 1
_FUEL_MAX: Final = 10**12
CALL_TIMEOUT_S_MAX: Final = 86_400.0


def _node_id(value: object) -> object:
    if isinstance(value, str):
        value = parse_uuid(value)
    if isinstance(value, UUID) and (not value.int or value == NODE_ID_NONE):
        raise ValueError("this id means 'no node'; write a random one, such as -t makes")
    return value


def _label(value: str) -> str:
    fault = name_fault(value)
    if fault is None and "," in value:
        fault = "it has a comma, which separates labels in workflows"
    if fault is not None:
        raise ValueError(f"this is no label: {fault}")
    return value


def _whole_if_it_is(value: float | None) -> float | int | None:
    return int(value) if value is not None and value.is_integer() else value


_Label: TypeAlias = Annotated[str, AfterValidator(_label)]
_Size: TypeAlias = Annotated[int, Field(ge=0, le=_UINT32_MAX)]
_Count: TypeAlias = Annotated[int, Field(ge=0, le=CPUS_MAX)]
_Mhz: TypeAlias = Annotated[
    float | None,
    Field(ge=0, le=CLOCK_MHZ_MAX),
    # As EDGELESS's files have it: 2971, not 2971.0.
    PlainSerializer(_whole_if_it_is),
]


class NodeGeneral(Table):
    """``[general]``: who the node is, where it listens, and where it registers."""

    node_id: Annotated[NodeId, BeforeValidator(_node_id)]
    agent_url: BoundUrl
    """Where it takes requests of the ε-ORC."""
    agent_url_announced: AnnouncedUrl = ""
    """The same as others reach it; empty = as bound."""
    invocation_url: BoundUrl
    """Where it takes events of other nodes."""
    invocation_url_announced: AnnouncedUrl = ""
    invocation_url_coap: Text = ""
    """Not available: empty."""
    invocation_url_announced_coap: Text = ""
    """Not available: empty."""
    metrics_url: OptionalHttpUrl = None
    """Where it shows measurements; also ``telemetry.metrics_url``. Absent or empty = nowhere."""
    orchestrator_url: OptionalUrl = None
    """Where it registers."""
    node_register_url: OptionalUrl = None
    """The same under its newer name."""
    subscription_refresh_interval_sec: Seconds = 2
    """How often it repeats its registration, in s, until the ε-ORC tells it another interval."""

    @property
    def registers_at(self) -> str | None:
        """Where it registers; None = nothing says so."""
        return self.node_register_url or self.orchestrator_url

    @property
    def registration_url(self) -> str:
        """Where it registers."""
        url = self.registers_at
        assert url is not None, "checked when the file was read"
        return url


class TelemetryTable(Table):
    """``[telemetry]``: what the node tells about itself."""

    metrics_url: OptionalHttpUrl = None
    log_level: Literal["off", "error", "warn", "info", "debug", "trace"] = "info"
    """The least urgent level at which the node's log tells what functions say."""
    performance_samples: bool = False
    """Whether the time of each execution and transfer goes up with the registration."""


class WasmTable(Table):
    """``[wasm_runtime]``."""

    enabled: bool


class ContainerTable(Table):
    """``[container_runtime]``: not available, *enabled* is false."""

    enabled: bool
    guest_api_host_url: Text = ""


class PythonTable(Table):
    """``[python_runtime]``, ours: functions that are Python classes."""

    enabled: bool = False
    folders: Annotated[tuple[Folder, ...], Few] = ()
    """Code is taken from files in these folders and from nowhere else."""


class ModelledTable(Table):
    """``[modelled_runtime]``, ours: functions that only take time."""

    enabled: bool = False


class CapabilitiesTable(Table):
    """``[user_node_capabilities]``: instead of what is detected."""

    num_cpus: _Count | None = None
    model_name_cpu: OptionalName | None = None
    clock_freq_cpu: _Mhz = None
    """MHz."""
    num_cores: _Count | None = None
    mem_size: _Size | None = None
    """MiB."""
    labels: Annotated[tuple[_Label, ...], Few, Field(max_length=LABELS_MAX)] | None = None
    """Beside those that are detected."""
    is_tee_running: bool | None = None
    has_tpm: bool | None = None
    disk_tot_space: _Size | None = None
    """MiB."""
    num_gpus: _Size | None = None
    model_name_gpu: OptionalName | None = None
    mem_size_gpu: _Size | None = None
    """MiB."""

    def applied_to(self, detected: NodeCapabilities) -> NodeCapabilities:
        """What the node announces: *detected*, where nothing else is written here."""
        written = {key: value for key, value in self if value is not None}
        written["labels"] = tuple(sorted({*detected.labels, *(self.labels or ())}))
        return msgspec.structs.replace(detected, **written)


class PowerTable(Table):
    """``[power_info]``: not available, the table is absent."""

    modbus_endpoint: Text = ""
    outlet_number: Annotated[int, Field(ge=1, le=128)] = 1


class NodeEdgelessSimTable(EdgelessSimTable):
    """``[edgeless_sim]`` of a node."""

    state_folder: Folder = Path(STATE_FOLDER)
    """Where the state of functions is stored."""
    files_folder: Folder = Path(FILES_FOLDER)
    """The root of what resources write; nothing escapes it."""
    database_folder: Folder = Path(DATABASES_FOLDER)
    """The same for the databases of sqlx."""
    fuel_per_event: Annotated[int, Field(ge=1_000, le=_FUEL_MAX)] = FUEL_PER_EVENT_DEFAULT
    """Most fuel of one event; 4 million are a millisecond at 3 GHz."""
    call_timeout_secs: Annotated[float, Field(gt=0, le=CALL_TIMEOUT_S_MAX)] = CALL_TIMEOUT_S
    """How long a function waits for the answer to a call, in s."""
    module_cache: Folder | None = None
    """Where compiled modules are kept; absent = nowhere."""


class NodeSettingsFile(Table):
    """The settings of a node."""

    general: NodeGeneral
    telemetry: TelemetryTable = TelemetryTable()
    wasm_runtime: WasmTable = WasmTable(enabled=False)
    container_runtime: ContainerTable = ContainerTable(enabled=False)
    python_runtime: PythonTable = PythonTable()
    modelled_runtime: ModelledTable = ModelledTable()
    resources: ResourcesTable = ResourcesTable()
    user_node_capabilities: CapabilitiesTable = CapabilitiesTable()
    power_info: PowerTable | None = None
    edgeless_sim: NodeEdgelessSimTable = NodeEdgelessSimTable()

    @property
    def name(self) -> str:
        """What people and the journal call the node."""
        return self.edgeless_sim.name or str(self.general.node_id)

    @property
    def registration_url(self) -> str:
        """Where the node registers."""
        return self.general.registration_url

    @property
    def metrics_url(self) -> str | None:
        """Where it shows measurements; None = nowhere."""
        return self.general.metrics_url or self.telemetry.metrics_url
