"""Resources that meet the world, in whole clusters on real sockets, and refused in simulation."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.component_files import load_component, write_component
from edgeless_sim.cluster.component_settings import NodeComponent
from edgeless_sim.cluster.deployment_plan import node_component
from edgeless_sim.cluster.ports import free_ports
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.errors import ListenError, SettingsError
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource
from edgeless_sim.resources.catalog import provider_class

REAL = ("http-egress", "http-ingress", "redis")


def topology(port: int = 0, nodes: int = 1, **group: Any) -> Topology:
    """One node with http-ingress at *port*, and others with functions only."""
    ingress = NodeGroup(
        providers=("http-ingress", "http-egress", "file-log"),
        http_ingress_url=f"http://127.0.0.1:{port}",
        **group,
    )
    others = (NodeGroup(count=nodes - 1),) if nodes > 1 else ()
    return Topology((DomainTopology("edge", (ingress, *others)),), call_timeout_s=5.0)


def web_workflow(function: WorkflowFunction, **configuration: str) -> SpawnWorkflowRequest:
    ingress = WorkflowResource(
        "ingress", "http-ingress", {"new_request": function.name}, configuration
    )
    return SpawnWorkflowRequest((function,), (ingress,), {})


async def ask(client: aiohttp.ClientSession, port: int, path: str) -> tuple[int, str]:
    async with client.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def answered(client: aiohttp.ClientSession, port: int, path: str) -> tuple[int, str]:
    """What is answered once the workflow is wired."""
    async with asyncio.timeout(30):
        while True:
            result = await ask(client, port, path)
            if result != (404, "Not Found"):
                return result
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("processes", [False, True], ids=["in-process", "processes"])
@pytest.mark.parametrize("world", ["tcp", "grpc"])
async def test_a_client_asks_a_function_over_http(
    compiled: Any, world: str, processes: bool
) -> None:
    [port] = free_ports(1)
    workflow = web_workflow(compiled("processor", "http_processor"), methods="GET")
    async with (
        open_topology(topology(port, nodes=2), world=world, processes=processes) as cluster,
        aiohttp.ClientSession() as client,
    ):
        assert await ask(client, port, "/hello") == (404, "Not Found")
        await cluster.start_workflow(workflow, name="w")
        assert await answered(client, port, "/hello") == (200, "World")
        asking = [ask(client, port, "/hello") for _ in range(100)]
        assert set(await asyncio.gather(*asking)) == {(200, "World")}
        await cluster.settled()
        await cluster.stop_workflow("w")
        async with asyncio.timeout(30):
            while True:
                if await ask(client, port, "/hello") == (404, "Not Found"):
                    break
                await asyncio.sleep(0.02)


async def restarted(cluster: Cluster, port: int, client: aiohttp.ClientSession) -> None:
    node = cluster.node("edge/0")
    await node.crash()
    with pytest.raises(aiohttp.ClientError):
        await ask(client, port, "/hello")
    await node.restart()


async def test_the_port_goes_with_its_node_and_comes_back_with_it(compiled: Any) -> None:
    [port] = free_ports(1)
    workflow = web_workflow(compiled("processor", "http_processor"))
    async with (
        open_topology(topology(port), world="tcp") as cluster,
        aiohttp.ClientSession() as client,
    ):
        await cluster.start_workflow(workflow, name="w")
        assert await answered(client, port, "/hello") == (200, "World")
        await restarted(cluster, port, client)
        assert await answered(client, port, "/hello") == (200, "World")


async def test_a_port_that_is_taken_keeps_the_cluster_from_starting(compiled: Any) -> None:
    async with open_topology(topology(), world="tcp") as cluster:
        node: Any = cluster.node("edge/0")
        url = node.node._providers["edge/0/http-ingress"].url
        port = int(url.rpartition(":")[2])
        with pytest.raises(ListenError, match="http_ingress_url: cannot listen at"):
            async with open_topology(topology(port), world="tcp"):
                raise AssertionError("it started")


@pytest.mark.parametrize("class_type", ["redis"])
def test_in_simulation_a_class_without_a_twin_is_refused(
    class_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = provider_class(class_type, simulated=True)
    monkeypatch.setattr(twin, "real_time_only", True)
    group = NodeGroup(providers=(class_type,))

    async def main() -> None:
        async with open_topology(Topology((DomainTopology("edge", (group,)),))):
            raise AssertionError("it started")

    with pytest.raises(SettingsError) as refusal:
        run(main)
    assert str(refusal.value) == (
        f"the resource class {class_type} is not available in the world sim; "
        "take one of the worlds tcp and grpc"
    )


def test_a_node_of_a_process_gets_a_port_that_can_stand_in_a_file(tmp_path: Path) -> None:
    def url_of(group: NodeGroup) -> str:
        return node_component(
            "edge/0",
            NodeId(UUID(int=1)),
            group,
            topology=Topology((DomainTopology("edge", (group,)),)),
            url_of=lambda location: f"http://127.0.0.1:{7000 + len(location)}",
            seed=1,
            folder=tmp_path,
        ).http_ingress_url

    assert url_of(NodeGroup()) == ""
    assert int(url_of(NodeGroup(providers=("http-ingress",))).removeprefix("http://127.0.0.1:")) > 0


def test_a_nodes_file_tells_it_where_to_listen_and_what_egress_may_reach(tmp_path: Path) -> None:
    classes = (*REAL, "metrics-collector")
    group = NodeGroup(
        providers=classes,
        http_ingress_url="http://127.0.0.1:7999",
        http_egress_allow=("127.0.0.1:6379", "10.0.0.0/8"),
        redis_allow=("10.0.0.7:6379",),
        kafka_allow=("10.0.0.8:9092",),
        collector_redis_url="redis://10.0.0.9/2",
    )
    written = node_component(
        "edge/0",
        NodeId(UUID(int=1)),
        group,
        topology=Topology((DomainTopology("edge", (group,)),)),
        url_of=lambda location: f"http://127.0.0.1:{7000 + len(location)}",
        seed=1,
        folder=tmp_path,
    )
    read = load_component("node", write_component(written, tmp_path))
    assert isinstance(read, NodeComponent)
    assert read.http_ingress_url == group.http_ingress_url
    assert read.http_egress_allow == group.http_egress_allow
    assert read.redis_allow == group.redis_allow
    assert read.kafka_allow == group.kafka_allow
    assert read.collector_redis_url == group.collector_redis_url
    assert sorted(class_type for _, class_type in read.providers) == sorted(classes)
