"""WebAssembly guests in a ring, each event in one event out, on the kernel's scheduler alone.

No journal, no network, no queues: what the guest, the trampoline and the scheduler cost. Baselines:
the public interface of wasmtime-py, and the same guests each in a task behind an anyio stream.
"""

from functools import partial
from math import inf
from random import Random
from typing import Final
from uuid import UUID

import anyio
import anyio.lowlevel
from measure import Baseline, Figure, Figures, Sample, cpu, main, repeat
from public_wasmtime import PublicGuest, PublicHost
from rigs import PAYLOAD, guest, spawn_request

from edgeless_sim.kernel import LoopClock, Scheduler, run
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId
from edgeless_sim.runtimes.base import (
    Cast,
    Done,
    FunctionInstance,
    GuestEvent,
    GuestEventKind,
    RuntimeSettings,
)
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

GUEST: Final = "spin"
SOURCE: Final = bytes(32)
IN_FLIGHT: Final = 64
#: Guests, floor.
FLOORS: Final = ((64, 200_000), (1_000, 100_000), (10_000, 100_000))
EVENTS: Final = 100_000
EVENTS_QUICK: Final = 20_000
PUBLIC_RATIO: Final = 60


def spawn(runtime: WasmRuntime, name: str, number: int) -> FunctionInstance:
    """An initialised guest."""
    pid = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=number + 1)))
    instance = runtime.instantiate(pid, spawn_request(guest(name), pid), Random(1))
    assert isinstance(instance.dispatch(GuestEvent(GuestEventKind.INIT)), Done)
    return instance


class Circle:
    """Guests that hand events round by the scheduler's ready queue."""

    def __init__(self, guests: list[FunctionInstance], scheduler: Scheduler) -> None:
        self._guests = guests
        self._call_soon = scheduler.call_soon
        self.left = 0

    def begin(self, events: int) -> None:
        """Let `IN_FLIGHT` events go round until *events* were handled."""
        self.left = events
        for number in range(IN_FLIGHT):
            place = number * len(self._guests) // IN_FLIGHT
            self._call_soon(self._deliver, place, PAYLOAD)

    def _deliver(self, place: int, payload: str) -> None:
        step = self._guests[place].dispatch(GuestEvent(GuestEventKind.CAST, SOURCE, payload))
        self.left -= 1
        if self.left > 0:
            after = place + 1
            for output in step.outputs:
                assert type(output) is Cast
                self._call_soon(self._deliver, after % len(self._guests), output.payload)


def on_kernel(guests: list[FunctionInstance], events: int, repeats: int) -> Sample:
    """Events per CPU second on the product's scheduler."""

    async def measured() -> Sample:
        clock = LoopClock.running()
        circle = Circle(guests, clock.scheduler)
        values = []
        for _ in range(repeats):
            circle.begin(events)
            with cpu() as watch:
                # Time passes when nothing is ready any more.
                await clock.sleep(1)
            assert circle.left <= 0
            values.append((events - circle.left) / watch.seconds)
        return Sample(tuple(values))

    return run(measured)


def in_tasks(guests: list[FunctionInstance], events: int, repeats: int) -> Sample:
    """The same guests, each in a task behind an anyio memory stream, on asyncio's loop."""

    async def measured() -> Sample:
        streams = [anyio.create_memory_object_stream[str](inf) for _ in guests]
        left = 0
        ended = anyio.Event()

        async def actor(place: int) -> None:
            nonlocal left
            send = streams[(place + 1) % len(guests)][0]
            async for payload in streams[place][1]:
                step = guests[place].dispatch(GuestEvent(GuestEventKind.CAST, SOURCE, payload))
                left -= 1
                if left <= 0:
                    ended.set()
                for output in step.outputs if left > 0 else ():
                    assert type(output) is Cast
                    await send.send(output.payload)

        values = []
        async with anyio.create_task_group() as group:
            for place in range(len(guests)):
                group.start_soon(actor, place)
            await anyio.lowlevel.checkpoint()
            for _ in range(repeats):
                left, ended = events, anyio.Event()
                with cpu() as watch:
                    for number in range(IN_FLIGHT):
                        streams[number * len(guests) // IN_FLIGHT][0].send_nowait(PAYLOAD)
                    await ended.wait()
                values.append(events / watch.seconds)
                await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        for stream in streams:
            stream[0].close()
            stream[1].close()
        return Sample(tuple(values))

    return anyio.run(measured)


def public(events: int, repeats: int) -> Sample:
    """Events per CPU second of one guest through the public interface, its cast collected."""
    instance = PublicGuest(PublicHost(GUEST))

    def once() -> float:
        with cpu() as watch:
            for _ in range(events):
                instance.cast(PAYLOAD)
                instance.sent.clear()
        return events / watch.seconds

    return repeat(once, repeats)


def figures(quick: bool) -> Figures:
    """Rings of several sizes."""
    events, repeats = (EVENTS_QUICK, 5) if quick else (EVENTS, 15)
    runtime = WasmRuntime(RuntimeSettings())
    guests: list[FunctionInstance] = []
    by_api = Baseline("public wasmtime-py", public(events // 50, repeats), PUBLIC_RATIO)
    for count, floor in FLOORS:
        guests.extend(map(partial(spawn, runtime, GUEST), range(len(guests), count)))
        sample = on_kernel(guests, events, repeats)
        in_task = Baseline("task per actor on anyio", in_tasks(guests, events // 5, 3))
        baseline = by_api if count == IN_FLIGHT else in_task
        yield Figure(f"WebAssembly ring, {count:,} guests", "events/s", sample, floor, baseline)
    runtime.close()


if __name__ == "__main__":
    main(figures)
