"""What bytes meet between two sockets: nothing, time, a narrow pipe, loss, a cut; on each way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import pytest

from edgeless_transports.relay import WAITING_BYTES_MAX, Conditions, Relay

MS: Final = 1_000_000
FREE: Final = Conditions()
CUT: Final = Conditions(blocked=True)
#: Long enough that nothing is still on its way on a machine which is busy.
QUIET_S: Final = 0.1
TIMEOUT_S: Final = 10


class Upstream:
    """Who is behind the relay: remembers what came; answers each line with the same."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                await self.reading.wait()
                data = await reader.read(1 << 16)
                if not data:
                    break
                self.received += data
                writer.write(data)
                await writer.drain()
            self.ended.set()
            writer.write(b"bye")
        except ConnectionError:
            self.ended.set()
        finally:
            writer.close()


@pytest.fixture
async def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def relay(upstream: Upstream) -> AsyncIterator[Relay]:
    async with await asyncio.start_server(upstream.serve, "127.0.0.1", 0) as server:
        found = Relay("127.0.0.1", server.sockets[0].getsockname()[1], Random(1))
        yield found
        await found.close()


@asynccontextmanager
async def connected(
    relay: Relay,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """To the relay, which listens from now on."""
    port = await relay.start()
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()


async def elapsed_of_echo(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
) -> float:
    """Seconds until what was sent has come back."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    return loop.time() - begin


async def test_bytes_and_ends_pass_both_ways_and_are_counted(
    relay: Relay, upstream: Upstream
) -> None:
    async with connected(relay) as (reader, writer):
        await elapsed_of_echo(reader, writer, b"there and back")
        writer.write_eof()
        assert await reader.read() == b"bye"
    assert upstream.received == b"there and back"
    assert (relay.accepted, relay.bytes_forward, relay.bytes_backward) == (1, 14, 17)


async def test_latency_is_that_of_both_ways_and_changes_for_open_connections(relay: Relay) -> None:
    async with connected(relay) as (reader, writer):
        relay.set(Conditions(latency_ns=60 * MS), Conditions(latency_ns=90 * MS))
        assert await elapsed_of_echo(reader, writer, b"slow") >= 0.15
        relay.set(FREE, FREE)
        assert await elapsed_of_echo(reader, writer, b"fast") < 0.15


async def test_a_jitter_delays_but_never_reorders(relay: Relay, upstream: Upstream) -> None:
    async with connected(relay) as (reader, writer):
        relay.set(Conditions(latency_ns=5 * MS, jitter_ns=5 * MS), FREE)
        sent = b""
        for number in range(50):
            chunk = b"%d;" % number
            writer.write(chunk)
            sent += chunk
            await asyncio.sleep(0.001)
        await reader.readexactly(len(sent))
    assert upstream.received == sent


async def test_a_narrow_pipe_takes_as_long_as_its_bytes_do(relay: Relay) -> None:
    async with connected(relay) as (reader, writer):
        relay.set(Conditions(bandwidth_bytes_per_s=100_000), FREE)
        assert await elapsed_of_echo(reader, writer, bytes(20_000)) >= 0.2


async def test_what_is_lost_comes_as_late_as_its_retransmission(relay: Relay) -> None:
    async with connected(relay) as (reader, writer):
        relay.set(Conditions(loss=1.0), FREE)
        writer.write(b"lost")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)


async def test_a_cut_holds_bytes_back_in_its_direction_alone_until_it_heals(
    relay: Relay, upstream: Upstream
) -> None:
    async with connected(relay) as (reader, writer):
        await elapsed_of_echo(reader, writer, b"1")
        relay.set(FREE, CUT)
        writer.write(b"2")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), QUIET_S)
        assert upstream.received == b"12"
        relay.set(CUT, FREE)
        assert await reader.readexactly(1) == b"2"
        writer.write(b"3")
        await asyncio.sleep(QUIET_S)
        assert upstream.received == b"12"
        relay.set(FREE, FREE)
        assert await reader.readexactly(1) == b"3"


async def test_whoever_connects_during_a_cut_is_served_when_it_heals(
    relay: Relay, upstream: Upstream
) -> None:
    relay.set(CUT, CUT)
    async with connected(relay) as (reader, writer):
        writer.write(b"early")
        await asyncio.sleep(QUIET_S)
        assert upstream.received == b""
        relay.set(FREE, FREE)
        assert await reader.readexactly(5) == b"early"


async def test_without_anybody_upstream_the_connection_ends() -> None:
    nobody = Relay("127.0.0.1", await unused_port(), Random(1))
    async with connected(nobody) as (reader, _):
        assert await reader.read() == b""
    await nobody.close()
    assert nobody.open == 0


async def unused_port() -> int:
    """One at which nobody listens."""
    async with await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0) as server:
        return int(server.sockets[0].getsockname()[1])


async def test_a_sender_is_held_up_rather_than_kept_without_bound(relay: Relay) -> None:
    size = 64 * WAITING_BYTES_MAX
    async with connected(relay) as (_, writer):
        relay.set(CUT, FREE)
        writer.write(bytes(size))
        await asyncio.sleep(QUIET_S)
        (connection,) = relay._connections
        # One read of asyncio more than the bound, never what the sender has.
        assert connection._forward._waiting_bytes <= WAITING_BYTES_MAX + (1 << 18)
        assert writer.transport.get_write_buffer_size() > size // 2
        writer.transport.abort()


async def test_closing_ends_what_is_open_and_frees_the_port(relay: Relay) -> None:
    async with connected(relay) as (reader, writer):
        await elapsed_of_echo(reader, writer, b"here")
        assert relay.open == 1
        await relay.close()
        await relay.close()
        assert await reader.read() == b""
    assert relay.open == 0
