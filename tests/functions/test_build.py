"""The committed modules are what the sources compile to, and the check would notice if not."""

from __future__ import annotations

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
    # Its dataclass looks its module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BUILD = _build_script()


def needing(language: str) -> pytest.MarkDecorator:
    problem = BUILD.compiler_problem(language)
    return pytest.mark.skipif(problem is not None, reason=f"{language}: {problem}")


LANGUAGES = [pytest.param(each, marks=needing(each)) for each in ("c", "rust")]
#: All of them are compared by CI; in Rust, that takes the better part of a minute.
CHECKED = {"c": [], "rust": ["dup", "noop"]}
SOURCES = {"c": "relay/relay.c", "rust": "relay/rust/src/lib.rs"}
MODULES = {"c": "relay/relay.wasm", "rust": "relay/rust/relay.wasm"}


def _check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "build.py"), "--check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def _copied(place: Path, *names: str) -> None:
    shutil.copy(FUNCTIONS / "build.py", place)
    for name in ("sdk", *names):
        shutil.copytree(FUNCTIONS / name, place / name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_committed_modules_are_what_the_sources_compile_to(language: str) -> None:
    result = _check(FUNCTIONS, "--language", language, *CHECKED[language])
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_module_that_is_not_of_its_source_is_named(tmp_path: Path, language: str) -> None:
    _copied(tmp_path, "pong", "relay")
    module = tmp_path / MODULES[language]
    module.write_bytes((FUNCTIONS / "noop" / "noop.wasm").read_bytes())
    result = _check(tmp_path, "--language", language)
    assert result.returncode == 1
    assert result.stderr == f"{MODULES[language]} is not what its source compiles to\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_source_that_does_not_compile_leaves_the_module_alone(
    tmp_path: Path, language: str
) -> None:
    _copied(tmp_path, "relay")
    (tmp_path / SOURCES[language]).write_text("neither C nor Rust\n")
    before = (tmp_path / MODULES[language]).read_bytes()
    assert _check(tmp_path, "--language", language).returncode == 1
    command = [sys.executable, str(tmp_path / "build.py"), "--language", language]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 1
    assert "not compiled" in result.stderr
    assert (tmp_path / MODULES[language]).read_bytes() == before


def test_without_the_compiler_of_c_a_check_says_so_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise BUILD.PackageNotFoundError(name)

    monkeypatch.setattr(BUILD, "version", missing)
    assert BUILD.main(["--check", "--language", "c"]) == 2
    assert capsys.readouterr().err == (
        "not checked (c): the compiler is not installed (pip install ziglang==0.17.1)\n"
    )


def test_without_the_compiler_of_rust_a_check_says_so_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BUILD, "rust_compiler", lambda: None)
    assert BUILD.main(["--check", "--language", "rust"]) == 2
    assert "apt install rustc libstd-rust-dev-wasm32 lld-14" in capsys.readouterr().err


def test_another_compiler_is_not_compared_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BUILD, "version", lambda name: "0.13.0")
    assert BUILD.main(["--check", "--language", "c", "noop"]) == 2
    assert "ziglang 0.13.0 is installed" in capsys.readouterr().err


def test_another_rust_is_not_compared_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "rustc"
    other.write_text("#!/bin/sh\necho 'release: 1.95.0'\necho 'LLVM version: 22.1.2'\n")
    other.chmod(0o755)
    assert not BUILD._is_ours(str(other))
    assert not BUILD._is_ours(str(tmp_path / "nothing"))


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(SystemExit, match="2"):
        BUILD.main(["--check", "nope"])
