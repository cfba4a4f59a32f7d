"""How gRPC's sending end sends: who waits for whom, and what ends what."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import Address, CallTimeout, ConnectionLost, Incoming, TransportError
from edgeless_transports.grpc import GrpcTransport, Limits

import grpc  # isort: skip - after the transport, which silences the core
from grpc import aio  # isort: skip - as above

ANY = Address("http", "127.0.0.1:0")


def in_real_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        with anyio.fail_after(20):
            await main()

    run(bounded, world="real")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - polls what has no event
        await anyio.sleep(0.002)


class Gate:
    """A handler that holds back all answers until it is opened."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.opened = anyio.Event()

    async def __call__(self, incoming: Incoming) -> bytes:
        self.seen.append(incoming.method)
        await self.opened.wait()
        return incoming.payload


@pytest.mark.parametrize("awaited", [True, False], ids=["call", "call_nowait"])
def test_a_call_behind_casts_comes_after_them(awaited: bool) -> None:
    seen: list[bytes] = []

    def handler(incoming: Incoming) -> bytes:
        seen.append(incoming.payload)
        return incoming.payload

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        async with transport.listen(ANY, handler) as at, transport.connect(at) as connection:
            for number in range(10):
                assert connection.cast_nowait("/cast", b"%d" % number)
            if awaited:
                assert await connection.call("/call", b"last", timeout_s=5) == b"last"
            else:
                ends: list[bytes | TransportError] = []
                connection.call_nowait("/call", b"last", ends.append, timeout_s=5)
                await until(lambda: bool(ends))
                assert ends == [b"last"]

    in_real_time(main)
    assert seen == [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"last"]


def test_casts_behind_one_that_is_stuck_are_lost_with_it_and_not_one_after_the_other() -> None:
    lost: list[tuple[str, bytes, str]] = []
    seen: list[bytes] = []

    async def stuck(request: bytes, context: Any) -> bytes:
        seen.append(request)
        await anyio.sleep(60)
        return b""

    async def main() -> None:
        handler: Any = grpc.unary_unary_rpc_method_handler(stuck)
        server = aio.server()
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("a.B", {"C": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        client = GrpcTransport(
            current_scheduler(),
            limits=Limits(cast_timeout_s=0.3),
            on_cast_lost=lambda method, payload, why: lost.append((method, payload, why)),
        )
        async with client.connect(Address("http", f"127.0.0.1:{port}")) as connection:
            for number in range(100):
                assert connection.cast_nowait("/a.B/C", b"%d" % number)
            await until(lambda: len(lost) == 100)
        await server.stop(None)

    # One by one they would take 30 s, and this allows 20.
    in_real_time(main)
    assert lost == [("/a.B/C", b"%d" % number, "no answer in time") for number in range(100)]
    assert seen[0] == b"0"


def test_a_call_without_time_ends_at_once() -> None:
    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        gate = Gate()
        async with transport.listen(ANY, gate) as at, transport.connect(at) as connection:
            for timeout_s in (0.0, -1.0, 0.0001):
                with pytest.raises(CallTimeout):
                    await connection.call("/a", b"", timeout_s=timeout_s)
            gate.opened.set()

    in_real_time(main)


def test_a_task_that_is_cancelled_ends_its_call_and_no_other() -> None:
    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        gate = Gate()
        async with transport.listen(ANY, gate) as at, transport.connect(at) as connection:
            loop = asyncio.get_running_loop()
            tasks = [
                loop.create_task(connection.call(method, b"x", timeout_s=10))
                for method in ("/a", "/b")
            ]
            await until(lambda: len(gate.seen) == 2)
            tasks[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            gate.opened.set()
            assert await tasks[1] == b"x"

    in_real_time(main)


def test_a_close_ends_awaited_calls_as_lost_and_frames_that_wait_as_well() -> None:
    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        gate = Gate()
        ends: list[TransportError] = []

        async def call(method: str) -> None:
            with pytest.raises(ConnectionLost) as caught:
                await connection.call(method, b"x", timeout_s=10)
            ends.append(caught.value)

        async with transport.listen(ANY, gate) as at, anyio.create_task_group() as group:
            async with transport.connect(at) as connection:
                for method in ("/a", "/b"):
                    group.start_soon(call, method)
                await until(lambda: len(gate.seen) == 2)
            await until(lambda: len(ends) == 2)
            gate.opened.set()

    in_real_time(main)


def test_awaited_calls_count_among_those_that_wait() -> None:
    async def main() -> None:
        transport = GrpcTransport(current_scheduler(), limits=Limits(frames_max=2))
        gate = Gate()
        async with transport.listen(ANY, gate) as at, transport.connect(at) as connection:
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(lambda: connection.call("/a", b"", timeout_s=10))
                await until(lambda: len(gate.seen) == 2)
                with pytest.raises(TransportError, match="2 frames"):
                    await connection.call("/a", b"", timeout_s=10)
                gate.opened.set()
            assert await connection.call("/a", b"again", timeout_s=10) == b"again"

    in_real_time(main)
