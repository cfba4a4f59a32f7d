"""``edgeless-sim check``: are files right, and the files that they name?

What a file is, is seen from its name and content. No event is handled; but to see that a PYTHON
function can be loaded, its module is imported and its class is made, with all that they do then.
"""

from pathlib import Path
from typing import Final

import typer

from edgeless_sim.cli.problems import Exit, complain, exit_code
from edgeless_sim.cli.run import require_code
from edgeless_sim.errors import (
    EdgelessError,
    FunctionSpecError,
    SpecError,
    UnknownComponentError,
    WorkflowSpecError,
)
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.function_file import load_function_file
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.workflow import CODE_BYTES_MAX
from edgeless_sim.model.workflow_file import load_workflow
from edgeless_sim.scenario.code import code_faults, module_fault, unknown_types
from edgeless_sim.scenario.loader import SCENARIO_FILE, load_scenario

__all__ = ["check_command"]

_SNIFFED_BYTES: Final = 1 << 16


def check_command(files: list[str], *, quiet: bool) -> None:
    """Check every file; raise `typer.Exit` with the code of the first error."""
    code = Exit.DONE
    for file in files:
        try:
            what, warnings = _checked(Path(file))
        except EdgelessError as error:
            complain(f"error: {error}")
            code = code or exit_code(error)
            continue
        for warning in warnings:
            complain(f"warning: {file}: {warning}")
        if not quiet:
            typer.echo(f"ok {file} ({what})")
    if code:
        raise typer.Exit(code)


def _checked(path: Path) -> tuple[str, list[str]]:
    """What the file at *path* is, and warnings; raise an `EdgelessError` if it is wrong."""
    path = _file_in(path)
    match _kind_of(path):
        case "scenario":
            scenario = load_scenario(path)
            return "scenario", require_code(scenario)
        case "module":
            fault = module_fault(_bytes_of(path))
            if fault is not None:
                raise FunctionSpecError(clipped(f"{path}: {fault}"))
            return "module", []
        case "function":
            return "function", _checked_function(path)
        case "workflow":
            return "workflow", _checked_workflow(path)
    raise SpecError(
        clipped(f"{path}: not recognised; known: scenario.toml, workflow JSON, function.json, wasm")
    )


def _file_in(path: Path) -> Path:
    try:
        if path.is_dir():
            for name in (SCENARIO_FILE, "workflow.json", "function.json"):
                if (path / name).is_file():
                    return path / name
            raise UnknownComponentError("nothing to check", f"in the folder {quoted(str(path))}")
        if path.exists():
            return path
    except (OSError, ValueError):  # e.g. a name that is too long, or has a NUL
        pass
    raise UnknownComponentError("no such file", quoted(str(path)))


def _kind_of(path: Path) -> str:
    if path.suffix == ".toml":
        return "scenario"
    if path.suffix == ".wasm":
        return "module"
    if path.name == "function.json":
        return "function"
    head = _bytes_of(path)[:_SNIFFED_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"\0asm"):
        return "module"
    if path.suffix == ".json" or head.startswith(b"{"):
        is_function = b'"functions"' not in head and b'"function_type"' in head
        return "function" if is_function else "workflow"
    return ""


def _bytes_of(path: Path) -> bytes:
    try:
        return read_regular_file(path, CODE_BYTES_MAX)
    except (FileNotFoundError, ValueError) as cause:
        raise SpecError(clipped(f"{path}: {cause}")) from None


def _checked_workflow(path: Path) -> list[str]:
    request, warnings = load_workflow(path)
    faults = list(code_faults(request, python_folders=(path.parent,)))
    if faults:
        raise WorkflowSpecError("\n".join(f"{path}: {fault}" for fault in faults[:10]))
    return [*warnings, *unknown_types(request)]


def _checked_function(path: Path) -> list[str]:
    specification, warnings = load_function_file(path)
    code = path.parent / (specification.code or "")
    if specification.function_type == "RUST_WASM" and code.suffix == ".wasm":
        fault = module_fault(_bytes_of(code))
        if fault is not None:
            raise FunctionSpecError(clipped(f"{code}: {fault}"))
    return warnings
