"""Frames between two processes over loopback, beside bare asyncio protocols that do only that.

A rate is that of the busier process, by its CPU time: with a core for each, that one decides. The
server is a child that serves both ways. Neither side encodes events.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from struct import Struct
from typing import Final

import anyio
from measure import Baseline, Figure, Figures, Sample, cpu, main

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import Address, Connection, Incoming
from edgeless_transports.tcp import TcpTransport

#: An event with 100 bytes of payload, as it is encoded between nodes.
EVENT: Final = bytes(181)
BATCH: Final = 64
RATIO_FLOOR: Final = 0.6
_HEADER: Final = Struct(">IQ")


class Bare(asyncio.Protocol):
    """The least that does the same: numbered messages, each to a function, one write per batch."""

    def __init__(self, take: Callable[["Bare", int, bytes], None]) -> None:
        self.transport: asyncio.Transport
        self._take = take
        self._rest = b""
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

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


def echo_calls(bare: Bare, number: int, payload: bytes) -> None:
    """The bare server: numbers from 1 are calls, 0 is a cast."""
    if number:
        bare.send(number, payload)


async def serve() -> None:
    """Serve both ways until the parent closes our standard input; say the ports."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Bare(echo_calls), "127.0.0.1", 0)
    casts: list[str] = []

    def on_cast(incoming: Incoming) -> None:
        pass

    def handler(incoming: Incoming) -> bytes:
        return repr(time.process_time()).encode() if incoming.method == "cpu" else incoming.payload

    transport = TcpTransport(current_scheduler())
    async with (
        server,
        transport.listen(Address("tcp", "127.0.0.1:0"), handler, on_cast=on_cast) as at,
    ):
        print(server.sockets[0].getsockname()[1], at, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)


async def casts(connection: Connection, number: int) -> None:
    """So many casts, in batches of 64 per turn, until the last one has been taken."""
    for _ in range(number // BATCH):
        for _ in range(BATCH):
            while not connection.cast_nowait("event", EVENT):  # noqa: ASYNC110 - a full queue has no event
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)
    await connection.call("end", b"", timeout_s=60)


async def calls(connection: Connection, number: int, in_flight: int) -> None:
    """So many calls, by so many tasks."""
    await _by_tasks(lambda: connection.call("call", EVENT, timeout_s=60), number, in_flight)


async def _by_tasks(call: Callable[[], Awaitable[bytes]], number: int, in_flight: int) -> None:
    async def work() -> None:
        for _ in range(number // in_flight):
            assert await call() == EVENT

    async with anyio.create_task_group() as group:
        for _ in range(in_flight):
            group.start_soon(work)


async def bare_casts(port: int, number: int) -> None:
    """As `casts`, bare."""
    done = asyncio.Event()
    bare = await _bare(port, lambda *_: done.set())
    for _ in range(number // BATCH):
        for _ in range(BATCH):
            bare.send(0, EVENT)
        bare.flush()
        while bare.transport.get_write_buffer_size() > 1 << 20:  # noqa: ASYNC110 - polls, as ours does
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
    bare.send(1, b"")
    bare.flush()
    await done.wait()
    bare.transport.abort()


async def bare_calls(port: int, number: int, in_flight: int) -> None:
    """As `calls`, bare: a future for each number, neither deadline nor limit nor checksum."""
    loop = asyncio.get_running_loop()
    numbers = count(1)
    waiting: dict[int, asyncio.Future[bytes]] = {}

    async def call() -> bytes:
        number = next(numbers)
        future: asyncio.Future[bytes] = loop.create_future()
        waiting[number] = future
        if not bare.pending:
            loop.call_soon(bare.flush)
        bare.send(number, EVENT)
        return await future

    bare = await _bare(port, lambda _, number, payload: waiting.pop(number).set_result(payload))
    await _by_tasks(call, number, in_flight)
    bare.transport.abort()


async def _bare(port: int, take: Callable[[Bare, int, bytes], None]) -> Bare:
    loop = asyncio.get_running_loop()
    _, bare = await loop.create_connection(lambda: Bare(take), "127.0.0.1", port)
    return bare


@contextmanager
def child() -> Iterator[tuple[int, Address]]:
    """The port of the bare server, and the address of ours."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        try:
            port, address = one.stdout.readline().split()
            yield int(port), Address.parse(address)
        finally:
            one.stdin.close()


def figures(quick: bool) -> Figures:
    """One way, and there and back with 64 and with 1 in flight."""
    scale, repeats = (1, 5) if quick else (5, 9)

    async def measured(port: int, address: Address) -> list[Figure]:
        async with TcpTransport(current_scheduler()).connect(address) as connection:

            async def rate(work: Callable[[int], Awaitable[None]], number: int) -> float:
                theirs = float(await connection.call("cpu", b"", timeout_s=60))
                with cpu() as watch:
                    await work(number)
                theirs = float(await connection.call("cpu", b"", timeout_s=60)) - theirs
                return number / max(watch.seconds, theirs)

            async def figure(
                name: str,
                number: int,
                floor: float,
                ways: tuple[Callable[[int], Awaitable[None]], Callable[[int], Awaitable[None]]],
            ) -> Figure:
                rates: tuple[list[float], list[float]] = ([], [])
                # Alternating, so that a noisy moment does not hit one of them alone.
                for _ in range(repeats + 1):
                    for way, found in zip(ways, rates, strict=True):
                        found.append(await rate(way, number))
                ours, bare = (Sample(tuple(found[1:])) for found in rates)
                baseline = Baseline("bare protocol", bare, RATIO_FLOOR)
                return Figure(name, "per s", ours, floor, baseline)

            found = [
                await figure(
                    "tcp, casts in batches of 64",
                    64_000 * scale,
                    150_000,
                    (partial(casts, connection), partial(bare_casts, port)),
                )
            ]
            for in_flight, number, floor in ((64, 12_800, 40_000), (1, 2_000, 5_000)):
                ours = partial(calls, connection, in_flight=in_flight)
                bare = partial(bare_calls, port, in_flight=in_flight)
                name = f"tcp, calls, {in_flight} in flight"
                found.append(await figure(name, number * scale, floor, (ours, bare)))
            return found

    with child() as served:
        yield from run(partial(measured, *served), world="real")


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        run(serve, world="real")
    else:
        main(figures)
