"""How much later a good peer's answers come beside a bad one: p99 beside, over p99 without.

A caller, a server in a child, and the bad one. A flood of malformed frames and a slow reader are
children that attack the server; without, they attack another process, so that the machine has as
much to do. A stopped process and an address that swallows packets are called by the caller, or not.
With and without alternate, in short turns. Wall time: it is waiting that is measured.
"""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count, cycle
from random import Random
from struct import pack
from typing import Any, Final, TypeAlias

import anyio
from measure import Figure, Figures, Sample, main

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import Address, Connection, Incoming, create_transport
from edgeless_transports.framing import HELLO, REQUEST, FrameWriter, Hello

EVENT: Final = bytes(181)
#: What the slow reader asks for and does not fetch.
LARGE: Final = bytes(64 << 10)
SCHEMES: Final = ("tcp", "http")
CALLS_PER_S: Final = 500
#: Malformed connections, requests for large answers, and frames to a peer that is not there.
FLOOD_PER_S: Final = 200
LARGE_PER_S: Final = 50
LARGE_MAX: Final = 500
STRAY_PER_S: Final = 500
RATIO_CEILING: Final = 2.0
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_GREETING: Final = FrameWriter().write(HELLO, payload=Hello().encode())


# The children.


async def serve(scheme: str) -> None:
    """Serve until the parent closes our standard input."""

    def handler(incoming: Incoming) -> bytes:
        return LARGE if incoming.method == "/large" else incoming.payload

    transport: Any = create_transport(scheme, scheduler=current_scheduler())
    async with transport.listen(Address(scheme, "127.0.0.1:0"), handler) as at:
        print(at, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)


def flood(scheme: str, location: str) -> None:
    """Connect, send what no peer may send, wait to be closed, again."""
    dice = Random(1)
    first = _GREETING if scheme == "tcp" else _PREFACE
    says = cycle(
        (
            first + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            dice.randbytes(1000),
            first + dice.randbytes(1000),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        )
    )
    for at_s in paced(FLOOD_PER_S):
        time.sleep(max(0, at_s - time.monotonic()))
        with socket.create_connection(host_and_port(location)) as stream:
            stream.settimeout(1)
            try:
                stream.sendall(next(says))
                while stream.recv(65536):
                    pass
            except OSError:
                continue


def read_slowly(scheme: str, location: str) -> None:
    """Ask for large answers and read a little of them."""
    with socket.create_connection(host_and_port(location)) as stream:
        stream.sendall(_GREETING if scheme == "tcp" else _PREFACE)
        stream.setblocking(False)
        requests = large_by_tcp() if scheme == "tcp" else large_by_grpc()
        for at_s in paced(LARGE_PER_S):
            time.sleep(max(0, at_s - time.monotonic()))
            try:
                stream.send(next(requests, b""))
                stream.recv(1024)
            except BlockingIOError:
                continue


def large_by_tcp() -> Iterator[bytes]:
    """So many requests."""
    writer = FrameWriter()
    for number in range(1, LARGE_MAX + 1):
        yield writer.write(REQUEST, number, "/large", 60_000)


def large_by_grpc() -> Iterator[bytes]:
    """So many requests, whose answers nobody makes room for."""
    headers = b"".join(
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/large"),
            (b":authority", b"x"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        )
    )
    for number in range(1, 2 * LARGE_MAX + 1, 2):
        opening = pack(">I", len(headers))[1:] + pack(">BBI", 1, 4, number) + headers
        yield opening + b"\0\0\5" + pack(">BBI", 0, 1, number) + bytes(5)


def paced(per_s: float) -> Iterator[float]:
    """When to do the next one; what was missed while we were stopped is not made up for."""
    due_s = time.monotonic()
    while True:
        yield due_s
        due_s = max(due_s + 1 / per_s, time.monotonic() - 1 / per_s)


def host_and_port(location: str) -> tuple[str, int]:
    """Of an address of ours."""
    host, _, port = location.rpartition(":")
    return host, int(port)


# The caller.


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A child of this program, which is killed at the end."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        try:
            yield one
        finally:
            one.kill()


@contextmanager
def served(scheme: str) -> Iterator[tuple[subprocess.Popen[str], Address]]:
    """A server in a child."""
    with child("--serve", scheme) as one:
        assert one.stdout is not None
        yield one, Address.parse(one.stdout.readline().strip())


@contextmanager
def attacker(kind: str, scheme: str, at: Address) -> Iterator[Callable[[bool], None]]:
    """A child that attacks while it is told to."""
    with child(kind, scheme, at.location) as one:

        def tell(attack: bool) -> None:
            one.send_signal(signal.SIGCONT if attack else signal.SIGSTOP)

        tell(False)
        yield tell


@contextmanager
def swallowing(scheme: str) -> Iterator[Address]:
    """An address whose queue of connections is full: packets to it are lost."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield Address(scheme, f"127.0.0.1:{listening.getsockname()[1]}")


async def p99_us(good: Connection, calls: int, stray: Callable[[], None]) -> float:
    """The 99th of a hundred latencies of calls at a steady rate, *stray* between them."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    begun_s = loop.time()
    for number in range(calls):
        await asyncio.sleep(max(0.0, begun_s + number / CALLS_PER_S - loop.time()))
        stray()
        before_s = time.perf_counter()
        assert await good.call("/good", EVENT, timeout_s=30) == EVENT
        latencies.append(time.perf_counter() - before_s)
    return sorted(latencies)[calls * 99 // 100] * 1e6


def nothing() -> None:
    """No stray frame."""


def still(attack: bool) -> None:
    """Nobody attacks."""


#: Who attacks while he is told to, and what the caller sends beside.
Condition: TypeAlias = tuple[Callable[[bool], None], Callable[[], None]]
ALONE: Final = (still, nothing)


def strays(connection: Connection) -> Callable[[], None]:
    """A call and a cast to a peer that answers neither."""
    numbers = count()

    def send() -> None:
        if next(numbers) * STRAY_PER_S % CALLS_PER_S == 0:
            connection.call_nowait("/stray", EVENT, lambda _: None, timeout_s=0.5)
            connection.cast_nowait("/stray", EVENT)

    return send


async def compared(
    good: Connection, turns: int, calls: int, without: Condition, beside: Condition
) -> tuple[list[float], list[float]]:
    """p99 in us without and beside, in turns."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for (attack, stray), latencies in zip((without, beside), found, strict=True):
            attack(True)
            # Until it is under way.
            await asyncio.sleep(0.05)
            latencies.append(await p99_us(good, calls, stray))
            attack(False)
    return found


async def measured(scheme: str, turns: int, calls: int) -> list[Figure]:
    """All bad peers over one wire."""
    transport: Any = create_transport(scheme, scheduler=current_scheduler())
    name = "grpc" if scheme == "http" else scheme
    found: list[Figure] = []
    with ExitStack() as stack:
        _, at = stack.enter_context(served(scheme))
        _, decoy = stack.enter_context(served(scheme))
        quiet, quiet_at = stack.enter_context(served(scheme))

        def attackers(kind: str) -> tuple[Condition, Condition]:
            one, other = (stack.enter_context(attacker(kind, scheme, on)) for on in (decoy, at))
            return (one, nothing), (other, nothing)

        floods, reads = attackers("--flood"), attackers("--read-slowly")
        silent = transport.open(quiet_at)
        dead = transport.open(stack.enter_context(swallowing(scheme)))
        async with transport.connect(at) as good:
            await silent.call("/good", EVENT, timeout_s=10)
            quiet.send_signal(signal.SIGSTOP)
            await p99_us(good, calls, nothing)
            for what, (without, beside) in (
                (f"{FLOOD_PER_S} malformed connections/s", floods),
                ("a slow reader of large answers", reads),
                ("calls and casts to a stopped process", (ALONE, (still, strays(silent)))),
                ("calls and casts to a dead address", (ALONE, (still, strays(dead)))),
            ):
                base, later = await compared(good, turns, calls, without, beside)
                # The quietest turns: others measure who shares the machine.
                ratio = Sample((min(later) / min(base),), lower_is_better=True)
                found.append(
                    Figure(f"{name}, p99 beside {what}", "x without", ratio, RATIO_CEILING)
                )
                if without is ALONE:
                    alone = Sample(tuple(base), lower_is_better=True)
        for connection in (silent, dead):
            await ended(connection)
    return [Figure(f"{name}, p99 of calls alone", "us", alone), *found]


async def ended(connection: Any) -> None:
    """Close a connection of either transport, whatever waits on it."""
    if hasattr(connection, "abort"):
        connection.abort()
        await connection.ended()
    else:
        await connection.close()


def figures(quick: bool) -> Figures:
    """Both wires."""
    turns, calls = (7, 200) if quick else (15, 500)
    for scheme in SCHEMES:
        work: Callable[[], Awaitable[list[Figure]]] = partial(measured, scheme, turns, calls)
        yield from run(work, world="real")  # type: ignore[arg-type]  # a partial of a coroutine function


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", scheme]:
            run(partial(serve, scheme), world="real")
        case ["--flood", scheme, location]:
            flood(scheme, location)
        case ["--read-slowly", scheme, location]:
            read_slowly(scheme, location)
        case _:
            main(figures)
