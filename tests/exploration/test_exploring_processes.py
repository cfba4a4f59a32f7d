"""Processes that explore end with whoever started them, and lose nothing that was found."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

PATIENCE_S: Final = 60.0
#: Enough not to come to an end by itself.
SEEDS: Final = "100000"

Processes = tuple["subprocess.Popen[str]", list[psutil.Process]]


def until(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.05)


def workers(parent: int) -> list[psutil.Process]:
    return [
        each
        for each in psutil.Process(parent).children()
        if any("spawn_main" in word for word in each.cmdline())
    ]


@pytest.fixture
def exploring(tmp_path: Path) -> Iterator[Processes]:
    """A program that explores with two processes, both of which are at work."""
    options = ["--seeds", SEEDS, "--processes", "2", "--out", str(tmp_path / "kept")]
    program = subprocess.Popen(
        [sys.executable, "-m", "edgeless_sim", "explore", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    found: list[psutil.Process] = []
    try:
        until(lambda: len(workers(program.pid)) == 2, "two processes")
        found = workers(program.pid)
        until(lambda: all(sum(each.cpu_times()[:2]) > 1 for each in found), "both are at work")
        yield program, found
    finally:
        program.kill()
        for each in found:
            if each.is_running():
                each.kill()
        program.communicate(timeout=PATIENCE_S)


def test_processes_end_when_their_parent_is_killed(exploring: Processes) -> None:
    program, found = exploring
    program.kill()
    until(lambda: not any(each.is_running() for each in found), "they end")


def test_what_is_known_is_shown_when_a_process_dies(exploring: Processes, tmp_path: Path) -> None:
    program, found = exploring
    found[0].kill()
    out, err = program.communicate(timeout=PATIENCE_S)
    assert program.returncode == 1
    assert "seeds from 0, 0 of them broke something" in out
    assert "one of the exploring processes has died" in err
    assert "bug of edgeless-sim" not in err
    assert json.loads((tmp_path / "kept" / "findings.json").read_bytes())["seeds"] >= 0


def test_a_ctrl_c_is_heard_however_many_seeds_there_are(exploring: Processes) -> None:
    program, found = exploring
    os.killpg(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=PATIENCE_S)
    assert program.returncode == 130, err
    assert "seeds from 0, 0 of them broke something" in out
    assert f"of {SEEDS} seeds" in err
    assert "Traceback" not in err
    until(lambda: not any(each.is_running() for each in found), "they end")
