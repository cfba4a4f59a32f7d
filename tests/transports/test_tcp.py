"""The conformance suite over tcp, and what a transport over sockets owes beyond it."""

import asyncio
import os
import resource
import socket
import tracemalloc
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import (
    Address,
    AddressError,
    ConnectError,
    Incoming,
    RemoteError,
    TransportError,
)
from edgeless_transports.conformance import CHECKS, Check, Subject
from edgeless_transports.frame_writer import FrameWriter
from edgeless_transports.framing import HELLO, Hello
from edgeless_transports.link import TcpLimits
from edgeless_transports.tcp import TcpTransport

ANY_PORT = Address("tcp", "127.0.0.1:0")
GREETING = FrameWriter().write(HELLO, payload=Hello().encode())
QUICK = TcpLimits(hello_timeout_s=0.1, idle_s=0.05, dead_s=0.15, linger_s=0.1, backoff_s=0.01)


def real_time(
    main: Callable[[], Coroutine[Any, Any, None]],
    make_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run *main* on a real loop, ten seconds at most."""

    async def bounded() -> None:
        with anyio.fail_after(10):
            await main()

    run(bounded, world="real", make_loop=make_loop)


def echo(incoming: Incoming) -> bytes:
    return incoming.payload


def transport(limits: TcpLimits | None = None, announced: str = "") -> TcpTransport:
    return TcpTransport(current_scheduler(), limits=limits, announced=announced)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - polls what has no event
        await anyio.sleep(0.002)


# The fastest loop that is installed, and the one that always is.
@pytest.mark.parametrize("make_loop", [None, asyncio.new_event_loop], ids=["fastest", "asyncio"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_tcp_does_what_every_transport_must(
    check: Check, make_loop: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    async def main() -> None:
        await check(Subject(transport(), transport(), lambda: ANY_PORT))

    real_time(main, make_loop)


@pytest.mark.parametrize(
    "location",
    ["host", "host:", ":1", "host:x", "host:65536", "host:" + "9" * 5000, "::1:80", "host:-1"],
)
def test_a_location_is_host_and_port(location: str) -> None:
    async def main() -> None:
        with pytest.raises(AddressError, match="does not end in host:port"):
            transport().open(Address("tcp", location))
        with pytest.raises(AddressError, match="not an address of the tcp transport"):
            transport().open(Address("memory", "host:1"))

    real_time(main)


def test_ipv6_locations_stand_in_brackets() -> None:
    async def main() -> None:
        end = transport()
        async with (
            end.listen(Address("tcp", "[::1]:0"), lambda incoming: incoming.peer.encode()) as bound,
            end.connect(bound) as connection,
        ):
            assert bound.location.startswith("[::1]:")
            assert (await connection.call("m", b"", timeout_s=1)).startswith(b"tcp://[::1]:")

    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    real_time(main)


def test_a_peer_is_known_by_the_address_it_announces() -> None:
    async def main() -> None:
        peers: list[str] = []

        def note(incoming: Incoming) -> bytes:
            peers.append(incoming.peer)
            return b""

        async with transport().listen(ANY_PORT, note) as bound:
            for announced in ("tcp://10.0.0.1:7", ""):
                async with transport(announced=announced).connect(bound) as connection:
                    await connection.call("m", b"", timeout_s=1)
        assert peers[0] == "tcp://10.0.0.1:7"
        assert peers[1].startswith("tcp://127.0.0.1:")
        with pytest.raises(AddressError):
            transport(announced="here")

    real_time(main)


def test_idle_connections_are_kept_by_pings() -> None:
    async def main() -> None:
        # Ten times as long between a ping and giving up: the machine may be busy.
        limits = TcpLimits(idle_s=0.05, dead_s=0.5)
        client = transport(limits)
        async with (
            transport(limits).listen(ANY_PORT, echo) as bound,
            client.connect(bound) as connection,
        ):
            await anyio.sleep(1.2)
            assert await connection.call("m", b"", timeout_s=1) == b""
        assert client.counters.connected == 1
        assert client.counters.ended == {}

    real_time(main)


def test_calls_wait_for_a_listener_and_casts_do_not() -> None:
    async def main() -> None:
        async with transport().listen(ANY_PORT, echo) as free:
            pass
        client = transport(QUICK)
        connection = client.open(free)
        ends: list[bytes | TransportError] = []
        for number in (b"1", b"2"):
            connection.call_nowait("m", number, ends.append, timeout_s=5)
            connection.cast_nowait("cast", number)
        await until(lambda: client.counters.attempts_failed > 0)
        assert client.counters.casts_lost == {"not connected": 2}
        assert not connection.cast_nowait("cast", b"3")
        seen: list[bytes] = []
        async with transport().listen(free, echo, on_cast=lambda one: seen.append(one.payload)):
            await until(lambda: len(ends) == 2)
            assert connection.cast_nowait("cast", b"4")
            await until(lambda: bool(seen))
            connection.close()
            await connection.ended()
        assert (ends, seen) == ([b"1", b"2"], [b"4"])

    real_time(main)


def test_attempts_to_reconnect_grow_rare() -> None:
    async def main() -> None:
        async with transport().listen(ANY_PORT, echo) as free:
            pass
        client = transport(TcpLimits(backoff_s=0.01, backoff_s_max=10))
        connection = client.open(free)
        with anyio.move_on_after(0.5):
            while True:
                connection.cast_nowait("cast", b"")
                await anyio.sleep(0.001)
        # Waits of 10, 20, 40, 80, 160, 320 ms, of which the dice cut up to half.
        assert 2 <= client.counters.attempts_failed <= 8
        connection.abort()
        await connection.ended()

    real_time(main)


def test_one_source_has_so_many_connections_and_no_more() -> None:
    async def main() -> None:
        server = transport(TcpLimits(connections_per_source_max=2))
        async with server.listen(ANY_PORT, echo) as bound:
            async with transport().connect(bound), transport().connect(bound):
                with pytest.raises(ConnectError):
                    async with transport().connect(bound):
                        pass
            assert server.counters.refused == {"too many connections of one source": 1}
            client = transport(QUICK).open(bound)
            # As soon as the server has noticed that the others left.
            assert await client.call("m", b"again", timeout_s=5) == b"again"
            client.close()
            await client.ended()

    real_time(main)


def test_a_listener_has_so_many_connections_and_no_more() -> None:
    async def main() -> None:
        server = transport(TcpLimits(connections_max=1))
        async with server.listen(ANY_PORT, echo) as bound, transport().connect(bound):
            with pytest.raises(ConnectError):
                async with transport().connect(bound):
                    pass
        assert server.counters.refused == {"too many connections": 1}

    real_time(main)


def test_without_files_a_listener_pauses_and_recovers() -> None:
    async def main() -> None:
        server = transport()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        async with server.listen(ANY_PORT, echo) as bound:
            with socket.socket() as caller:
                caller.setblocking(False)
                free = os.dup(0)
                os.close(free)
                resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
                try:
                    caller.connect_ex(("127.0.0.1", int(bound.location.rpartition(":")[2])))
                    await until(lambda: server.counters.refused.get("EMFILE", 0) > 0)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                caller.sendall(GREETING)
                await until(lambda: server.counters.accepted == 1)
        assert server.counters.refused["EMFILE"] < 3

    real_time(main)


def test_payloads_have_a_limit_in_both_directions() -> None:
    async def main() -> None:
        small = TcpLimits(payload_bytes_max=100)
        client = transport(small)
        async with (
            transport(small).listen(ANY_PORT, lambda one: bytes(101)) as bound,
            client.connect(bound) as connection,
        ):
            with pytest.raises(TransportError, match="101 bytes are more than the 100"):
                await connection.call("m", bytes(101), timeout_s=1)
            assert not connection.cast_nowait("m", bytes(101))
            with pytest.raises(RemoteError, match="too-large"):
                await connection.call("m", bytes(100), timeout_s=1)
        assert client.counters.casts_lost == {"too large": 1}

    real_time(main)


@pytest.mark.parametrize("kind", ["call", "cast"])
def test_a_bug_in_a_receiver_stops_the_run(kind: str) -> None:
    async def main() -> None:
        def broken(incoming: Incoming) -> bytes:
            raise AssertionError("a bug")

        def broken_cast(incoming: Incoming) -> None:
            raise LookupError("a bug")

        async with (
            transport().listen(ANY_PORT, broken, on_cast=broken_cast) as bound,
            transport().connect(bound) as connection,
        ):
            if kind == "cast":
                connection.cast_nowait("m", b"")
                await anyio.sleep(5)
            await connection.call("m", b"", timeout_s=5)

    with pytest.raises((AssertionError, LookupError), match="a bug"):
        run(main, world="real")


def test_a_thousand_idle_connections_take_little_memory() -> None:
    async def main() -> None:
        limits = TcpLimits(connections_per_source_max=2000)
        server, client = transport(limits), transport(limits)
        async with server.listen(ANY_PORT, echo) as bound, AsyncExitStack() as stack:
            await stack.enter_async_context(client.connect(bound))
            tracemalloc.start()
            try:
                for _ in range(1000):
                    await stack.enter_async_context(client.connect(bound))
                used, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        # Both ends.
        assert used / 1000 < 32 << 10

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3000:
        pytest.skip("this machine allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    try:
        real_time(main)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
