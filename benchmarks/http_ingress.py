"""Requests per second from HTTP through http-ingress to a function and back, with 64 clients.

One process serves a whole cluster of one node and, at another port of the same loop, a bare
aiohttp handler with the same response; another process asks. The floor is 60 % of the bare
handler's rate or 2,000 a second, whichever is lower.
"""

import asyncio
import gc
import sys
import time
from functools import partial
from typing import Final

import anyio
from aiohttp import web
from measure import FUNCTIONS, Baseline, Figure, Figures, Sample, main
from wire import LOOPS, child, cpu_of, on_loop, percentiles_of, served_until_told

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.ports import free_ports
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

CLIENTS: Final = 64
FLOOR: Final = 2_000.0
RATIO: Final = 0.6
_REQUEST: Final = b"GET /hello HTTP/1.1\r\nHost: demo.lab\r\nAccept: */*\r\n\r\n"
#: With what both responses end.
_BODY: Final = b"World"


async def _bare(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=_BODY)


def _workflow() -> SpawnWorkflowRequest:
    binary = (FUNCTIONS / "http_processor" / "http_processor.wasm").read_bytes()
    code = FunctionClassSpecification("http_processor", "RUST_WASM", "0.1", binary=binary)
    ingress = WorkflowResource("ingress", "http-ingress", {"new_request": "f"}, {})
    return SpawnWorkflowRequest((WorkflowFunction("f", code, {}, {}),), (ingress,), {})


async def serve() -> None:
    """Serve both, and tell their ports."""
    [port] = free_ports(1)
    node = NodeGroup(providers=("http-ingress",), http_ingress_url=f"http://127.0.0.1:{port}")
    application = web.Application()
    application.router.add_get("/hello", _bare)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [address] = runner.addresses
    topology = Topology((DomainTopology("edge", (node,)),))
    async with open_topology(topology, world="tcp", in_path=False) as cluster:
        await cluster.start_workflow(_workflow(), name="w")
        await cluster.settled()
        await served_until_told(f"{port} {address[1]}")
    await runner.cleanup()


async def _ask(port: int, number: int, us: list[float]) -> None:
    """So many requests by all clients together, each with a connection of its own."""

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(number // CLIENTS):
            began = time.perf_counter()
            writer.write(_REQUEST)
            answer = await reader.readuntil(_BODY)
            us.append((time.perf_counter() - began) * 1e6)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise OSError(f"not the answer that was meant: {answer[:200]!r}")
        writer.close()
        await writer.wait_closed()

    async with anyio.create_task_group() as group:
        for _ in range(CLIENTS):
            group.start_soon(client)


async def _measured(port: int, pid: int, number: int) -> tuple[float, float, float, float]:
    """Requests per CPU second of the server, per second, p50 and p99 in us."""
    gc.collect()
    us: list[float] = []
    spent, began = cpu_of(pid), time.perf_counter()
    await _ask(port, number, us)
    wall_s, cpu_s = time.perf_counter() - began, cpu_of(pid) - spent
    return number / cpu_s, number / wall_s, *percentiles_of(us)


async def _compared(pid: int, ports: list[int], number: int, repeats: int) -> list[list[float]]:
    rows: list[list[float]] = []
    for _ in range(repeats + 1):
        rows.append([])
        for port in ports:
            rows[-1] += await _measured(port, pid, number)
    return [list(column) for column in zip(*rows[1:], strict=True)]


def figures(quick: bool) -> Figures:
    """The rate and the latencies on each loop."""
    number, repeats = (3_200, 3) if quick else (12_800, 7)
    for loop in LOOPS:
        with child(__file__, loop) as (pid, line):
            ports = [int(port) for port in line.split()]
            columns = on_loop(loop, partial(_compared, pid, ports, number, repeats))
        label = "http-ingress to a function" + ("" if loop == "asyncio" else f" with {loop}")
        titles = (label, "  by the wall clock", "  p50", "  p99")
        units = ("per CPU s", "per s", "us", "us")
        for index, (title, unit) in enumerate(zip(titles, units, strict=True)):
            lower = unit == "us"
            theirs = Sample(tuple(columns[index + 4]), lower)
            floor = min(FLOOR, RATIO * theirs.best) if index == 0 else None
            baseline = Baseline("bare aiohttp handler", theirs, paired=True)
            yield Figure(title, unit, Sample(tuple(columns[index]), lower), floor, baseline)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        on_loop(sys.argv[2], serve)
    else:
        main(figures)
