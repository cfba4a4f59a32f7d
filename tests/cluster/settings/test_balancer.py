"""``balancer.toml``: both generations' files, the template, and what cannot be meant (spec 8.5)."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from edgeless_sim.cluster.component_files import load_component, write_component
from edgeless_sim.cluster.component_settings import BalancerComponent, BalancerSide
from edgeless_sim.cluster.services import services_of
from edgeless_sim.cluster.settings import (
    balancer_template,
    controller_template,
    node_template,
    orchestrator_template,
)
from edgeless_sim.cluster.settings.urls import endpoint_of
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.node import NodeCapabilities

FILES = Path(__file__).parent / "generations"
ONE, TWO = NodeId(UUID(int=0xA1)), NodeId(UUID(int=0xA2))
H = (FILES / "h" / "balancer.toml").read_text(encoding="utf-8")


def loaded(tmp_path: Path, text: str) -> BalancerComponent:
    path = tmp_path / "balancer.toml"
    path.write_text(text, encoding="utf-8")
    settings = load_component("bal", path)
    assert isinstance(settings, BalancerComponent)
    return settings


def test_a_file_of_the_newer_generation_means_what_it_says() -> None:
    settings = load_component("bal", FILES / "h" / "balancer.toml")
    assert isinstance(settings, BalancerComponent)
    assert (settings.domain, settings.name) == ("domain-7000", "bal/domain-7000")
    assert settings.local.agent_url == "http://0.0.0.0:7005"
    assert settings.local.orchestrator_url == "http://127.0.0.1:7004"
    assert settings.portal.invocation_url == "http://0.0.0.0:7106"
    assert settings.portal.orchestrator_url == "http://127.0.0.1:7104"
    assert settings.metrics_url == "http://127.0.0.1:7007"
    assert settings.local.name == "fda6ce79-46df-4f96-a0d2-456f720f606c"


def test_a_file_of_the_first_generation_is_refused_by_name() -> None:
    with pytest.raises(SettingsError) as refused:
        load_component("bal", FILES / "v1" / "balancer.toml")
    first, second = str(refused.value).splitlines()
    assert ":1: balancer_id: the balancer of EDGELESS's first generation" in first
    assert ":2: invocation_url: " in second
    assert "write the tables general, local and portal" in first


def test_the_template_is_a_file_whose_ports_are_those_of_no_other_template(tmp_path: Path) -> None:
    own = services_of(loaded(tmp_path, balancer_template(ONE, TWO)))
    assert len(own) == 5
    taken: list[str] = []
    for kind, name, text in (
        ("con", "controller.toml", controller_template()),
        ("orc", "orchestrator.toml", orchestrator_template()),
        ("node", "node.toml", node_template(ONE, NodeCapabilities(num_cpus=1, num_cores=1))),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        taken += services_of(load_component(kind, tmp_path / name)).values()
    # Nor those of EDGELESS's own nodes (upstream bug 83).
    taken += [f"http://127.0.0.1:{port}" for port in range(7000, 7009)]
    for url in own.values():
        assert not any(endpoint_of(url).collides(endpoint_of(other)) for other in taken), url


def test_what_is_written_is_read_as_it_was_meant(tmp_path: Path) -> None:
    def side(node_id: NodeId, port: int, name: str) -> BalancerSide:
        return BalancerSide(
            node_id=node_id,
            agent_url=f"tcp://127.0.0.1:{port}",
            agent_announced_url=f"tcp://192.0.2.1:{port}",
            invocation_url=f"tcp://127.0.0.1:{port}",
            orchestrator_url=f"tcp://127.0.0.1:{port + 1000}",
            refresh_interval_s=3.0,
            name=name,
        )

    meant = BalancerComponent(
        domain="edge",
        portal_domain="hub",
        local=side(ONE, 9001, "edge/bal-hub"),
        portal=side(TWO, 9002, "hub/bal-edge"),
        performance_samples=True,
        call_timeout_s=5.0,
        metrics_url="http://127.0.0.1:9003",
        said_level="debug",
        name="bal/edge/hub",
        seed=7,
    )
    assert load_component("bal", write_component(meant, tmp_path)) == meant
    bare = replace(meant, local=replace(meant.local, name=""), seed=None)
    read = load_component("bal", write_component(bare, tmp_path))
    assert isinstance(read, BalancerComponent)
    assert (read.seed, read.local.name) == (None, str(ONE))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[general]\ndomain", "[generic]\ndomain", "generic: "),
        (
            "[general]\ndomain",
            '[edgeless_sim]\nlocal_name = "x"\nportal_name = "x"\n\n[general]\ndomain',
            "edgeless_sim.portal_name: 'x' is edgeless_sim.local_name already",
        ),
        (
            "[general]\ndomain",
            '[edgeless_sim]\nportal_domain = "domain-7000"\n\n[general]\ndomain',
            "edgeless_sim.portal_domain: the local domain: a balancer joins two domains",
        ),
        ('domain = "domain-7000"', "", "general.domain: "),
        ("7105", "7005", "portal.agent_url: 'http://0.0.0.0:7005': local.agent_url has that place"),
        ("606d", "606c", "is local.node_id already"),
        ("7104", "7004", "portal: it registers where the local side does"),
        (
            "http://0.0.0.0:7105",
            "http://127.0.0.1:7104",
            "there listens the component itself: portal.agent_url",
        ),
        ('"http://127.0.0.1:7004"', '""', "local: the key 'orchestrator_url' is missing"),
        (
            'agent_url_announced = ""\n',
            'metrics_url = "http://127.0.0.1:7999"\n',
            "local.metrics_url: a balancer has one: telemetry.metrics_url",
        ),
        (
            'agent_url_announced = ""\n',
            'invocation_url_coap = "coap://127.0.0.1:7999"\n',
            "local.invocation_url_coap: CoAP is not available",
        ),
        ("http://0.0.0.0:7105", "memory://x", "portal.agent_url"),
        ("http://0.0.0.0:7105", "https://0.0.0.0:7105", "to listen with TLS"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(
    old: str, new: str, fault: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, H.replace(old, new, 1))
    assert fault in str(refused.value)
    assert "balancer.toml:" in str(refused.value)


@pytest.mark.parametrize("table", ["general", "local", "portal"])
def test_a_table_that_is_missing_is_named(table: str, tmp_path: Path) -> None:
    parts = H.split("\n\n")
    text = "\n\n".join(part for part in parts if not part.startswith(f"[{table}]"))
    with pytest.raises(SettingsError, match=f"{table}: the table is missing; edgeless_bal_d -t"):
        loaded(tmp_path, text)
