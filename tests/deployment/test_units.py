"""The units for systemd start programs that there are, with options that they have."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parents[2] / "docs" / "systemd"
UNITS: Final = sorted(FOLDER.glob("*.service"))


def command_of(unit: Path) -> list[str]:
    (line,) = (x for x in unit.read_text("utf-8").splitlines() if x.startswith("ExecStart="))
    return line.removeprefix("ExecStart=").split()


def test_there_is_a_unit_for_each_daemon() -> None:
    assert [unit.stem for unit in UNITS] == ["edgeless_con_d", "edgeless_node_d", "edgeless_orc_d"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_its_program_with_options_that_it_has(unit: Path) -> None:
    program, *arguments = command_of(unit)
    assert Path(program).name == unit.stem
    options = [word for word in arguments if word.startswith("--")]
    there = Path(sys.executable).with_name(unit.stem)
    done = subprocess.run([there, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert options
    assert all(option in done.stdout for option in options)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_a_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    text = unit.read_text("utf-8").replace("/opt/edgeless/bin", str(Path(sys.executable).parent))
    copy = tmp_path / unit.name
    copy.write_text(text.replace("User=edgeless\n", ""), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
