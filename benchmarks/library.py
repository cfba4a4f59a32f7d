"""The functions of the library in each of their languages: events per second, and fuel per event.

The run-time alone, without a platform around it; calls are answered at once. One event is the
first message that functions/events.json has for the function, mostly a cast.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

from measure import FUNCTIONS, Figure, Figures, cpu, main, repeat

from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.runtimes.base import (
    Blocked,
    Done,
    FunctionInstance,
    FunctionRuntime,
    GuestEvent,
    GuestEventKind,
    RuntimeSettings,
)
from edgeless_sim.runtimes.python import PythonRuntime
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

ANSWER: Final = CallReturn.reply("7")
PID: Final = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=2)))
SOURCE: Final = b"s" * 32
EVENTS: Final = 2000
EVENTS_QUICK: Final = 200
REPEATS: Final = 5
MADE_TO_FAIL: Final = {"spin", "trap"}


def variants() -> Iterator[tuple[str, str, Path]]:
    """Name, language and folder of each."""
    kinds = {"Cargo.toml": "rust", ".c": "c", ".py": "python"}
    for path in sorted(FUNCTIONS.glob("*/function.json")) + sorted(
        FUNCTIONS.glob("*/*/function.json")
    ):
        folder = path.parent
        found = {kinds.get(file.name) or kinds.get(file.suffix) for file in folder.iterdir()}
        for language in sorted(found - {None}, key=str):
            yield folder.relative_to(FUNCTIONS).parts[0], str(language), folder


def spawn(runtimes: dict[str, FunctionRuntime], folder: Path) -> FunctionInstance:
    """An instance of the function in *folder*, before its init."""
    described = json.loads((folder / "function.json").read_text())
    module = folder / f"{described['id']}.wasm"
    specification = FunctionClassSpecification(
        described["id"],
        described["function_type"],
        described["version"],
        code=described["code"],
        binary=module.read_bytes() if module.is_file() else None,
    )
    request = SpawnFunctionRequest(
        specification, {}, StateSpecification(UUID(int=3)), WorkflowId(UUID(int=4))
    )
    return runtimes[described["function_type"]].instantiate(PID, request, Random(1))


def handled(instance: FunctionInstance, event: GuestEvent) -> int:
    """Let *instance* handle *event* to its end; returns the fuel that it cost."""
    step = instance.dispatch(event)
    fuel = step.fuel
    while isinstance(step, Blocked):
        step = instance.resume(ANSWER)
        fuel += step.fuel
    assert isinstance(step, Done), step
    return fuel


def figure(name: str, language: str, instance: FunctionInstance, work: Any, events: int) -> Figure:
    """Events per second of one function; its fuel is in the name."""
    handled(instance, GuestEvent(GuestEventKind.INIT, payload=work["init"]))
    kind = GuestEventKind[work.get("handler", "cast").upper()]
    event = GuestEvent(kind, SOURCE, work["messages"][0])
    fuel = [handled(instance, event) for _ in range(100)][-1]

    def rate() -> float:
        with cpu() as watch:
            for _ in range(events):
                handled(instance, event)
        return events / watch.seconds

    return Figure(f"{name}, {language}: {fuel:,} fuel per event", "events/s", repeat(rate, REPEATS))


def figures(quick: bool) -> Figures:
    """One figure for each function in each language."""
    runtimes: dict[str, FunctionRuntime] = {
        "RUST_WASM": WasmRuntime(RuntimeSettings()),
        "PYTHON": PythonRuntime(RuntimeSettings(python_folders=tuple(FUNCTIONS.glob("*/python")))),
    }
    usual = json.loads((FUNCTIONS / "events.json").read_text())
    for name, language, folder in sorted(variants()):
        if name not in MADE_TO_FAIL:
            instance = spawn(runtimes, folder)
            work = usual.get(name, usual[""])
            yield figure(name, language, instance, work, EVENTS_QUICK if quick else EVENTS)
            instance.discard()
    for runtime in runtimes.values():
        runtime.close()


if __name__ == "__main__":
    main(figures)
