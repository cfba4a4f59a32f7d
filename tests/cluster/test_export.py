"""A topology becomes files of a deployment: who is where, at which URL, and what starts it."""

from dataclasses import replace
from pathlib import Path

import pytest

from edgeless_sim.cluster.component_files import load_component
from edgeless_sim.cluster.component_settings import (
    BalancerComponent,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.cluster.export import export_topology
from edgeless_sim.cluster.topology import BalancerTopology, DomainTopology, NodeGroup, Topology
from edgeless_sim.errors import RejectedError, SettingsError

TOPOLOGY = Topology(
    domains=(
        DomainTopology(
            "edge", (NodeGroup(count=3, labels=("tier=edge",), providers=("file-log",)),)
        ),
        DomainTopology("cloud", (NodeGroup(runtimes=("RUST_WASM",)),), strategy="RoundRobin"),
    )
)
HOSTS = ("192.0.2.1", "host-b")


def test_components_take_turns_on_the_hosts_and_ports_count_on_each(tmp_path: Path) -> None:
    export_topology(TOPOLOGY, HOSTS, tmp_path / "out", first_port=7001)
    files = sorted(path.relative_to(tmp_path / "out") for path in tmp_path.rglob("*.toml"))
    assert {str(path) for path in files} == {
        "192.0.2.1/con/controller.toml",
        "192.0.2.1/orc-edge/orchestrator.toml",
        "192.0.2.1/node-edge-0/node.toml",
        "192.0.2.1/node-edge-2/node.toml",
        "host-b/orc-cloud/orchestrator.toml",
        "host-b/node-edge-1/node.toml",
        "host-b/node-cloud-0/node.toml",
    }


def test_each_file_names_the_urls_of_those_that_its_component_asks(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_topology(TOPOLOGY, HOSTS, out, scheme="tcp", first_port=9000)
    controller = load_component("con", out / "192.0.2.1/con/controller.toml")
    orchestrator = load_component("orc", out / "host-b/orc-cloud/orchestrator.toml")
    node = load_component("node", out / "host-b/node-cloud-0/node.toml")
    assert isinstance(controller, ControllerComponent)
    assert isinstance(orchestrator, OrchestratorComponent)
    assert isinstance(node, NodeComponent)
    assert controller.url == "tcp://192.0.2.1:9000"
    assert controller.persistence_filename == "controller.save"
    assert orchestrator.domain_register_url == controller.url
    assert (orchestrator.url, orchestrator.strategy) == ("tcp://host-b:9000", "RoundRobin")
    assert node.orchestrator_url == orchestrator.url
    assert node.agent_url == node.invocation_url == "tcp://host-b:9002"
    assert node.capabilities.runtimes == ("RUST_WASM",)


def test_a_balancer_has_a_file_with_its_two_sides(tmp_path: Path) -> None:
    topology = replace(TOPOLOGY, balancers=(BalancerTopology("edge", "cloud"),))
    out = tmp_path / "out"
    scripts = export_topology(topology, HOSTS, out, scheme="tcp", first_port=9000)
    balancer = load_component("bal", out / "192.0.2.1/bal-edge-cloud/balancer.toml")
    assert isinstance(balancer, BalancerComponent)
    local, portal = balancer.local, balancer.portal
    assert (balancer.domain, balancer.portal_domain) == ("edge", "cloud")
    assert (local.name, portal.name) == ("edge/bal-cloud", "cloud/bal-edge")
    assert local.orchestrator_url == "tcp://192.0.2.1:9001"
    assert portal.orchestrator_url == "tcp://host-b:9000"
    assert local.agent_url != portal.agent_url
    assert "component bal balancer.toml" in scripts[0].read_text(encoding="utf-8")


def test_node_ids_are_those_of_the_simulation_and_dice_are_fresh(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "other"):
        export_topology(TOPOLOGY, HOSTS, tmp_path / name, seed=7)
        node = load_component("node", tmp_path / name / "192.0.2.1/node-edge-0/node.toml")
        assert isinstance(node, NodeComponent)
        assert node.seed is None
        ids.append(node.node_id)
    assert ids[0] == ids[1]


def test_python_functions_go_along_with_the_nodes_that_run_them(tmp_path: Path) -> None:
    source = tmp_path / "scenario"
    source.mkdir()
    (source / "average.py").write_text("class Average: ...\n")
    topology = Topology(TOPOLOGY.domains, python_folders=(source,))
    export_topology(topology, HOSTS, tmp_path / "out")
    copies = sorted(str(path.parent.parent.name) for path in (tmp_path / "out").rglob("average.py"))
    assert copies == ["node-edge-0", "node-edge-1", "node-edge-2"]


def test_files_go_along_with_the_nodes_that_send_them(tmp_path: Path) -> None:
    source = tmp_path / "files"
    (source / "folder").mkdir(parents=True)
    (source / "a.txt").write_text("content")
    (source / "link").symlink_to("a.txt")
    group = NodeGroup(count=2, providers=("file-pusher",), file_pusher_directory=source)
    plain = NodeGroup(file_pusher_directory=source)
    topology = Topology((DomainTopology("edge", (group, plain)),))
    export_topology(topology, HOSTS, tmp_path / "out")
    copies = {path.parent.parent.name: path for path in (tmp_path / "out").rglob("a.txt")}
    assert sorted(copies) == ["node-edge-0", "node-edge-1"]
    copy = copies["node-edge-1"]
    assert [path.name for path in copy.parent.iterdir()] == ["a.txt"]
    assert copy.read_text() == "content"
    node = load_component("node", copy.parent.parent / "node.toml")
    assert isinstance(node, NodeComponent)
    assert node.file_pusher_directory == Path(copy.parent.name)


def test_each_host_has_a_script_that_starts_its_own(tmp_path: Path) -> None:
    scripts = export_topology(TOPOLOGY, HOSTS, tmp_path / "out")
    assert [script.parent.name for script in scripts] == list(HOSTS)
    assert "component con controller.toml" in scripts[0].read_text()
    assert "component con" not in scripts[1].read_text()


@pytest.mark.parametrize("host", ["", "a b", "-x", "a;rm", "http://a", "x" * 300])
def test_what_is_no_host_is_refused_before_anything_is_written(host: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no name or address of a host"):
        export_topology(TOPOLOGY, [host], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_deployment_needs_a_host_and_ports(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="at least one host"):
        export_topology(TOPOLOGY, [], tmp_path / "out")
    with pytest.raises(SettingsError, match="no port left above 65534"):
        export_topology(TOPOLOGY, ["a"], tmp_path / "out", first_port=65_534)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(RejectedError, match="not empty"):
        export_topology(TOPOLOGY, HOSTS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
