"""Frames of ``tcp://`` between two processes over loopback, beside a raw asyncio protocol.

Neither side encodes events. The raw protocol has no checksum, no limit and no deadline.
"""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from struct import Struct
from typing import Final, cast

from measure import Baseline, Figure, Figures, Sample, main
from wire import (
    EVENT,
    LOOPS,
    Comparison,
    Latencies,
    Way,
    call_percentiles,
    child,
    compare,
    on_loop,
    served_until_told,
)

from edgeless_sim.kernel.loop import current_scheduler
from edgeless_transports import Address, Connection, Incoming
from edgeless_transports.frame_writer import FrameWriter
from edgeless_transports.framing import HELLO, Hello
from edgeless_transports.tcp import TcpTransport

RATIO_FLOOR: Final = 0.6
#: A peer that is dead, slow or silent may double the latency of others (reliability, I31).
NEIGHBOUR_FLOOR: Final = 0.5
_HEADER: Final = Struct(">IQ")
_WRITE_MAX: Final = 1 << 20


class Bare(asyncio.Protocol):
    """The least that does the same: numbered messages, each to a function, one write per batch."""

    def __init__(self, take: Callable[["Bare", int, bytes], None]) -> None:
        self.transport: asyncio.Transport
        self._take = take
        self._rest = b""
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        # uvloop's transports are none of asyncio's by inheritance.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        data = self._rest + data
        at, end = 0, len(data)
        while end - at >= _HEADER.size:
            length, number = _HEADER.unpack_from(data, at)
            stop = at + _HEADER.size + length
            if stop > end:
                break
            self._take(self, number, data[at + _HEADER.size : stop])
            at = stop
        self._rest = data[at:]
        self.flush()

    def send(self, number: int, payload: bytes) -> None:
        """Queue a message for the next flush."""
        self._out.append(_HEADER.pack(len(payload), number) + payload)

    @property
    def pending(self) -> bool:
        """Whether something is queued."""
        return bool(self._out)

    def flush(self) -> None:
        """Write what is queued."""
        if self._out:
            self.transport.write(b"".join(self._out))
            self._out.clear()


async def serve_raw() -> None:
    """The raw echo: numbers from 2 are calls, 1 asks for the latencies, 0 is a cast."""
    latencies = Latencies()

    def take(bare: Bare, number: int, payload: bytes) -> None:
        if number > 1:
            bare.send(number, payload)
        elif number:
            bare.send(number, latencies.report())
        elif payload[0]:
            latencies.take(payload)

    server = await asyncio.get_running_loop().create_server(lambda: Bare(take), "127.0.0.1", 0)
    async with server:
        await served_until_told(server.sockets[0].getsockname()[1])


async def serve_tcp() -> None:
    """The same over our transport."""
    latencies = Latencies()

    def handler(incoming: Incoming) -> bytes:
        return latencies.report() if incoming.method == "drain" else incoming.payload

    def on_cast(incoming: Incoming) -> None:
        if incoming.payload[0]:
            latencies.take(incoming.payload)

    transport = TcpTransport(current_scheduler())
    async with transport.listen(Address("tcp", "127.0.0.1:0"), handler, on_cast=on_cast) as at:
        await served_until_told(at)


def tcp_way(name: str, pid: int, connection: Connection) -> Way:
    """Our connection."""

    async def casts(number: int, payload: bytes) -> None:
        for _ in range(number):
            while not connection.cast_nowait("event", payload):  # noqa: ASYNC110 - a full queue has no event
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    return Way(
        name,
        pid,
        partial(connection.call, "call", EVENT, timeout_s=60),
        casts,
        partial(connection.call, "drain", b"", timeout_s=60),
    )


async def raw_way(pid: int, port: int) -> Way:
    """A raw connection: a future for each number."""
    loop = asyncio.get_running_loop()
    numbers = count(2)
    waiting: dict[int, asyncio.Future[bytes]] = {}

    async def call(number: int = 0, payload: bytes = EVENT) -> bytes:
        number = number or next(numbers)
        future: asyncio.Future[bytes] = loop.create_future()
        waiting[number] = future
        if not bare.pending:
            loop.call_soon(bare.flush)
        bare.send(number, payload)
        return await future

    async def casts(number: int, payload: bytes) -> None:
        for _ in range(number):
            bare.send(0, payload)
        bare.flush()
        while bare.transport.get_write_buffer_size() > _WRITE_MAX:  # noqa: ASYNC110 - polls, as ours does
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    def take(_: Bare, number: int, payload: bytes) -> None:
        waiting.pop(number).set_result(payload)

    _, bare = await loop.create_connection(lambda: Bare(take), "127.0.0.1", port)
    return Way("raw protocol", pid, call, casts, partial(call, 1, b""))


async def _measured(
    label: str, quick: bool, ours: tuple[int, str], raw: tuple[int, str]
) -> Figures:
    scale, repeats = (1, 7) if quick else (3, 15)
    what = Comparison(
        label,
        RATIO_FLOOR,
        repeats,
        64_000,
        150_000,
        (
            (1, 1_000 * scale, 5_000),
            (64, 6_400 * scale, 40_000),
            (1_000, 10_000 * scale, None),
        ),
    )
    transport = TcpTransport(current_scheduler())
    async with transport.connect(Address.parse(ours[1])) as connection:
        theirs = await raw_way(raw[0], int(raw[1]))
        return await compare(what, tcp_way("tcp", ours[0], connection), theirs)


async def _beside_a_peer_that_never_reads(quick: bool, served: tuple[int, str]) -> Figures:
    """Calls while the queue to another peer, which does not read, is full."""
    number, repeats = (1_000, 5) if quick else (4_000, 9)
    transport = TcpTransport(current_scheduler())
    deaf = await asyncio.get_running_loop().create_server(_Deaf, "127.0.0.1", 0)
    port = deaf.sockets[0].getsockname()[1]
    p99: tuple[list[float], list[float]] = ([], [])
    async with deaf, transport.connect(Address.parse(served[1])) as connection:
        way = tcp_way("tcp", served[0], connection)
        for _ in range(repeats + 1):
            p99[0].append((await call_percentiles(1, number, way))[1])
            stalled = transport.open(Address("tcp", f"127.0.0.1:{port}"))
            await stalled.connected()
            while stalled.cast_nowait("event", bytes(64 << 10)):  # noqa: ASYNC110 - until it is full
                await asyncio.sleep(0)
            p99[1].append((await call_percentiles(1, number, way))[1])
            stalled.abort()
            await stalled.ended()
    alone, beside = (Sample(tuple(found[1:]), lower_is_better=True) for found in p99)
    baseline = Baseline("without it", alone, NEIGHBOUR_FLOOR, paired=True)
    name = "tcp, calls beside a peer that never reads: p99"
    return iter([Figure(name, "us", beside, None, baseline)])


class _Deaf(asyncio.Protocol):
    """Greets, and reads nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        transport.write(FrameWriter().write(HELLO, payload=Hello().encode()))


def figures(quick: bool) -> Figures:
    """One way, and there and back with 1, 64 and 1,000 in flight, on each loop."""
    for loop in LOOPS:
        label = "tcp" if loop == "asyncio" else f"tcp with {loop}"
        with child(__file__, loop, "tcp") as ours, child(__file__, loop, "raw") as raw:
            yield from on_loop(loop, partial(_measured, label, quick, ours, raw))
    with child(__file__, "asyncio", "tcp") as ours:
        yield from on_loop("asyncio", partial(_beside_a_peer_that_never_reads, quick, ours))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        on_loop(sys.argv[2], {"tcp": serve_tcp, "raw": serve_raw}[sys.argv[3]])
    else:
        main(figures)
