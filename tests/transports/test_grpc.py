"""The gRPC transport in real time: the conformance suite, and what only gRPC has.

The other end is grpcio itself where a peer is meant that is not ours.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import (
    Address,
    CallTimeout,
    Incoming,
    RemoteError,
    TransportError,
)
from edgeless_transports.conformance import CHECKS, Check, Subject
from edgeless_transports.grpc import GrpcTransport, Limits

import grpc  # isort: skip - after the transport, which silences the core
from grpc import aio  # isort: skip - as above
import anyio.lowlevel

ANY = Address("http", "127.0.0.1:0")


def _subject() -> Subject:
    transport = GrpcTransport(current_scheduler())
    return Subject(transport, transport, lambda: ANY)


# The fastest loop that is installed, and the one that always is.
@pytest.mark.parametrize("make_loop", [None, asyncio.new_event_loop], ids=["fastest", "asyncio"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_grpc_transport_does_what_every_transport_must(
    check: Check, make_loop: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    async def main() -> None:
        await check(_subject())

    run(main, world="real", make_loop=make_loop)


def in_real_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run(main, world="real")


def echo(incoming: Incoming) -> bytes:
    return incoming.payload


@asynccontextmanager
async def foreign_peer(address: Address, **options: Any) -> AsyncGenerator[Any]:
    async with aio.insecure_channel(address.location, **options) as channel:
        yield channel


async def status_of(call: Awaitable[bytes]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


def test_a_peer_that_is_not_ours_is_served_without_a_deadline() -> None:
    seen: list[Incoming] = []

    def handler(incoming: Incoming) -> bytes:
        seen.append(incoming)
        return incoming.payload

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        async with transport.listen(ANY, handler) as address, foreign_peer(address) as channel:
            assert await channel.unary_unary("/a.B/C")(b"x") == b"x"

    in_real_time(main)
    assert [(one.method, one.deadline_ns) for one in seen] == [("/a.B/C", None)]


def test_methods_known_for_casts_are_casts_whoever_calls_them() -> None:
    casts: list[Incoming] = []

    async def main() -> None:
        transport = GrpcTransport(current_scheduler(), cast_methods=["/a.B/Handle"])
        async with (
            transport.listen(ANY, echo, on_cast=casts.append) as address,
            foreign_peer(address) as channel,
        ):
            assert await channel.unary_unary("/a.B/Handle")(b"event", timeout=5) == b""
            assert await channel.unary_unary("/a.B/Other")(b"call", timeout=5) == b"call"

    in_real_time(main)
    assert [(cast.payload, cast.deadline_ns) for cast in casts] == [(b"event", None)]


def test_a_receiver_may_refuse_a_cast() -> None:
    def refuse(incoming: Incoming) -> None:
        raise RemoteError("invalid_argument", "Bad Request")

    async def main() -> None:
        transport = GrpcTransport(current_scheduler(), cast_methods=["/a.B/Handle"])
        async with (
            transport.listen(ANY, echo, on_cast=refuse) as address,
            foreign_peer(address) as channel,
            transport.connect(address) as connection,
        ):
            call = channel.unary_unary("/a.B/Handle")(b"event", timeout=5)
            assert await status_of(call) == (grpc.StatusCode.INVALID_ARGUMENT, "Bad Request")
            await connection.cast("/a.B/Handle", b"event")
            await connection.call("/a.B/Other", b"", timeout_s=5)
            assert connection.casts_lost == 1  # type: ignore[attr-defined]  # a counter of gRPC's

    in_real_time(main)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("invalid_argument", grpc.StatusCode.INVALID_ARGUMENT),
        ("internal.unknown-component", grpc.StatusCode.INTERNAL),
        ("unimplemented", grpc.StatusCode.UNIMPLEMENTED),
        ("cancelled", grpc.StatusCode.CANCELLED),
        ("unavailable", grpc.StatusCode.UNAVAILABLE),
        ("no-room", grpc.StatusCode.UNKNOWN),
        ("ok", grpc.StatusCode.UNKNOWN),
    ],
)
def test_a_code_is_a_status_for_others_and_itself_for_us(
    code: str, status: grpc.StatusCode
) -> None:
    def refuse(incoming: Incoming) -> bytes:
        raise RemoteError(code, "ε" * 2000)

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        async with (
            transport.listen(ANY, refuse) as address,
            foreign_peer(address) as channel,
            transport.connect(address) as connection,
        ):
            found = await status_of(channel.unary_unary("/a")(b"", timeout=5))
            assert found == (status, "ε" * 512)
            with pytest.raises(RemoteError) as caught:
                await connection.call("/a", b"", timeout_s=5)
            assert caught.value.code == code

    in_real_time(main)


def test_a_status_of_others_is_a_code_for_us() -> None:
    async def serve(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")
        return request

    async def main() -> None:
        handler: Any = grpc.unary_unary_rpc_method_handler(serve)
        server = aio.server()
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("a.B", {"C": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        transport = GrpcTransport(current_scheduler())
        async with transport.connect(Address("http", f"127.0.0.1:{port}")) as connection:
            for path, code in (("/a.B/C", "failed_precondition"), ("/a.B/D", "unimplemented")):
                with pytest.raises(RemoteError) as caught:
                    await connection.call(path, b"", timeout_s=5)
                assert caught.value.code == code
        await server.stop(None)

    in_real_time(main)


def test_messages_that_are_too_large_are_refused_at_both_ends() -> None:
    limits = Limits(message_bytes_max=1000, cast_bytes_max=100)

    async def main() -> None:
        small = GrpcTransport(current_scheduler(), limits=limits, cast_methods=["/cast"])
        async with (
            small.listen(ANY, lambda incoming: bytes(len(incoming.payload) * 2)) as address,
            foreign_peer(address) as channel,
            small.connect(address) as connection,
        ):
            exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
            for path, size in (("/call", 1001), ("/cast", 101)):
                found, _ = await status_of(channel.unary_unary(path)(bytes(size), timeout=5))
                assert found is exhausted
            for size in (1001, 501):
                with pytest.raises(RemoteError) as caught:
                    await connection.call("/call", bytes(size), timeout_s=5)
                assert caught.value.code == "resource_exhausted"
            assert not connection.cast_nowait("/cast", bytes(101))
            with pytest.raises(TransportError, match="too large"):
                await connection.cast("/cast", bytes(101))
            assert len(await connection.call("/call", bytes(500), timeout_s=5)) == 1000

    in_real_time(main)


def test_a_compressed_message_is_refused_before_it_is_unpacked() -> None:
    served: list[int] = []

    def handler(incoming: Incoming) -> bytes:
        served.append(len(incoming.payload))
        return b""

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        async with (
            transport.listen(ANY, handler) as address,
            foreign_peer(address, compression=grpc.Compression.Gzip) as channel,
        ):
            call = channel.unary_unary("/a")(bytes(8 << 20), timeout=5)
            assert (await status_of(call))[0] is grpc.StatusCode.UNIMPLEMENTED

    in_real_time(main)
    assert served == []


def test_what_waits_is_bounded_in_number_and_bytes() -> None:
    limits = Limits(frames_max=3, queued_bytes_max=100)

    async def never(incoming: Incoming) -> bytes:
        await anyio.sleep(3600)
        return b""

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        bounded = GrpcTransport(current_scheduler(), limits=limits)
        ends: list[bytes | TransportError] = []
        async with (
            transport.listen(ANY, never) as address,
            bounded.connect(address) as connection,
        ):
            assert connection.cast_nowait("cast", b"")
            assert connection.cast_nowait("cast", bytes(60))
            assert not connection.cast_nowait("cast", bytes(60))
            assert connection.cast_nowait("cast", bytes(40))
            connection.call_nowait("call", b"", ends.append, timeout_s=5)
            await anyio.lowlevel.checkpoint()
            await anyio.sleep(0.01)
            assert "3 frames" in str(ends[0])
            assert connection.casts_refused == 1  # type: ignore[attr-defined]  # as above

    in_real_time(main)


def test_a_deadline_of_0_and_a_flood_of_metadata_harm_nobody_else() -> None:
    async def slow(incoming: Incoming) -> bytes:
        await anyio.sleep(60)
        return b""

    def handler(incoming: Incoming) -> bytes | Awaitable[bytes]:
        return slow(incoming) if incoming.method == "/slow" else incoming.payload

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        async with (
            transport.listen(ANY, handler) as address,
            foreign_peer(address) as channel,
            transport.connect(address) as connection,
        ):
            with pytest.raises(CallTimeout):
                await connection.call("/a", b"", timeout_s=0)
            late, _ = await status_of(channel.unary_unary("/slow")(b"", timeout=0.001))
            assert late is grpc.StatusCode.DEADLINE_EXCEEDED
            flood = [("x-flood", "x" * 65_536)]
            found, _ = await status_of(channel.unary_unary("/a")(b"", metadata=flood, timeout=5))
            assert found is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await connection.call("/a", b"on", timeout_s=5) == b"on"

    in_real_time(main)


def test_what_was_begun_is_finished_when_its_caller_has_given_up() -> None:
    done: list[str] = []

    async def handler(incoming: Incoming) -> bytes:
        await anyio.sleep(0.05)
        done.append(incoming.method)
        return b""

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        async with transport.listen(ANY, handler) as address, transport.connect(address) as one:
            with pytest.raises(CallTimeout):
                await one.call("/late", b"", timeout_s=0.01)
            await one.call("/in-time", b"", timeout_s=5)

    in_real_time(main)
    assert done == ["/late", "/in-time"]


def test_a_bug_in_a_receiver_of_casts_stops_the_run() -> None:
    def receive(incoming: Incoming) -> None:
        raise KeyError("a bug")

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        async with (
            transport.listen(ANY, echo, on_cast=receive) as address,
            transport.connect(address) as one,
        ):
            await one.cast("/a", b"")
            await anyio.sleep(5)
            pytest.fail("the run goes on")

    with pytest.raises(KeyError, match="a bug"):
        in_real_time(main)


def test_thousands_of_calls_at_once_are_all_answered() -> None:
    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        ends: list[bytes | TransportError] = []
        async with transport.listen(ANY, echo) as address, transport.connect(address) as one:
            for _ in range(4000):
                one.call_nowait("/a", b"x", ends.append, timeout_s=30)
            with anyio.fail_after(30):
                while len(ends) < 4000:  # noqa: ASYNC110 - answers come by callbacks
                    await anyio.sleep(0.01)
        assert set(ends) == {b"x"}

    in_real_time(main)


@pytest.mark.parametrize("later", [False, True], ids=["at-once", "later"])
def test_a_bug_in_a_handler_stops_the_run(later: bool) -> None:
    def handler(incoming: Incoming) -> bytes | Awaitable[bytes]:
        if later:
            return fail_later()
        raise AssertionError("a bug")

    async def fail_later() -> bytes:
        await anyio.sleep(0.001)
        raise AssertionError("a bug")

    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        async with transport.listen(ANY, handler) as address, transport.connect(address) as one:
            with suppress(RemoteError):
                await one.call("/a", b"", timeout_s=5)
            await anyio.sleep(5)
            pytest.fail("the run goes on")

    with pytest.raises(AssertionError, match="a bug"):
        in_real_time(main)
