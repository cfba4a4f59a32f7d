"""A relay in the path: what bytes meet there, and what it makes of the ends of connections."""

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeless_sim.kernel.loop import run
from edgeless_transports.relay import Conditions

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


CONDITIONS = st.builds(
    Conditions,
    blocked=st.booleans(),
    latency_ns=st.integers(0, 5 * MS),
    jitter_ns=st.integers(0, 5 * MS),
    bandwidth_bytes_per_s=st.none() | st.integers(1_000_000, 100_000_000),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(CONDITIONS, CONDITIONS), max_size=8),
    st.lists(st.integers(0, 40_000), max_size=12),
    st.integers(0, 2**32),
)
def test_bytes_arrive_unchanged_and_in_order_whatever_becomes_of_the_conditions(
    rig: Any, changes: list[tuple[Conditions, Conditions]], sizes: list[int], seed: int
) -> None:
    dice = Random(seed)
    pieces = [dice.randbytes(size) for size in sizes]
    whole = b"".join(pieces)

    async def send(ends: Any) -> None:
        for piece in pieces:
            ends.write(piece)
            await anyio.sleep(dice.random() * 0.002)
        ends.end()

    async def receive(ends: Any, found: list[bytes]) -> None:
        found.append(await ends.rest())

    async def main() -> None:
        found: list[bytes] = []
        async with rig.through() as (relay, client, server), anyio.create_task_group() as group:
            for ends in (client, server):
                group.start_soon(send, ends)
                group.start_soon(receive, ends, found)
            for forward, backward in changes:
                relay.set(forward, backward)
                await anyio.sleep(dice.random() * 0.005)
            relay.set(FREE, FREE)
        assert found == [whole, whole]
        assert (relay.forward.bytes_passed, relay.backward.bytes_passed) == (len(whole),) * 2

    real_time(main)


def test_lost_packets_come_later_and_in_order(rig: Any) -> None:
    async def main() -> None:
        async with rig.through() as (relay, client, server):
            relay.set(Conditions(loss=0.3), FREE)
            for number in range(20):
                client.write(bytes([number]))
                await anyio.sleep(0.001)
            assert await server.read(20) == bytes(range(20))

    real_time(main)


@pytest.mark.parametrize("forward", [True, False])
def test_latency_is_of_one_way_and_not_per_piece(rig: Any, forward: bool) -> None:
    slow = Conditions(latency_ns=60 * MS, jitter_ns=10 * MS)

    async def main() -> None:
        async with rig.through() as (relay, client, server):
            relay.set(slow if forward else FREE, FREE if forward else slow)
            sender, receiver = (client, server) if forward else (server, client)
            began = anyio.current_time()
            for _ in range(100):
                sender.write(b"x")
                await anyio.sleep(0.001)
            await receiver.read(100)
            # One after the other they would take six seconds.
            assert 0.05 <= anyio.current_time() - began < 4

    real_time(main)


@pytest.mark.parametrize("connections", [1, 3])
def test_a_bandwidth_is_that_of_all_connections_together(rig: Any, connections: int) -> None:
    async def main() -> None:
        size = 600_000 // connections

        async def transfer(port: int, upstream: Any) -> None:
            async with rig.connected(port) as client:
                client.write(bytes(size))
                server = await upstream.next()
                await server.read(size)

        async with rig.listening() as upstream, rig.relayed(upstream.port) as (relay, port):
            relay.set(Conditions(bandwidth_bytes_per_s=1_000_000), FREE)
            began = anyio.current_time()
            async with anyio.create_task_group() as group:
                for _ in range(connections):
                    group.start_soon(transfer, port, upstream)
            assert anyio.current_time() - began >= 0.55

    real_time(main)


def test_a_narrow_way_passes_bytes_on_bit_by_bit(rig: Any) -> None:
    async def main() -> None:
        async with rig.through() as (relay, client, server):
            relay.set(Conditions(bandwidth_bytes_per_s=200_000), FREE)
            client.write(bytes(800_000))
            began = anyio.current_time()
            await server.read(2_000)
            # The whole takes four seconds.
            assert anyio.current_time() - began < 3

    real_time(main)


def test_what_one_way_holds_back_does_not_hold_the_other(rig: Any) -> None:
    async def main() -> None:
        async with rig.through() as (relay, client, server):
            relay.set(BLOCKED, FREE)
            client.write(b"held back")
            for _ in range(5):
                server.write(b"pass")
                assert await client.read(4) == b"pass"
            assert relay.forward.bytes_passed == 0
            relay.set(FREE, FREE)
            assert await server.read(9) == b"held back"

    real_time(main)


def test_what_both_ways_hold_back_arrives_after_healing(rig: Any) -> None:
    async def main() -> None:
        async with rig.through() as (relay, client, server):
            relay.set(BLOCKED, BLOCKED)
            for number in range(50):
                client.write(bytes([number]))
                server.write(bytes([number]))
                await anyio.lowlevel.checkpoint()
            await anyio.sleep(0.05)
            assert relay.forward.bytes_passed == relay.backward.bytes_passed == 0
            relay.set(FREE, FREE)
            assert await server.read(50) == await client.read(50) == bytes(range(50))

    real_time(main)
