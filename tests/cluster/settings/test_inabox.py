"""The files of a deployment on one machine: ports, names, and that our own reader takes them."""

from pathlib import Path
from uuid import UUID

import pytest

from edgeless_sim.cluster.box import find_components
from edgeless_sim.cluster.component_settings import (
    ComponentSettings,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.cluster.settings import balancer_template
from edgeless_sim.cluster.settings.inabox import BoxAddress, inabox_templates, initial_port_max
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.ids import NodeId
from edgeless_sim.node.capabilities import detected_capabilities


def ids(number: int) -> list[NodeId]:
    return [NodeId(UUID(int=index + 1, version=4)) for index in range(number)]


def written(folder: Path, nodes: int, **options: object) -> list[ComponentSettings]:
    detected = detected_capabilities()
    for name, text in inabox_templates(ids(nodes), detected, hostname="box", **options).items():  # type: ignore[arg-type]  # of the function's own
        (folder / name).write_text(text, encoding="utf-8")
    return [component.settings for component in find_components(folder)]


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_one_node_has_the_ports_of_edgeless(tmp_path: Path) -> None:
    controller, orchestrator, node = written(tmp_path, 1)
    assert isinstance(orchestrator, OrchestratorComponent)
    assert isinstance(node, NodeComponent)
    assert isinstance(controller, ControllerComponent)
    assert controller.url == "http://127.0.0.1:7001"
    assert orchestrator.domain_register_url == "http://127.0.0.1:7002"
    assert (port(orchestrator.url), port(orchestrator.node_url)) == (7000, 7003)
    assert (port(node.agent_url), port(node.invocation_url)) == (7004, 7005)
    assert port(node.http_ingress_url) == 7007
    assert 'metrics_url = "http://127.0.0.1:7006"' in (tmp_path / "node.toml").read_text()
    assert orchestrator.domain_id == "domain-7000"


def test_no_port_is_given_twice_and_those_of_the_controller_to_nobody_else(tmp_path: Path) -> None:
    _, orchestrator, *nodes = written(tmp_path, 100, initial_port=6900)
    assert isinstance(orchestrator, OrchestratorComponent)
    given = [port(orchestrator.url), port(orchestrator.node_url)]
    for node in nodes:
        assert isinstance(node, NodeComponent)
        assert node.orchestrator_url == orchestrator.node_url
        given += [port(u) for u in (node.agent_url, node.invocation_url, node.http_ingress_url)]
    assert len(set(given)) == len(given) == 302
    assert not {7001, 7002} & set(given)


def test_providers_and_nodes_are_told_apart_by_number(tmp_path: Path) -> None:
    *_, first, second = written(tmp_path, 2)
    assert isinstance(first, NodeComponent)
    assert isinstance(second, NodeComponent)
    assert (first.name, second.name) == ("node0", "node1")
    assert all(provider_id.endswith("-1") for provider_id, _ in first.providers)
    assert all(provider_id.endswith("-2") for provider_id, _ in second.providers)
    assert first.state_folder != second.state_folder


@pytest.mark.parametrize("nodes", [1, 7, 100])
def test_the_last_initial_port_leaves_a_port_for_everybody(tmp_path: Path, nodes: int) -> None:
    last = initial_port_max(nodes)
    *_, node = written(tmp_path, nodes, initial_port=last)
    assert isinstance(node, NodeComponent)
    assert port(node.http_ingress_url) == 65_535


def test_what_others_reach_is_announced_and_bound_where_they_reach_it(tmp_path: Path) -> None:
    address = BoxAddress("0.0.0.0", "192.0.2.7")
    controller, orchestrator, node = written(tmp_path, 1, address=address)
    assert isinstance(controller, ControllerComponent)
    assert isinstance(orchestrator, OrchestratorComponent)
    assert isinstance(node, NodeComponent)
    for bound in (orchestrator.url, node.agent_url, node.invocation_url):
        assert bound.startswith("http://0.0.0.0:")
    for told in (
        controller.url,
        orchestrator.announced_url,
        orchestrator.node_url,
        node.agent_announced_url,
        node.invocation_announced_url,
        node.http_ingress_url,
    ):
        assert told.startswith("http://192.0.2.7:")


def test_two_files_that_want_the_same_are_refused_with_both_places(tmp_path: Path) -> None:
    written(tmp_path, 2)
    node = (tmp_path / "node0.toml").read_text(encoding="utf-8")
    (tmp_path / "node2.toml").write_text(node, encoding="utf-8")
    with pytest.raises(SettingsError) as refusal:
        find_components(tmp_path)
    name, node_id, agent, *_ = str(refusal.value).splitlines()
    file = f"{tmp_path}/node2.toml"
    assert name.startswith(f"{file}:46: edgeless_sim.name: the name 'node0' is that of ")
    assert node_id.startswith(f"{file}:2: general.node_id: the id {ids(1)[0]} is that of ")
    assert agent == (
        f"{file}:3: general.agent_url: http://127.0.0.1:7004 is taken by "
        f"{tmp_path}/node0.toml:3: general.agent_url"
    )


def test_the_addresses_of_an_orchestrators_collector_are_its_own(tmp_path: Path) -> None:
    written(tmp_path, 1)
    path = tmp_path / "orchestrator.toml"
    path.write_text(
        path.read_text().replace(
            "[baseline]",
            'agent_url = "http://127.0.0.1:7999"\ninvocation_url = "http://127.0.0.1:7004"\n\n'
            '[collector]\ncollector_type = "Redis"\nredis_url = "redis://h"\n\n[baseline]',
        )
    )
    with pytest.raises(SettingsError) as refusal:
        find_components(tmp_path)
    assert str(refusal.value) == (
        f"{tmp_path}/node.toml:3: general.agent_url: http://127.0.0.1:7004 is taken by "
        f"{path}:10: general.invocation_url"
    )


def test_what_is_not_there_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="edgeless_inabox -t writes them"):
        find_components(tmp_path)
    with pytest.raises(SettingsError, match="there is no such folder"):
        find_components(tmp_path / "absent")


def test_a_balancer_in_the_folder_is_one_of_the_components(tmp_path: Path) -> None:
    written(tmp_path, 1)
    one, two = ids(3)[1:]
    (tmp_path / "balancer.toml").write_text(balancer_template(one, two), encoding="utf-8")
    found = find_components(tmp_path)
    assert [each.label for each in found] == ["controller", "orchestrator", "balancer", "node"]
    assert [each.is_node for each in found] == [False, False, True, True]
    same = balancer_template(ids(1)[0], two)
    (tmp_path / "balancer.toml").write_text(same, encoding="utf-8")
    with pytest.raises(SettingsError, match=f"the id {ids(1)[0]} is that of .*balancer"):
        find_components(tmp_path)
