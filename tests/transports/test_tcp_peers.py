"""Peers on sockets that vanish, dribble, lie, or never read."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import (
    Address,
    ConnectError,
    ConnectionLost,
    Incoming,
    TransportError,
    background_tasks,
)
from edgeless_transports.frame_writer import FrameWriter
from edgeless_transports.framing import CAST, HELLO, PING, PONG, REQUEST, Hello
from edgeless_transports.link import TcpLimits
from edgeless_transports.tcp import TcpTransport

ANY_PORT = Address("tcp", "127.0.0.1:0")
GREETING = FrameWriter().write(HELLO, payload=Hello().encode())
QUICK = TcpLimits(hello_timeout_s=0.1, idle_s=0.05, dead_s=0.15, linger_s=0.1, backoff_s=0.01)


def real_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *main* on a real loop, ten seconds at most."""

    async def bounded() -> None:
        with anyio.fail_after(10):
            await main()

    run(bounded, world="real")


def echo(incoming: Incoming) -> bytes:
    return incoming.payload


def transport(limits: TcpLimits | None = None, announced: str = "") -> TcpTransport:
    return TcpTransport(current_scheduler(), limits=limits, announced=announced)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - polls what has no event
        await anyio.sleep(0.002)


@asynccontextmanager
async def deaf_server() -> AsyncGenerator[Address]:
    """A peer that greets one connection and never reads; anyio's streams would read ahead."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)

        async def greet() -> None:
            accepted, _ = await loop.sock_accept(listening)
            with accepted:
                await loop.sock_sendall(accepted, GREETING)
                await anyio.sleep_forever()

        async with background_tasks() as group:
            group.start_soon(greet)
            yield Address("tcp", f"127.0.0.1:{listening.getsockname()[1]}")


@asynccontextmanager
async def raw_client(address: Address, *first: bytes) -> AsyncGenerator[SocketStream]:
    """A peer that sends *first* and then does whatever it likes."""
    host, _, port = address.location.rpartition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        for data in first:
            await stream.send(data)
        yield stream


async def all_that_comes(stream: SocketStream) -> bytes:
    """What the other side sends until it closes."""
    data = b""
    try:
        while True:
            data += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return data


async def idle(stream: SocketStream) -> None:
    """Neither read nor write."""
    await anyio.sleep_forever()


@asynccontextmanager
async def raw_server(
    serve: Callable[[SocketStream], Awaitable[None]], greeting: bytes = GREETING
) -> AsyncGenerator[Address]:
    """A peer that sends *greeting* to each connection and then does what *serve* does."""

    async def greet(stream: SocketStream) -> None:
        async with stream:
            await stream.send(greeting)
            await serve(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, background_tasks() as group:
        group.start_soon(listener.serve, greet)
        yield Address("tcp", f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "length"),
        (bytes.fromhex("1603010200010001fc0303"), "length"),
        (FrameWriter().write(HELLO, payload=b"EDGX\0\1\0\0"), "magic"),
        (FrameWriter().write(PING), "hello"),
        (b"", "slow hello"),
        (GREETING[:-1], "slow hello"),
        (GREETING + b"\0\0\0\0", "length"),
        (GREETING + FrameWriter().write(CAST, 0, "m")[:-1] + b"?", "checksum"),
        (GREETING + FrameWriter().write(99), "kind"),
        (GREETING + FrameWriter().write(4, 1), "kind"),
    ],
)
def test_who_sends_what_no_peer_may_send_is_closed_and_counted(first: bytes, reason: str) -> None:
    async def main() -> None:
        server = transport(QUICK)
        async with (
            server.listen(ANY_PORT, echo) as bound,
            transport().connect(bound) as other,
            raw_client(bound, first) as stream,
        ):
            await all_that_comes(stream)
            assert server.counters.ended == {reason: 1}
            assert await other.call("m", b"fine", timeout_s=1) == b"fine"

    real_time(main)


def test_a_wrong_version_is_told_both_versions() -> None:
    async def main() -> None:
        async with (
            transport().listen(ANY_PORT, echo) as bound,
            raw_client(
                bound, FrameWriter().write(HELLO, payload=Hello(version=7).encode())
            ) as stream,
        ):
            assert b"the peer speaks version 7, we speak version 1" in await all_that_comes(stream)

    real_time(main)


def test_who_connects_to_something_else_is_told_what_it_is_not() -> None:
    async def main() -> None:
        http = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        async with raw_server(idle, http) as bound:
            with pytest.raises(ConnectError, match="a packet has 11 to 4096 bytes here"):
                async with transport().connect(bound):
                    pass

    real_time(main)


def test_a_reset_in_the_middle_of_a_frame_delivers_nothing() -> None:
    async def main() -> None:
        seen: list[bytes] = []
        server = transport()
        whole = FrameWriter().write(CAST, 0, "m", 0, b"payload")
        async with server.listen(
            ANY_PORT, echo, on_cast=lambda one: seen.append(one.payload)
        ) as at:
            for end in range(1, len(whole)):
                async with raw_client(at, GREETING, whole[:end]) as stream:
                    # Closes with a reset instead of in order.
                    raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            async with raw_client(at, GREETING, whole):
                await until(lambda: bool(seen))
            assert seen == [b"payload"]

    real_time(main)


def test_a_half_closed_connection_is_closed_and_its_answer_counted_as_lost() -> None:
    async def main() -> None:
        server = transport()
        answers: list[anyio.Event] = []

        async def later(incoming: Incoming) -> bytes:
            answers.append(anyio.Event())
            await answers[-1].wait()
            return b"too late"

        request = FrameWriter().write(REQUEST, 1, "m", 1000)
        async with server.listen(ANY_PORT, later) as bound:
            async with raw_client(bound, GREETING, request) as stream:
                await until(lambda: bool(answers))
                await stream.send_eof()
                assert b"too late" not in await all_that_comes(stream)
            answers[0].set()
            await until(lambda: server.counters.answers_lost == 1)

    real_time(main)


def test_a_ping_is_answered_with_its_number() -> None:
    async def main() -> None:
        async with (
            transport().listen(ANY_PORT, echo) as bound,
            raw_client(bound, GREETING, FrameWriter().write(PING, 77)) as stream,
        ):
            data = b""
            while FrameWriter().write(PONG, 77) not in data:
                data += await stream.receive()

    real_time(main)


@pytest.mark.parametrize("dribble", [b"", b"\0"], ids=["silent", "one byte at a time"])
def test_a_peer_that_makes_no_progress_is_given_up(dribble: bytes) -> None:
    async def main() -> None:
        server = transport(QUICK)
        async with (
            server.listen(ANY_PORT, echo) as bound,
            raw_client(bound, GREETING, b"\0\0\7") as stream,
        ):
            with anyio.move_on_after(2):
                while not server.counters.ended:
                    await stream.send(dribble)
                    await anyio.sleep(0.02)
        assert server.counters.ended == {"silent": 1}

    real_time(main)


def test_a_peer_that_never_reads_stalls_nobody_else() -> None:
    async def main() -> None:
        client = transport(TcpLimits(queue_bytes_max=1 << 20))
        payload = bytes(64 << 10)
        async with (
            deaf_server() as deaf,
            transport().listen(ANY_PORT, echo) as bound,
            client.connect(deaf) as stalled,
            client.connect(bound) as lively,
        ):
            taken = 0
            while stalled.cast_nowait("m", payload):
                taken += 1
                await anyio.lowlevel.checkpoint()
                assert taken < 1000, "the queue is bounded"
            with pytest.raises(TransportError, match="queue"):
                await stalled.call("m", payload, timeout_s=1)
            began = anyio.current_time()
            for _ in range(100):
                assert await lively.call("m", b"", timeout_s=1) == b""
            assert anyio.current_time() - began < 1
            assert client.counters.casts_lost == {"queue full": 1}

    real_time(main)


def test_a_caller_that_never_reads_its_answers_is_given_up() -> None:
    async def main() -> None:
        served = 0

        def large(incoming: Incoming) -> bytes:
            nonlocal served
            served += 1
            return bytes(1 << 20)

        server = transport(QUICK)
        writer = FrameWriter()
        requests = [writer.write(REQUEST, number, "m", 1000) for number in range(1, 200)]
        async with (
            server.listen(ANY_PORT, large) as bound,
            raw_client(bound, GREETING) as stream,
        ):
            for request in requests:
                # One by one: the server may stop reading in between.
                try:
                    await stream.send(request)
                except anyio.BrokenResourceError:
                    break
                await anyio.sleep(0.002)
            await until(lambda: bool(server.counters.ended))
            assert set(server.counters.ended) <= {"silent", "does not read"}
            assert served < 60

    real_time(main)


def test_frames_of_one_turn_leave_in_one_write() -> None:
    async def main() -> None:
        pieces: list[int] = []

        async def note(stream: SocketStream) -> None:
            while True:
                pieces.append(len(await stream.receive()))

        async with raw_server(note) as bound, transport().connect(bound) as connection:
            await until(lambda: len(pieces) == 1)
            for _ in range(100):
                connection.cast_nowait("event", b"payload")
            await until(lambda: sum(pieces[1:]) == 8 + (11 + 5) + 7 + 100 * (4 + 7))
            assert len(pieces) == 2

    real_time(main)


def test_a_call_that_was_sent_ends_with_its_link_and_the_next_one_reconnects() -> None:
    async def main() -> None:
        async def hang_up(stream: SocketStream) -> None:
            data = b""
            while b"vanish" not in data:
                data += await stream.receive()

        client = transport(QUICK)
        async with raw_server(hang_up) as bound, client.connect(bound) as connection:
            for _ in range(2):
                with pytest.raises(ConnectionLost, match="went away before it answered"):
                    await connection.call("vanish", b"", timeout_s=5)
        assert client.counters.connected == 2

    real_time(main)
