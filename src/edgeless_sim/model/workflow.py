"""Workflows: the request that starts one, and which requests make sense (spec 2.1, 2.4).

`validate_workflow` refuses what EDGELESS refuses, with EDGELESS's words, and what EDGELESS takes
and then loses (reliability 6.1). Not here: reading the JSON file (`workflow_file`), and whether
any node could host the components.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from edgeless_sim.errors import WorkflowSpecError
from edgeless_sim.model.annotations import INIT_PAYLOAD, parse_requirements
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.json_text import JsonPath
from edgeless_sim.model.names import clipped, name_fault, quoted, suggestion, text_fault

__all__ = [
    "CODE_BYTES_MAX",
    "COMPONENTS_MAX",
    "ENTRIES_MAX",
    "VALUE_BYTES_MAX",
    "SpawnWorkflowRequest",
    "WorkflowFunction",
    "WorkflowResource",
    "class_faults",
    "validate_workflow",
    "workflow_faults",
    "workflow_warnings",
]

#: Most functions and resources of one workflow together.
COMPONENTS_MAX: Final = 1_024
#: Most entries of one map or list of a component: annotations, configuration, mapping, outputs.
ENTRIES_MAX: Final = 1_024
#: Longest value of an annotation or a configuration, ``init-payload`` included.
VALUE_BYTES_MAX: Final = 1 << 20
#: Largest byte code of one function.
CODE_BYTES_MAX: Final = 64 << 20

_CODE_TEXT_BYTES_MAX: Final = 4_096
_RESERVED_PREFIX: Final = "portal-"
_VERSION: Final = re.compile(r"v?[0-9][0-9A-Za-z.+_-]*")


class WorkflowFunction(msgspec.Struct, frozen=True):
    """A function in a workflow."""

    name: str
    class_specification: FunctionClassSpecification
    output_mapping: dict[str, str] = {}
    """Output channel to the name of a component."""
    annotations: dict[str, str] = {}


class WorkflowResource(msgspec.Struct, frozen=True):
    """A resource in a workflow."""

    name: str
    class_type: str
    output_mapping: dict[str, str] = {}
    """Output channel to the name of a component."""
    configurations: dict[str, str] = {}
    """For the provider; also the deployment requirements."""


class SpawnWorkflowRequest(msgspec.Struct, frozen=True):
    """Asks for a workflow; without components it is accepted and does nothing (case D01)."""

    functions: tuple[WorkflowFunction, ...] = ()
    resources: tuple[WorkflowResource, ...] = ()
    annotations: dict[str, str] = {}


def validate_workflow(request: SpawnWorkflowRequest) -> None:
    """Raise `WorkflowSpecError` with the first fault of *request*; its text is the detail."""
    for _, reason in workflow_faults(request):
        raise WorkflowSpecError(clipped(reason))


def workflow_faults(request: SpawnWorkflowRequest) -> Iterator[tuple[JsonPath, str]]:
    """What is wrong with *request*: where, and the detail text.

    In EDGELESS's order: functions, resources, targets. Lazy; a fault may have others as
    consequences, so only the first one is to be shown.
    """
    count = len(request.functions) + len(request.resources)
    if count > COMPONENTS_MAX:
        yield (), f"the workflow has {count} components, at most {COMPONENTS_MAX}"
        return
    yield from _map_faults(("annotations",), request.annotations)
    for place, function in enumerate(request.functions):
        yield from _function_faults(("functions", place), function)
    for place, resource in enumerate(request.resources):
        yield from _resource_faults(("resources", place), resource)
    yield from _duplicate_faults(request)
    yield from _target_faults(request)


def workflow_warnings(request: SpawnWorkflowRequest) -> list[str]:
    """What is allowed in *request* but probably not meant."""
    warnings = []
    if request.annotations:
        warnings.append("annotations: those of the workflow as a whole are ignored")
    for place, function in enumerate(request.functions):
        declared = function.class_specification.outputs
        for channel in function.output_mapping:
            if channel not in declared:
                warnings.append(
                    f"functions[{place}].output_mapping: the class of {quoted(function.name)}"
                    f" declares no output {quoted(channel)}{suggestion(channel, declared)}"
                )
    return [clipped(warning) for warning in warnings]


def class_faults(code: FunctionClassSpecification) -> Iterator[tuple[JsonPath, str]]:
    """What is wrong with a function class: where in it, and why."""
    fault = name_fault(code.id) or _path_fault(code.id)
    if fault:
        yield ("id",), f"the class id {quoted(code.id)} is not allowed: {fault}"
    kind = code.function_type
    fault = name_fault(kind)
    if fault:
        yield ("function_type",), f"the function type {quoted(kind)} is not allowed: {fault}"
    if name_fault(code.version) or not _VERSION.fullmatch(code.version):
        yield ("version",), f"{quoted(code.version)} is not a version such as '0.1'"
    if code.binary is not None and len(code.binary) > CODE_BYTES_MAX:
        yield ("binary",), f"the byte code has more than {CODE_BYTES_MAX} bytes"
    if code.code:
        fault = name_fault(code.code, _CODE_TEXT_BYTES_MAX)
        if fault:
            yield ("code",), f"the code {quoted(code.code)} is not allowed: {fault}"
    yield from _output_faults(code.outputs)


def _path_fault(class_id: str) -> str | None:
    # The id becomes the name of the compiled file.
    if class_id in (".", "..") or "/" in class_id or "\\" in class_id:
        return "it looks like a path"
    return None


def _output_faults(outputs: tuple[str, ...]) -> Iterator[tuple[JsonPath, str]]:
    if len(outputs) > ENTRIES_MAX:
        yield ("outputs",), f"{len(outputs)} outputs, at most {ENTRIES_MAX}"
        return
    for place, channel in enumerate(outputs):
        fault = name_fault(channel)
        if fault:
            yield ("outputs", place), f"the output {quoted(channel)} is not allowed: {fault}"


def _function_faults(path: JsonPath, function: WorkflowFunction) -> Iterator[tuple[JsonPath, str]]:
    if not function.name:
        yield (*path, "name"), "empty name in function"
    yield from _name_faults((*path, "name"), function.name)
    yield from _mapping_faults((*path, "output_mapping"), function.output_mapping, "function")
    for inner, reason in class_faults(function.class_specification):
        where = f"function {quoted(function.name)}: "
        yield (*path, "class_specification", *inner), where + reason
    yield from _map_faults((*path, "annotations"), function.annotations)
    yield from _requirement_faults((*path, "annotations"), function.name, function.annotations)


def _resource_faults(path: JsonPath, resource: WorkflowResource) -> Iterator[tuple[JsonPath, str]]:
    if not resource.name:
        yield (*path, "name"), "empty name in resource"
    if not resource.class_type:
        yield (*path, "class_type"), "empty class type in resource"
    yield from _name_faults((*path, "name"), resource.name)
    fault = name_fault(resource.class_type)
    if fault:
        yield (
            (*path, "class_type"),
            f"the class type {quoted(resource.class_type)} is not allowed: {fault}",
        )
    yield from _mapping_faults((*path, "output_mapping"), resource.output_mapping, "resource")
    yield from _map_faults((*path, "configurations"), resource.configurations)
    yield from _requirement_faults(
        (*path, "configurations"), resource.name, resource.configurations
    )


def _name_faults(path: JsonPath, name: str) -> Iterator[tuple[JsonPath, str]]:
    fault = name_fault(name)
    if fault:
        yield path, f"the name {quoted(name)} is not allowed: {fault}"
    if name.startswith(_RESERVED_PREFIX):
        # The ε-CON adds components of such names to join domains.
        yield path, f"the name {quoted(name)} is not allowed: '{_RESERVED_PREFIX}' is reserved"


def _mapping_faults(
    path: JsonPath, mapping: dict[str, str], kind: str
) -> Iterator[tuple[JsonPath, str]]:
    if len(mapping) > ENTRIES_MAX:
        yield path, f"{len(mapping)} entries, at most {ENTRIES_MAX}"
        return
    for channel, target in mapping.items():
        if not channel or not target:
            yield (
                (*path, channel),
                f"empty channel or component in output_mapping of a {kind}",
            )
        fault = name_fault(channel)
        if fault:
            yield (*path, channel), f"the channel {quoted(channel)} is not allowed: {fault}"


def _map_faults(path: JsonPath, entries: dict[str, str]) -> Iterator[tuple[JsonPath, str]]:
    if len(entries) > ENTRIES_MAX:
        yield path, f"{len(entries)} entries, at most {ENTRIES_MAX}"
        return
    for key, value in entries.items():
        fault = name_fault(key)
        if fault:
            yield (*path, key), f"the key {quoted(key)} is not allowed: {fault}"
        # The value is not shown: it may be a secret.
        fault = text_fault(value, VALUE_BYTES_MAX)
        if fault:
            what = "the payload" if key == INIT_PAYLOAD else "the value"
            yield (*path, key), f"{what} of {quoted(key)} is not allowed: {fault}"


def _requirement_faults(
    path: JsonPath, name: str, annotations: dict[str, str]
) -> Iterator[tuple[JsonPath, str]]:
    try:
        parse_requirements(annotations)
    except WorkflowSpecError as cause:
        yield path, f"component {quoted(name)}: {cause}"


def _duplicate_faults(request: SpawnWorkflowRequest) -> Iterator[tuple[JsonPath, str]]:
    seen: set[str] = set()
    for path, component in _components(request):
        if component.name in seen:
            yield (*path, "name"), f"two components are called {quoted(component.name)}"
        seen.add(component.name)


def _target_faults(request: SpawnWorkflowRequest) -> Iterator[tuple[JsonPath, str]]:
    names = [component.name for _, component in _components(request)]
    known = frozenset(names)
    for path, component in _components(request):
        for channel, target in component.output_mapping.items():
            if target not in known:
                yield (
                    (*path, "output_mapping", channel),
                    f"component {quoted(component.name)}: its channel {quoted(channel)} goes to"
                    f" {quoted(target)}, which is not a component of this workflow"
                    f"{suggestion(target, names)}",
                )


def _components(
    request: SpawnWorkflowRequest,
) -> Iterator[tuple[JsonPath, WorkflowFunction | WorkflowResource]]:
    for place, function in enumerate(request.functions):
        yield ("functions", place), function
    for place, resource in enumerate(request.resources):
        yield ("resources", place), resource
