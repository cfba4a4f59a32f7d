"""The file of a component: what is written reads back the same, or is not written; what a process
cannot do is refused with its place.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as property_of
from hypothesis import strategies as st

from edgeless_sim.cluster.component_files import FILES, KINDS, load_component, write_component
from edgeless_sim.cluster.component_settings import (
    ComponentSettings,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.cluster.services import services_of
from edgeless_sim.cluster.settings.resources import ResourcesTable, ServerlessTable
from edgeless_sim.cluster.settings.templates import orchestrator_template
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.orchestrator.settings import DatasetSettings
from edgeless_sim.resources.base import OllamaSettings, ServerlessSettings
from edgeless_sim.resources.catalog import known_classes

SEEDS = st.none() | st.integers(0, 2**63 - 1)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,60}", fullmatch=True)
# What looks like the end of a string, of a line or of a table to a careless writer is in them.
TEXTS = st.text(
    st.characters(categories=["L", "N", "P", "S"], exclude_characters=","), min_size=1, max_size=40
)
FOLDERS = st.lists(TEXTS, min_size=1, max_size=3).map(lambda parts: Path(*parts))
HOSTS = st.sampled_from(["127.0.0.1", "localhost", "node-3.lab", "[::1]"])
SIZES = st.integers(0, 2**32 - 1)


def urls(first: int = 1, last: int = 65_535) -> st.SearchStrategy[str]:
    schemes = st.sampled_from(["tcp", "http"])
    return st.builds("{}://{}:{}".format, schemes, HOSTS, st.integers(first, last))


#: URLs of services, none of them where another is.
OWN, SECOND, ABOVE = urls(1, 9_999), urls(10_000, 19_999), urls(20_000, 29_999)
CONTROLLERS = st.builds(
    ControllerComponent, url=OWN, domain_url=st.just("") | SECOND, name=NAMES, seed=SEEDS
)
DATASETS = st.builds(
    DatasetSettings, path=TEXTS, append=st.booleans(), header=TEXTS, fields=st.just("") | TEXTS
)
ORCHESTRATORS = st.builds(
    OrchestratorComponent,
    domain_id=TEXTS,
    url=OWN,
    announced_url=st.just("") | urls(),
    node_url=st.just("") | SECOND,
    domain_register_url=st.just("") | ABOVE,
    strategy=st.sampled_from(["Random", "RoundRobin"]),
    keep_alive_s=st.floats(0.1, 86_400),
    subscription_interval_s=st.integers(0, 86_400),
    redis_url=st.sampled_from(["", "redis://u:p@h:1/2", "rediss://[::1]", "unix:///x?db=1"]),
    mirror_gc_period_s=st.integers(0, 1_000),
    datasets=st.none() | DATASETS,
    name=NAMES,
    seed=SEEDS,
)
#: The same with a collector, whose node has URLs of its own.
COLLECTING = st.builds(
    replace,
    ORCHESTRATORS,
    collector_redis_url=st.sampled_from(["redis://h", "rediss://u:p@[::1]:6380/3"]),
    agent_url=urls(30_000, 39_999),
    agent_announced_url=st.just("") | urls(),
    invocation_url=urls(40_000, 49_999),
    invocation_announced_url=st.just("") | urls(),
)
CAPABILITIES = st.builds(
    NodeCapabilities,
    num_cpus=st.integers(0, 65_535),
    model_name_cpu=st.just("") | TEXTS,
    clock_freq_cpu=st.floats(0, 1e6),
    num_cores=st.integers(0, 65_535),
    mem_size=SIZES,
    labels=st.sets(TEXTS, max_size=3).map(lambda found: tuple(sorted(found))),
    is_tee_running=st.booleans(),
    has_tpm=st.booleans(),
    runtimes=st.sets(st.sampled_from(["MODELLED", "RUST_WASM"])).map(
        lambda found: tuple(sorted(found))
    ),
    disk_tot_space=SIZES,
    num_gpus=SIZES,
    model_name_gpu=st.just("") | TEXTS,
    mem_size_gpu=SIZES,
)
NODES = st.builds(
    NodeComponent,
    node_id=st.uuids(version=4).map(NodeId),
    agent_url=OWN,
    agent_announced_url=st.just("") | urls(),
    invocation_url=SECOND,
    invocation_announced_url=st.just("") | urls(),
    orchestrator_url=ABOVE,
    capabilities=CAPABILITIES,
    providers=st.just(()) | TEXTS.map(lambda name: ((name, "file-log"),)),
    performance_samples=st.booleans(),
    refresh_interval_s=st.integers(1, 86_400),
    call_timeout_s=st.floats(0.001, 86_400),
    fuel_per_event=st.integers(1_000, 10**12),
    module_cache=st.none() | FOLDERS,
    state_folder=FOLDERS,
    files_folder=FOLDERS,
    database_folder=FOLDERS,
    name=NAMES,
    seed=SEEDS,
)


def with_python(node: NodeComponent, folder: Path) -> NodeComponent:
    runtimes = tuple(sorted({*node.capabilities.runtimes, "PYTHON"}))
    capabilities = msgspec.structs.replace(node.capabilities, runtimes=runtimes)
    return replace(node, capabilities=capabilities, python_folders=(folder,))


PYTHON_NODES = st.builds(with_python, NODES, FOLDERS)


def node(**changes: object) -> NodeComponent:
    found = NodeComponent(
        node_id=NodeId(UUID(int=7 << 64)),
        agent_url="tcp://127.0.0.1:1",
        invocation_url="tcp://127.0.0.1:2",
        orchestrator_url="tcp://127.0.0.1:3",
        capabilities=NodeCapabilities(),
        name="n",
    )
    return replace(found, **changes)  # type: ignore[arg-type]  # the test's own values


@property_of(deadline=None)
@given(found=CONTROLLERS | ORCHESTRATORS | COLLECTING | NODES | PYTHON_NODES)
def test_what_is_written_reads_back(
    found: ComponentSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("component")
    path = write_component(found, folder)
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    assert load_component(KINDS[type(found)], path) == found
    shutil.rmtree(folder)


def test_one_provider_of_each_class_reads_back(tmp_path: Path) -> None:
    classes = ("file-log", "http-egress", "redis", "sqlx")
    assert set(classes) <= set(known_classes())
    providers = tuple((f"n/{name}", name) for name in classes)
    read = load_component("node", write_component(node(providers=providers), tmp_path))
    assert isinstance(read, NodeComponent)
    assert sorted(read.providers) == sorted(providers)


def test_a_nodes_file_tells_it_where_its_metrics_collector_keeps_samples(tmp_path: Path) -> None:
    written = node(
        providers=(("n/metrics-collector", "metrics-collector"),),
        collector_redis_url="redis://store.lab:6380/2",
    )
    assert load_component("node", write_component(written, tmp_path)) == written


def test_without_a_collector_an_orchestrator_opens_none_of_its_urls(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.toml"
    path.write_text(orchestrator_template())
    read = load_component("orc", path)
    assert isinstance(read, OrchestratorComponent)
    assert (read.collector_redis_url, read.agent_url, read.invocation_url) == ("", "", "")
    assert [*services_of(read).values()] == ["http://127.0.0.1:7011"]
    off, on = '"None"\nredis_url = ""', '"redis"\nredis_url = "redis://127.0.0.1"'
    path.write_text(
        orchestrator_template().replace(f"collector_type = {off}", f"collector_type = {on}")
    )
    read = load_component("orc", path)
    assert [*services_of(read)] == [
        ("general", "orchestrator_url"),
        ("general", "agent_url"),
        ("general", "invocation_url"),
    ]


def test_a_nodes_file_tells_it_its_models_and_the_functions_that_run_elsewhere(
    tmp_path: Path,
) -> None:
    serverless = tuple(
        ServerlessSettings(
            provider_id=f"n/{name}", class_type=name, version="2.0", function_url="http://x:1/f"
        )
        for name in ("resize", "blur")
    )
    written = node(
        providers=(
            ("n/o", "ollama"),
            ("n/p", "http-poster"),
            *((each.provider_id, "serverless") for each in serverless),
        ),
        ollama=OllamaSettings("gpu.lab", 8080, 7),
        serverless=serverless,
    )
    read = load_component("node", write_component(written, tmp_path))
    assert isinstance(read, NodeComponent)
    assert (read.ollama, read.serverless) == (written.ollama, serverless)
    assert sorted(read.providers) == sorted(written.providers)


def test_a_nodes_file_tells_it_where_the_files_of_its_file_pusher_are(tmp_path: Path) -> None:
    written = node(providers=(("n/p", "file-pusher"),), file_pusher_directory=Path("in/files"))
    path = write_component(written, tmp_path)
    read = load_component("node", path)
    assert isinstance(read, NodeComponent)
    assert (read.providers, read.file_pusher_directory) == (
        (("n/p", "file-pusher"),),
        Path("in/files"),
    )
    # Where no provider has a use for it, it says nothing.
    path.write_text(path.read_text().replace('provider = "n/p"', 'provider = ""'))
    read = load_component("node", path)
    assert isinstance(read, NodeComponent)
    assert (read.providers, read.file_pusher_directory) == ((), None)


def test_host_names_are_put_before_functions_that_run_elsewhere_too() -> None:
    table = ServerlessTable(class_type="f", function_url="http://x/", provider="p")
    resources = ResourcesTable(prepend_hostname=True, serverless_provider=(table,))
    [told], [named] = resources.serverless("box"), resources.providers("box")
    assert told.provider_id == named.provider_id == "box-p"
    assert told.version == "1.0"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (node(providers=(("a", "file-log"), ("b", "file-log"))), "cannot say this: providers"),
        (node(capabilities=NodeCapabilities(runtimes=("CONTAINER",))), "this: capabilities"),
        (node(refresh_interval_s=1.5), "cannot say this: refresh_interval_s"),
        (node(fuel_per_event=1), r"edgeless_sim\.fuel_per_event"),
        (node(invocation_url="tcp://127.0.0.1:3"), r"^node\.toml:.* the component itself"),
        (ControllerComponent(url="nowhere"), r"^controller\.toml: controller_url: "),
        (ControllerComponent(url="tcp://a:1", seed=-1), r"edgeless_sim\.seed"),
    ],
)
def test_what_the_file_would_not_say_is_not_written(
    found: ComponentSettings, reason: str, tmp_path: Path
) -> None:
    older = tmp_path / FILES[KINDS[type(found)]]
    older.write_text("older")
    with pytest.raises(SettingsError, match=reason):
        write_component(found, tmp_path)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [
        (older.name, "older")
    ]


def test_an_older_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for port in (1, 2):
        found = ControllerComponent(url=f"tcp://a:{port}")
        assert load_component("con", write_component(found, tmp_path)) == found
    (tmp_path / "controller.toml").unlink()
    (tmp_path / "controller.toml").mkdir()
    with pytest.raises(OSError, match=r"controller\.toml"):
        write_component(ControllerComponent(url="tcp://a:3"), tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["controller.toml"]


ORCHESTRATOR = '[general]\ndomain_id = "d"\norchestrator_url = "tcp://127.0.0.1:1"\n'
NODE = f"""\
[general]
node_id = "{UUID(int=7 << 64)}"
agent_url = "tcp://127.0.0.1:1"
invocation_url = "tcp://127.0.0.1:2"
orchestrator_url = "tcp://127.0.0.1:3"
"""


def loaded(kind: str, text: str, folder: Path) -> ComponentSettings:
    path = folder / FILES[kind]
    path.write_text(text, encoding="utf-8")
    return load_component(kind, path)


def test_an_interval_in_the_file_is_that_of_registrations(tmp_path: Path) -> None:
    interval = "subscription_refresh_interval_sec = 7\n"
    orchestrator = loaded("orc", ORCHESTRATOR + interval, tmp_path)
    found = loaded("node", NODE + interval, tmp_path)
    assert isinstance(orchestrator, OrchestratorComponent)
    assert isinstance(found, NodeComponent)
    assert (orchestrator.subscription_interval_s, found.refresh_interval_s) == (7, 7)
    silent = loaded("orc", ORCHESTRATOR, tmp_path)
    assert isinstance(silent, OrchestratorComponent)
    assert silent.subscription_interval_s == 0


@pytest.mark.parametrize(
    ("kind", "text", "place"),
    [
        ("con", 'controller_url = "{}"', ":1: controller_url: "),
        (
            "con",
            'controller_url = "tcp://a:1"\ndomain_register_url = "{}"',
            ":2: domain_register_url: ",
        ),
        ("orc", ORCHESTRATOR + 'node_register_url = "{}"', ":4: general.node_register_url: "),
        ("node", NODE.replace("tcp://127.0.0.1:2", "{}"), ":4: general.invocation_url: "),
    ],
)
def test_listening_with_tls_needs_a_certificate(
    kind: str, text: str, place: str, tmp_path: Path
) -> None:
    for url in ("https://127.0.0.1:9", "tls+tcp://127.0.0.1:9"):
        with pytest.raises(SettingsError, match=r"server_key_path in tls_config\.toml") as caught:
            loaded(kind, text.format(url), tmp_path)
        assert place in str(caught.value)


@pytest.mark.parametrize("key", ["agent_url_announced", "orchestrator_url"])
def test_whom_others_serve_with_tls_needs_none(key: str, tmp_path: Path) -> None:
    text = NODE.replace('orchestrator_url = "tcp://127.0.0.1:3"\n', "")
    keys = {"orchestrator_url": "tcp://127.0.0.1:3", key: "https://127.0.0.1:9"}
    text += "".join(f'{name} = "{url}"\n' for name, url in keys.items())
    assert "https://127.0.0.1:9" in str(loaded("node", text, tmp_path))


@pytest.mark.parametrize(
    ("kind", "text", "place"),
    [
        ("con", 'controller_url = "memory://con"', ":1: controller_url: "),
        (
            "orc",
            ORCHESTRATOR + 'domain_register_url = "memory://con"',
            ":4: general.domain_register_url: ",
        ),
        ("node", NODE.replace("tcp://127.0.0.1:3", "memory://orc"), "general.orchestrator_url: "),
    ],
)
def test_no_process_is_reached_through_memory(
    kind: str, text: str, place: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="memory:// is for simulations") as caught:
        loaded(kind, text, tmp_path)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("", "controller.save"),
        ('persistence_filename = "x/y"', "x/y"),
        ('persistence_filename = ""', ""),
    ],
)
def test_a_controller_keeps_its_workflows_where_its_file_says(
    line: str, name: str, tmp_path: Path
) -> None:
    settings = loaded("con", f'controller_url = "tcp://a:1"\n{line}\n', tmp_path)
    assert isinstance(settings, ControllerComponent)
    assert settings.persistence_filename == name
    assert load_component("con", write_component(settings, tmp_path)) == settings


def test_a_controller_asks_the_domains_of_its_static_list(tmp_path: Path) -> None:
    domain = '{domain_id = "d", orchestrator_url = "tcp://a:2"}'
    text = f'controller_url = "tcp://a:1"\n\norchestrators = [{domain}]\n'
    settings = loaded("con", text, tmp_path)
    assert isinstance(settings, ControllerComponent)
    assert settings.domains == (("d", "tcp://a:2"),)
    assert load_component("con", write_component(settings, tmp_path)) == settings


def test_a_domain_of_the_static_list_has_a_socket(tmp_path: Path) -> None:
    domain = '{domain_id = "d", orchestrator_url = "memory://a"}'
    with pytest.raises(SettingsError, match="is for simulations") as caught:
        loaded("con", f'controller_url = "tcp://a:1"\norchestrators = [{domain}]\n', tmp_path)
    assert "controller.toml:2: orchestrators[0].orchestrator_url: " in str(caught.value)
