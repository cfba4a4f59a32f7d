from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import anyio
import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import (
    Address,
    CallTimeout,
    ConnectionLost,
    Handler,
    Incoming,
    MemoryNetwork,
    MemoryTransport,
)

SERVER = Address("memory", "server")


def echo(incoming: Incoming) -> bytes:
    return incoming.payload


def test_a_dropped_listener_is_silent_and_its_location_free() -> None:
    async def main() -> list[tuple[float, object]]:
        network = MemoryNetwork(current_scheduler(), Random(1))
        transport = MemoryTransport(network.scheduler, network)
        ends: list[tuple[float, object]] = []

        async def slow(incoming: Incoming) -> bytes:
            await anyio.sleep(1)
            return b"slow"

        def end(result: object) -> None:
            ends.append((anyio.current_time(), result))

        transport.attach(SERVER, slow)
        connection = transport.open(SERVER)
        connection.call_nowait("m", b"", end, timeout_s=3)
        await anyio.sleep(0.5)
        network.drop("server")
        network.drop("server")
        transport.attach(SERVER, echo)
        connection.call_nowait("m", b"new", end, timeout_s=3)
        await anyio.sleep(5)
        return ends

    ends = run(main)
    assert ends[0] == (0.5, b"new")
    assert ends[1][0] == 3.0
    assert isinstance(ends[1][1], CallTimeout)


def test_leaving_an_old_listener_leaves_its_successor_alone() -> None:
    async def main() -> bytes:
        network = MemoryNetwork(current_scheduler(), Random(1))
        transport = MemoryTransport(network.scheduler, network)
        async with transport.listen(SERVER, lambda incoming: b"old"):
            network.drop("server")
            successor = transport.attach(SERVER, lambda incoming: b"new")
        async with transport.connect(SERVER) as connection:
            reply = await connection.call("m", b"", timeout_s=1)
        successor.close()
        return reply

    assert run(main) == b"new"


def test_a_cancelled_listener_tells_nobody() -> None:
    """The order in which siblings are cancelled must not show in what others see."""

    async def main() -> tuple[float, str]:
        network = MemoryNetwork(current_scheduler(), Random(1))
        transport = MemoryTransport(network.scheduler, network)

        async def never(incoming: Incoming) -> bytes:
            await anyio.sleep(3600)
            return b""

        ends: list[tuple[float, str]] = []
        with anyio.move_on_after(1):
            async with transport.listen(SERVER, never):
                transport.open(SERVER).call_nowait(
                    "m",
                    b"",
                    lambda end: ends.append((anyio.current_time(), type(end).__name__)),
                    timeout_s=4,
                )
                await anyio.sleep(3600)
        await anyio.sleep(10)
        [end] = ends
        return end

    assert run(main) == (4.0, "CallTimeout")


def test_a_handler_cancelled_before_its_first_step_leaves_no_warning() -> None:
    async def main() -> list[object]:
        network = MemoryNetwork(current_scheduler(), Random(1))
        transport = MemoryTransport(network.scheduler, network)
        ends: list[object] = []

        async def never_started(incoming: Incoming) -> bytes:
            raise AssertionError("it ran")

        def handler(incoming: Incoming) -> Awaitable[bytes]:
            network.scheduler.call_soon(listener.close)
            return never_started(incoming)

        listener = transport.attach(SERVER, handler)
        transport.open(SERVER).call_nowait("m", b"", ends.append, timeout_s=1)
        await anyio.sleep(2)
        return ends

    assert [type(end) for end in run(main)] == [ConnectionLost]


def test_a_handlers_assertion_stops_the_run() -> None:
    """A bug of ours is nobody's answer, neither at once nor later."""

    async def later(incoming: Incoming) -> bytes:
        raise AssertionError("later")

    def now(incoming: Incoming) -> bytes:
        raise AssertionError("now")

    def main(handler: Handler) -> Callable[[], Coroutine[Any, Any, None]]:
        async def call() -> None:
            transport = MemoryTransport(current_scheduler())
            async with transport.listen(SERVER, handler), transport.connect(SERVER) as connection:
                await connection.call("m", b"", timeout_s=1)

        return call

    with pytest.raises(AssertionError, match="now"):
        run(main(now))
    with pytest.raises(AssertionError, match="later"):
        run(main(later))


def test_ten_thousand_listeners_share_one_task() -> None:
    """No cancel scopes to nest, so they may come and go in any order."""

    async def main() -> int:
        network = MemoryNetwork(current_scheduler(), Random(1))
        transport = MemoryTransport(network.scheduler, network)
        managers = [transport.listen(Address("memory", f"n/{n}"), echo) for n in range(10_000)]
        for manager in managers:
            await manager.__aenter__()
        async with transport.connect(Address("memory", "n/0")) as connection:
            assert await connection.call("m", b"", timeout_s=1) == b""
        for manager in managers:
            await manager.__aexit__(None, None, None)
        return sum(network.listens(f"n/{n}") for n in range(10_000))

    assert run(main) == 0
