"""Workflows on real processes that meet the world: asked by curl, and beside a Redis that dies."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.ports import free_ports
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.errors import EdgelessError
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

FUNCTIONS: Final = Path(__file__).parents[2] / "functions"
PATIENCE_S: Final = 30.0


def function(name: str, kind: str, outputs: dict[str, str], payload: str = "") -> WorkflowFunction:
    binary = (FUNCTIONS / kind / f"{kind}.wasm").read_bytes()
    code = FunctionClassSpecification(kind, "RUST_WASM", "0.1", binary=binary)
    return WorkflowFunction(name, code, outputs, {"init-payload": payload})


def one_node(**group: Any) -> Topology:
    return Topology((DomainTopology("edge", (NodeGroup(**group),)),))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - other processes have no events
            await asyncio.sleep(0.02)


async def curl(*words: str) -> tuple[str, bytes]:
    """What curl says: the status, and the body."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    options = ("-sS", "--max-time", "20", "-w", "%{stderr}%{http_code}")
    process = await asyncio.create_subprocess_exec(
        program, *options, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    body, status = await process.communicate()
    return status.decode(), body


@pytest.mark.parametrize("world", ["tcp", "grpc"])
async def test_curl_asks_a_compiled_function_of_a_node_that_is_a_process(
    world: str, tmp_path: Path
) -> None:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    workflow = SpawnWorkflowRequest(
        (function("reader", "http_read_number", {"parsed_value": "log"}),),
        (
            WorkflowResource("ingress", "http-ingress", {"new_request": "reader"}, {}),
            WorkflowResource("log", "file-log", {}, {"filename": "numbers.log"}),
        ),
        {},
    )
    topology = one_node(providers=("http-ingress", "file-log"), http_ingress_url=url)
    large = tmp_path / "large"
    large.write_bytes(b"1" * 3_000_000)
    async with open_topology(topology, world=world, processes=True) as cluster:
        await cluster.start_workflow(workflow, name="w")
        asked = (f"{url}/read_number", "-d", "42")
        answer = ("404", b"Not Found")
        async with asyncio.timeout(PATIENCE_S):
            while answer == ("404", b"Not Found"):
                answer = await curl(*asked)
        assert answer == ("200", b"")
        assert await curl(f"{url}/read_number", "-d", "many") == (
            "400",
            b"the body is not an integer",
        )
        assert (await curl(f"{url}/elsewhere"))[0] == "404"
        status, body = await curl(f"{url}/read_number", "--data-binary", f"@{large}")
        assert status == "413"
        assert b"the request has more than" in body
        assert await curl(*asked) == ("200", b"")


async def test_a_workflow_writes_on_when_its_redis_comes_back_and_nothing_else_suffers(
    redis_server: Any,
) -> None:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    workflow = SpawnWorkflowRequest(
        (
            function("source", "message_generator", {"output": "store"}, "message=m,period=20"),
            function("processor", "http_processor", {}),
        ),
        (
            WorkflowResource("ingress", "http-ingress", {"new_request": "processor"}, {}),
            WorkflowResource("store", "redis", {}, {"url": redis_server.url, "key": "k"}),
        ),
        {},
    )
    topology = one_node(
        providers=("http-ingress", "redis"), http_ingress_url=url, redis_allow=(redis_server.place,)
    )

    def value() -> bytes:
        with redis_server.client() as client:
            found: bytes | None = client.get("k")
            return found or b""

    async with (
        open_topology(topology, world="tcp", processes=True) as cluster,
        aiohttp.ClientSession() as session,
    ):

        async def ask() -> int:
            async with session.get(f"{url}/hello") as answer:
                return answer.status

        await cluster.start_workflow(workflow, name="w")
        await until(value)
        first = value()
        await until(lambda: value() != first)
        redis_server.kill()
        assert [await ask() for _ in range(50)] == [200] * 50
        redis_server.start()
        last = value()
        await until(lambda: value() != last)
        assert [await ask() for _ in range(50)] == [200] * 50


async def test_a_compiled_function_keeps_its_row_and_finds_it_after_its_node_was_killed() -> None:
    workflow = SpawnWorkflowRequest(
        (function("tester", "sqlx_test", {"database": "db"}, "7"),),
        (WorkflowResource("db", "sqlx", {}, {"url": "sqlite://state.db"}),),
        {},
    )
    topology = one_node(providers=("sqlx",))
    select = "SELECT 'x' id, json_group_array(metadata->'$.foo') metadata FROM WorkflowState"
    async with open_topology(topology, world="tcp", processes=True) as cluster:

        async def until_found(numbers: str, message: str = "") -> None:
            """With *message*, send it again and again: a node that begins may lose it."""
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    with suppress(EdgelessError):  # it is not placed again yet
                        if message:
                            await cluster.cast("w/tester", message)
                        # A call to an instance that is about to vanish has no answer.
                        reply = await cluster.call("w/db", select, timeout_s=1)
                        if numbers in reply.payload:
                            return
                    await asyncio.sleep(0.02)

        await cluster.start_workflow(workflow, name="w")
        await until_found("[7.0]")
        await until_found("[8.5]", "8.5")
        await cluster.node("edge/0").crash()
        await cluster.node("edge/0").restart()
        # The function starts again, and cannot insert the row that is there already.
        await until_found("[8.5]")
        await until_found("[9.5]", "9.5")
