"""WebAssembly events by the product's whole way in simulation: network, fuel, journal.

A ring of guests, one per node, links of 5 ms. The baseline is the same guests on the kernel's
scheduler alone, without nodes, network and journal: the ratio is what the platform costs.
"""

from typing import Final

from measure import Baseline, Figure, Figures, Sample, main
from rigs import LATENCY_NS, guest, open_ring
from wasm_ring import GUEST, on_kernel, spawn

from edgeless_sim.kernel import run
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

FLOOR: Final = 30_000
GUESTS: Final = (64, 1_000)
EVENTS: Final = 60_000
EVENTS_QUICK: Final = 15_000


def product(guests: int, events: int, repeats: int) -> Sample:
    """Events per CPU second; as many are in flight as there are guests."""

    async def measured() -> Sample:
        async with open_ring(guest(GUEST), functions=guests, nodes=guests) as ring:
            ring.put_in(guests)
            await ring.clock.sleep(1)
            virtual_s = events / guests * LATENCY_NS / 1e9
            return Sample(tuple([await ring.events_per_cpu_s(virtual_s) for _ in range(repeats)]))

    return run(measured)


def bare(guests: int, events: int, repeats: int) -> Sample:
    """The same guests without a platform."""
    runtime = WasmRuntime(RuntimeSettings())
    sample = on_kernel([spawn(runtime, GUEST, n) for n in range(guests)], events, repeats)
    runtime.close()
    return sample


def figures(quick: bool) -> Figures:
    """Rings of two sizes."""
    events, repeats = (EVENTS_QUICK, 5) if quick else (EVENTS, 9)
    for guests in GUESTS:
        baseline = Baseline("guests on the bare kernel", bare(guests, events, repeats))
        name = f"WebAssembly, whole path, {guests:,} nodes"
        sample = product(guests, events, repeats)
        yield Figure(name, "events/s", sample, FLOOR, baseline)


if __name__ == "__main__":
    main(figures)
