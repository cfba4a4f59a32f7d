"""Compiled modules on disk: used again when they are ours, ignored when they are not."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeless_sim.errors import SettingsError
from edgeless_sim.runtimes.base import Cast, GuestEvent, GuestEventKind, RuntimeSettings
from edgeless_sim.runtimes.wasm.instance import WasmInstance
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

Build = Callable[..., bytes]
SpawnIn = Callable[[WasmRuntime, bytes], WasmInstance]

EVENT = GuestEvent(GuestEventKind.CAST, bytes(32), "payload")


@pytest.fixture
def run(guest: Build, echo_cast: str, spawn_in: SpawnIn) -> Callable[[Path], None]:
    """Run one guest in a run-time of its own that caches in the folder given."""
    code = guest("cast_asm", cast=echo_cast)

    def once(folder: Path) -> None:
        runtime = WasmRuntime(RuntimeSettings(module_cache=folder))
        try:
            step = spawn_in(runtime, code).dispatch(EVENT)
            assert step.outputs == [Cast("out", "payload")]
        finally:
            runtime.close()

    return once


def entries(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.glob("*.cwasm"))
    }


def test_a_second_run_finds_everything_compiled(
    tmp_path: Path, run: Callable[[Path], None]
) -> None:
    folder = tmp_path / "a" / "cache"
    run(folder)
    first = entries(folder)
    # The guest and the two halves of the trampoline.
    assert len(first) == 3
    run(folder)
    assert entries(folder) == first


def test_folder_and_files_are_private(tmp_path: Path, run: Callable[[Path], None]) -> None:
    folder = tmp_path / "cache"
    run(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
def test_an_entry_that_is_not_ours_is_replaced(
    tmp_path: Path, run: Callable[[Path], None], damage: str
) -> None:
    run(tmp_path / "cache")
    folder = tmp_path / "cache"
    good = {name: content for name, (_, content) in entries(folder).items()}
    names = list(good)
    for number, name in enumerate(names):
        content = good[name]
        bad = {
            "flip": content[:500] + bytes((content[500] ^ 1,)) + content[501:],
            "cut": content[:-1],
            "empty": b"",
            "swap": good[names[number - 1]],
        }[damage]
        (folder / name).write_bytes(bad)
    run(folder)
    assert {name: content for name, (_, content) in entries(folder).items()} == good


def test_entries_of_another_key_are_replaced(tmp_path: Path, run: Callable[[Path], None]) -> None:
    folder = tmp_path / "cache"
    run(folder)
    first = entries(folder)
    (folder / "key").write_bytes(bytes(32))
    run(folder)
    second = entries(folder)
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_a_folder_that_others_can_write_is_refused(
    tmp_path: Path, run: Callable[[Path], None]
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SettingsError, match="can be written by others"):
        run(folder)


def test_a_folder_that_cannot_be_made_is_refused(
    tmp_path: Path, run: Callable[[Path], None]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        run(tmp_path / "file" / "cache")
