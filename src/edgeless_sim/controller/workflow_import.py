"""The file in which EDGELESS's own ε-CON keeps its workflows (spec 3.6), read strictly. Pure.

Where EDGELESS would begin with what stands before a fault, this refuses: half of what was promised
is not a beginning.
"""

from typing import Final
from uuid import UUID, uuid5

import msgspec

from edgeless_sim.controller.workflow_store import StoredWorkflow
from edgeless_sim.errors import ResourceError, WorkflowSpecError
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.ids import WorkflowId
from edgeless_sim.model.workflow import (
    SpawnWorkflowRequest,
    WorkflowFunction,
    WorkflowResource,
    validate_workflow,
)

__all__ = ["IMPORT_BYTES_MAX", "imported_workflows", "looks_imported"]

#: Largest file: it has about four bytes, and needs eight of memory, for a byte of code.
IMPORT_BYTES_MAX: Final = 128 << 20


class _Code(msgspec.Struct, frozen=True):
    id: str
    function_type: str
    version: str
    binary: list[int] | None = None
    code: str | None = None
    outputs: tuple[str, ...] = ()


class _Function(msgspec.Struct, frozen=True):
    name: str
    class_specification: _Code
    output_mapping: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Request(msgspec.Struct, frozen=True):
    functions: tuple[_Function, ...]
    resources: tuple[WorkflowResource, ...]
    annotations: dict[str, str] = {}


class _File(msgspec.Struct, frozen=True):
    workflows: tuple[tuple[UUID, _Request], ...]


def looks_imported(beginning: bytes) -> bool:
    """Whether a file that begins so is meant to be one of EDGELESS's."""
    return beginning.lstrip().startswith(b"{")


def imported_workflows(content: bytes) -> tuple[StoredWorkflow, ...]:
    """The workflows in *content*; raise `ResourceError` if any of it is wrong."""
    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ResourceError(f"it is not what EDGELESS's ε-CON writes: {error}") from None
    if len({workflow_id for workflow_id, _ in file.workflows}) < len(file.workflows):
        raise ResourceError("it has two workflows with one id")
    return tuple(_workflow(workflow_id, request) for workflow_id, request in file.workflows)


def _workflow(workflow_id: UUID, found: _Request) -> StoredWorkflow:
    try:
        request = SpawnWorkflowRequest(
            tuple(map(_function, found.functions)), found.resources, found.annotations
        )
        validate_workflow(request)
    except (WorkflowSpecError, ValueError) as error:
        raise ResourceError(f"workflow {workflow_id}: {error}") from None
    # EDGELESS draws new ones with each deployment, and keeps none.
    states = tuple(uuid5(workflow_id, function.name) for function in request.functions)
    return StoredWorkflow(WorkflowId(workflow_id), "", request, states)


def _function(found: _Function) -> WorkflowFunction:
    code = found.class_specification
    specification = FunctionClassSpecification(
        code.id,
        code.function_type,
        code.version,
        None if code.binary is None else bytes(code.binary),
        code.code,
        code.outputs,
    )
    return WorkflowFunction(found.name, specification, found.output_mapping, found.annotations)
