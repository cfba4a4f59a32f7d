"""The same workflow has the same effects on simulated back-ends and on real ones.

What a back-end got, what came back, and what was said of it must agree, text by text; when, and in
which order between back-ends, is not compared.
"""

import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from aiohttp import web

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.ports import LOOPBACK, free_ports
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowResource
from edgeless_sim.model.worlds import SIM
from edgeless_sim.resources.base import OllamaSettings, ServerlessSettings
from edgeless_sim.resources.simulated.http import HttpAnswer, HttpRule, HttpServer

Story: TypeAlias = Callable[[Cluster, "Effects"], Awaitable[None]]
TEXTS: Final = ("one", "two words", "naïve ε \U0001f600", "", '{"a": 1}', "x" * 5_000)


@dataclass
class Effects:
    """What a story did to its world."""

    #: Method, path and body of each request, in order.
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


def topology(port: int, **group: Any) -> Topology:
    group.setdefault("http_egress_allow", (f"{LOOPBACK}:{port}",))
    return Topology((DomainTopology("edge", (NodeGroup(**group),)),))


@asynccontextmanager
async def real_server(
    port: int, answers: dict[str, HttpAnswer], effects: Effects
) -> AsyncGenerator[None]:
    """A web server that answers by path and writes down what it was asked."""

    async def respond(request: web.BaseRequest) -> web.Response:
        body = (await request.read()).decode()
        effects.requests.append((request.method, request.raw_path, body))
        answer = answers.get(request.path, HttpAnswer(404))
        return web.Response(status=answer.status, body=answer.body)

    runner = web.ServerRunner(web.Server(respond))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def played(
    story: Story, answers: dict[str, HttpAnswer], world: str, port: int, **group: Any
) -> Effects:
    """The effects of *story* on a web server at 127.0.0.1:*port*, simulated in the world sim."""
    effects = Effects()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            if world != SIM:
                await stack.enter_async_context(real_server(port, answers, effects))
            cluster = await stack.enter_async_context(
                open_topology(topology(port, **group), world=world, in_path=False)
            )
            server = HttpServer()
            if cluster.backends is not None:
                server = cluster.backends.of(HttpServer, f"http://{LOOPBACK}:{port}")
                server.add_rule(HttpRule(HttpAnswer(404)))
                for path, answer in answers.items():
                    server.add_rule(HttpRule(answer, path=path))
            await story(cluster, effects)
            await cluster.settled()
            for record in server.requests:
                effects.requests.append((record.method, record.path, record.body.decode()))
            for name, content in cluster.files().items():
                effects.files[name.rpartition("/")[2]] = content.decode()

    run(main, world="sim" if world == SIM else "real")
    return effects


async def start(cluster: Cluster, *resources: WorkflowResource) -> None:
    await cluster.start_workflow(SpawnWorkflowRequest((), tuple(resources)), name="w")
    await cluster.settled()


def test_http_poster_posts_the_same() -> None:
    (port,) = free_ports(1)

    async def story(cluster: Cluster, effects: Effects) -> None:
        url = f"http://{LOOPBACK}:{port}/in"
        await start(cluster, WorkflowResource("poster", "http-poster", {}, {"url": url}))
        for text in TEXTS:
            await cluster.cast("w/poster", text)
            await cluster.settled()

    found = [
        played(story, {"/in": HttpAnswer(204)}, world, port, providers=("http-poster",))
        for world in (SIM, "tcp")
    ]
    assert found[0] == found[1]
    assert found[0].requests == [("POST", "/in", text) for text in TEXTS]


def test_http_egress_asks_and_answers_the_same() -> None:
    (port,) = free_ports(1)
    answers = {
        "/ok": HttpAnswer(200, body=b"\x01fine"),
        "/teapot": HttpAnswer(418, body="ε".encode()),
        "/none": HttpAnswer(204),
    }

    async def story(cluster: Cluster, effects: Effects) -> None:
        await start(cluster, WorkflowResource("egress", "http-egress"))
        for method, path in (("Get", "/ok"), ("Post", "/teapot"), ("Put", "/none"), ("Get", "/no")):
            asked: dict[str, Any] = {
                "method": method,
                "protocol": "HTTP",
                "host": f"{LOOPBACK}:{port}",
                "path": path,
                "headers": {},
                "body": list(b"body") if method != "Get" else None,
            }
            reply = await cluster.call("w/egress", json.dumps(asked))
            message = json.loads(reply.payload)
            effects.replies.append(f"{message['status']} {message['body']}")
        refused = await cluster.call("w/egress", '{"method": "Connect"}')
        effects.replies.append(str(refused.kind))

    found = [
        played(story, answers, world, port, providers=("http-egress",)) for world in (SIM, "tcp")
    ]
    assert found[0] == found[1]
    assert len(found[0].requests) == 4
    assert found[0].replies[0] == "200 [1, 102, 105, 110, 101]"


@pytest.mark.parametrize("status", [200, 500])
def test_serverless_answers_and_complains_the_same(status: int) -> None:
    (port,) = free_ports(1)
    elsewhere = ServerlessSettings(
        provider_id="away",
        class_type="elsewhere",
        function_url=f"http://{LOOPBACK}:{port}/f",
    )

    async def story(cluster: Cluster, effects: Effects) -> None:
        await start(
            cluster,
            WorkflowResource("away", "elsewhere", {"out": "results", "err": "complaints"}),
            WorkflowResource("results", "file-log", {}, {"filename": "results.log"}),
            WorkflowResource("complaints", "file-log", {}, {"filename": "complaints.log"}),
        )
        for text in TEXTS:
            await cluster.cast("w/away", text)
            await cluster.settled()

    found = []
    for world in (SIM, "tcp"):
        group = {"providers": ("file-log",), "serverless": (elsewhere,)}
        effects = played(story, {"/f": HttpAnswer(status, body=b"42")}, world, port, **group)
        # The complaint names the instance, which has another id each time.
        complaints = effects.files.get("complaints.log", "").splitlines()
        found.append((effects.requests, effects.files.get("results.log"), len(complaints)))
    assert found[0] == found[1]
    answered = len(TEXTS) if status == 200 else 0
    assert found[0][1:] == ("42\n" * answered, len(TEXTS) - answered)


def test_ollama_is_told_the_same_chat() -> None:
    (port,) = free_ports(1)
    reply = json.dumps({"message": {"role": "assistant", "content": "as you say"}, "done": True})

    async def story(cluster: Cluster, effects: Effects) -> None:
        await start(
            cluster,
            WorkflowResource("chat", "ollama", {"out": "answers"}, {"model": "tiny"}),
            WorkflowResource("answers", "file-log", {}, {"filename": "answers.log"}),
        )
        for text in ("first", "second"):
            await cluster.cast("w/chat", text)
            await cluster.settled()

    found = []
    for world in (SIM, "tcp"):
        group = {"providers": ("file-log", "ollama"), "ollama": OllamaSettings(LOOPBACK, port)}
        answers = {"/api/chat": HttpAnswer(200, body=reply.encode())}
        found.append(played(story, answers, world, port, **group))
    assert found[0] == found[1]
    assert found[0].files["answers.log"] == "as you say\nas you say\n"
    told = [json.loads(body)["messages"] for _, _, body in found[0].requests]
    assert [[each["content"] for each in messages] for messages in told] == [
        ["first"],
        ["first", "as you say", "second"],
    ]


def test_redis_holds_the_same(tmp_path: Path) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    (port,) = free_ports(1)

    async def story(cluster: Cluster, effects: Effects) -> None:
        url = f"redis://{LOOPBACK}:{port}"
        await start(cluster, WorkflowResource("r", "redis", {}, {"url": url, "key": "k"}))
        effects.replies.append(str((await cluster.call("w/r", "k")).kind))
        for text in TEXTS:
            await cluster.cast("w/r", text)
            await cluster.settled()
            effects.replies.append((await cluster.call("w/r", "k")).payload)

    async def main(world: str, effects: Effects) -> None:
        group = NodeGroup(providers=("redis",), redis_allow=(f"{LOOPBACK}:{port}",))
        made = Topology((DomainTopology("edge", (group,)),))
        async with open_topology(made, world=world, in_path=False) as cluster:
            await story(cluster, effects)

    simulated, real = Effects(), Effects()
    run(lambda: main(SIM, simulated))
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        LOOPBACK,
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            run(lambda: main("tcp", real), world="real")
        finally:
            server.terminate()
    assert simulated == real
    assert real.replies[1:] == list(TEXTS)


def test_sqlx_keeps_the_same() -> None:
    async def story(cluster: Cluster, effects: Effects) -> None:
        await start(cluster, WorkflowResource("db", "sqlx", {}, {"url": "sqlite://a/state.db"}))
        identity = str((await cluster.inspect("w")).status.workflow_id)
        for text in TEXTS:
            metadata = json.dumps(text, ensure_ascii=False).replace("'", "''")
            statement = f"REPLACE INTO WorkflowState(id, metadata) VALUES ($1, '{metadata}')"
            await cluster.cast("w/db", statement)
            await cluster.settled()
            select = "SELECT * FROM WorkflowState WHERE id = $1"
            row = json.loads((await cluster.call("w/db", select)).payload)
            assert row["id"] == identity
            effects.replies.append(row["metadata"])
        refused = await cluster.call("w/db", "SELECT name id, 1 metadata FROM sqlite_master")
        effects.replies.append(str(refused.kind))

    async def main(world: str, effects: Effects) -> None:
        made = Topology((DomainTopology("edge", (NodeGroup(providers=("sqlx",)),)),))
        async with open_topology(made, world=world, in_path=False) as cluster:
            await story(cluster, effects)

    simulated, real = Effects(), Effects()
    run(lambda: main(SIM, simulated))
    run(lambda: main("tcp", real), world="real")
    assert simulated == real
    assert real.replies[:-1] == list(TEXTS)
