"""How long a person waits: processes from their start, and the first guest of a process.

CPU time: on a quiet machine that is what a person waits, for nothing here waits for anything else.
Byte code is cached, as it is after installation.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from measure import HERE, Baseline, Figure, Figures, Sample, cpu, in_child, launched_ms, main

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.topology import DomainTopology, Topology
from edgeless_sim.kernel import run
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction
from edgeless_sim.runtimes.base import RuntimeSettings

FLOOR_EVENT_MS: Final = 400
FLOOR_HELP_MS: Final = 300
FLOOR_CACHED_MS: Final = 5
FLOOR_UNCACHED_MS: Final = 120
_LAUNCH: Final = "import sys; sys.path.insert(0, {folder!r}); import startup; startup.{what}()"


def first_event() -> None:
    """Bring up a node, start a modelled function, and have it handle an event."""
    from rigs import MODELLED

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
    """Milliseconds from nothing to an initialised guest, imports not counted."""
    from wasm_ring import GUEST, spawn

    from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

    with cpu() as watch:
        runtime = WasmRuntime(RuntimeSettings(module_cache=Path(cache) if cache else None))
        made = spawn(runtime, GUEST, 0)
    made.discard()
    runtime.close()
    return watch.seconds * 1e3


def _processes(repeats: int, environment: dict[str, str]) -> Figures:
    command = [sys.executable, "-c", "pass"]
    baseline = Baseline("python -c pass", launched_ms(command, repeats, environment))
    command[-1] = _LAUNCH.format(folder=str(HERE), what="first_event")
    sample = launched_ms(command, repeats, environment)
    yield Figure("process start to first event and end", "ms", sample, FLOOR_EVENT_MS, baseline)
    program = Path(sys.executable).with_name("edgeless-sim")
    sample = launched_ms([str(program), "--help"], repeats, environment)
    yield Figure("edgeless-sim --help", "ms", sample, FLOOR_HELP_MS, baseline)


def figures(quick: bool) -> Figures:
    """Processes, then guests."""
    repeats = 3 if quick else 10
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        yield from _processes(repeats, environment)
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
