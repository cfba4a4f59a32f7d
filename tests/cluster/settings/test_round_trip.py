"""What is written as TOML is read back as the same value."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as property_of
from hypothesis import strategies as st

from edgeless_sim.cluster.settings import (
    CliSettingsFile,
    ControllerSettingsFile,
    NodeSettingsFile,
    OrchestratorSettingsFile,
    StaticOrchestrator,
    load_cli_settings,
    load_controller_settings,
    load_node_settings,
    load_orchestrator_settings,
    render_cli_settings,
    render_controller_settings,
    render_node_settings,
    render_orchestrator_settings,
)
from edgeless_sim.cluster.settings.node import (
    CapabilitiesTable,
    ContainerTable,
    NodeEdgelessSimTable,
    NodeGeneral,
    PythonTable,
    TelemetryTable,
    WasmTable,
)
from edgeless_sim.cluster.settings.orchestrator import (
    BaselineTable,
    CollectorTable,
    DatasetTable,
    OrchestratorEdgelessSimTable,
    OrchestratorGeneral,
    ProxyTable,
)
from edgeless_sim.cluster.settings.resources import (
    FilePusherTable,
    OllamaTable,
    ResourcesTable,
    ServerlessTable,
)
from edgeless_sim.cluster.settings.values import SEED_MAX, ControlEdgelessSimTable
from edgeless_sim.model.names import name_fault

ValueT = TypeVar("ValueT")

# Files are written, and the table of all characters is built at the first use.
unhurried = property_of(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# What looks like the end of a string, of a line or of a table to a careless writer is in them.
characters = st.one_of(
    st.sampled_from("\"'\\[]{}#=.,\n\r\t\x7f é"), st.characters(exclude_categories=["Cs"])
)
texts = st.text(characters.filter(lambda c: c != "\0"), max_size=12)
lines = texts.filter(lambda text: not {"\n", "\r"} & set(text))
names = texts.filter(lambda text: text and name_fault(text) is None)
labels = names.filter(lambda text: "," not in text)
counts = st.integers(0, 65_535)
sizes = st.integers(0, (1 << 32) - 1)
seconds = st.integers(1, 86_400)
folders = texts.filter(bool).map(Path)
component_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,20}", fullmatch=True)
hosts = st.sampled_from(["127.0.0.1", "[::1]", "node-1.example.org", "0.0.0.0"])
schemes = st.sampled_from(["http", "https", "tcp", "tls+tcp"])
no_url = st.sampled_from([None, ""])


def urls(first_port: int, schemes: st.SearchStrategy[str] = schemes) -> st.SearchStrategy[str]:
    """URLs with ports that no other call's have."""
    ports = st.integers(first_port, first_port + 999)
    return st.builds("{}://{}:{}".format, schemes, hosts, ports)


def made(
    table: Callable[..., ValueT],
    required: dict[str, st.SearchStrategy[Any]] | None = None,
    **optional: st.SearchStrategy[Any],
) -> st.SearchStrategy[ValueT]:
    """Values of *table* with some of the *optional* keys written."""
    keys = st.fixed_dictionaries(required or {}, optional=optional)
    return keys.map(lambda written: table(**written))


component_name = st.none() | component_names
seed = st.none() | st.integers(0, SEED_MAX)
announced = st.just("") | urls(60_000)

controllers = made(
    ControllerSettingsFile,
    {"controller_url": urls(1_000)},
    domain_register_url=no_url | urls(2_000),
    persistence_filename=texts,
    orchestrators=st.lists(names, max_size=3, unique=True).map(
        lambda domains: tuple(
            StaticOrchestrator(domain_id=name, orchestrator_url=f"http://x:{3_000 + at}")
            for at, name in enumerate(domains)
        )
    ),
    edgeless_sim=made(
        ControlEdgelessSimTable,
        name=component_name,
        seed=seed,
        metrics_url=no_url | urls(4_000, st.just("http")),
    ),
)
orchestrators = made(
    OrchestratorSettingsFile,
    {
        "general": made(
            OrchestratorGeneral,
            {"domain_id": names, "orchestrator_url": urls(1_000)},
            domain_register_url=no_url | urls(2_000),
            subscription_refresh_interval_sec=seconds,
            orchestrator_url_announced=announced,
            orchestrator_coap_url=st.just(""),
            node_register_url=no_url | urls(3_000),
            agent_url=no_url | urls(4_000),
            agent_url_announced=announced,
            invocation_url=no_url | urls(5_000),
            invocation_url_announced=announced,
        )
    },
    baseline=made(
        BaselineTable,
        orchestration_strategy=st.sampled_from(["Random", "RoundRobin"]),
        keep_alive_interval_secs=seconds,
    ),
    proxy=made(
        ProxyTable,
        proxy_type=st.sampled_from(["None", "none"]),
        proxy_gc_period_seconds=st.integers(0, 1_000),
        redis_url=texts,
        dataset_settings=made(
            DatasetTable,
            dataset_path=texts,
            append=st.booleans(),
            additional_fields=lines,
            additional_header=lines,
        ),
    ),
    collector=made(CollectorTable, collector_type=st.just("None"), redis_url=texts),
    edgeless_sim=made(
        OrchestratorEdgelessSimTable, fencing=st.just("none"), name=component_name, seed=seed
    ),
)
nodes = made(
    NodeSettingsFile,
    {
        "general": made(
            NodeGeneral,
            {
                "node_id": st.uuids(version=4),
                "agent_url": urls(1_000),
                "invocation_url": urls(2_000),
                "orchestrator_url": urls(3_000),
            },
            agent_url_announced=announced,
            invocation_url_announced=announced,
            metrics_url=no_url | urls(4_000, st.just("http")),
            subscription_refresh_interval_sec=seconds,
        )
    },
    telemetry=made(
        TelemetryTable,
        metrics_url=no_url,
        log_level=st.sampled_from(["off", "error", "warn", "info", "debug", "trace"]),
        performance_samples=st.booleans(),
    ),
    wasm_runtime=made(WasmTable, {"enabled": st.booleans()}),
    container_runtime=made(ContainerTable, {"enabled": st.just(False)}, guest_api_host_url=texts),
    python_runtime=made(
        PythonTable,
        enabled=st.just(False),
        folders=st.lists(folders, max_size=3).map(tuple),
    ),
    resources=made(
        ResourcesTable,
        prepend_hostname=st.booleans(),
        http_ingress_url=no_url | urls(5_000, st.just("http")),
        file_log_provider=st.just("") | names,
        file_pusher_provider=made(FilePusherTable, directory=texts, provider=st.just("")),
        ollama_provider=made(OllamaTable, host=texts, port=st.integers(1, 65_535)),
        serverless_provider=st.lists(
            made(ServerlessTable, class_type=texts, version=texts), max_size=2
        ).map(tuple),
    ),
    user_node_capabilities=made(
        CapabilitiesTable,
        num_cpus=st.none() | counts,
        model_name_cpu=st.none() | st.just("") | names,
        clock_freq_cpu=st.none() | st.floats(0, 1_000_000),
        num_cores=counts,
        mem_size=sizes,
        labels=st.none() | st.lists(labels, max_size=4).map(tuple),
        is_tee_running=st.none() | st.booleans(),
        has_tpm=st.booleans(),
        disk_tot_space=sizes,
        num_gpus=sizes,
        model_name_gpu=names,
        mem_size_gpu=sizes,
    ),
    edgeless_sim=made(
        NodeEdgelessSimTable,
        state_folder=folders,
        files_folder=folders,
        database_folder=folders,
        fuel_per_event=st.integers(1_000, 10**12),
        call_timeout_secs=st.floats(0.001, 86_400),
        module_cache=st.none() | folders,
        name=component_name,
        seed=seed,
    ),
)
clients = made(CliSettingsFile, {"controller_url": urls(1_000)})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings") / "x.toml"


def check(
    path: Path, settings: ValueT, render: Callable[[ValueT], str], load: Callable[[Path], ValueT]
) -> None:
    text = render(settings)
    # Bytes, because text files translate the ends of lines.
    path.write_bytes(text.encode())
    read = load(path)
    assert read == settings
    assert render(read) == text


@unhurried
@given(settings=controllers)
def test_controller_files(path: Path, settings: ControllerSettingsFile) -> None:
    check(path, settings, render_controller_settings, load_controller_settings)


@unhurried
@given(settings=orchestrators)
def test_orchestrator_files(path: Path, settings: OrchestratorSettingsFile) -> None:
    check(path, settings, render_orchestrator_settings, load_orchestrator_settings)


@unhurried
@given(settings=nodes)
def test_node_files(path: Path, settings: NodeSettingsFile) -> None:
    check(path, settings, render_node_settings, load_node_settings)


@unhurried
@given(settings=clients)
def test_client_files(path: Path, settings: CliSettingsFile) -> None:
    check(path, settings, render_cli_settings, load_cli_settings)


def test_what_is_absent_is_not_written() -> None:
    settings = ControllerSettingsFile(
        controller_url="http://127.0.0.1:7001",
        domain_register_url=None,
        edgeless_sim=ControlEdgelessSimTable(name="con", seed=None),
    )
    assert render_controller_settings(settings) == (
        'controller_url = "http://127.0.0.1:7001"\n\n[edgeless_sim]\nname = "con"\n'
    )
