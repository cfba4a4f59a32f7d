"""The example functions and workflows are files that our own loaders take."""

from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.errors import FunctionSpecError, WorkflowSpecError
from edgeless_sim.model.function_file import load_function_file
from edgeless_sim.model.workflow_file import load_workflow

ROOT: Final = Path(__file__).parents[2]
#: Rust takes 50 kB to read and write floating-point numbers.
WASM_BYTES_MAX: Final = 80 << 10


def found(folder: str, pattern: str) -> list[str]:
    """Files below a folder of the repository, as paths below the root."""
    paths = sorted((ROOT / folder).rglob(pattern))
    return [path.relative_to(ROOT).as_posix() for path in paths]


def large_modules(root: Path) -> list[str]:
    """WebAssembly modules that are too large to be kept beside their sources."""
    paths = sorted((root / "functions").rglob("*.wasm"))
    return [path.name for path in paths if path.stat().st_size >= WASM_BYTES_MAX]


def test_there_are_examples() -> None:
    assert found("functions", "function.json")
    assert found("functions", "*.wasm")
    assert found("scenarios", "workflow*.json")


@pytest.mark.parametrize("path", found("functions", "function.json"))
def test_a_function_file_loads_and_is_called_as_its_folder(path: str) -> None:
    specification, warnings = load_function_file(ROOT / path)
    # functions/NAME/function.json, or functions/NAME/LANGUAGE/function.json.
    assert (specification.id, warnings) == (Path(path).parts[1], [])


@pytest.mark.parametrize("path", found("scenarios", "workflow*.json"))
def test_a_workflow_loads_without_a_warning(path: str) -> None:
    request, warnings = load_workflow(ROOT / path)
    assert request.functions
    assert warnings == []


def test_committed_modules_are_small() -> None:
    assert large_modules(ROOT) == []


def test_planted_nonsense_does_not_load(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.json"
    nonsense.write_text('{"functions": 1', encoding="utf-8")
    with pytest.raises(FunctionSpecError):
        load_function_file(nonsense)
    with pytest.raises(WorkflowSpecError):
        load_workflow(nonsense)


def test_a_planted_large_module_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "functions" / "big"
    folder.mkdir(parents=True)
    (folder / "big.wasm").write_bytes(bytes(WASM_BYTES_MAX))
    (folder / "small.wasm").write_bytes(bytes(WASM_BYTES_MAX - 1))
    assert large_modules(tmp_path) == ["big.wasm"]
