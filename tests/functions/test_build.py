"""The committed modules are what the sources compile to, and the check would notice if not."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"


def _build_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("functions_build", FUNCTIONS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = _build_script()
PROBLEM = BUILD.compiler_problem()
needs_compiler = pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))


def _check(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "build.py"), "--check", *names]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@needs_compiler
def test_the_committed_modules_are_what_the_sources_compile_to() -> None:
    result = _check(FUNCTIONS)
    assert (result.returncode, result.stderr) == (0, "")


@needs_compiler
def test_a_module_that_is_not_of_its_source_is_named(tmp_path: Path) -> None:
    shutil.copy(FUNCTIONS / "build.py", tmp_path)
    for name in ("sdk", "spin", "relay"):
        shutil.copytree(FUNCTIONS / name, tmp_path / name)
    shutil.copy(FUNCTIONS / "noop" / "noop.wasm", tmp_path / "spin" / "spin.wasm")
    result = _check(tmp_path)
    assert result.returncode == 1
    assert result.stderr == "spin/spin.wasm is not what its source compiles to\n"


@needs_compiler
def test_a_source_that_does_not_compile_fails_the_check(tmp_path: Path) -> None:
    shutil.copy(FUNCTIONS / "build.py", tmp_path)
    for name in ("sdk", "spin"):
        shutil.copytree(FUNCTIONS / name, tmp_path / name)
    (tmp_path / "spin" / "spin.c").write_text("not C\n")
    assert _check(tmp_path).returncode == 1


def test_without_the_compiler_a_check_says_so_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise BUILD.PackageNotFoundError(name)

    monkeypatch.setattr(BUILD, "version", missing)
    assert BUILD.main(["--check"]) == 2
    assert capsys.readouterr().err == (
        "not checked: the compiler is not installed (pip install ziglang==0.17.1)\n"
    )


def test_another_compiler_is_not_compared_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BUILD, "version", lambda name: "0.13.0")
    assert BUILD.main(["--check", "noop"]) == 2
    assert "ziglang 0.13.0 is installed" in capsys.readouterr().err


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(SystemExit, match="2"):
        BUILD.main(["--check", "nope"])
