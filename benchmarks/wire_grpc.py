"""Frames as unary gRPC between two processes over loopback, beside bare grpcio.

Bare: generic handlers, no deadline, no limit. HTTP/2 keeps no order between requests: whoever wants
one-way events to keep theirs sends the next when the one before was answered, as both do here.
"""

import asyncio
import sys
from functools import partial
from typing import Any, Final

from measure import Figures, main
from wire import (
    BATCH,
    EVENT,
    LOOPS,
    Comparison,
    Latencies,
    Way,
    child,
    compare,
    on_loop,
    served_until_told,
)

# Before grpcio itself, for whose core it sets the environment.
from edgeless_transports.grpc import GrpcTransport  # isort: split

import grpc
from grpc import aio

from edgeless_sim.kernel.loop import current_scheduler
from edgeless_transports import Address, Connection, Incoming

RATIO_FLOOR: Final = 0.8
_PATH: Final = "/bench/Echo"


class _Echo(grpc.GenericRpcHandler):
    """One handler for each path, made once."""

    def __init__(self, latencies: Latencies) -> None:
        async def echo(payload: bytes, _: Any) -> bytes:
            return payload

        async def take(payload: bytes, _: Any) -> bytes:
            if payload[0]:
                latencies.take(payload)
            return b""

        async def drain(_payload: bytes, _: Any) -> bytes:
            return latencies.report()

        self._handlers: dict[str, Any] = {
            path: grpc.unary_unary_rpc_method_handler(behaviour)
            for path, behaviour in ((_PATH, echo), ("/bench/Cast", take), ("/bench/Drain", drain))
        }

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """See grpcio."""
        return self._handlers.get(details.method)


async def serve_bare() -> None:
    """The bare echo."""
    server = aio.server(handlers=(_Echo(Latencies()),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await served_until_told(f"127.0.0.1:{port}")
    await server.stop(None)


async def serve_ours() -> None:
    """The same over our transport."""
    latencies = Latencies()

    def handler(incoming: Incoming) -> bytes:
        return latencies.report() if incoming.method == "/bench/Drain" else incoming.payload

    def on_cast(incoming: Incoming) -> None:
        if incoming.payload[0]:
            latencies.take(incoming.payload)

    transport = GrpcTransport(current_scheduler())
    async with transport.listen(Address("http", "127.0.0.1:0"), handler, on_cast=on_cast) as at:
        await served_until_told(at)


def our_way(pid: int, connection: Connection) -> Way:
    """Our connection."""

    async def casts(number: int, payload: bytes) -> None:
        for _ in range(number):
            while not connection.cast_nowait("/bench/Cast", payload):  # noqa: ASYNC110 - a full queue has no event
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    return Way(
        "grpc",
        pid,
        partial(connection.call, _PATH, EVENT, timeout_s=60),
        casts,
        partial(connection.call, "/bench/Drain", b"", timeout_s=60),
    )


def bare_way(pid: int, channel: aio.Channel) -> Way:
    """A bare channel."""
    echo: Any = channel.unary_unary(_PATH)
    cast: Any = channel.unary_unary("/bench/Cast")
    drain: Any = channel.unary_unary("/bench/Drain")

    async def casts(number: int, payload: bytes) -> None:
        for _ in range(number):
            await cast(payload)

    async def call() -> object:
        return await echo(EVENT)

    async def report() -> bytes:
        latencies: bytes = await drain(b"")
        return latencies

    return Way("bare grpcio", pid, call, casts, report)


async def _measured(
    label: str, quick: bool, ours: tuple[int, str], bare: tuple[int, str]
) -> Figures:
    scale, repeats = (1, 5) if quick else (2, 9)
    calls = ((1, 300 * scale, None), (64, 640 * scale, None), (1_000, 1_000 * scale, None))
    what = Comparison(label, RATIO_FLOOR, repeats, BATCH * 10 * scale, None, calls)
    transport = GrpcTransport(current_scheduler())
    async with (
        transport.connect(Address.parse(ours[1])) as connection,
        aio.insecure_channel(bare[1]) as channel,
    ):
        return await compare(what, our_way(ours[0], connection), bare_way(bare[0], channel))


def figures(quick: bool) -> Figures:
    """One way, and there and back with 1, 64 and 1,000 in flight, on each loop."""
    for loop in LOOPS:
        label = "grpc" if loop == "asyncio" else f"grpc with {loop}"
        with child(__file__, loop, "ours") as ours, child(__file__, loop, "bare") as bare:
            yield from on_loop(loop, partial(_measured, label, quick, ours, bare))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        on_loop(sys.argv[2], {"ours": serve_ours, "bare": serve_bare}[sys.argv[3]])
    else:
        main(figures)
