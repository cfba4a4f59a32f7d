"""Resources of one side are used by functions of the other."""

from __future__ import annotations

import asyncio
import re
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from edgeless_sim.cluster.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.interop.conftest import Deployment, Side

SIDES = ("ours", "theirs")


async def http(port: int, method: str, path: str, body: str) -> tuple[int, str]:
    """Status and body of what a server on this machine answers."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    head = f"{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, text = answer.partition("\r\n\r\n")
    return int(head.split()[1]), text


class Sink:
    """A server that takes every request and remembers the last line of it."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        (length,) = [x for x in head.splitlines() if x.startswith("content-length: ")]
        self.bodies.append((await reader.readexactly(int(length.split()[1]))).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def sink() -> AsyncGenerator[Sink]:
    """Listens."""
    sink = Sink()
    async with await asyncio.start_server(sink.serve, LOOPBACK, 0) as server:
        sink.address = "{}:{}".format(*server.sockets[0].getsockname())
        yield sink


@pytest.mark.parametrize("orc", SIDES)
async def test_our_functions_answer_and_send_http_through_resources_of_theirs(
    deployment: Deployment, sink: Sink, orc: Side
) -> None:
    port = int(deployment.url("ingress").rpartition(":")[2])
    await deployment.controller("ours")
    await deployment.orchestrator(orc)
    await deployment.node("ours")
    providers = {
        "http_ingress_url": deployment.url("ingress"),
        "http_ingress_provider": "in",
        "http_egress_provider": "out",
    }
    await deployment.node("theirs", resources=providers)
    await deployment.registered("domain", 2)
    here = {"label_match_all": "ours"}
    await deployment.start_workflow(
        {
            "reader": {
                "kind": "http_read_number",
                "outputs": {"parsed_value": "writer"},
                "annotations": here,
            },
            "writer": {
                "kind": "http_write_number",
                "outputs": {"external_sink": "egress"},
                "annotations": {**here, "init-payload": sink.address},
            },
        },
        {
            "ingress": {"class_type": "http-ingress", "outputs": {"new_request": "reader"}},
            "egress": {"class_type": "http-egress"},
        },
    )

    async def taken() -> bool:
        return await http(port, "POST", "/read_number", "42") == (200, "")

    await deployment.until(taken, "an answer of our function")
    assert await http(port, "POST", "/read_number", "many") == (400, "the body is not an integer")
    assert await http(port, "GET", "/elsewhere", "") == (404, "no such path")
    await deployment.until(lambda: sink.bodies)
    assert sink.bodies[-1] == "42"


@pytest.mark.parametrize(("orc", "node"), [*product(SIDES, repeat=2)])
async def test_both_file_logs_write_the_same_line(
    deployment: Deployment, orc: Side, node: Side
) -> None:
    await deployment.controller("ours")
    await deployment.domain(orc, node)
    settings = {"filename": "lines.log", "add-source-id": "", "add-timestamp": ""}
    generator = {
        "kind": "message_generator",
        "outputs": {"output": "log"},
        "annotations": {"init-payload": "message=hello,period=200"},
    }
    await deployment.start_workflow(
        {"generator": generator}, {"log": {"class_type": "file-log", "configurations": settings}}
    )

    def lines() -> list[str]:
        found = [path.read_text("utf-8") for path in deployment.folder.rglob("lines.log")]
        return found[0].splitlines() if found else []

    await deployment.until(lambda: len(lines()) > 1)
    uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    stamp = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6,9}\+00:00"
    whole = (
        rf"{stamp} InstanceId\(node_id: {uuid}, function_id: {uuid}\) "
        rf"from node_id {uuid} function_id {uuid} \[#\d+\]: hello"
    )
    assert all(re.fullmatch(whole, line) for line in lines()), lines()


@pytest.mark.parametrize("side", SIDES)
async def test_their_command_casts_into_a_function(deployment: Deployment, side: Side) -> None:
    await deployment.controller("ours")
    _, node = await deployment.domain("ours", side)
    logs: dict[str, Any] = {
        name: {"class_type": "file-log", "configurations": {"filename": f"{name}.log"} | extra}
        for name, extra in {"who": {"add-source-id": ""}, "what": {}}.items()
    }
    functions = {
        "generator": {
            "kind": "message_generator",
            "outputs": {"output": "dup"},
            "annotations": {"init-payload": "message=hello,period=200"},
        },
        "dup": {"kind": "dup", "outputs": {"out1": "who", "out2": "what"}},
    }
    await deployment.start_workflow(functions, logs)
    folder = node.home / "file-log" if side == "ours" else node.home
    await deployment.until((folder / "who.log").exists)

    async def invoked() -> bool:
        written = (folder / "who.log").read_text("utf-8")
        if not written.endswith("\n"):
            return False
        dup = written.splitlines()[-1].partition("function_id: ")[2].partition(")")[0]
        url = deployment.url(f"domain-{side}/events")
        words = ("cast", url, node.details["id"], dup, "from outside")
        return await deployment.cli("function", "invoke", *words) == "event casted\n"

    await deployment.until(invoked)
    await deployment.until(lambda: "from outside\n" in (folder / "what.log").read_text("utf-8"))
