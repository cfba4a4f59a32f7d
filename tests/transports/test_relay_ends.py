"""What a relay in the path makes of the beginnings and ends of connections, and of full sockets."""

import asyncio
import tracemalloc
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import Address, AddressError, CallTimeout, Incoming
from edgeless_transports import relay as relays
from edgeless_transports.grpc import GrpcTransport
from edgeless_transports.relay import CONNECTIONS_MAX, WAITING_BYTES_MAX, Conditions, Relay
from edgeless_transports.tcp import TcpTransport

FREE = Conditions()
BLOCKED = Conditions(blocked=True)
MS = 1_000_000


def real_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *main* on a real loop, twenty seconds at most."""

    async def bounded() -> None:
        with anyio.fail_after(20):
            await main()

    run(bounded, world="real")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - polls what has no event
        await anyio.sleep(0.002)


@pytest.mark.parametrize("blocked", [(BLOCKED, FREE), (FREE, BLOCKED), (BLOCKED, BLOCKED)])
def test_a_connection_made_while_either_way_is_blocked_comes_about_on_healing(
    rig: Any,
    blocked: tuple[Conditions, Conditions],
) -> None:
    async def main() -> None:
        async with rig.listening() as upstream, rig.relayed(upstream.port) as (relay, port):
            relay.set(*blocked)
            async with rig.connected(port) as client:
                client.write(b"patient")
                await anyio.sleep(0.05)
                assert upstream.waiting == 0
                relay.set(FREE, FREE)
                server = await upstream.next()
                assert await server.read(7) == b"patient"
                server.write(b"there")
                assert await client.read(5) == b"there"

    real_time(main)


def test_where_nobody_is_upstream_the_client_is_closed_at_once(rig: Any) -> None:
    async def main() -> None:
        async with rig.listening() as gone:
            pass
        async with rig.relayed(gone.port) as (relay, port), rig.connected(port) as client:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.read(1)
            await until(lambda: relay.open == 0)

    real_time(main)


def test_a_half_close_is_passed_on_and_the_other_way_goes_on(rig: Any) -> None:
    async def main() -> None:
        async with rig.through() as (relay, client, server):
            client.write(b"all of it")
            client.end()
            assert await server.rest() == b"all of it"
            for _ in range(5):
                server.write(b"still")
                assert await client.read(5) == b"still"
            server.end()
            assert await client.rest() == b""
            await until(lambda: relay.open == 0)

    real_time(main)


def test_a_half_close_waits_for_the_bytes_before_it(rig: Any) -> None:
    async def main() -> None:
        async with rig.through() as (relay, client, server):
            relay.set(Conditions(latency_ns=30 * MS, bandwidth_bytes_per_s=10_000_000), FREE)
            client.write(bytes(500_000))
            client.end()
            assert len(await server.rest()) == 500_000

    real_time(main)


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_is_passed_on_after_what_came_before_it(rig: Any, who: str) -> None:
    async def main() -> None:
        async with rig.through() as (relay, client, server):
            one, other = (client, server) if who == "client" else (server, client)
            one.write(b"last words")
            assert await other.read(10) == b"last words"
            one.reset()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await other.read(1)
            await until(lambda: relay.open == 0)

    real_time(main)


def test_a_reset_behind_a_block_shows_on_healing(rig: Any) -> None:
    async def main() -> None:
        async with rig.through() as (relay, client, server):
            relay.set(BLOCKED, BLOCKED)
            client.write(b"x")
            await anyio.sleep(0.02)
            client.reset()
            await anyio.sleep(0.02)
            assert not server.reader.at_eof()
            relay.set(FREE, FREE)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await server.read(2)
            await until(lambda: relay.open == 0)

    real_time(main)


@pytest.mark.parametrize("reason", ["blocked", "nobody reads"])
def test_a_sender_is_stopped_when_too_much_waits(rig: Any, reason: str) -> None:
    async def main() -> None:
        async with rig.through() as (relay, client, server):
            if reason == "blocked":
                relay.set(BLOCKED, FREE)
            else:
                server.reader._transport.pause_reading()
            taken = 0

            async def send() -> None:
                nonlocal taken
                while True:
                    client.write(bytes(1 << 16))
                    await client.writer.drain()
                    taken += 1 << 16

            async def stopped() -> None:
                before = -1
                while before != taken:
                    before = taken
                    await anyio.sleep(0.3)

            async with anyio.create_task_group() as group:
                group.start_soon(send)
                await stopped()
                # Kernels buffer some megabytes on each socket beside what waits here.
                assert WAITING_BYTES_MAX // 2 < taken < WAITING_BYTES_MAX + (32 << 20)
                held = sum(way._waiting_bytes for way in _ways(relay))
                assert held <= WAITING_BYTES_MAX + (256 << 10)
                group.cancel_scope.cancel()
            sent = taken
            if reason == "blocked":
                relay.set(FREE, FREE)
                assert len(await server.read(sent)) == sent

    real_time(main)


def _ways(relay: Relay) -> list[Any]:
    return [
        way
        for connection in relay._connections
        for way in (connection._forward, connection._backward)
    ]


def test_closing_leaves_nothing_behind(rig: Any) -> None:
    async def main() -> None:
        async with rig.listening() as upstream:
            relay = Relay("127.0.0.1", upstream.port, Random(1))
            port = await relay.start()
            async with rig.connected(port) as first, rig.connected(port):
                server = await upstream.next()
                relay.set(BLOCKED, BLOCKED)
                async with rig.connected(port):
                    first.write(bytes(1000))
                    server.write(bytes(1000))
                    await until(lambda: relay.open == 3)
                    before = asyncio.all_tasks()
                    await relay.close()
                    assert asyncio.all_tasks() <= before
                    assert relay.open == 0
                    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                        await first.read(1)
            await relay.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            again = Relay("127.0.0.1", upstream.port, Random(1))
            assert await again.start(port=port) == port
            with pytest.raises(AddressError, match="listens there already"):
                await relay.start(port=port)
            await again.close()

    real_time(main)


def test_connections_beyond_the_bound_are_turned_away(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CONNECTIONS_MAX == 1024
    monkeypatch.setattr(relays, "CONNECTIONS_MAX", 2)

    async def main() -> None:
        async with rig.listening() as upstream, rig.relayed(upstream.port) as (relay, port):
            relay.set(BLOCKED, BLOCKED)
            async with rig.connected(port), rig.connected(port), rig.connected(port) as third:
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await third.read(1)
            assert (relay.accepted, relay.refused) == (2, 1)

    real_time(main)


def test_a_hundred_idle_relays_take_little_and_do_nothing(rig: Any) -> None:
    async def main() -> None:
        async with rig.listening() as upstream:
            tracemalloc.start()
            try:
                made = [Relay("127.0.0.1", upstream.port, Random(1)) for _ in range(100)]
                for relay in made:
                    await relay.start()
                used, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            # A generator of dice for each is in it; a cluster shares one.
            assert used / 100 < 16 << 10
            assert len(asyncio.all_tasks()) < 10
            for relay in made:
                await relay.close()

    real_time(main)


@pytest.mark.parametrize("scheme", ["tcp", "http"])
@pytest.mark.parametrize("blocked", [(BLOCKED, FREE), (FREE, BLOCKED), (BLOCKED, BLOCKED)])
def test_calls_time_out_while_blocked_and_work_after_healing(
    rig: Any, scheme: str, blocked: tuple[Conditions, Conditions]
) -> None:
    def echo(incoming: Incoming) -> bytes:
        return incoming.payload

    async def main() -> None:
        scheduler = current_scheduler()
        kind: Any = TcpTransport if scheme == "tcp" else GrpcTransport
        async with kind(scheduler).listen(Address(scheme, "127.0.0.1:0"), echo) as bound:
            upstream = int(bound.location.rpartition(":")[2])
            async with (
                rig.relayed(upstream) as (relay, port),
                kind(scheduler).connect(Address(scheme, f"127.0.0.1:{port}")) as connection,
            ):
                for _ in range(2):
                    assert await connection.call("/m", b"before", timeout_s=5) == b"before"
                    relay.set(*blocked)
                    with pytest.raises(CallTimeout):
                        await connection.call("/m", b"held back", timeout_s=0.1)
                    relay.set(FREE, FREE)
                    assert await connection.call("/m", b"after", timeout_s=5) == b"after"
                assert relay.accepted == 1

    real_time(main)
