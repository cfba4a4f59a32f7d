"""Requests per second from HTTP through http-ingress to a function and back, with 64 clients.

One process serves a whole cluster of one node and, at another port of the same loop, a bare
aiohttp handler with the same response; another process asks. The floor is 60 % of the bare
handler's rate, of which the CPU time of the server decides: clients and whatever else the machine
does share its cores.

Then what misbehaviour costs the others: p99 beside slow clients, beside a function that never
replies, and beside bodies of 100 MB, each compared with p99 without, measured just before. At most
twice as much is good enough. Few clients ask then: with 64, p99 is the length of their own queue.
"""

import asyncio
import gc
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
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
RATIO: Final = 0.6
#: Clients that ask beside those that misbehave, and what part of its speed p99 must keep.
CLIENTS_BESIDE: Final = 8
KEPT: Final = 0.5
SLOW: Final = 32
MUTE: Final = 200
LARGE_BYTES: Final = 100 << 20
_REQUEST: Final = b"GET /hello HTTP/1.1\r\nHost: demo.lab\r\nAccept: */*\r\n\r\n"
_MUTE: Final = b"GET /hello HTTP/1.1\r\nHost: mute.lab\r\n\r\n"
_POST: Final = b"POST /hello HTTP/1.1\r\nHost: demo.lab\r\nContent-Length: %d\r\n\r\n"
#: With what both responses end.
_BODY: Final = b"World"


async def _bare(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=_BODY)


def _workflow() -> SpawnWorkflowRequest:
    binary = (FUNCTIONS / "http_processor" / "http_processor.wasm").read_bytes()
    code = FunctionClassSpecification("http_processor", "RUST_WASM", "0.1", binary=binary)
    ingress = WorkflowResource(
        "ingress", "http-ingress", {"new_request": "f"}, {"host": "demo.lab"}
    )
    mute = WorkflowResource("mute", "http-ingress", {"new_request": "silent"}, {"host": "mute.lab"})
    model = FunctionClassSpecification("silent", "MODELLED", "0.1")
    silent = WorkflowFunction("silent", model, {}, {"init-payload": "service=c(60000)"})
    return SpawnWorkflowRequest((WorkflowFunction("f", code, {}, {}), silent), (ingress, mute), {})


async def serve() -> None:
    """Serve both, and tell their ports."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    # A core for each function: the silent one is at work for a minute.
    node = NodeGroup(cpus=2, providers=("http-ingress",), http_ingress_url=url)
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


async def _ask(port: int, number: int, us: list[float], clients: int = CLIENTS) -> None:
    """So many requests by all clients together, each with a connection of its own."""

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(number // clients):
            began = time.perf_counter()
            writer.write(_REQUEST)
            answer = await reader.readuntil(_BODY)
            us.append((time.perf_counter() - began) * 1e6)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise OSError(f"not the answer that was meant: {answer[:200]!r}")
        writer.close()
        await writer.wait_closed()

    async with anyio.create_task_group() as group:
        for _ in range(clients):
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


@asynccontextmanager
async def _slow_clients(port: int) -> AsyncIterator[None]:
    """Clients that send a byte of a body now and then, and never the last one."""

    async def client() -> None:
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_POST % 1000)
            with closing(writer):
                for _ in range(500):
                    writer.write(b"x")
                    await asyncio.sleep(0.01)

    async with anyio.create_task_group() as group:
        for _ in range(SLOW):
            group.start_soon(client)
        yield
        group.cancel_scope.cancel()


@asynccontextmanager
async def _mute_function(port: int) -> AsyncIterator[None]:
    """Requests for a function that does not reply while we look."""
    writers = []
    for _ in range(MUTE):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_MUTE)
        writers.append(writer)
    yield
    for writer in writers:
        writer.transport.abort()


@asynccontextmanager
async def _large_bodies(port: int) -> AsyncIterator[None]:
    """A client that sends one body of 100 MB after the other, by a thread: it has its own loop."""
    ended = threading.Event()
    chunk = bytes(1 << 18)

    def send() -> None:
        while not ended.is_set():
            with socket.create_connection(("127.0.0.1", port)) as connection:
                try:
                    connection.sendall(_POST % LARGE_BYTES)
                    for _ in range(LARGE_BYTES // len(chunk)):
                        connection.sendall(chunk)
                        if ended.is_set():
                            break
                except OSError:
                    # It was refused, and goes on sending until nobody takes it any more.
                    continue

    thread = threading.Thread(target=send)
    thread.start()
    yield
    ended.set()
    await anyio.to_thread.run_sync(thread.join)


#: What is beside the clients that are measured.
_DISTURBANCES: Final = {
    f"{SLOW} slow clients": _slow_clients,
    "a mute function": _mute_function,
    "bodies of 100 MB": _large_bodies,
}


async def _disturbed(port: int, number: int, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """p99 without and with each disturbance, in us."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in _DISTURBANCES}
    for _ in range(repeats):
        for name, disturbance in _DISTURBANCES.items():
            pair = []
            for beside in (nullcontext(), disturbance(port)):
                us: list[float] = []
                gc.collect()
                async with beside:
                    await _ask(port, number, us, CLIENTS_BESIDE)
                pair.append(percentiles_of(us)[1])
            found[name].append((pair[0], pair[1]))
    return found


def figures(quick: bool) -> Figures:
    """The rate and the latencies on each loop."""
    number, repeats = (3_200, 3) if quick else (12_800, 7)
    for loop in LOOPS:
        with child(__file__, loop) as (pid, line):
            ports = [int(port) for port in line.split()]
            columns = on_loop(loop, partial(_compared, pid, ports, number, repeats))
            beside = on_loop(loop, partial(_disturbed, ports[0], number, repeats))
        label = "http-ingress to a function" + ("" if loop == "asyncio" else f" with {loop}")
        titles = (label, "  by the wall clock", "  p50", "  p99")
        units = ("per CPU s", "per s", "us", "us")
        for index, (title, unit) in enumerate(zip(titles, units, strict=True)):
            lower = unit == "us"
            theirs = Sample(tuple(columns[index + 4]), lower)
            least = RATIO if index == 0 else None
            baseline = Baseline("bare aiohttp handler", theirs, least, paired=True)
            yield Figure(title, unit, Sample(tuple(columns[index]), lower), None, baseline)
        for name, pairs in beside.items():
            without, ours = (
                Sample(each, lower_is_better=True) for each in zip(*pairs, strict=True)
            )
            baseline = Baseline("p99 without", without, KEPT, paired=True)
            yield Figure(f"  p99 beside {name}", "us", ours, None, baseline)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        on_loop(sys.argv[2], serve)
    else:
        main(figures)
