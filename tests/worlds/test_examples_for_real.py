"""EDGELESS's examples with real back-ends: the shipped workflows, over sockets, in real time.

Those that meet no server are portable scenarios (`test_portable_scenarios`). http_egress asks by
https, for which there is no certificate here: its function asks in `simple_workflow_http`, too.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.ports import LOOPBACK, free_ports
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.kernel.loop import run
from edgeless_sim.resources.base import OllamaSettings, ServerlessSettings

pytestmark = pytest.mark.slow
SCENARIOS: Final = Path(__file__).parents[2] / "scenarios"
PATIENCE_S: Final = 30.0


def workflow_of(example: str, folder: Path, **places: str) -> Path:
    """The shipped workflow with the places of its servers replaced."""
    source = SCENARIOS / example / "workflow.json"
    text = source.read_text(encoding="utf-8")
    for old, new in places.items():
        text = text.replace(old.replace("_", "."), new)
    workflow = json.loads(text)
    for each in workflow["functions"]:
        code = each["class_specification"]["code"]
        each["class_specification"]["code"] = str((source.parent / code).resolve())
    file = folder / "workflow.json"
    file.write_text(json.dumps(workflow), encoding="utf-8")
    return file


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - servers and files have no events
            await asyncio.sleep(0.02)


def play(
    group: NodeGroup,
    file: Path,
    story: Callable[[Cluster, list[tuple[str, str, str]]], Any],
    port: int,
    answer: bytes = b"",
) -> None:
    """Start the workflow in *file* beside a web server, and let *story* look."""
    asked: list[tuple[str, str, str]] = []

    async def respond(request: web.BaseRequest) -> web.Response:
        asked.append((request.method, request.raw_path, (await request.read()).decode()))
        return web.Response(body=answer)

    async def main() -> None:
        runner = web.ServerRunner(web.Server(respond))
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, port).start()
        try:
            made = Topology((DomainTopology("edge", (group,)),))
            async with open_topology(made, world="tcp", in_path=False) as cluster:
                await cluster.start_workflow(file, name="w")
                await story(cluster, asked)
        finally:
            await runner.cleanup()

    run(main, world="real")


def lines_in(cluster: Cluster, name: str) -> list[str]:
    return [
        line
        for path, content in cluster.files().items()
        if path.endswith(f"/{name}")
        for line in content.decode().splitlines()
    ]


def test_http_poster(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    file = workflow_of("http_poster", tmp_path, collector_lab=f"{LOOPBACK}:{port}")
    group = NodeGroup(providers=("http-poster",), http_egress_allow=(f"{LOOPBACK}:{port}",))

    async def story(cluster: Cluster, asked: list[tuple[str, str, str]]) -> None:
        await until(lambda: len(asked) >= 2)
        assert all((method, path) == ("POST", "/in") for method, path, _ in asked)
        assert all("hello world" in body for _, _, body in asked)

    play(group, file, story, port)


def test_serverless(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    file = workflow_of("serverless", tmp_path)
    away = ServerlessSettings(
        provider_id="away",
        class_type="double-elsewhere",
        function_url=f"http://{LOOPBACK}:{port}/function/double",
    )
    group = NodeGroup(providers=("file-log",), serverless=(away,))

    async def story(cluster: Cluster, asked: list[tuple[str, str, str]]) -> None:
        await until(lambda: len(lines_in(cluster, "results.log")) >= 2)
        assert set(lines_in(cluster, "results.log")) == {"42"}
        assert asked[0][:2] == ("POST", "/function/double")

    play(group, file, story, port, b"42")


def test_ollama(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    file = workflow_of("ollama", tmp_path)
    group = NodeGroup(providers=("file-log", "ollama"), ollama=OllamaSettings(LOOPBACK, port))
    reply = {"message": {"role": "assistant", "content": "because"}, "done": True}

    async def story(cluster: Cluster, asked: list[tuple[str, str, str]]) -> None:
        await until(lambda: lines_in(cluster, "answers.log"))
        assert lines_in(cluster, "answers.log")[0] == "because"
        assert json.loads(asked[0][2])["model"] == "tiny"

    play(group, file, story, port, json.dumps(reply).encode())


def test_simple_workflow_http(tmp_path: Path) -> None:
    (port, ingress) = free_ports(2)
    text = workflow_of("simple_workflow_http", tmp_path).read_text(encoding="utf-8")
    file = tmp_path / "workflow.json"
    file.write_text(text.replace("sink.lab:8080", f"{LOOPBACK}:{port}"), encoding="utf-8")
    group = NodeGroup(
        providers=("http-ingress", "http-egress"),
        http_ingress_url=f"http://{LOOPBACK}:{ingress}",
        http_egress_allow=(f"{LOOPBACK}:{port}",),
    )

    async def story(cluster: Cluster, asked: list[tuple[str, str, str]]) -> None:
        await cluster.settled()
        reader, writer = await asyncio.open_connection(LOOPBACK, ingress)
        writer.write(
            b"POST /read_number HTTP/1.1\r\nHost: demo.edgeless.com\r\n"
            b"Content-Length: 2\r\nConnection: close\r\n\r\n20"
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await until(lambda: asked)
        assert asked == [("POST", "/", "42")]

    play(group, file, story, port)


def test_redis(tmp_path: Path) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    (port, web_port) = free_ports(2)
    workflow = json.loads(workflow_of("redis", tmp_path).read_text(encoding="utf-8"))
    for resource in workflow["resources"]:
        if resource["class_type"] == "redis":
            resource["configurations"]["url"] = f"redis://{LOOPBACK}:{port}"
            key = resource["configurations"]["key"]
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(workflow), encoding="utf-8")
    group = NodeGroup(providers=("file-log", "redis"), redis_allow=(f"{LOOPBACK}:{port}",))

    async def story(cluster: Cluster, asked: list[tuple[str, str, str]]) -> None:
        import redis.asyncio

        client = redis.asyncio.Redis(host=LOOPBACK, port=port)

        async def keys() -> list[bytes]:
            return [each async for each in client.scan_iter()]

        async with asyncio.timeout(PATIENCE_S):
            while not await keys():  # noqa: ASYNC110 - the server has no events
                await asyncio.sleep(0.02)
        assert any(each.decode().endswith(key) for each in await keys())
        await client.aclose()

    options = ("--port", str(port), "--bind", LOOPBACK, "--save", "", "--dir", str(tmp_path))
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        try:
            play(group, file, story, web_port)
        finally:
            server.terminate()
