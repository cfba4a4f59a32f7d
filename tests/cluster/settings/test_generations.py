"""Configuration files of every generation of EDGELESS load, but for what is not available."""

import tomllib
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import tomli_w

from edgeless_sim.cluster.settings import (
    cli_template,
    controller_template,
    load_cli_settings,
    load_controller_settings,
    load_node_settings,
    load_orchestrator_settings,
    node_template,
    orchestrator_template,
)
from edgeless_sim.cluster.settings.node import CapabilitiesTable
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.resources.catalog import known_classes

FILES = Path(__file__).parent / "generations"

#: Generation, file, and what it asks for in vain when there is file-log alone.
UNAVAILABLE = [
    ("guide", "http_ingress_provider", "http-ingress"),
    ("guide", "http_egress_provider", "http-egress"),
    ("guide", "redis_provider", "redis"),
    ("v1", "http_ingress_provider", "http-ingress"),
    ("v1", "http_egress_provider", "http-egress"),
    ("v1", "redis_provider", "redis"),
    ("v1", "dda_provider", "dda"),
    ("v1", "kafka_egress_provider", "kafka-egress"),
    ("v1", "ollama_provider.provider", "ollama"),
    ("h", "http_ingress_provider", "http-ingress"),
    ("h", "http_egress_provider", "http-egress"),
    ("h", "http_poster_provider", "http-poster"),
    ("h", "redis_provider", "redis"),
    ("h", "dda_provider", "dda"),
    ("h", "sqlx_provider", "sqlx"),
]


def tables(generation: str, name: str) -> dict[str, Any]:
    return tomllib.loads((FILES / generation / name).read_text())


def without(tmp_path: Path, generation: str, name: str, *keys: str) -> Path:
    """The file, with *keys* of dotted paths at their off value."""
    document = tables(generation, name)
    for key in keys:
        *outer, last = key.split(".")
        table = document
        for part in outer:
            table = table[part]
        table[last] = ""
    (tmp_path / name).write_text(tomli_w.dumps(document))
    return tmp_path / name


@pytest.mark.parametrize("generation", ["guide", "v1"])
def test_controller_files_with_a_static_list_load(generation: str) -> None:
    settings = load_controller_settings(FILES / generation / "controller.toml")
    assert [(x.domain_id, x.orchestrator_url) for x in settings.orchestrators] == [
        ("domain-1", "http://127.0.0.1:7011")
    ]
    assert settings.registration_url == settings.controller_url == "http://127.0.0.1:7001"
    assert (settings.persistence_filename, settings.name) == ("controller.save", "con")


def test_the_controller_file_of_generation_h_loads() -> None:
    settings = load_controller_settings(FILES / "h" / "controller.toml")
    assert settings.orchestrators == ()
    assert settings.registration_url == "http://127.0.0.1:7002"


def test_the_orchestrator_file_of_the_guide_loads() -> None:
    settings = load_orchestrator_settings(FILES / "guide" / "orchestrator.toml")
    assert settings.general.domain_register_url is None
    assert settings.announced_url == settings.registration_url == "http://127.0.0.1:7011"
    assert settings.baseline.orchestration_strategy == "Random"
    assert settings.name == "orc/domain-1"


def test_the_orchestrator_file_of_generation_h_loads() -> None:
    settings = load_orchestrator_settings(FILES / "h" / "orchestrator.toml")
    assert settings.general.domain_register_url == "http://127.0.0.1:7002"
    assert settings.registration_url == "http://127.0.0.1:7004"
    assert settings.proxy.proxy_gc_period_seconds == 360
    # It has no keep-alive: the guide's.
    assert settings.baseline.keep_alive_interval_secs == 2


def test_the_orchestrator_file_of_generation_v1_loads_without_coap(tmp_path: Path) -> None:
    path = FILES / "v1" / "orchestrator.toml"
    with pytest.raises(SettingsError) as raised:
        load_orchestrator_settings(path)
    assert str(raised.value) == (
        f"{path}:5: general.orchestrator_coap_url: CoAP is not available in this version; "
        "remove the key"
    )
    plain = without(tmp_path, "v1", "orchestrator.toml", "general.orchestrator_coap_url")
    assert load_orchestrator_settings(plain).general.invocation_url == "http://127.0.0.1:7102"


@pytest.mark.parametrize(("secs", "refresh", "deadline"), [(1, 0.5, 3), (2, 1, 5), (10, 5, 21)])
def test_keep_alive_says_how_often_and_how_long(
    tmp_path: Path, secs: int, refresh: float, deadline: float
) -> None:
    document = tables("guide", "orchestrator.toml")
    document["baseline"]["keep_alive_interval_secs"] = secs
    (tmp_path / "o.toml").write_text(tomli_w.dumps(document))
    baseline = load_orchestrator_settings(tmp_path / "o.toml").baseline
    assert (baseline.node_refresh_s, baseline.node_deadline_s) == (refresh, deadline)


@pytest.mark.usefixtures("_only_file_log")
@pytest.mark.parametrize(("generation", "key", "class_type"), UNAVAILABLE)
def test_a_provider_that_cannot_be_made_is_refused_by_key(
    tmp_path: Path, generation: str, key: str, class_type: str
) -> None:
    others = [k for g, k, _ in UNAVAILABLE if g == generation and k != key]
    coap = ["general.invocation_url_coap"] if generation == "v1" else []
    off = [*(f"resources.{other}" for other in others), *coap]
    path = without(tmp_path, generation, "node.toml", *off)
    with pytest.raises(SettingsError) as raised:
        load_node_settings(path)
    text = str(raised.value)
    assert len(text.splitlines()) == 1
    assert f": resources.{key}: " in text
    assert f"the resource class {class_type} is not available in this version" in text


@pytest.mark.usefixtures("_only_file_log")
@pytest.mark.parametrize("generation", ["guide", "v1", "h"])
def test_node_files_load_without_those(tmp_path: Path, generation: str) -> None:
    coap = ["general.invocation_url_coap"] if generation == "v1" else []
    off = [*(f"resources.{key}" for g, key, _ in UNAVAILABLE if g == generation), *coap]
    settings = load_node_settings(without(tmp_path, generation, "node.toml", *off))
    given = tables(generation, "node.toml")
    general = given["general"]
    assert settings.general.node_id == UUID(general["node_id"])
    assert settings.registration_url in general.values()
    assert settings.metrics_url == {**general, **given.get("telemetry", {})}["metrics_url"]
    assert settings.general.agent_url == general["agent_url"]
    assert settings.general.invocation_url == general["invocation_url"]
    assert settings.wasm_runtime.enabled
    assert not settings.container_runtime.enabled
    assert settings.user_node_capabilities.num_cpus == given["user_node_capabilities"]["num_cpus"]
    assert [p.class_type for p in settings.resources.providers()] == ["file-log"]


@pytest.mark.usefixtures("_every_class")
@pytest.mark.parametrize(
    ("generation", "classes"),
    [
        ("guide", ["http-ingress", "http-egress", "file-log", "redis"]),
        (
            "h",
            ["http-ingress", "http-egress", "http-poster", "file-log", "redis", "dda", "sqlx"],
        ),
    ],
)
def test_node_files_load_as_they_stand_once_all_classes_exist(
    generation: str, classes: list[str]
) -> None:
    settings = load_node_settings(FILES / generation / "node.toml")
    assert [p.class_type for p in settings.resources.providers()] == classes


@pytest.mark.usefixtures("_every_class")
def test_a_host_name_is_put_before_provider_names_where_the_file_says_so() -> None:
    guide = load_node_settings(FILES / "guide" / "node.toml").resources
    newer = load_node_settings(FILES / "h" / "node.toml").resources
    assert guide.providers("box")[0].provider_id == "http-ingress-1"
    assert newer.providers("box")[0].provider_id == "box-http-ingress-1"


def test_what_is_installed_decides_about_the_file_of_the_guide() -> None:
    missing = {
        key
        for generation, key, name in UNAVAILABLE
        if generation == "guide" and name not in known_classes()
    }
    path = FILES / "guide" / "node.toml"
    if missing:
        with pytest.raises(SettingsError) as raised:
            load_node_settings(path)
        found = {line.split(": ")[1] for line in str(raised.value).splitlines()}
        assert found == {f"resources.{key}" for key in missing}
    else:
        load_node_settings(path)


@pytest.mark.parametrize("generation", ["guide", "v1", "h"])
def test_client_files_load(generation: str) -> None:
    settings = load_cli_settings(FILES / generation / "cli.toml")
    assert settings.controller_url == "http://127.0.0.1:7001"


def test_templates_are_the_files_of_the_guide() -> None:
    given = (FILES / "guide" / "node.toml").read_text()
    detected = NodeCapabilities(40, "Intel(R) Xeon(R) Silver 4410T", 2971.0, 1, 0, ("hostname=x",))
    node_id = NodeId(UUID("fda6ce79-46df-4f96-a0d2-456f720f606c"))
    assert node_template(node_id, detected) == given
    assert orchestrator_template() == (FILES / "guide" / "orchestrator.toml").read_text()
    assert cli_template() == (FILES / "guide" / "cli.toml").read_text()
    # The guide's print of this one is not TOML.
    assert tomllib.loads(controller_template()) == tables("guide", "controller.toml")


def test_what_is_written_goes_before_what_is_detected() -> None:
    written = tables("h", "node.toml")["user_node_capabilities"]
    detected = NodeCapabilities(
        num_cpus=2, clock_freq_cpu=1.0, labels=("hostname=x", "a=b"), runtimes=("RUST_WASM",)
    )
    applied = CapabilitiesTable.model_validate(written).applied_to(detected)
    assert (applied.num_cpus, applied.clock_freq_cpu, applied.mem_size) == (8, 2400.0, 16000)
    assert applied.labels == ("a=b", "hostname=box", "hostname=x")
    assert applied.runtimes == ("RUST_WASM",)
