"""The conformance suite over the memory transport, in virtual and in real time."""

import asyncio
from collections.abc import Callable
from itertools import count
from random import Random

import pytest

from edgeless_sim.kernel.loop import VirtualTimeLoop, current_scheduler, run
from edgeless_transports import Address, MemoryNetwork, MemoryTransport, Rule
from edgeless_transports.conformance import CHECKS, Check, Subject, check_transport
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


def test_virtual_checks_take_no_task_of_the_event_path() -> None:
    """A thousand synchronous requests and casts start no task."""

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
            while len(ends) < 1000:
                await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop
            loop.set_task_factory(None)
        return started

    assert run(main, world="sim") == 0


@pytest.mark.parametrize("broken", ["drops", "reorders", "duplicates"])
def test_the_suite_notices_a_network_that(broken: str) -> None:
    def drop_every_tenth() -> Rule:
        numbers = count()
        return lambda frame, times, dice: () if next(numbers) % 10 == 9 else times

    rules: dict[str, Callable[[], Rule]] = {
        "drops": drop_every_tenth,
        "reorders": lambda: latency(1_000_000, 1_000_000),
        "duplicates": lambda: lambda frame, times, dice: times * 2,
    }

    async def main() -> None:
        await check_transport(_subject(rules[broken]()))

    with pytest.raises((AssertionError, TimeoutError, Exception), match=r"hold|must|within"):
        run(main, world="sim")


def test_the_virtual_world_is_virtual() -> None:
    async def main() -> bool:
        return isinstance(asyncio.get_running_loop(), VirtualTimeLoop)

    assert run(main, world="sim")
