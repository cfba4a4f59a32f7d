"""Many WebAssembly guests in one process: memory of each, and how long it takes to spawn one.

Each guest is initialised, that is, has run `handle_init`. In processes of their own. The baseline
is the public interface of wasmtime-py: store, linker, instantiation, exports, init.
"""

from typing import Final

from measure import Baseline, Figure, Figures, Sample, cpu, in_child, main, resident_mib
from public_wasmtime import PublicGuest, PublicHost
from wasm_ring import GUEST, spawn

from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

COUNTS: Final = (200, 2_000, 20_000)
FLOOR_COUNT: Final = 20_000
FLOOR_KIB: Final = 40
FLOOR_US: Final = 250
PUBLIC_COUNT: Final = 1_000


def product(count: int) -> dict[str, float]:
    """Spawn *count* guests."""
    runtime = WasmRuntime(RuntimeSettings())
    # The engine and the compiled module are not any guest's own.
    guests = [spawn(runtime, GUEST, count)]
    before_mib = resident_mib()
    with cpu() as watch:
        guests.extend(spawn(runtime, GUEST, number) for number in range(count))
    grown_mib = resident_mib() - before_mib
    assert len(guests) == count + 1
    runtime.close()
    return {"us": watch.seconds / count * 1e6, "kib": grown_mib * 1024 / count}


def public(count: int) -> dict[str, float]:
    """The same through the public interface."""
    host = PublicHost(GUEST)
    guests = [PublicGuest(host)]
    before_mib = resident_mib()
    with cpu() as watch:
        guests.extend(PublicGuest(host) for _ in range(count))
    grown_mib = resident_mib() - before_mib
    return {"us": watch.seconds / count * 1e6, "kib": grown_mib * 1024 / count}


def figures(quick: bool) -> Figures:
    """The curve over three sizes; the floors hold for the largest."""
    repeats = 1 if quick else 3
    theirs = [in_child("instances", "public", PUBLIC_COUNT) for _ in range(repeats)]
    for count in COUNTS:
        largest = count == FLOOR_COUNT
        ours = [in_child("instances", "product", count) for _ in range(repeats)]
        for key, what, unit, floor in (
            ("us", "spawn, initialised", "us", FLOOR_US),
            ("kib", "resident, each", "KiB", FLOOR_KIB),
        ):
            sample, other = (
                Sample(tuple(each[key] for each in taken), lower_is_better=True)
                for taken in (ours, theirs)
            )
            baseline = Baseline(f"public wasmtime-py, {PUBLIC_COUNT:,}", other)
            name = f"{count:,} guests: {what}"
            yield Figure(name, unit, sample, floor if largest else None, baseline)


if __name__ == "__main__":
    main(figures)
