"""Is fuel the same in every run? Traces of guests in fresh processes with other hash seeds.

The figure is the number of different traces; one is what is wanted. A trace is the fuel of every
step of several guests over events of several sizes. Optimisation levels cannot be chosen in the
product, so they are not varied here.
"""

import hashlib
import os
from random import Random
from typing import Final

from measure import Figure, Figures, Sample, in_child, main
from wasm_ring import SOURCE, spawn

from edgeless_sim.model.event import CallReturn
from edgeless_sim.runtimes.base import Blocked, GuestEvent, GuestEventKind, RuntimeSettings
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

GUESTS: Final = ("spin", "incr", "double", "noop", "pong", "relay", "messaging_test", "system_test")
EVENTS: Final = 50
RUNS: Final = 12
RUNS_QUICK: Final = 4


def trace() -> str:
    """Digest of the fuel and the outputs of every step."""
    runtime = WasmRuntime(RuntimeSettings())
    dice = Random(1)
    digest = hashlib.sha256()
    for number, name in enumerate(GUESTS):
        instance = spawn(runtime, name, number)
        for _ in range(EVENTS):
            payload = str(dice.getrandbits(31)) * dice.randrange(1, 20)
            kind = dice.choice((GuestEventKind.CAST, GuestEventKind.CALL))
            step = instance.dispatch(GuestEvent(kind, SOURCE, payload))
            while isinstance(step, Blocked):
                digest.update(f"{name} {step}\n".encode())
                step = instance.resume(CallReturn.reply(payload))
            digest.update(f"{name} {step}\n".encode())
    runtime.close()
    return digest.hexdigest()


def figures(quick: bool) -> Figures:
    """One figure."""
    runs = RUNS_QUICK if quick else RUNS
    traces = {
        in_child("fuel", "trace", environment={**os.environ, "PYTHONHASHSEED": str(seed)})
        for seed in range(runs)
    }
    sample = Sample((len(traces),), lower_is_better=True)
    yield Figure(f"different fuel traces in {runs} processes", "traces", sample, 1)


if __name__ == "__main__":
    main(figures)
