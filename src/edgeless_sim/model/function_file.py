"""Reading ``function.json``, which describes a function class (spec 9.3).

The object is the ``class_specification`` of a workflow file. Not here: compiling the function.
"""

from pathlib import Path

from edgeless_sim.errors import FunctionSpecError
from edgeless_sim.model.documents import FunctionClassDocument, checked_shape, unknown_class_keys
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.json_text import JSON_BYTES_MAX, read_json
from edgeless_sim.model.names import clipped, shown_path
from edgeless_sim.model.workflow import class_faults

__all__ = ["load_function_file", "parse_function_file"]


def parse_function_file(
    text: bytes, *, strict: bool = False, source: str = "function.json"
) -> tuple[FunctionClassSpecification, list[str]]:
    """The function class that *text* describes, and warnings.

    With *strict*, an unknown key is an error. Raise `FunctionSpecError`, whose message begins with
    *source*, line and column.
    """
    document = read_json(text, error=FunctionSpecError, source=source)
    specification = checked_shape(FunctionClassDocument, document).value()
    unknown = unknown_class_keys(document.value)
    if unknown and strict:
        document.refuse((), unknown[0])
    for path, reason in class_faults(specification):
        document.refuse(path, reason)
    return specification, unknown


def load_function_file(
    path: Path, *, strict: bool = False
) -> tuple[FunctionClassSpecification, list[str]]:
    """The function class that the file at *path* describes, and warnings; see the parser.

    ``code`` stays as it is written. Raise `FunctionSpecError`.
    """
    source = shown_path(str(path))
    try:
        text = read_regular_file(path, JSON_BYTES_MAX)
    except FileNotFoundError:
        raise FunctionSpecError(clipped(f"{source}: no such file")) from None
    except ValueError as cause:
        raise FunctionSpecError(clipped(f"{source}: {cause}")) from None
    return parse_function_file(text, strict=strict, source=source)
