import logging
from collections.abc import Callable
from random import Random

import anyio
import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_transports import (
    Address,
    AddressError,
    CallTimeout,
    ConnectError,
    Frame,
    FrameKind,
    Incoming,
    MemoryConnection,
    MemoryListener,
    MemoryNetwork,
    MemoryTransport,
    RemoteError,
    Rule,
    TransportError,
)
from edgeless_transports.rules import fifo, latency, loss, one_way_partition, partition

SERVER = Address("memory", "server")
MS = 1_000_000


def echo(incoming: Incoming) -> bytes:
    return incoming.payload


def serve(
    network: MemoryNetwork, on_cast: Callable[[Incoming], None] | None = None
) -> MemoryListener:
    return MemoryTransport(network.scheduler, network, "server").attach(
        SERVER, echo, on_cast=on_cast
    )


def client(network: MemoryNetwork, location: str = "client") -> MemoryConnection:
    return MemoryTransport(network.scheduler, network, location).open(SERVER)


def test_a_frame_shows_rules_where_it_comes_from_and_what_it_is(
    make_network: Callable[..., MemoryNetwork], drain: Callable[[], None]
) -> None:
    seen: list[tuple[str, str, str, bytes, FrameKind]] = []

    def look(frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:
        seen.append((frame.source, frame.destination, frame.method, frame.payload, frame.kind))
        return times

    network = make_network([look])
    serve(network, on_cast=lambda incoming: None)
    connection = client(network)
    connection.cast_nowait("cast", b"1")
    connection.call_nowait("call", b"2", lambda _: None, timeout_s=1)
    drain()
    assert seen == [
        ("client", "server", "cast", b"1", FrameKind.CAST),
        ("client", "server", "call", b"2", FrameKind.REQUEST),
        ("server", "client", "call", b"2", FrameKind.REPLY),
    ]


def test_a_call_takes_the_latency_of_both_ways(
    make_network: Callable[..., MemoryNetwork], queue: TimerQueue, drain: Callable[[], None]
) -> None:
    network = make_network([latency(5 * MS)])
    serve(network)
    at: list[int] = []
    client(network).call_nowait("m", b"", lambda _: at.append(queue.now), timeout_s=1)
    drain()
    assert at == [10 * MS]


def test_constant_latencies_add_up_wherever_they_stand(
    make_network: Callable[..., MemoryNetwork], queue: TimerQueue, drain: Callable[[], None]
) -> None:
    network = make_network([latency(1), latency(2), fifo(), latency(4)])
    network.install(latency(8), first=True)
    at: list[int] = []
    serve(network, on_cast=lambda _: at.append(queue.now))
    client(network).cast_nowait("m", b"")
    drain()
    assert at == [15]


@pytest.mark.parametrize("way", ["client", "server"])
def test_a_lost_request_or_reply_is_the_callers_timeout(
    way: str, make_network: Callable[..., MemoryNetwork], drain: Callable[[], None]
) -> None:
    network = make_network([one_way_partition(way, lambda place: place != way)])
    serve(network)
    ends: list[object] = []
    client(network).call_nowait("m", b"", ends.append, timeout_s=0.5)
    drain()
    assert [type(end) for end in ends] == [CallTimeout]
    assert str(ends[0]) == "server did not answer m within 0.5 s"
    assert network.counters.lost_by_cause == {"one-way partition": 1}


def test_each_loss_is_told_with_its_cause(
    make_network: Callable[..., MemoryNetwork], drain: Callable[[], None]
) -> None:
    losses: list[tuple[str, str]] = []
    network = make_network(in_flight_max=1)
    network.on_lost = lambda frame, cause: losses.append((frame.method, cause))
    listener = serve(network, on_cast=lambda incoming: None)
    connection = client(network)
    with network.install(partition("client", "server", cause="storm")):
        assert connection.cast_nowait("stormy", b"")
    assert connection.cast_nowait("first", b"")
    assert not connection.cast_nowait("second", b"")
    drain()
    listener.close()
    assert connection.cast_nowait("nobody", b"")
    drain()
    connection.close()
    assert not connection.cast_nowait("closed", b"")
    assert losses == [
        ("stormy", "storm"),
        ("second", "network queue full"),
        ("nobody", "nobody listens"),
        ("closed", "connection closed"),
    ]
    counters = network.counters
    assert (counters.sent, counters.delivered, counters.lost) == (5, 1, 4)


def test_a_removed_rule_acts_no_more(
    make_network: Callable[..., MemoryNetwork], drain: Callable[[], None]
) -> None:
    got: list[str] = []
    network = make_network()
    serve(network, on_cast=lambda incoming: got.append(incoming.method))
    connection = client(network)
    cut, again = network.install(loss(1.0)), network.install(loss(1.0))
    for method, guard in (("one", cut), ("two", again), ("three", again)):
        connection.cast_nowait(method, b"")
        guard.remove()
    drain()
    assert got == ["three"]


def test_a_multiplied_call_is_served_each_time_and_answered_once(
    make_network: Callable[..., MemoryNetwork], drain: Callable[[], None]
) -> None:
    def thrice(frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:
        return times * 3

    network = make_network([thrice])
    serve(network)
    ends: list[object] = []
    client(network).call_nowait("m", b"x", ends.append, timeout_s=1)
    drain()
    assert ends == [b"x"]
    counters = network.counters
    assert (counters.sent, counters.duplicated, counters.delivered) == (4, 8, 12)
    assert counters.late_answers == 8


@pytest.mark.parametrize(("first", "order"), [(True, [b"1", b"2"]), (False, [b"2", b"1"])])
def test_a_rule_may_be_installed_before_fifo(
    first: bool,
    order: list[bytes],
    make_network: Callable[..., MemoryNetwork],
    drain: Callable[[], None],
) -> None:
    got: list[bytes] = []
    network = make_network([fifo()])
    serve(network, on_cast=lambda incoming: got.append(incoming.payload))
    connection = client(network)
    with network.install(latency(MS), first=first):
        connection.cast_nowait("m", b"1")
    connection.cast_nowait("m", b"2")
    drain()
    assert got == order


def test_frames_that_are_due_together_keep_the_order_of_sending(
    make_network: Callable[..., MemoryNetwork], queue: TimerQueue, drain: Callable[[], None]
) -> None:
    """Also if the second is due at the moment of sending."""
    got: list[bytes] = []
    delays = iter([10, 0])
    network = make_network([lambda frame, times, dice: (times[0] + next(delays),)])
    serve(network, on_cast=lambda incoming: got.append(incoming.payload))
    connection = client(network)
    queue.call_at(10, connection.cast_nowait, "m", b"2")  # type: ignore[arg-type]  # its result is of no use
    connection.cast_nowait("m", b"1")
    drain()
    assert got == [b"1", b"2"]


def test_an_answered_call_leaves_no_timer(
    make_network: Callable[..., MemoryNetwork], queue: TimerQueue, drain: Callable[[], None]
) -> None:
    network = make_network()
    serve(network)
    pending: list[int] = []
    client(network).call_nowait(
        "m", b"", lambda _: pending.append(queue.foreground_pending()), timeout_s=1
    )
    drain()
    assert pending == [0]


def test_a_cancelled_call_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeless_transports.memory.CALLS_MAX", 1)

    async def main() -> bytes:
        network = MemoryNetwork(current_scheduler(), Random(1), [latency(MS)])
        serve(network)
        connection = client(network)
        with anyio.move_on_after(0.001):
            await connection.call("m", b"1", timeout_s=60)
        return await connection.call("m", b"2", timeout_s=60)

    assert run(main) == b"2"


def test_a_rule_cannot_deliver_before_sending(make_network: Callable[..., MemoryNetwork]) -> None:
    network = make_network([lambda frame, times, dice: (-1,)])
    serve(network)
    with pytest.raises(AssertionError, match="before it was sent"):
        client(network).cast_nowait("m", b"")


def test_connecting_to_nobody_is_refused(make_network: Callable[..., MemoryNetwork]) -> None:
    with pytest.raises(ConnectError, match="nobody listens at memory://server"):
        client(make_network())


def test_an_address_of_another_transport_is_refused(
    make_network: Callable[..., MemoryNetwork],
) -> None:
    network = make_network()
    with pytest.raises(AddressError, match="tcp://server"):
        MemoryTransport(network.scheduler, network).open(Address("tcp", "server"))


def test_a_transport_without_a_network_has_one_of_its_own(
    queue: TimerQueue, drain: Callable[[], None]
) -> None:
    transport = MemoryTransport(queue)
    transport.attach(SERVER, echo)
    ends: list[object] = []
    transport.open(SERVER).call_nowait("m", b"hello", ends.append, timeout_s=1)
    drain()
    assert ends == [b"hello"]


def test_too_many_waiting_calls_are_refused_at_once(
    make_network: Callable[..., MemoryNetwork],
    queue: TimerQueue,
    drain: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgeless_transports.memory.CALLS_MAX", 2)
    network = make_network([latency(MS)])
    serve(network)
    connection = client(network)
    ends: list[tuple[int, object]] = []
    for number in range(3):
        connection.call_nowait(
            "m", b"%d" % number, lambda end: ends.append((queue.now, end)), timeout_s=1
        )
    drain()
    assert ends[1:] == [(2 * MS, b"0"), (2 * MS, b"1")]
    assert ends[0][0] == 0
    assert type(ends[0][1]) is TransportError


def test_a_failing_cast_is_logged_and_counted(
    make_network: Callable[..., MemoryNetwork],
    drain: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = make_network()

    def handler(incoming: Incoming) -> bytes:
        raise RemoteError("no", "not today")

    MemoryTransport(network.scheduler, network).attach(SERVER, handler)
    with caplog.at_level(logging.ERROR):
        client(network).cast_nowait("m", b"secret")
        drain()
    assert network.counters.casts_failed == 1
    assert "the handler at server failed" in caplog.text
    assert "secret" not in caplog.text


def test_a_message_that_is_not_utf8_does_no_harm(
    make_network: Callable[..., MemoryNetwork], drain: Callable[[], None]
) -> None:
    network = make_network()

    def handler(incoming: Incoming) -> bytes:
        raise RemoteError("bad", "lone \udc80 " + "x" * 10_000)

    MemoryTransport(network.scheduler, network).attach(SERVER, handler)
    ends: list[bytes | TransportError] = []
    client(network).call_nowait("m", b"", ends.append, timeout_s=1)
    drain()
    [error] = ends
    assert isinstance(error, RemoteError)
    assert (error.code, error.message[:6], len(error.message)) == ("bad", "lone ?", 8192)


def test_one_seed_gives_one_run() -> None:
    def arrivals(seed: int) -> list[tuple[int, bytes]]:
        async def main() -> list[tuple[int, bytes]]:
            rules: list[Rule] = [latency(10 * MS, 9 * MS), loss(0.2)]
            network = MemoryNetwork(current_scheduler(), Random(seed), rules)
            got: list[tuple[int, bytes]] = []
            serve(
                network, lambda incoming: got.append((network.scheduler.now_ns(), incoming.payload))
            )
            connection = client(network)
            for number in range(200):
                connection.cast_nowait("m", b"%d" % number)
            await anyio.sleep(1)
            return got

        return run(main)

    assert arrivals(7) == arrivals(7)
    assert arrivals(7) != arrivals(8)
