"""Calls to a good peer beside bad ones: p99 without them by p99 with them (reliability, I31).

Bad are: a flood of malformed connections to the same listener, a peer whose process stands still,
and an address where nobody listens. Alternating, in one run; p99 may double.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import cycle
from typing import Any, Final

from measure import Baseline, Figure, Figures, Sample, main
from wire import EVENT, Way, call_percentiles, child, on_loop, served_until_told

from edgeless_sim.kernel.loop import current_scheduler
from edgeless_transports import Address, Connection, Incoming
from edgeless_transports.grpc import GrpcTransport
from edgeless_transports.tcp import TcpTransport

#: p99 alone by p99 beside them.
FLOOR: Final = 0.5
#: What an attacker has for nothing; without a bound, the CPU that it burns is what is measured.
_FLOOD_PER_S: Final = 200
_PAUSE_S: Final = 0.5
_PENDING: Final = 64
_GARBAGE: Final = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff\xff\xff\xff" + bytes(60),
    b"\x00\x00\x00\x10EDGS" + bytes(12),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
)
_Beside = Callable[[], AbstractAsyncContextManager[None]]


def _transport(scheme: str) -> Any:
    return (TcpTransport if scheme == "tcp" else GrpcTransport)(current_scheduler())


async def serve(scheme: str) -> None:
    """In the child: an echo."""

    def handler(incoming: Incoming) -> bytes:
        return incoming.payload

    async with _transport(scheme).listen(Address(scheme, "127.0.0.1:0"), handler) as at:
        await served_until_told(at)


def attack(port: int) -> None:
    """In a child: malformed connections, one after the other, until it is killed."""
    print(flush=True)
    for garbage in cycle(_GARBAGE):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(garbage)
        time.sleep(1 / _FLOOD_PER_S)


@contextmanager
def _attacker(port: int) -> Iterator[int]:
    """A process of its own that attacks *port* whenever it is let: its pid."""
    command = [sys.executable, __file__, "--attack", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            os.kill(process.pid, signal.SIGSTOP)
            yield process.pid
        finally:
            process.kill()


@asynccontextmanager
async def _flood(pid: int) -> AsyncGenerator[None]:
    """Malformed connections from the attacker *pid*."""
    os.kill(pid, signal.SIGCONT)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGSTOP)


@asynccontextmanager
async def _calling(connection: Connection) -> AsyncGenerator[None]:
    """Calls that wait for an answer that does not come, renewed as they end."""
    running = True
    loop = asyncio.get_running_loop()

    def ended(_: object) -> None:
        # Who is refused at once does not ask again at once.
        loop.call_later(_PAUSE_S, again)

    def again() -> None:
        if running:
            connection.call_nowait("/bench/Echo", EVENT, ended, timeout_s=0.5)

    for _ in range(_PENDING):
        again()
    try:
        yield
    finally:
        running = False


@asynccontextmanager
async def _stopped(scheme: str, pid: int, address: str) -> AsyncGenerator[None]:
    """A peer whose process stands still."""
    async with _transport(scheme).connect(Address.parse(address)) as connection:
        await connection.call("/bench/Echo", EVENT, timeout_s=10)
        os.kill(pid, signal.SIGSTOP)
        try:
            async with _calling(connection):
                yield
        finally:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def _dead(scheme: str) -> AsyncGenerator[None]:
    """Nobody listens there."""
    connection = _transport(scheme).open(Address(scheme, "127.0.0.1:1"))
    try:
        async with _calling(connection):
            yield
    finally:
        if hasattr(connection, "abort"):
            connection.abort()
            await connection.ended()
        else:
            await connection.close()


async def _measured(
    scheme: str, quick: bool, good: tuple[int, str], other: tuple[int, str], attacker: int
) -> Figures:
    number, repeats = (1_000, 5) if quick else (4_000, 9)
    bad: dict[str, _Beside] = {
        "a flood of malformed connections": partial(_flood, attacker),
        "a peer that stands still": partial(_stopped, scheme, *other),
        "a dead address": partial(_dead, scheme),
    }
    figures = []
    async with _transport(scheme).connect(Address.parse(good[1])) as connection:
        call = partial(connection.call, "/bench/Echo", EVENT, timeout_s=60)
        way = Way(scheme, good[0], call, _never, _never_drained)
        for name, beside in bad.items():
            alone, with_it = [], []
            for _ in range(repeats + 1):
                alone.append((await call_percentiles(4, number, way))[1])
                async with beside():
                    with_it.append((await call_percentiles(4, number, way))[1])
            baseline = Baseline("without it", Sample(tuple(alone[1:]), True), FLOOR, paired=True)
            title = f"{scheme}, calls beside {name}: p99"
            figures.append(Figure(title, "us", Sample(tuple(with_it[1:]), True), None, baseline))
    return iter(figures)


async def _never(_number: int, _payload: bytes) -> None:
    raise AssertionError("nothing is cast here")


async def _never_drained() -> bytes:
    raise AssertionError("nothing is cast here")


def figures(quick: bool) -> Figures:
    """For each wire."""
    for scheme in ("tcp", "http"):
        with (
            child(__file__, scheme) as good,
            child(__file__, scheme) as other,
            _attacker(int(good[1].rpartition(":")[2])) as pid,
        ):
            measured = partial(_measured, scheme, quick, good, other, pid)
            yield from on_loop("asyncio", measured)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--attack"]:
        attack(int(sys.argv[2]))
    elif sys.argv[1:2] == ["--serve"]:
        on_loop("asyncio", partial(serve, sys.argv[2]))
    else:
        main(figures)
