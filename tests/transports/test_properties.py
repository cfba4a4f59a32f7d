"""What holds for every composition of rules."""

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_transports import Address, Incoming, MemoryNetwork, MemoryTransport, Rule
from edgeless_transports.rules import (
    bandwidth,
    between,
    chain,
    duplicate,
    fifo,
    latency,
    loss,
    partition,
    reorder,
)

PLACES = ["a", "b", "c"]
_share = st.floats(0, 1)
_links = st.frozensets(st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES)))
_simple = st.one_of(
    st.builds(latency, st.integers(500, 1000), st.integers(0, 500)),
    st.builds(loss, _share),
    st.builds(duplicate, st.floats(0, 0.5)),
    st.builds(reorder, st.integers(1, 2000), _share),
    st.builds(bandwidth, st.integers(1_000_000, 10**10)),
    st.builds(fifo),
    st.builds(partition, st.sampled_from(PLACES), st.sampled_from(PLACES)),
)
_rule = st.recursive(
    _simple,
    lambda inner: st.one_of(
        st.builds(between, inner, _links), st.lists(inner, max_size=3).map(lambda r: chain(*r))
    ),
    max_leaves=4,
)
_send = st.tuples(
    st.sampled_from(PLACES), st.sampled_from(PLACES), st.integers(0, 3000), st.booleans()
)


def _play(
    rules: list[Rule], sends: list[tuple[str, str, int, bool]], seed: int, in_flight_max: int
) -> tuple[MemoryNetwork, list[tuple[str, str, int]], Counter[int]]:
    """Send casts (or calls); return the network, the casts as they arrived, the ends of calls."""
    queue = TimerQueue()
    network = MemoryNetwork(queue, Random(seed), rules, in_flight_max=in_flight_max)
    arrived: list[tuple[str, str, int]] = []
    ends: Counter[int] = Counter()

    def listen(place: str) -> None:
        def on_cast(incoming: Incoming) -> None:
            arrived.append((incoming.peer, place, int(incoming.payload)))

        MemoryTransport(queue, network, place).attach(
            Address("memory", place), lambda incoming: b"", on_cast=on_cast
        )

    for place in PLACES:
        listen(place)

    def send(number: int, source: str, destination: str, call: bool) -> None:
        connection = MemoryTransport(queue, network, source).open(Address("memory", destination))
        payload = b"%d" % number
        if call:
            connection.call_nowait("m", payload, lambda _: ends.update([number]), timeout_s=0.001)
        else:
            connection.cast_nowait("m", payload)

    for number, (source, destination, when_ns, call) in enumerate(sends):
        queue.call_at(when_ns, send, number, source, destination, call)
    _run(queue)
    return network, arrived, ends


def _run(queue: TimerQueue) -> None:
    while True:
        while queue.ready:
            callback, args, _ = queue.ready.popleft()
            callback(*args)
        when_ns = queue.next_deadline()
        if when_ns is None:
            return
        queue.now = max(queue.now, when_ns)
        _, _, callback, args = queue.pop()
        callback(*args)


@settings(deadline=None, max_examples=200)
@given(st.lists(_rule, max_size=5), st.lists(_send, max_size=40), st.integers(), st.integers(1, 50))
def test_no_frame_is_invented_and_the_counters_add_up(
    rules: list[Rule], sends: list[tuple[str, str, int, bool]], seed: int, in_flight_max: int
) -> None:
    network, arrived, ends = _play(rules, sends, seed, in_flight_max)
    counters = network.counters
    sent = Counter(
        (source, destination, number)
        for number, (source, destination, _, call) in enumerate(sends)
        if not call
    )
    assert set(arrived) <= set(sent)
    if counters.duplicated == 0:
        assert not Counter(arrived) - sent
    assert counters.sent + counters.duplicated == counters.delivered + counters.lost
    assert counters.lost == sum(counters.lost_by_cause.values())
    assert network.in_flight() == 0
    assert ends == Counter(number for number, send in enumerate(sends) if send[3])


@settings(deadline=None, max_examples=200)
@given(st.lists(_rule, max_size=4), st.lists(_send, max_size=40), st.integers())
def test_a_last_rule_of_fifo_keeps_the_order_of_each_link(
    rules: list[Rule], sends: list[tuple[str, str, int, bool]], seed: int
) -> None:
    _, arrived, _ = _play([*rules, fifo()], sends, seed, 1000)
    when_sent = {number: (send[2], number) for number, send in enumerate(sends)}
    for link in [(source, destination) for source in PLACES for destination in PLACES]:
        order = [when_sent[number] for *ends, number in arrived if tuple(ends) == link]
        assert order == sorted(order)


@settings(deadline=None, max_examples=100)
@given(st.lists(_rule, max_size=4), st.lists(_send, max_size=20), st.integers())
def test_a_call_ends_by_its_deadline(
    rules: list[Rule], sends: list[tuple[str, str, int, bool]], seed: int
) -> None:
    calls = [(source, destination, 0, True) for source, destination, *_ in sends]
    _, _, ends = _play(rules, calls, seed, 1000)
    assert ends == Counter(range(len(calls)))
