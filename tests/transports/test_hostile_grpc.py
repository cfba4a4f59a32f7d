"""Peers of ``http://`` that mean harm: what is no gRPC is closed, and nobody else is harmed."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from struct import pack
from typing import Any, Final

import anyio
import pytest
from anyio.abc import SocketStream

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import Address, Connection, Incoming, TransportError, background_tasks
from edgeless_transports.grpc import GrpcTransport, Limits

ANY_PORT = Address("http", "127.0.0.1:0")
DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
END_STREAM: Final = 1
END_HEADERS: Final = 4
MIB: Final = 1 << 20


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return pack(">I", len(payload))[1:] + pack(">BBI", kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header that is not compressed."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


REQUEST_HEADERS: Final = b"".join(
    (
        literal(b":method", b"POST"),
        literal(b":scheme", b"http"),
        literal(b":path", b"/hostile"),
        literal(b":authority", b"x"),
        literal(b"te", b"trailers"),
        literal(b"content-type", b"application/grpc"),
    )
)
MAGIC: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PREFACE: Final = MAGIC + frame(SETTINGS, 0, 0)
REQUEST: Final = frame(HEADERS, END_HEADERS, 1, REQUEST_HEADERS)
WHOLE: Final = PREFACE + REQUEST + frame(DATA, END_STREAM, 1, b"\0\0\0\0\1x")


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

    def __init__(self) -> None:
        self.at: Address
        self.good: Connection
        self.served: list[bytes] = []

    async def serve_slowly(self) -> bytes:
        await anyio.sleep(0.05)
        return b""

    def serve(self, incoming: Incoming) -> bytes | Awaitable[bytes]:
        if incoming.method == "/hostile":
            self.served.append(incoming.payload)
            return self.serve_slowly()
        return incoming.payload

    async def lives(self) -> None:
        """Raise unless the well-behaved peer is served on the connection it has had all along."""
        assert await self.good.call("/good", b"on", timeout_s=10) == b"on"

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
        try:
            async with self.attacked(*first) as stream:
                if end:
                    await stream.send_eof()
                await gone(stream)
        except (anyio.BrokenResourceError, OSError):
            return


async def gone(stream: SocketStream) -> None:
    """Return when the other side has closed."""
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


async def hears(stream: SocketStream, words: bytes) -> None:
    """Return when the other side has said *words*."""
    data = b""
    while words not in data:
        data += await stream.receive()


@asynccontextmanager
async def victim(limits: Limits | None = None) -> AsyncGenerator[Victim]:
    one = Victim()
    server = GrpcTransport(current_scheduler(), limits=limits)
    async with (
        server.listen(ANY_PORT, one.serve) as one.at,
        GrpcTransport(current_scheduler()).connect(one.at) as one.good,
    ):
        yield one
        await one.lives()


def resident_mib() -> float:
    """Memory of this process: that of grpcio's core is not Python's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def test_a_request_by_hand_is_served() -> None:
    async def main() -> None:
        async with victim() as one, one.attacked(WHOLE) as stream:
            await hears(stream, b"grpc-status\x010")
            assert one.served == [b"x"]

    real_time(main)


def test_a_request_cut_at_any_byte_is_not_served_and_the_socket_closed() -> None:
    async def main() -> None:
        async with victim() as one:
            for end in range(len(WHOLE)):
                await one.closes(WHOLE[:end], end=True)
            await one.lives()
            assert one.served == []

    real_time(main)


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes.fromhex("1603010200010001fc0303") + bytes(600),
        b"\0\0\0\x17" + bytes(4) + b"\1" + bytes(14) + b"EDGS\0\1\0\0",
        PREFACE + b"\xff\xff\xff\0\0\0\0\0\1",
        PREFACE + frame(HEADERS, END_HEADERS, 1, b"\xff" * 100),
        PREFACE + frame(SETTINGS, 0, 0, b"\0"),
        PREFACE + frame(HEADERS, 0, 1, REQUEST_HEADERS) + frame(DATA, 0, 1, b"x"),
    ],
    ids=["http1", "tls", "our-tcp", "length", "hpack", "settings", "split"],
)
def test_what_is_no_http2_is_closed(first: bytes) -> None:
    async def main() -> None:
        async with victim() as one:
            await one.closes(first)
            assert one.served == []

    real_time(main)


@pytest.mark.parametrize("before", [b"", PREFACE], ids=["at-once", "after-the-preface"])
def test_random_bytes_serve_nothing(before: bytes) -> None:
    async def main() -> None:
        dice = Random(7)
        async with victim() as one:
            for _ in range(40):
                await one.closes(before, dice.randbytes(dice.randrange(9, 2000)), end=True)
            assert one.served == []

    real_time(main)


@pytest.mark.parametrize("length", [16 * MIB + 1, (1 << 31) - 1, (1 << 32) - 1])
def test_a_message_is_refused_by_its_announced_length(length: int) -> None:
    async def main() -> None:
        async with victim() as one:
            announcement = frame(DATA, 0, 1, b"\0" + pack(">I", length) + b"123")
            async with one.attacked(PREFACE, REQUEST, announcement) as stream:
                await hears(stream, b"grpc-status\x018")
            assert one.served == []

    real_time(main)


def test_sixty_announcements_of_16_mib_take_no_memory() -> None:
    async def hold(one: Victim) -> None:
        announcement = frame(DATA, 0, 1, b"\0" + pack(">I", 16 * MIB) + bytes(64))
        async with one.attacked(PREFACE, REQUEST, announcement) as stream:
            await gone(stream)

    async def main() -> None:
        async with victim() as one:
            before = resident_mib()
            async with anyio.create_task_group() as group:
                for _ in range(60):
                    group.start_soon(hold, one)
                for _ in range(20):
                    await one.lives()
                    await anyio.sleep(0.01)
                # 960 MiB were announced.
                assert resident_mib() - before < 100
                group.cancel_scope.cancel()
            assert one.served == []

    real_time(main)


@pytest.mark.parametrize("first", [b"", MAGIC[:9], MAGIC], ids=["silent", "half", "magic"])
def test_who_takes_his_time_for_the_preface_is_closed(first: bytes) -> None:
    async def main() -> None:
        async with victim(Limits(hello_timeout_s=0.5)) as one, anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one.closes, first)

    real_time(main)


@pytest.mark.parametrize("first", [PREFACE, PREFACE + REQUEST], ids=["idle", "half a request"])
def test_a_peer_that_answers_no_ping_is_given_up(first: bytes) -> None:
    async def main() -> None:
        async with victim(Limits(idle_s=1, dead_s=2)) as one:
            await one.closes(first)

    real_time(main)


def test_a_quiet_peer_of_ours_is_kept() -> None:
    async def main() -> None:
        async with victim(Limits(idle_s=1, dead_s=2)) as one:
            await anyio.sleep(4)
            await one.lives()

    real_time(main)


def test_streams_that_are_opened_and_reset_at_once_harm_nobody_else() -> None:
    async def main() -> None:
        async with victim() as one:
            try:
                async with one.attacked(PREFACE) as stream:
                    for number in range(1, 6001, 2):
                        await stream.send(
                            frame(HEADERS, END_HEADERS, number, REQUEST_HEADERS)
                            + frame(RST_STREAM, 0, number, bytes(4))
                        )
                    await one.lives()
            except anyio.BrokenResourceError:
                pass
            await one.lives()

    real_time(main)


@asynccontextmanager
async def hostile_server(*says: bytes) -> AsyncGenerator[Address]:
    """Says *says* to each who comes, and stays silent."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            for each in says:
                await stream.send(each)
            await gone(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, background_tasks() as group:
        group.start_soon(listener.serve, serve)
        yield Address("http", f"127.0.0.1:{port}")


RESPONSE: Final = frame(
    HEADERS,
    END_HEADERS,
    1,
    literal(b":status", b"200") + literal(b"content-type", b"application/grpc"),
)


@pytest.mark.parametrize(
    "says",
    [
        (),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (Random(3).randbytes(1000),),
        (frame(SETTINGS, 0, 0), Random(3).randbytes(1000)),
        (frame(SETTINGS, 0, 0), RESPONSE, frame(DATA, 0, 1, b"\0\x7f\xff\xff\xff123")),
    ],
    ids=["silent", "http1", "random", "random-later", "2-gib"],
)
def test_a_hostile_server_ends_its_own_calls_and_no_others(says: tuple[bytes, ...]) -> None:
    async def main() -> None:
        client = GrpcTransport(current_scheduler())
        async with (
            victim() as other,
            hostile_server(*says) as at,
            client.connect(other.at) as good,
        ):
            before = resident_mib()
            connection = client.open(at)
            with pytest.raises(TransportError):
                await connection.call("/m", b"a call", timeout_s=1)
            assert await good.call("/good", b"x", timeout_s=10) == b"x"
            assert resident_mib() - before < 100
            await connection.close()

    real_time(main)
