"""Peers of ``tcp://`` that mean harm: each is closed and counted, at the cost of what it sent."""

import socket
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from struct import pack
from typing import Any
from zlib import crc32

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import (
    Address,
    Connection,
    ConnectionLost,
    Incoming,
    TransportError,
    background_tasks,
)
from edgeless_transports.frame_writer import FrameWriter
from edgeless_transports.framing import (
    CAST,
    GROUP,
    HELLO,
    ITEM,
    LENGTH,
    LENGTH_MIN,
    NUMBERED,
    PACKET_BYTES,
    PAYLOAD_BYTES_MAX,
    PING,
    PREFIX,
    REPLY,
    REQUEST,
    ROOM_BYTES,
    Hello,
)
from edgeless_transports.link import TcpLimits
from edgeless_transports.tcp import TcpTransport

ANY_PORT = Address("tcp", "127.0.0.1:0")
GREETING = FrameWriter().write(HELLO, payload=Hello().encode())
#: A second is long for a hello, also on a busy machine.
QUICK = TcpLimits(hello_timeout_s=1, linger_s=0.1, backoff_s=0.01)
#: Hello, definition, cast, request: a connection that does everything once.
WRITER = FrameWriter()
CONVERSATION = (
    GREETING,
    WRITER.write(CAST, 0, "m", 0, b"cast"),
    WRITER.write(REQUEST, 1, "m", 1000, b"call"),
)


def real_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *main* on a real loop, thirty seconds at most."""

    async def bounded() -> None:
        with anyio.fail_after(30):
            await main()

    run(bounded, world="real")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - polls what has no event
        await anyio.sleep(0.002)


class Victim:
    """A listener that keeps what it served, and a well-behaved peer of it."""

    def __init__(self, transport: TcpTransport, served: list[bytes]) -> None:
        self.counters = transport.counters
        self.served = served
        self.at: Address
        self.good: Connection

    async def lives(self) -> None:
        """Raise unless the well-behaved peer is served on the connection it has had all along."""
        assert await self.good.call("good", b"on", timeout_s=10) == b"on"

    @asynccontextmanager
    async def attacked(self, *first: bytes) -> AsyncGenerator[SocketStream]:
        """A socket that says *first*."""
        host, _, port = self.at.location.rpartition(":")
        async with await anyio.connect_tcp(host, int(port)) as stream:
            for data in first:
                await stream.send(data)
            yield stream

    async def closes(self, *first: bytes, end: bool = False) -> None:
        """Send *first*, half-close if *end*, and return when the victim has closed."""
        async with self.attacked(*first) as stream:
            if end:
                await stream.send_eof()
            await gone(stream)


async def gone(stream: SocketStream) -> None:
    """Return when the other side has closed."""
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


@asynccontextmanager
async def victim(limits: TcpLimits = QUICK) -> AsyncGenerator[Victim]:
    served: list[bytes] = []

    def serve(incoming: Incoming) -> bytes:
        if incoming.method != "good":
            served.append(incoming.payload)
        return incoming.payload

    server = TcpTransport(current_scheduler(), limits=limits)
    one = Victim(server, served)
    async with (
        server.listen(ANY_PORT, serve) as one.at,
        TcpTransport(current_scheduler()).connect(one.at) as one.good,
    ):
        yield one
        await one.lives()


def frame(kind: int, call: int, method: int, payload: bytes = b"") -> bytes:
    """A packet of one frame, with the right checksum and whatever else."""
    size = len(payload)
    item = ITEM.pack(size, call, 0) if kind in NUMBERED else LENGTH.pack(size)
    body = GROUP.pack(kind, method, 1) + item + payload
    return PREFIX.pack(len(body), crc32(body)) + body


def test_a_conversation_cut_at_any_byte_delivers_whole_frames_only_and_is_counted() -> None:
    whole = b"".join(CONVERSATION)
    ends = {0, len(GREETING), len(whole)}
    cast_end = len(CONVERSATION[0]) + len(CONVERSATION[1])
    ends.add(cast_end)

    async def main() -> None:
        async with victim() as one:
            for end in range(len(whole) + 1):
                before = dict(one.counters.ended)
                await one.closes(whole[:end], end=True)
                expected = [b"cast"] if end >= cast_end else []
                expected += [b"call"] if end == len(whole) else []
                assert one.served == expected, f"cut at {end}"
                one.served.clear()
                counted = one.counters.ended.get("cut off", 0) - before.get("cut off", 0)
                assert counted == (end not in ends), f"cut at {end}"

    real_time(main)


@pytest.mark.parametrize("greeted", [False, True])
@pytest.mark.parametrize("length", [0, 1, LENGTH_MIN - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_an_impossible_length_closes_by_its_four_bytes(length: int, greeted: bool) -> None:
    async def main() -> None:
        async with victim() as one:
            await one.closes(*[GREETING] * greeted, pack(">I", length))
            assert one.counters.ended == {"length": 1}

    real_time(main)


def test_a_length_is_refused_one_byte_beyond_the_longest_frame() -> None:
    longest = PACKET_BYTES + PAYLOAD_BYTES_MAX + 256 + ROOM_BYTES

    async def main() -> None:
        async with victim() as one, one.attacked(GREETING, pack(">I", longest)):
            await one.closes(GREETING, pack(">I", longest + 1))
            assert one.counters.ended == {"length": 1}

    real_time(main)


def test_sixty_announcements_of_16_mib_take_no_memory() -> None:
    async def main() -> None:
        async with victim(TcpLimits()) as one:
            hosts = [one.attacked(GREETING, pack(">I", 16 << 20), bytes(16)) for _ in range(60)]
            before = one.counters.accepted
            tracemalloc.start()
            try:
                async with anyio.create_task_group() as group:
                    for host in hosts:
                        group.start_soon(_hold, host)
                    await until(lambda: one.counters.accepted == before + 60)
                    await one.lives()
                    _, peak = tracemalloc.get_traced_memory()
                    group.cancel_scope.cancel()
            finally:
                tracemalloc.stop()
            # Both ends of sixty sockets, anyio's and asyncio's buffers among it: 960 MiB announced.
            assert peak < 8 << 20

    real_time(main)


async def _hold(host: Any) -> None:
    async with host:
        await anyio.sleep_forever()


@pytest.mark.parametrize("version", [0, 2, 0xFFFF])
def test_another_version_is_closed_and_counted(version: int) -> None:
    async def main() -> None:
        async with victim() as one:
            await one.closes(FrameWriter().write(HELLO, payload=Hello("", version).encode()))
            assert one.counters.ended == {"version": 1}

    real_time(main)


@pytest.mark.parametrize("greeted", [False, True])
def test_random_bytes_are_closed_and_counted_and_serve_nothing(greeted: bool) -> None:
    async def main() -> None:
        dice = Random(7)
        async with victim() as one:
            for _ in range(60):
                noise = dice.randbytes(dice.randrange(4, 2000))
                await one.closes(*[GREETING] * greeted, noise, end=True)
            assert sum(one.counters.ended.values()) == 60
            assert one.served == []

    real_time(main)


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (frame(CAST, 0, 1), "method"),
        (frame(CAST, 0, 0, b"\0"), "method"),
        (frame(2, 0, 2, b"m"), "method"),
        (frame(2, 0, 1, b"m\n"), "method"),
        (frame(REPLY, 1, 0), "kind"),
        (frame(0, 0, 0), "kind"),
        (frame(255, 0, 0), "kind"),
        (GREETING, "kind"),
        (frame(PING, 0, 0)[:-1] + b"\1", "checksum"),
    ],
)
def test_what_no_peer_may_say_is_closed_and_what_came_before_is_served(
    hostile: bytes, reason: str
) -> None:
    async def main() -> None:
        async with victim() as one:
            # In one packet, and byte by byte.
            await one.closes(GREETING, frame(CAST, 0, 0, b"\1mx") + hostile)
            await one.closes(GREETING, *(pack("B", byte) for byte in hostile))
            assert one.counters.ended == {reason: 2}
            assert one.served == [b"x"]

    real_time(main)


@pytest.mark.parametrize("dribble", [b"", GREETING[:-1]], ids=["silent", "byte by byte"])
def test_forty_peers_that_take_their_time_for_a_hello_are_closed(dribble: bytes) -> None:
    async def main() -> None:
        async def slow() -> None:
            async with one.attacked() as stream, background_tasks() as group:
                group.start_soon(_dribble, stream, dribble)
                await gone(stream)

        async with victim() as one:
            async with anyio.create_task_group() as group:
                for _ in range(40):
                    group.start_soon(slow)
            assert one.counters.ended == {"slow hello": 40}

    real_time(main)


async def _dribble(stream: SocketStream, data: bytes) -> None:
    for byte in data:
        try:
            await stream.send(pack("B", byte))
        except anyio.BrokenResourceError:
            return
        await anyio.sleep(0.02)


def test_a_flood_of_pings_of_a_peer_that_does_not_read_is_not_read_either() -> None:
    flood = frame(PING, 1, 0) * 10_000
    sent = 0

    async def main() -> None:
        nonlocal sent
        async with victim(TcpLimits(hello_timeout_s=3, idle_s=1, dead_s=4, linger_s=0.1)) as one:
            with socket.socket() as hostile:
                hostile.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                hostile.connect(_where(one.at))
                hostile.setblocking(False)
                hostile.send(GREETING)
                while not one.counters.ended:
                    try:
                        sent += hostile.send(flood)
                    except BlockingIOError:
                        await anyio.sleep(0.01)
                    except ConnectionError:
                        break
                    # Kernels hold some megabytes each way; more would have been read and kept.
                    assert sent < 64 << 20
                    await anyio.lowlevel.checkpoint()
            await until(lambda: bool(one.counters.ended))
            assert set(one.counters.ended) <= {"silent", "does not read", "cut off"}

    real_time(main)


def _where(address: Address) -> tuple[str, int]:
    host, _, port = address.location.rpartition(":")
    return host, int(port)


def test_connections_that_come_and_go_leave_nothing() -> None:
    async def main() -> None:
        async with victim(TcpLimits(connections_per_source_max=8)) as one:
            for _ in range(200):
                async with one.attacked():
                    pass
            while not one.served:
                # Until the victim has heard of their leaving, it turns others away.
                async with one.attacked(*CONVERSATION):
                    await anyio.sleep(0.02)
            assert one.served == [b"cast", b"call"]

    real_time(main)


@asynccontextmanager
async def hostile_server(*says: bytes) -> AsyncGenerator[Address]:
    """Greets each who comes, waits for a call, and answers it with *says*."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.send(GREETING)
            data = b""
            while b"a call" not in data:
                data += await stream.receive()
            for each in says:
                await stream.send(each)
            await gone(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, background_tasks() as group:
        group.start_soon(listener.serve, serve)
        yield Address("tcp", f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (pack(">I", (1 << 32) - 1), "length"),
        (frame(REPLY, 1, 0, b"yes")[:-1] + b"?", "checksum"),
        (frame(REQUEST, 1, 0, b"\1m"), "kind"),
        (frame(CAST, 0, 0, b"\1m"), "kind"),
        (frame(99, 1, 0), "kind"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "length"),
    ],
)
def test_a_hostile_server_ends_its_own_calls_and_no_others(says: bytes, reason: str) -> None:
    async def main() -> None:
        client = TcpTransport(current_scheduler(), limits=QUICK)
        async with (
            victim() as other,
            hostile_server(says) as at,
            client.connect(at) as connection,
            client.connect(other.at) as good,
        ):
            with pytest.raises(ConnectionLost):
                await connection.call("m", b"a call", timeout_s=10)
            assert client.counters.ended == {reason: 1}
            assert await good.call("good", b"x", timeout_s=10) == b"x"

    real_time(main)


def test_answers_that_nobody_asked_for_are_counted_and_the_right_one_taken_once() -> None:
    async def main() -> None:
        client = TcpTransport(current_scheduler(), limits=TcpLimits())
        odd = (frame(REPLY, 99, 0, b"no"), frame(REPLY, 1, 0, b"yes"), frame(REPLY, 1, 0, b"no"))
        async with hostile_server(b"".join(odd)) as at, client.connect(at) as connection:
            ends: list[bytes | TransportError] = []
            connection.call_nowait("m", b"a call", ends.append, timeout_s=10)
            await until(lambda: client.counters.late_answers == 2)
            assert ends == [b"yes"]

    real_time(main)
