"""The conformance suite over the memory transport, in virtual and in real time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from random import Random

import anyio
import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import (
    Address,
    CallTimeout,
    Connection,
    MemoryNetwork,
    MemoryTransport,
    Rule,
)
from edgeless_transports.conformance import (
    CHECKS,
    Check,
    Subject,
    casts_keep_their_order,
    check_transport,
    exceptions_leave_bare,
)
from edgeless_transports.rules import fifo, latency

WORLDS = ["sim", "real"]


def _subject(*rules: Rule) -> Subject:
    network = MemoryNetwork(current_scheduler(), Random(1), rules)
    server = MemoryTransport(network.scheduler, network, "server")
    client = MemoryTransport(network.scheduler, network, "client")
    numbers = count()
    return Subject(server, client, lambda: Address("memory", f"place/{next(numbers)}"))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_memory_transport_does_what_every_transport_must(check: Check, world: str) -> None:
    async def main() -> None:
        await check(_subject())

    run(main, world=world)


def test_it_also_does_so_over_a_slow_network_with_jitter() -> None:
    async def main() -> None:
        await check_transport(_subject(latency(1_000_000, 900_000), fifo()))

    run(main, world="sim")


def test_no_task_is_started_for_frames_that_are_served_at_once() -> None:
    async def main() -> int:
        subject = _subject()
        ends: list[object] = []
        loop = asyncio.get_running_loop()
        started = 0

        def factory(
            loop: asyncio.AbstractEventLoop, coro: object, **options: object
        ) -> "asyncio.Task[object]":
            nonlocal started
            started += 1
            return asyncio.Task(coro, loop=loop)  # type: ignore[arg-type]  # what the loop passes

        async with subject.serving(lambda incoming: incoming.payload) as connection:
            loop.set_task_factory(factory)  # type: ignore[arg-type]  # as above
            for _ in range(1000):
                connection.call_nowait("echo", b"", ends.append, timeout_s=1)
                connection.cast_nowait("cast", b"")
            await anyio.sleep(0.5)
            loop.set_task_factory(None)
        assert len(ends) == 1000
        return started

    assert run(main, world="sim") == 0


def _drop_every_tenth() -> Rule:
    numbers = count()
    return lambda frame, times, dice: () if next(numbers) % 10 == 9 else times


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (_drop_every_tenth(), "did not answer"),
        (latency(1_000_000, 1_000_000), "does not hold: .* equals"),
        (lambda frame, times, dice: times * 2, "does not hold: all casts arrive"),
    ],
    ids=["loses", "reorders", "duplicates"],
)
def test_the_suite_notices_a_transport_that(broken: Rule, what: str) -> None:
    async def main() -> None:
        await casts_keep_their_order(_subject(broken))

    with pytest.raises((AssertionError, CallTimeout), match=what):
        run(main)


def test_a_transport_that_wraps_the_callers_exception_is_noticed() -> None:
    class Wrapping(MemoryTransport):
        @asynccontextmanager
        async def connect(self, address: Address) -> AsyncGenerator[Connection]:
            async with super().connect(address) as connection, anyio.create_task_group():
                yield connection

    async def main() -> None:
        wrapping = Wrapping(current_scheduler())
        await exceptions_leave_bare(Subject(wrapping, wrapping, lambda: Address("memory", "x")))

    with pytest.raises(AssertionError, match="the exception arrives bare"):
        run(main)
