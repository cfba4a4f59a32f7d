"""Memory networks on the kernel's timer queue, moved by hand; relays between plain sockets."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import TypeAlias

import anyio.lowlevel
import pytest

from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_transports import MemoryNetwork, Rule
from edgeless_transports.relay import Relay

MakeNetwork: TypeAlias = Callable[..., MemoryNetwork]


@pytest.fixture
def queue() -> TimerQueue:
    return TimerQueue()


@pytest.fixture
def drain(queue: TimerQueue) -> Callable[[], None]:
    """Run everything that is pending, as the virtual loop would."""

    def run() -> None:
        while True:
            while queue.ready:
                callback, args, queue.background = queue.ready.popleft()
                callback(*args)
            when_ns = queue.next_deadline()
            if when_ns is None:
                return
            queue.now = max(queue.now, when_ns)
            _, _, callback, args = queue.pop()
            callback(*args)

    return run


@pytest.fixture
def make_network(queue: TimerQueue) -> MakeNetwork:
    def make(rules: Iterable[Rule] = (), *, in_flight_max: int = 1000) -> MemoryNetwork:
        return MemoryNetwork(queue, Random(1), rules, in_flight_max=in_flight_max)

    return make


class Upstream:
    """Accepts, and hands the connections out."""

    def __init__(self, port: int, accepted: "asyncio.Queue[Ends]") -> None:
        self.port = port
        self._accepted = accepted

    async def next(self) -> "Ends":
        return await self._accepted.get()

    @property
    def waiting(self) -> int:
        return self._accepted.qsize()


class Ends:
    """One end of a connection: what `asyncio.open_connection` gives, by shorter names."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        return await self.reader.read()

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def end(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def listening() -> AsyncGenerator[Upstream]:
    accepted: asyncio.Queue[Ends] = asyncio.Queue()
    open_ends: list[Ends] = []

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ends.append(Ends(reader, writer))
        accepted.put_nowait(open_ends[-1])

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield Upstream(server.sockets[0].getsockname()[1], accepted)
    finally:
        server.close()
        for ends in open_ends:
            ends.writer.transport.abort()
        await server.wait_closed()
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def relayed(upstream: int) -> AsyncGenerator[tuple[Relay, int]]:
    relay = Relay("127.0.0.1", upstream, Random(1))
    port = await relay.start()
    try:
        yield relay, port
    finally:
        await relay.close()


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[Ends]:
    ends = Ends(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield ends
    finally:
        ends.writer.transport.abort()
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def through() -> AsyncGenerator[tuple[Relay, Ends, Ends]]:
    """A relay and both ends of one connection through it."""
    async with (
        listening() as upstream,
        relayed(upstream.port) as (relay, port),
        connected(port) as client,
    ):
        yield relay, client, await upstream.next()


@pytest.fixture
def rig() -> SimpleNamespace:
    """``listening()``, ``relayed(port)``, ``connected(port)``, and ``through()`` of all three."""
    return SimpleNamespace(
        listening=listening, relayed=relayed, connected=connected, through=through
    )
