"""New folders to begin with: a function, a workflow, a scenario, the guide's layout.

Each is complete: it builds, runs and passes its check as it is. Nothing that is there is touched.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.model.names import quoted
from edgeless_sim.toolchain import scenarios, sources
from edgeless_sim.toolchain.building import FUNCTION_FILE
from edgeless_sim.toolchain.sdk import c_headers, rust_crate

__all__ = [
    "GUIDE_PROGRAMS",
    "LANGUAGES",
    "new_function",
    "new_guide",
    "new_scenario",
    "new_workflow",
]

LANGUAGES: Final = ("rust", "c", "python", "wat")
#: What the guide types in its own folder.
GUIDE_PROGRAMS: Final = ("edgeless_con_d", "edgeless_orc_d", "edgeless_node_d", "edgeless_cli")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_Files = dict[str, str]


def new_function(folder: Path, language: str) -> list[str]:
    """A function in *folder*, named like it; return what to type next.

    Raise `SettingsError` for a name or a language that is none, `RejectedError` if the folder is
    there.
    """
    name = _checked_name(folder)
    if language not in LANGUAGES:
        raise SettingsError(f"{quoted(language)} is none of {', '.join(LANGUAGES)}")
    _write(folder, _function_files(name, language))
    return [f"edgeless-sim invoke {folder} --cast world"]


def new_workflow(folder: Path) -> list[str]:
    """A workflow of two functions and a file, and a scenario that runs it."""
    name = _checked_name(folder)
    files = {
        "workflow.json": scenarios.workflow_text(),
        "scenario.toml": scenarios.WORKFLOW_SCENARIO.replace("@name@", name),
        "greeter.py": scenarios.GREETER,
    }
    _write(folder, files)
    return [f"edgeless-sim check {folder}/workflow.json", f"edgeless-sim run {folder} --logs"]


def new_scenario(folder: Path) -> list[str]:
    """An experiment: a cluster, a network, a crash, and what must hold."""
    name = _checked_name(folder)
    files = {
        "workflow.json": scenarios.workflow_text(),
        "scenario.toml": scenarios.CRASH_SCENARIO.replace("@name@", name),
        "greeter.py": scenarios.GREETER,
    }
    _write(folder, files)
    return [f"edgeless-sim run {folder}", f"edgeless-sim run {folder} --world tcp"]


def new_guide(folder: Path) -> list[str]:
    """What the step-by-step guide assumes: ``target/debug``, the function noop, its workflow.

    The programs are linked into ``target/debug``, so that ``./edgeless_cli`` works too.
    """
    noop = {f"functions/noop/{path}": text for path, text in _noop_files().items()}
    _write(folder, {**noop, "examples/noop/workflow.json": scenarios.GUIDE_WORKFLOW})
    programs = folder / "target" / "debug"
    programs.mkdir(parents=True)
    for program in GUIDE_PROGRAMS:
        here = Path(sys.executable).with_name(program)
        found = str(here) if here.exists() else shutil.which(program)
        if found is not None:
            (programs / program).symlink_to(Path(found).absolute())
    return [
        f"cd {programs}",
        "./edgeless_cli function build ../../functions/noop/function.json",
    ]


def _noop_files() -> _Files:
    files = _function_files("noop", "rust")
    files["src/lib.rs"] = sources.GUIDE_NOOP
    files[FUNCTION_FILE] = _description("noop", "RUST_WASM", "./noop.wasm", ())
    return files


def _function_files(name: str, language: str) -> _Files:
    type_name = "".join(part.capitalize() for part in name.split("_"))

    def named(text: str) -> str:
        return text.replace("@name@", name).replace("@Name@", type_name)

    maker: dict[str, Callable[[], _Files]] = {
        "c": lambda: {f"{name}.c": named(sources.C_SOURCE), **_texts(c_headers())},
        "rust": lambda: {
            "Cargo.toml": named(sources.CARGO),
            "src/lib.rs": named(sources.RUST_SOURCE),
            **_crate(),
        },
        "wat": lambda: {f"{name}.wat": sources.WAT_SOURCE},
        "python": lambda: {
            f"{name}.py": named(sources.PYTHON_SOURCE),
            f"test_{name}.py": named(sources.PYTHON_TEST),
        },
    }
    if language == "python":
        description = _description(name, "PYTHON", f"{name}.py:{type_name}", ("output",))
    else:
        description = _description(name, "RUST_WASM", f"./{name}.wasm", ("output",))
    return {FUNCTION_FILE: description, **maker[language]()}


def _description(name: str, function_type: str, code: str, outputs: tuple[str, ...]) -> str:
    description = {
        "id": name,
        "function_type": function_type,
        "version": "0.1",
        "code": code,
        "outputs": list(outputs),
    }
    return json.dumps(description, indent=4) + "\n"


def _texts(paths: list[Path]) -> _Files:
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def _crate() -> _Files:
    """The Rust SDK beside the function, so that the folder can go anywhere."""
    crate = rust_crate()
    return {
        f"edgeless_function/{path.relative_to(crate).as_posix()}": path.read_text(encoding="utf-8")
        for path in sorted([crate / "Cargo.toml", *crate.glob("src/**/*.rs")])
    }


def _checked_name(folder: Path) -> str:
    name = folder.name
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{quoted(name)} is no name: use a to z, 0 to 9 and _, beginning with a letter"
        )
    return name


def _write(folder: Path, files: _Files) -> None:
    if folder.exists():
        raise RejectedError("it is there already", str(folder))
    try:
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"{error.filename or folder}: {error.strerror}") from None
