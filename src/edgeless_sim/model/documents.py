"""The shape of the JSON files that people write: workflow and ``function.json`` (spec 2.1, 9.3).

pydantic checks the shape, strictly: a number is not a string, null is not an empty map. Keys that
nobody knows are ignored, as in EDGELESS, and reported. What comes out are the values of the
model. Not here: whether they make sense (`workflow`), and files.
"""

from collections.abc import Iterator
from typing import Annotated, Final, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, ValidationError

from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.json_text import JsonDocument, JsonPath, path_text
from edgeless_sim.model.names import clipped, nearest, quoted, suggestion
from edgeless_sim.model.workflow import (
    COMPONENTS_MAX,
    ENTRIES_MAX,
    SpawnWorkflowRequest,
    WorkflowFunction,
    WorkflowResource,
)

__all__ = [
    "FunctionClassDocument",
    "FunctionDocument",
    "ResourceDocument",
    "WorkflowDocument",
    "checked_shape",
    "unknown_class_keys",
    "unknown_workflow_keys",
]

_DocumentT = TypeVar("_DocumentT", bound=BaseModel)

#: Keys of older EDGELESS files that have no meaning any more.
_LEGACY_KEYS: Final = frozenset({"build"})
_WARNINGS_MAX: Final = 100
_EXPECTED: Final = {
    "dict_type": "an object",
    "int_type": "an integer",
    "list_type": "an array",
    "model_type": "an object",
    "string_type": "a string",
}


def _few(value: object) -> object:
    # Before pydantic looks at the entries: it would report each one that is wrong.
    if isinstance(value, list | dict) and len(value) > ENTRIES_MAX:
        raise ValueError(f"{len(value)} entries, at most {ENTRIES_MAX}")
    return value


def _byte_code(value: object) -> bytes | None:
    # Millions of numbers: one by one, pydantic would take seconds.
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError("expected an array of integers")
    if not set(map(type, value)) <= {int} or (value and not 0 <= min(value) <= max(value) <= 255):
        raise ValueError("expected integers from 0 to 255")
    return bytes(value)


_Few = BeforeValidator(_few)
_StringMap = Annotated[dict[str, str], _Few]


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class FunctionClassDocument(_Document):
    """``class_specification`` of a function, and the whole of a ``function.json``."""

    id: str
    function_type: str
    version: str
    binary: Annotated[bytes | None, BeforeValidator(_byte_code)] = None
    code: str | None = None
    outputs: Annotated[list[str], _Few]

    def value(self) -> FunctionClassSpecification:
        """The same as a value of the model."""
        return FunctionClassSpecification(
            id=self.id,
            function_type=self.function_type,
            version=self.version,
            binary=self.binary,
            code=self.code,
            outputs=tuple(self.outputs),
        )


class FunctionDocument(_Document):
    """One element of ``functions``."""

    name: str
    class_specification: FunctionClassDocument
    output_mapping: _StringMap
    annotations: _StringMap

    def value(self) -> WorkflowFunction:
        """The same as a value of the model."""
        return WorkflowFunction(
            name=self.name,
            class_specification=self.class_specification.value(),
            output_mapping=self.output_mapping,
            annotations=self.annotations,
        )


class ResourceDocument(_Document):
    """One element of ``resources``."""

    name: str
    class_type: str
    output_mapping: _StringMap
    configurations: _StringMap

    def value(self) -> WorkflowResource:
        """The same as a value of the model."""
        return WorkflowResource(
            name=self.name,
            class_type=self.class_type,
            output_mapping=self.output_mapping,
            configurations=self.configurations,
        )


class WorkflowDocument(_Document):
    """A workflow file."""

    functions: Annotated[list[FunctionDocument], FailFast(), _Few]
    resources: Annotated[list[ResourceDocument], FailFast(), _Few]
    annotations: _StringMap

    def value(self) -> SpawnWorkflowRequest:
        """The same as a value of the model."""
        return SpawnWorkflowRequest(
            functions=tuple(function.value() for function in self.functions),
            resources=tuple(resource.value() for resource in self.resources),
            annotations=self.annotations,
        )


assert ENTRIES_MAX >= COMPONENTS_MAX, "a workflow of the largest size must have the right shape"


def checked_shape(model: type[_DocumentT], document: JsonDocument) -> _DocumentT:
    """*document* as a *model*; raise the document's error at the first place that is not one."""
    try:
        shape = model.model_validate(document.value)
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_context=False)[0]
        _refuse_shape(document, first["type"], tuple(first["loc"]), first["msg"])
    return shape


def unknown_workflow_keys(value: object) -> list[str]:
    """The paths of all keys in a workflow file that have no meaning; *value* has its shape."""
    assert isinstance(value, dict), value
    found = [*_unknown_keys(value, WorkflowDocument, ())]
    for place, function in enumerate(value["functions"]):
        path: JsonPath = ("functions", place)
        found += _unknown_keys(function, FunctionDocument, path)
        inner = function["class_specification"]
        found += _unknown_keys(inner, FunctionClassDocument, (*path, "class_specification"))
    for place, resource in enumerate(value["resources"]):
        found += _unknown_keys(resource, ResourceDocument, ("resources", place))
    return found[:_WARNINGS_MAX]


def unknown_class_keys(value: object) -> list[str]:
    """The same for a ``function.json``."""
    assert isinstance(value, dict), value
    return [*_unknown_keys(value, FunctionClassDocument, ())][:_WARNINGS_MAX]


def _refuse_shape(document: JsonDocument, kind: str, path: JsonPath, message: str) -> NoReturn:
    value = _value_at(document.value, path)
    if kind == "missing":
        key = str(path[-1])
        parent = _value_at(document.value, path[:-1])
        near = nearest(key, parent if isinstance(parent, dict) else ())
        hint = "" if near is None else f"; is {quoted(near)} a misspelling of it?"
        # What is not there has no place; the object that lacks it has one.
        document.refuse(path[:-1], f"the key {quoted(key)} is missing{hint}")
    if kind in _EXPECTED:
        document.refuse(path, f"expected {_EXPECTED[kind]}, found {_kind_of(value)}")
    message = message.removeprefix("Value error, ")
    document.refuse(path, message[:1].lower() + message[1:])


def _value_at(value: object, path: JsonPath) -> object:
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _kind_of(value: object) -> str:
    # Only the kind: the value itself may be long or a secret.
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _unknown_keys(
    value: dict[str, object], model: type[BaseModel], path: JsonPath
) -> Iterator[str]:
    known = model.model_fields
    for key in value:
        if key not in known and key not in _LEGACY_KEYS:
            where = f"{path_text(path)}: " if path else ""
            yield clipped(f"{where}unknown key {quoted(key)}{suggestion(key, known)}")
