"""Memory networks on the kernel's timer queue, moved by hand: no event loop, no waiting."""

from collections.abc import Callable, Iterable
from random import Random
from typing import TypeAlias

import pytest

from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_transports import MemoryNetwork, Rule

MakeNetwork: TypeAlias = Callable[..., MemoryNetwork]


@pytest.fixture
def queue() -> TimerQueue:
    return TimerQueue()


@pytest.fixture
def drain(queue: TimerQueue) -> Callable[[], None]:
    """Run everything that is pending, as the virtual loop would."""

    def run() -> None:
        while True:
            while queue.ready:
                callback, args, queue.background = queue.ready.popleft()
                callback(*args)
            when_ns = queue.next_deadline()
            if when_ns is None:
                return
            queue.now = max(queue.now, when_ns)
            _, _, callback, args = queue.pop()
            callback(*args)

    return run


@pytest.fixture
def make_network(queue: TimerQueue) -> MakeNetwork:
    def make(rules: Iterable[Rule] = (), *, in_flight_max: int = 1000) -> MemoryNetwork:
        return MemoryNetwork(queue, Random(1), rules, in_flight_max=in_flight_max)

    return make
