"""Memory of 1,000 idle connections over tcp, in the process that serves and in the one that calls.

Resident memory, after a collection: what all of them take beyond the same process without them.
"""

import asyncio
import gc
import resource
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import anyio
from measure import Baseline, Figure, Figures, Sample, in_child, main, resident_mib
from wire import LOOPS, child, on_loop, served_until_told
from wire_tcp import Bare

from edgeless_sim.kernel.loop import current_scheduler
from edgeless_transports import Address, Incoming
from edgeless_transports.link import TcpLimits
from edgeless_transports.tcp import TcpTransport

#: Both ends together.
CEILING_MIB: Final = 30 * 10**6 / 2**20
CONNECTIONS: Final = 1_000
_WARM: Final = 20
_FILES_MIN: Final = 3 * CONNECTIONS
_LIMITS: Final = TcpLimits(connections_per_source_max=2 * CONNECTIONS)


def _memory(_: Incoming) -> bytes:
    gc.collect()
    return repr(resident_mib()).encode()


async def serve() -> None:
    """Serve both, and tell our resident memory over the product's connections."""
    loop = asyncio.get_running_loop()
    raw = await loop.create_server(lambda: Bare(lambda *_: None), "127.0.0.1", 0, backlog=1024)
    transport = TcpTransport(current_scheduler(), limits=_LIMITS)
    async with raw, transport.listen(Address("tcp", "127.0.0.1:0"), _memory) as at:
        await served_until_told(f"{raw.sockets[0].getsockname()[1]} {at}")


async def _grown(line: str) -> dict[str, list[float]]:
    port, address = line.split()
    transport = TcpTransport(current_scheduler(), limits=_LIMITS)
    async with AsyncExitStack() as stack:
        ask = await stack.enter_async_context(transport.connect(Address.parse(address)))

        async def both() -> tuple[float, float]:
            theirs = float(await ask.call("memory", b"", timeout_s=60))
            gc.collect()
            return theirs, resident_mib()

        async def open_ours(number: int) -> None:
            for _ in range(number):
                await stack.enter_async_context(transport.connect(Address.parse(address)))

        async def open_raw(number: int) -> None:
            loop = asyncio.get_running_loop()
            for _ in range(number):
                way, _ = await loop.create_connection(
                    lambda: Bare(lambda *_: None), "127.0.0.1", int(port)
                )
                stack.callback(way.abort)

        found = {}
        # What the first ones need is there for all; ours first, as free memory would be reused.
        for name, open_some in (("ours", open_ours), ("raw", open_raw)):
            await open_some(_WARM)
            before = await both()
            await open_some(CONNECTIONS)
            await anyio.sleep(0.1)
            after = await both()
            found[name] = [b - a for a, b in zip(before, after, strict=True)]
    return found


def grown(loop: str) -> dict[str, list[float]]:
    """MiB of our and of raw connections, serving and calling side; in a process of its own."""
    with child(__file__, loop) as (_, line):
        return on_loop(loop, partial(_grown, line))


def _figure(name: str, ours: float, ceiling: float | None, raw: float) -> Figure:
    baseline = Baseline("raw protocol", Sample((raw,), lower_is_better=True))
    return Figure(name, "MiB", Sample((ours,), lower_is_better=True), ceiling, baseline)


def figures(quick: bool) -> Figures:  # noqa: ARG001 - one repeat is enough
    """Once on each loop."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES_MIN:
        sys.exit(f"this needs {_FILES_MIN} open files, and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _FILES_MIN), hard))
    for loop in LOOPS:
        label = "tcp" if loop == "asyncio" else f"tcp with {loop}"
        found = in_child("wire_idle", "grown", loop)
        (ours_serving, ours_calling), (raw_serving, raw_calling) = found["ours"], found["raw"]
        title = f"{label}, {CONNECTIONS:,} idle connections, both ends"
        raw = raw_serving + raw_calling
        yield _figure(title, ours_serving + ours_calling, CEILING_MIB, raw)
        yield _figure("  serving side", ours_serving, None, raw_serving)
        yield _figure("  calling side", ours_calling, None, raw_calling)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        on_loop(sys.argv[2], serve)
    else:
        main(figures)
