"""What the reference's ε-ORC and ours mirror to Redis of nodes of both, and move at its intents."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from edgeless_sim.cluster.ports import LOOPBACK, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.interop.conftest import Deployment, Program

METRICS = ("function_instantiate_time", "function_init_time", "function_execution_time")
HEALTH = 21
ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
CAPABILITIES = 13


class Mirror:
    """A Redis server, asked through `redis-cli`."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(self, *words: str) -> list[str]:
        """The lines of the answer that are not empty."""
        process = await asyncio.create_subprocess_exec(
            "redis-cli",
            "-p",
            str(self.port),
            *words,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        printed, _ = await process.communicate()
        return [line for line in printed.decode().splitlines() if line]

    async def intend(self, key: str, value: str) -> None:
        """Tell the ε-ORC what is wanted (spec 7.2)."""
        await self.ask("SET", key, value)
        await self.ask("RPUSH", "intents", key)

    async def content(self, names: dict[str, str]) -> dict[str, Any]:
        """All strings but times, with *names* and other ids replaced, in a form to compare."""
        found: dict[str, Any] = {}
        for key in await self.ask("KEYS", "*"):
            if key.startswith(("node:health:", "performance:")):
                continue
            (value,) = await self.ask("GET", key)
            value = "TIME" if key.endswith(":last_update") else value
            for text, name in names.items():
                key, value = key.replace(text, name), value.replace(text, name)
            value = re.sub(ID, "ID", value)
            # EDGELESS writes maps in any order.
            shown = json.loads(value) if value.startswith("{") else value
            found[f"{re.sub(ID, 'ID', key)} {sorted(shown)}"] = shown
        return found

    async def samples(self, function: str, series: str) -> list[tuple[float, str]]:
        """Time and value of what was sampled of an instance."""
        found = await self.ask("ZRANGE", f"performance:{function}:{series}", "0", "-1")
        pairs = (member.split(":", 1) for member in found)
        return [(float(stamp), value) for stamp, value in pairs]

    async def hosts(self) -> dict[str, tuple[str, str]]:
        """Node and physical id of each function, by logical id."""
        found: dict[str, tuple[str, str]] = {}
        for key in await self.ask("KEYS", "instance:????????-*"):
            (text,) = await self.ask("GET", key)
            places = re.findall(r"InstanceId\(node_id: (\S+), function_id: (\S+)\)", text)
            if places and "Function" in json.loads(text):
                found[key.removeprefix("instance:")] = places[0]
        return found


@pytest.fixture
async def mirror(tmp_path: Path, deployment: Deployment) -> AsyncGenerator[Mirror]:
    """Redis, known to the ε-ORCs of the deployment."""
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        pytest.skip("no redis-server")
    (port,) = free_ports(1)
    words = ["--port", str(port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no"]
    server = await asyncio.create_subprocess_exec(
        "redis-server", *words, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    mirror = Mirror(port)
    deployment.redis_url = f"redis://{LOOPBACK}:{port}"
    try:
        await deployment.until(lambda: ponged(mirror), "Redis")
        yield mirror
    finally:
        await deployment.close()
        server.terminate()
        await server.wait()


async def ponged(mirror: Mirror) -> bool:
    return await mirror.ask("PING") == ["PONG"]


def function(side: str, kind: str, **outputs: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "outputs": outputs,
        "annotations": {"label_match_all": side, "init-payload": "message=hello,period=100"},
    }


async def started(deployment: Deployment, orchestrator: Any) -> list[Program]:
    """Ours to theirs to ours to a log, with samples of all."""
    await deployment.controller("ours")
    await deployment.orchestrator(orchestrator)
    nodes = [await deployment.node(side, samples=True) for side in ("ours", "theirs")]
    await deployment.registered("domain", 2)
    await deployment.start_workflow(
        {
            "generator": function("ours", "message_generator", output="there"),
            "there": function("theirs", "relay", out="back"),
            "back": function("ours", "messaging_test"),
        },
        {},
    )
    return nodes


BOTH = pytest.mark.parametrize("orchestrator", ["ours", "theirs"])


@BOTH
async def test_our_node_is_mirrored_as_theirs_is(
    deployment: Deployment, mirror: Mirror, orchestrator: Any
) -> None:
    nodes = await started(deployment, orchestrator)
    for node in nodes:
        name = node.details["id"]
        told = partial(mirror.ask, "ZRANGE", f"node:health:{name}", "0", "-1")
        healths = await deployment.until(told, f"the health of {node.side}")
        (capabilities,) = await mirror.ask("GET", f"node:capabilities:{name}")

        assert len(json.loads(healths[-1])) == HEALTH
        assert len(json.loads(capabilities)) == CAPABILITIES
        assert json.loads(healths[-1])["mem_used"] > 0
    (provider,) = await mirror.ask("GET", "provider:file-log-node-ours")
    assert json.loads(provider)["node_id"] == nodes[0].details["id"]


@BOTH
async def test_samples_of_both_nodes_have_times_of_the_same_clock(
    deployment: Deployment, mirror: Mirror, orchestrator: Any
) -> None:
    nodes = await started(deployment, orchestrator)
    began = time.time()
    hosts = await deployment.until(lambda: three(mirror))
    sides = {node.details["id"]: node.side for node in nodes}
    transfers: dict[str, list[float]] = {"ours": [], "theirs": []}

    async def complete() -> bool:
        for node, pid in hosts.values():
            found = await mirror.samples(pid, "function_transfer_time")
            transfers[sides[node]] = [float(value) for _, value in found] or transfers[sides[node]]
        return all(len(found) > 3 for found in transfers.values())

    await deployment.until(complete, "transfer times on both sides")
    assert all(0 <= value < 5 for found in transfers.values() for value in found)
    for metric in METRICS:
        for _, pid in hosts.values():
            for stamp, value in await mirror.samples(pid, metric):
                assert began - 30 < stamp < time.time() + 1
                assert 0 <= float(value) < 10


@BOTH
async def test_log_entries_of_our_node_reach_the_mirror(
    deployment: Deployment, mirror: Mirror, orchestrator: Any
) -> None:
    await started(deployment, orchestrator)
    hosts = await deployment.until(lambda: three(mirror))

    async def logged() -> list[str]:
        return [
            message
            for _, pid in hosts.values()
            for _, message in await mirror.samples(pid, "messaging_test")
        ]

    found = await deployment.until(logged, "log entries")
    assert found[0] == "messaging_test: started"


async def test_both_mirror_the_same_workflow_with_the_same_keys_and_values(
    deployment: Deployment, mirror: Mirror
) -> None:
    seen: dict[str, dict[str, Any]] = {}
    await deployment.controller("ours")
    for side in ("theirs", "ours"):
        orchestrator, node = await deployment.domain(side, "ours", domain=f"of-{side}")
        log = {"class_type": "file-log", "configurations": {"filename": "a.log"}}
        workflow = {"generator": function("ours", "message_generator", output="log")}
        await deployment.start_workflow(workflow, {"log": log})
        await deployment.until(lambda: mirror.ask("KEYS", "dependency:????????-*"))
        seen[side] = await mirror.content({node.details["id"]: "NODE", f"of-{side}": "DOMAIN"})
        orchestrator.kill()
        node.kill()
        await mirror.ask("FLUSHDB")
    assert seen["ours"] == seen["theirs"]


async def three(mirror: Mirror) -> dict[str, tuple[str, str]] | None:
    hosts = await mirror.hosts()
    return hosts if len(hosts) == 3 else None


@BOTH
@pytest.mark.parametrize(("origin", "target"), [("ours", "theirs"), ("theirs", "ours")])
async def test_an_intent_moves_an_instance_to_the_other_side(
    deployment: Deployment, mirror: Mirror, origin: Any, target: Any, orchestrator: Any
) -> None:
    await deployment.controller("ours")
    _, first = await deployment.domain(orchestrator, origin)
    generator = function(origin, "message_generator", output="log")
    del generator["annotations"]["label_match_all"]
    log = {"class_type": "file-log", "configurations": {"filename": "a.log"}}
    await deployment.start_workflow({"generator": generator}, {"log": log})
    second = await deployment.node(target, "second")
    await deployment.registered("domain", 2)
    ((lid, (node, _)),) = (await deployment.until(mirror.hosts)).items()
    assert node == first.details["id"]

    await mirror.intend(f"intent:migrate:{lid}", second.details["id"])

    async def moved() -> bool:
        return (await mirror.hosts())[lid][0] == second.details["id"]

    await deployment.until(moved, "the instance on the other node")
    folder = first.home / "file-log" if origin == "ours" else first.home
    written = f"node_id {second.details['id']}"
    await deployment.until(lambda: written in (folder / "a.log").read_text("utf-8"))
