"""Calls between WebAssembly guests: round trips per second, and how many can be open at once.

A round trip is: the event enters the caller, which blocks; its call enters the callee, which
replies; the caller goes on and replies. The baseline blocks the caller in a thread of its own, as
one must with the public interface of wasmtime-py.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from random import Random
from typing import Final

from measure import Baseline, Figure, Figures, Sample, cpu, in_child, main, repeat, resident_mib
from public_wasmtime import PublicGuest, PublicHost
from rigs import PAYLOAD
from wasm_ring import SOURCE, spawn

from edgeless_sim.model.event import CallReturn
from edgeless_sim.runtimes.base import (
    Blocked,
    Done,
    FunctionInstance,
    GuestEvent,
    GuestEventKind,
    RuntimeSettings,
)
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

CALLER: Final = "relay"
CALLEE: Final = "pong"
FLOOR_TRIPS: Final = 40_000
FLOOR_BLOCKED: Final = 10_000
TRIPS: Final = 20_000
TRIPS_QUICK: Final = 4_000
ANSWER: Final = "PONG"


def _call() -> GuestEvent:
    return GuestEvent(GuestEventKind.CALL, SOURCE, PAYLOAD)


def on_fibers(trips: int, repeats: int) -> Sample:
    """Round trips per CPU second of the product."""
    runtime = WasmRuntime(RuntimeSettings())
    caller, callee = spawn(runtime, CALLER, 0), spawn(runtime, CALLEE, 1)

    def once() -> float:
        with cpu() as watch:
            for _ in range(trips):
                waiting = caller.dispatch(_call())
                assert isinstance(waiting, Blocked)
                answer = callee.dispatch(_call())
                assert isinstance(answer, Done)
                assert answer.reply is not None
                ended = caller.resume(answer.reply)
                assert isinstance(ended, Done)
                assert ended.reply is not None
                assert ended.reply.payload == ANSWER
        return trips / watch.seconds

    sample = repeat(once, repeats)
    runtime.close()
    return sample


class _Exchange:
    """Hands the baseline's call from the caller's thread to the main one, and the reply back."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[str] = SimpleQueue()
        self.replies: SimpleQueue[str] = SimpleQueue()

    def call(self, _channel: str, payload: str) -> str:
        """Block the thread of the caller until the main thread has answered."""
        self.calls.put(payload)
        return self.replies.get()


def in_threads(trips: int, repeats: int) -> Sample:
    """The same with a worker thread for the caller."""
    exchange = _Exchange()
    caller = PublicGuest(PublicHost(CALLER), exchange.call)
    callee = PublicGuest(PublicHost(CALLEE))

    def trip(pool: ThreadPoolExecutor) -> None:
        running = pool.submit(caller.call, PAYLOAD)
        exchange.calls.get()
        exchange.replies.put(callee.call(PAYLOAD))
        assert running.result() == ANSWER

    def once() -> float:
        with ThreadPoolExecutor(1) as pool, cpu() as watch:
            for _ in range(trips):
                trip(pool)
        return trips / watch.seconds

    return repeat(once, repeats)


def block(count: int) -> dict[str, float]:
    """Block *count* callers at once, then let them go on in random order."""
    runtime = WasmRuntime(RuntimeSettings())
    callers = [spawn(runtime, CALLER, number) for number in range(count)]
    idle_mib = resident_mib()
    enter_us = _per_guest_us(callers, lambda caller: caller.dispatch(_call()), Blocked)
    blocked_mib = resident_mib()
    Random(1).shuffle(callers)
    reply = CallReturn.reply(ANSWER)
    resume_us = _per_guest_us(callers, lambda caller: caller.resume(reply), Done)
    runtime.close()
    return {
        "blocked": count,
        "enter_us": enter_us,
        "resume_us": resume_us,
        "kib": (blocked_mib - idle_mib) * 1024 / count,
    }


def _per_guest_us(
    callers: list[FunctionInstance],
    enter: Callable[[FunctionInstance], object],
    kind: type[object],
) -> float:
    with cpu() as watch:
        for caller in callers:
            assert isinstance(enter(caller), kind)
    return watch.seconds / len(callers) * 1e6


def figures(quick: bool) -> Figures:
    """Round trips, then many callers that wait."""
    trips, repeats = (TRIPS_QUICK, 5) if quick else (TRIPS, 15)
    baseline = Baseline("worker thread, public API", in_threads(trips // 20, repeats))
    sample = on_fibers(trips, repeats)
    yield Figure("WebAssembly call round trips", "trips/s", sample, FLOOR_TRIPS, baseline)
    taken = in_child("wasm_calls", "block", FLOOR_BLOCKED)
    blocked = Sample((taken["blocked"],))
    yield Figure("guests blocked at once", "guests", blocked, FLOOR_BLOCKED)
    for key, what, unit in (
        ("enter_us", "first block", "us"),
        ("resume_us", "resumption, random order", "us"),
        ("kib", "resident per blocked guest", "KiB"),
    ):
        sample = Sample((taken[key],), lower_is_better=True)
        yield Figure(f"of {FLOOR_BLOCKED:,} blocked guests: {what}", unit, sample)


if __name__ == "__main__":
    main(figures)
