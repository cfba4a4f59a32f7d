"""A function is built by what lies beside its description, and never made worse."""

import importlib.util
import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from edgeless_sim.errors import (
    BadCodeError,
    FunctionSpecError,
    RejectedError,
    ResourceError,
)
from edgeless_sim.toolchain import tools
from edgeless_sim.toolchain.building import build_function
from edgeless_sim.toolchain.skeletons import new_function

needs_c = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="needs the extra toolchain"
)


def text_function(tmp_path: Path) -> Path:
    folder = tmp_path / "echo"
    new_function(folder, "wat")
    return folder


def test_a_text_of_webassembly_is_built_beside_its_description(tmp_path: Path) -> None:
    built = build_function(text_function(tmp_path) / "function.json")
    assert built.module == tmp_path / "echo" / "echo.wasm"
    assert (built.language, built.fresh) == ("wat", True)
    assert built.module.read_bytes()[:4] == b"\0asm"
    assert stat.S_IMODE(built.module.stat().st_mode) == 0o644


def test_what_is_up_to_date_is_not_built_again_unless_forced(tmp_path: Path) -> None:
    folder = text_function(tmp_path)
    assert build_function(folder).fresh
    os.utime(folder / "echo.wasm", ns=(2**62, 2**62))
    assert not build_function(folder).fresh
    assert build_function(folder, force=True).fresh


@pytest.mark.parametrize("name", ["echo.wat", "function.json"])
def test_a_newer_source_or_description_builds_it_again(name: str, tmp_path: Path) -> None:
    folder = text_function(tmp_path)
    build_function(folder)
    later = (folder / "echo.wasm").stat().st_mtime_ns + 1
    os.utime(folder / name, ns=(later, later))
    assert build_function(folder).fresh


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("(module", "(modul", "the source does not compile"),
        ('"handle_stop_asm"', '"handle_stop"', "handle_stop_asm not available"),
        ('"cast_asm"', '"cast_bsm"', "cast_bsm"),
    ],
)
def test_a_source_that_is_wrong_says_why_and_leaves_the_old_module(
    old: str, new: str, reason: str, tmp_path: Path
) -> None:
    folder = text_function(tmp_path)
    build_function(folder)
    before = (folder / "echo.wasm").read_bytes()
    source = folder / "echo.wat"
    source.write_text(source.read_text().replace(old, new))
    with pytest.raises(BadCodeError, match=reason):
        build_function(folder, force=True)
    assert (folder / "echo.wasm").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [
        "echo.wasm",
        "echo.wat",
        "function.json",
    ]


def test_a_folder_without_a_source_is_told_what_one_is(tmp_path: Path) -> None:
    folder = text_function(tmp_path)
    (folder / "echo.wat").unlink()
    with pytest.raises(FunctionSpecError, match=r"no Cargo.toml, \*.c or \*.wat"):
        build_function(folder)


def test_a_description_that_is_none_is_refused_with_its_place(tmp_path: Path) -> None:
    folder = text_function(tmp_path)
    (folder / "function.json").write_text("{}")
    with pytest.raises(FunctionSpecError, match=r"function.json:1"):
        build_function(folder)
    with pytest.raises(FunctionSpecError, match="no such file"):
        build_function(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = text_function(tmp_path)
    folder.chmod(0o500)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("nothing is closed to root")
        with pytest.raises(ResourceError, match=r"echo.wasm"):
            build_function(folder)
    finally:
        folder.chmod(0o700)


def test_a_function_in_python_has_nothing_to_build(tmp_path: Path) -> None:
    new_function(tmp_path / "echo", "python")
    built = build_function(tmp_path / "echo")
    assert (built.module, built.fresh) == (None, False)


def test_a_missing_tool_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for language in ("c", "rust"):
        new_function(tmp_path / language, language)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RejectedError, match=r'pip install "edgeless-sim\[toolchain\]"'):
        build_function(tmp_path / "c")
    with pytest.raises(RejectedError, match="Rust is not installed"):
        build_function(tmp_path / "rust")


def test_rust_without_its_target_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_function(tmp_path / "echo", "rust")
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("cargo", "rustc"):
        tool = place / name
        tool.write_text("#!/bin/sh\nexit 1\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(RejectedError, match="not its target wasm32-unknown-unknown"):
        build_function(tmp_path / "echo")


@needs_c
def test_c_is_built_and_its_faults_are_shown(tmp_path: Path) -> None:
    folder = tmp_path / "echo"
    new_function(folder, "c")
    built = build_function(folder)
    assert built.module is not None
    assert built.module.stat().st_size < 8_000
    source = folder / "echo.c"
    source.write_text(source.read_text() + "int broken = ;\n")
    with pytest.raises(BadCodeError, match=r"echo.c:\d+:\d+: error: expected expression"):
        build_function(folder, force=True)


def test_rust_is_built_where_rust_is(tmp_path: Path) -> None:
    try:
        tools.rust_tools()
    except RejectedError as error:
        pytest.skip(str(error))
    folder = tmp_path / "echo"
    new_function(folder, "rust")
    built = build_function(folder)
    assert built.module is not None
    assert built.module.stat().st_size < 40_000
    shutil.rmtree(folder / "target")
    source = folder / "src" / "lib.rs"
    source.write_text(source.read_text().replace("cast(", "casst("))
    with pytest.raises(BadCodeError, match="cannot find function `casst`"):
        build_function(folder, force=True)


def test_the_module_has_the_name_that_the_description_gives(tmp_path: Path) -> None:
    folder = text_function(tmp_path)
    description = json.loads((folder / "function.json").read_text())
    (folder / "function.json").write_text(json.dumps({**description, "id": "other"}))
    assert build_function(folder).module == folder / "other.wasm"
