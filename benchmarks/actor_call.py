"""A call of an actor of the control plane, beside a ping-pong of two tasks over anyio streams."""

from math import inf
from typing import Final

import anyio
from measure import Baseline, Figure, Figures, Sample, cpu, main

from edgeless_sim.kernel import Actor, Supervisor, run

CALLS: Final = 20_000
CALLS_QUICK: Final = 4_000
FLOOR_US: Final = 15


class Echo(Actor[int]):
    """Answers with what it was asked."""

    async def handle(self, request: int) -> int:
        """See `Actor.handle`."""
        return request


def product(calls: int, repeats: int) -> Sample:
    """Microseconds per call in the virtual world: mailbox, task, deadline, reply."""

    async def measured() -> Sample:
        async with Supervisor.open() as supervisor:
            echo = Echo("echo", supervisor.spawn)
            values = []
            for _ in range(repeats):
                with cpu() as watch:
                    for number in range(calls):
                        await echo.call(number, timeout_s=5)
                values.append(watch.seconds / calls * 1e6)
            return Sample(tuple(values), lower_is_better=True)

    return run(measured)


def in_anyio(calls: int, repeats: int) -> Sample:
    """The same between two tasks, by memory streams and under a deadline, on asyncio's loop."""

    async def measured() -> Sample:
        to_echo, requests = anyio.create_memory_object_stream[int](inf)
        to_main, replies = anyio.create_memory_object_stream[int](inf)

        async def echo() -> None:
            async for request in requests:
                await to_main.send(request)

        values = []
        with to_echo, requests, to_main, replies:
            async with anyio.create_task_group() as group:
                group.start_soon(echo)
                for _ in range(repeats):
                    with cpu() as watch:
                        for number in range(calls):
                            with anyio.fail_after(5):
                                await to_echo.send(number)
                                await replies.receive()
                    values.append(watch.seconds / calls * 1e6)
                group.cancel_scope.cancel()
        return Sample(tuple(values), lower_is_better=True)

    return anyio.run(measured)


def figures(quick: bool) -> Figures:
    """One figure."""
    calls, repeats = (CALLS_QUICK, 5) if quick else (CALLS, 15)
    baseline = Baseline("anyio ping-pong", in_anyio(calls, repeats))
    yield Figure("call of an idle actor", "us", product(calls, repeats), FLOOR_US, baseline)


if __name__ == "__main__":
    main(figures)
