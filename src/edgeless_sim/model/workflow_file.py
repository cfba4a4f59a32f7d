"""Reading a workflow file and the code that it names (spec 2.1, 2.2).

Upstream's files load unchanged; a path in one is relative to the file. Not here: what a workflow
means (`workflow`) and where it runs.
"""

import re
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from edgeless_sim.errors import WorkflowSpecError
from edgeless_sim.model.documents import WorkflowDocument, checked_shape, unknown_workflow_keys
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.json_text import JSON_BYTES_MAX, JsonDocument, read_json
from edgeless_sim.model.names import clipped, quoted, shown_path
from edgeless_sim.model.workflow import (
    CODE_BYTES_MAX,
    SpawnWorkflowRequest,
    WorkflowFunction,
    workflow_faults,
    workflow_warnings,
)

__all__ = ["CODE_BYTES_TOTAL_MAX", "load_workflow", "parse_workflow"]

#: Most byte code of one workflow; functions that share a file count once.
CODE_BYTES_TOTAL_MAX: Final = 256 << 20
_PYTHON_FILE_BYTES_MAX: Final = 16 << 20
_CLASS_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_workflow(
    text: bytes, *, base: Path | None, strict: bool = False, source: str = "workflow"
) -> tuple[SpawnWorkflowRequest, list[str]]:
    """The workflow that *text* describes, valid, and warnings.

    With a *base* folder, the code that functions name is looked up from there: that of RUST_WASM
    is read into ``binary``, the file of PYTHON is made absolute. Without one, nothing is read.
    With *strict*, an unknown key is an error. Raise `WorkflowSpecError`, whose message begins with
    *source*, line, column and JSON path.
    """
    document = read_json(text, error=WorkflowSpecError, source=source)
    request = checked_shape(WorkflowDocument, document).value()
    unknown = unknown_workflow_keys(document.value)
    if unknown and strict:
        document.refuse((), unknown[0])
    for path, reason in workflow_faults(request):
        document.refuse(path, reason)
    if base is not None:
        request = _Code(document, base).resolved(request)
    return request, [*unknown, *workflow_warnings(request)]


def load_workflow(path: Path, *, strict: bool = False) -> tuple[SpawnWorkflowRequest, list[str]]:
    """The workflow in the file at *path*, with the code it names, and warnings.

    Raise `WorkflowSpecError`, as `parse_workflow` does.
    """
    source = shown_path(str(path))
    try:
        text = read_regular_file(path, JSON_BYTES_MAX)
    except FileNotFoundError:
        raise WorkflowSpecError(clipped(f"{source}: no such file")) from None
    except ValueError as cause:
        raise WorkflowSpecError(clipped(f"{source}: {cause}")) from None
    return parse_workflow(text, base=path.parent, strict=strict, source=source)


class _Code:
    """Finds the code of the functions of one document; reads each file once."""

    def __init__(self, document: JsonDocument, base: Path) -> None:
        self._document = document
        self._base = base
        self._read: dict[Path, bytes] = {}

    def resolved(self, request: SpawnWorkflowRequest) -> SpawnWorkflowRequest:
        functions = tuple(
            msgspec.structs.replace(function, class_specification=self._class(place, function))
            for place, function in enumerate(request.functions)
        )
        return msgspec.structs.replace(request, functions=functions)

    def _class(self, place: int, function: WorkflowFunction) -> FunctionClassSpecification:
        specification = function.class_specification
        match specification.function_type:
            case "RUST_WASM":
                code = self._code_text(place, function)
                binary = self._content(place, function, code, CODE_BYTES_MAX)
                return msgspec.structs.replace(specification, binary=binary)
            case "PYTHON":
                file, _, name = self._code_text(place, function).rpartition(":")
                if not file or not _CLASS_NAME.fullmatch(name):
                    self._refuse(
                        place,
                        f"PYTHON function code for {quoted(function.name)} is not 'file.py:Class':"
                        f" {specification.code}",
                    )
                self._content(place, function, file, _PYTHON_FILE_BYTES_MAX)
                code = f"{(self._base / file).resolve()}:{name}"
                return msgspec.structs.replace(specification, binary=None, code=code)
            case _:
                return msgspec.structs.replace(specification, binary=None)

    def _code_text(self, place: int, function: WorkflowFunction) -> str:
        specification = function.class_specification
        if not specification.code:
            kind = specification.function_type
            self._refuse(place, f"{kind} function code not specified for '{function.name}'")
        return specification.code

    def _content(self, place: int, function: WorkflowFunction, code: str, bytes_max: int) -> bytes:
        path = self._base / code
        if path in self._read:
            return self._read[path]
        try:
            content = read_regular_file(path, bytes_max)
        except FileNotFoundError:
            reason = f"code file does not exist for '{function.name}': {code} (looked at {path})"
            self._refuse(place, reason)
        except ValueError as cause:
            fault = str(cause).replace("is not a regular file", "is not regular")
            self._refuse(place, f"code file for '{function.name}' {fault}: {code} ({path})")
        if sum(map(len, self._read.values())) + len(content) > CODE_BYTES_TOTAL_MAX:
            self._refuse(place, f"the workflow has more than {CODE_BYTES_TOTAL_MAX} bytes of code")
        self._read[path] = content
        return content

    def _refuse(self, place: int, reason: str) -> NoReturn:
        self._document.refuse(("functions", place, "class_specification", "code"), reason)
