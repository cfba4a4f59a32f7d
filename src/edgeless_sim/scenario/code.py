"""Is the code of a workflow's functions fit to run? Asked before anything is started.

Each run-time answers for its own kind: compiled modules are checked, compiled and instantiated
once, classes of Python are loaded, parameters of models are read. Not here: the workflow file.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final, Protocol, runtime_checkable
from uuid import UUID

from edgeless_sim.errors import GuestError, RejectedError
from edgeless_sim.model.function import (
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction
from edgeless_sim.runtimes.base import FUEL_PER_EVENT_DEFAULT, FunctionRuntime, RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog

__all__ = ["code_faults", "module_fault", "unknown_types"]

_WASM: Final = "RUST_WASM"
_NOBODY: Final = UUID(int=0)


@runtime_checkable
class _Checker(Protocol):
    """A run-time that can tell whether it could run byte code."""

    def check(self, code: bytes) -> object:
        """Raise `GuestError` if it could not."""
        ...


def code_faults(
    request: SpawnWorkflowRequest,
    *,
    python_folders: Sequence[Path] = (),
    fuel_per_event: int = FUEL_PER_EVENT_DEFAULT,
) -> Iterator[str]:
    """What is wrong with the code of *request*: place and reason, one text per function.

    A function type that is not known here is no fault: a node elsewhere may know it.
    """
    with closing(_catalog(python_folders, fuel_per_event)) as catalog:
        for place, function in enumerate(request.functions):
            kind = function.class_specification.function_type
            if kind not in catalog.known():
                continue
            reason = _fault(catalog.get(kind), function)
            if reason is not None:
                where = f"functions[{place}].class_specification.code"
                yield clipped(f"{where}: {quoted(function.name)}: {reason}")


def module_fault(code: bytes) -> str | None:
    """What is wrong with a compiled module, or None."""
    with closing(_catalog((), FUEL_PER_EVENT_DEFAULT)) as catalog:
        return _module_fault(catalog.get(_WASM), code)


def unknown_types(request: SpawnWorkflowRequest) -> list[str]:
    """Warnings for functions whose type no run-time here knows."""
    with closing(_catalog((), FUEL_PER_EVENT_DEFAULT)) as catalog:
        known = catalog.known()
    return [
        f"functions[{place}]: no run-time here for the type"
        f" {quoted(function.class_specification.function_type)}; known: {', '.join(known)}"
        for place, function in enumerate(request.functions)
        if function.class_specification.function_type not in known
    ]


def _catalog(python_folders: Sequence[Path], fuel_per_event: int) -> RuntimeCatalog:
    return RuntimeCatalog(
        RuntimeSettings(
            fuel_per_event=fuel_per_event,
            fuel_per_init=5 * fuel_per_event,
            python_folders=tuple(folder.resolve() for folder in python_folders),
        )
    )


def _fault(runtime: FunctionRuntime, function: WorkflowFunction) -> str | None:
    code = function.class_specification
    if runtime.function_type == _WASM:
        return _module_fault(runtime, code.binary or b"")
    request = SpawnFunctionRequest(
        code=code,
        annotations=function.annotations,
        state_specification=StateSpecification(_NOBODY),
        workflow_id=WorkflowId(_NOBODY),
        name=function.name,
    )
    nobody = InstanceId(NodeId(_NOBODY), FunctionId(_NOBODY))
    try:
        # The dice are thrown away with the instance.
        runtime.instantiate(nobody, request, Random(0)).discard()  # noqa: S311 - see above
    except (GuestError, RejectedError) as error:
        return str(error)
    return None


def _module_fault(runtime: FunctionRuntime, code: bytes) -> str | None:
    assert isinstance(runtime, _Checker), "the run-time of compiled functions can check them"
    try:
        runtime.check(code)
    except (GuestError, RejectedError) as error:
        return str(error)
    return None
