"""How long a person waits: processes from their start, and the first guest of a process.

Wall time, because that is what is waited for; the best of the repeats is the quiet machine.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from measure import HERE, Baseline, Figure, Figures, Sample, in_child, launched_ms, main

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.topology import DomainTopology, Topology
from edgeless_sim.kernel import run
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction
from edgeless_sim.runtimes.base import FunctionInstance, RuntimeSettings

FLOOR_EVENT_MS: Final = 400
FLOOR_HELP_MS: Final = 300
FLOOR_CACHED_MS: Final = 5
FLOOR_UNCACHED_MS: Final = 120
_LAUNCH: Final = "import sys; sys.path.insert(0, {folder!r}); import startup; startup.{what}()"


def first_event() -> None:
    """Bring up a node, start a modelled function, and have it handle an event."""
    from rigs import MODELLED  # noqa: PLC0415 - not needed to start

    async def body() -> None:
        async with open_topology(Topology((DomainTopology("edge"),))) as cluster:
            function = WorkflowFunction("f", MODELLED, {}, {"init-payload": "service=c(1)"})
            await cluster.start_workflow(SpawnWorkflowRequest((function,)), name="w")
            await cluster.settled()
            await cluster.clock.sleep(5)
            await cluster.cast("f", "hello")
            await cluster.settled()

    run(body)


def first_guest(cache: str | None) -> float:
    """Wall milliseconds from nothing to an initialised guest, imports not counted."""
    from rigs import guest, spawn_request  # noqa: F401, PLC0415 - imports are not counted
    from wasm_ring import GUEST, spawn  # noqa: PLC0415 - see above

    from edgeless_sim.runtimes.wasm.runtime import WasmRuntime  # noqa: PLC0415 - see above

    began = time.perf_counter()
    runtime = WasmRuntime(RuntimeSettings(module_cache=Path(cache) if cache else None))
    made: FunctionInstance = spawn(runtime, GUEST, 0)
    milliseconds = (time.perf_counter() - began) * 1e3
    made.discard()
    runtime.close()
    return milliseconds


def figures(quick: bool) -> Figures:
    """Processes, then guests."""
    repeats = 3 if quick else 10
    baseline = Baseline("python -c pass", launched_ms([sys.executable, "-c", "pass"], repeats))
    script = _LAUNCH.format(folder=str(HERE), what="first_event")
    sample = launched_ms([sys.executable, "-c", script], repeats)
    yield Figure("process start to first event and end", "ms", sample, FLOOR_EVENT_MS, baseline)
    program = Path(sys.executable).with_name("edgeless-sim")
    sample = launched_ms([str(program), "--help"], repeats)
    yield Figure("edgeless-sim --help", "ms", sample, FLOOR_HELP_MS, baseline)
    with TemporaryDirectory() as folder:
        cache = str(Path(folder, "modules"))
        in_child("startup", "first_guest", cache)
        for name, where, floor in (
            ("first guest, module cached on disk", cache, FLOOR_CACHED_MS),
            ("first guest, nothing cached", None, FLOOR_UNCACHED_MS),
        ):
            taken = [in_child("startup", "first_guest", where) for _ in range(repeats)]
            yield Figure(name, "ms", Sample(tuple(taken), lower_is_better=True), floor)


if __name__ == "__main__":
    main(figures)
