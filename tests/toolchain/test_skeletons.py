"""What is new is complete: it checks, builds and runs as it is, and nothing old is touched."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.model.workflow_file import load_workflow
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.outcome import Verdict
from edgeless_sim.scenario.runner import run_scenario
from edgeless_sim.toolchain.skeletons import (
    LANGUAGES,
    new_function,
    new_guide,
    new_scenario,
    new_workflow,
)


@pytest.mark.parametrize("make", [new_workflow, new_scenario])
def test_a_new_experiment_passes_at_once(make: object, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path / "mine")
    outcome = run_scenario(load_scenario(tmp_path / "mine"))
    assert outcome.verdict is Verdict.PASSED


def test_the_guides_folder_is_what_its_commands_assume(tmp_path: Path) -> None:
    new_guide(tmp_path / "g")
    assert (tmp_path / "g/target/debug").is_dir()
    assert (tmp_path / "g/functions/noop/function.json").is_file()
    (tmp_path / "g/functions/noop/noop.wasm").write_bytes(b"\0asm\1\0\0\0")
    workflow, warnings = load_workflow(tmp_path / "g/examples/noop/workflow.json")
    assert [function.name for function in workflow.functions] == ["noop"]
    assert warnings == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_function_needs_nothing_outside_of_its_folder(language: str, tmp_path: Path) -> None:
    new_function(tmp_path / "mine", language)
    for file in (tmp_path / "mine").rglob("*"):
        if file.is_file():
            text = file.read_text()
            assert "../" not in text
            assert "@name@" not in text.lower()


def test_a_new_function_in_python_passes_the_test_that_comes_with_it(tmp_path: Path) -> None:
    new_function(tmp_path / "mine", "python")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "mine"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.parametrize("name", ["9a", "a-b", "A", "x" * 64, "..", "a b"])
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no name"):
        new_function(tmp_path / name, "c")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for make in (new_workflow, new_scenario, new_guide):
        with pytest.raises(RejectedError, match="there already"):
            make(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_language_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'go' is none of rust, c, python, wat"):
        new_function(tmp_path / "mine", "go")
