"""Resources that ask the web, in whole simulated clusters: workflows of them, and their servers."""

from typing import Any

import pytest

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowResource
from edgeless_sim.resources.base import OllamaSettings, ServerlessSettings
from edgeless_sim.resources.simulated.backends import Backends
from edgeless_sim.resources.simulated.http import HttpAnswer, HttpRule, HttpServer

RESIZE = ServerlessSettings(
    provider_id="resize", class_type="thumbnail", function_url="http://functions.lab:8080/resize"
)


def resource(name: str, class_type: str, to: str = "", **configuration: str) -> WorkflowResource:
    outputs = {"out": to} if to else {}
    return WorkflowResource(name, class_type, outputs, configuration)


def played(*resources: WorkflowResource, **group: Any) -> tuple[Backends, dict[str, bytes]]:
    """The world after a cast of ``x`` to the first resource, and the files."""
    topology = Topology((DomainTopology("edge", (NodeGroup(**group),)),))
    found: list[tuple[Backends, dict[str, bytes]]] = []

    async def main() -> None:
        async with open_topology(topology) as cluster:
            world = cluster.backends
            assert world is not None
            web = world.of(HttpServer, "http://functions.lab:8080")
            web.add_rule(HttpRule(HttpAnswer(body=b"small"), path="/resize"))
            await cluster.start_workflow(SpawnWorkflowRequest((), resources, {}), name="w")
            await cluster.cast(f"w/{resources[0].name}", "x")
            await cluster.settled()
            found.append((world, cluster.files()))

    run(main)
    return found[0]


def test_a_function_that_runs_elsewhere_is_a_class_with_its_own_name() -> None:
    world, files = played(
        resource("resize", "thumbnail", to="log"),
        resource("log", "file-log", filename="a.log"),
        providers=("file-log",),
        serverless=(RESIZE,),
    )
    [record] = world.of(HttpServer, "http://functions.lab:8080").requests
    assert (record.method, record.path, record.body) == ("POST", "/resize", b"x")
    assert list(files.values()) == [b"small\n"]


def test_a_prompt_is_answered_by_the_simulated_model() -> None:
    _, files = played(
        resource("chat", "ollama", to="log", model="tiny"),
        resource("log", "file-log", filename="a.log"),
        providers=("file-log", "ollama"),
        ollama=OllamaSettings("gpu.lab"),
    )
    assert list(files.values()) == [b"tiny: x\n"]


def test_a_post_arrives_at_its_server() -> None:
    world, _ = played(
        resource("post", "http-poster", url="http://sink.lab/in"), providers=("http-poster",)
    )
    [record] = world.of(HttpServer, "http://sink.lab:80").requests
    assert (record.path, record.body) == ("/in", b"x")


def test_a_provider_of_serverless_without_a_function_is_refused() -> None:
    with pytest.raises(SettingsError, match="nothing says what 'edge/0/serverless' stands for"):
        played(resource("log", "file-log", filename="a"), providers=("file-log", "serverless"))
