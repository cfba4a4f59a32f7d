"""An ε-CON of a deployment that is killed keeps its promises when it is started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

Start: TypeAlias = Callable[[Sequence[str], Path], "subprocess.Popen[bytes]"]
ROOT: Final = Path(__file__).parents[2]
CHAIN: Final = ROOT / "scenarios" / "chain" / "workflow.json"
HOST: Final = "127.0.0.1"
#: Another one for each run on this machine, and none of the secured deployments.
FIRST_PORT: Final = 10_000 + os.getpid() % 9_000
PATIENCE_S: Final = 60


def until(condition: Callable[[], Any], told: Callable[[], str]) -> Any:
    """What *condition* returns as soon as that is true."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline_s, told()
        time.sleep(0.1)
    return found


def run_in(folder: Path) -> tuple[str, ...]:
    """The command of a component whose file is in *folder*, which it starts from."""
    (file,) = folder.glob("*.toml")
    kind = folder.name.partition("-")[0]
    command = f"exec python -m edgeless_sim component {kind} {file.name}"
    return ("sh", "-c", f'cd "$0" && {command}', str(folder))


def _ask(folder: Path, *words: str) -> tuple[int, str]:
    """``edgeless_cli`` in a folder with its file."""
    command = [str(Path(sys.executable).with_name("edgeless_cli")), *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    return done.returncode, done.stdout


def _mapping(folder: Path, workflow_id: str) -> list[Any]:
    code, text = _ask(folder, "--format", "json", "workflow", "inspect", workflow_id)
    assert code == 0, text
    found: list[Any] = json.loads(text)["status"]["mapping"]
    return found


@pytest.mark.parametrize("scheme", [pytest.param("http", marks=pytest.mark.slow), "tcp"])
def test_a_killed_controller_lists_the_same_workflows_and_they_run_again(
    scheme: str, start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "deployment"
    export = ("export", "chain", "--hosts", HOST, "--to", str(folder), "--scheme", scheme)
    ports = ("--first-port", str(FIRST_PORT))
    subprocess.run([sys.executable, "-m", "edgeless_sim", *export, *ports], check=True)
    home = folder / HOST
    log = tmp_path / "con.log"
    controller = start(run_in(home / "con"), log)
    for place in sorted(path for path in home.iterdir() if path.is_dir() and path.name != "con"):
        start(run_in(place), tmp_path / f"{place.name}.log")
    (tmp_path / "cli.toml").write_text(f'controller_url = "{scheme}://{HOST}:{FIRST_PORT}"\n')

    ask = partial(_ask, tmp_path)

    def logged() -> int:
        return sum(len(path.read_bytes().splitlines()) for path in home.rglob("chain.log"))

    def begin() -> str:
        code, output = ask("workflow", "start", str(CHAIN))
        assert code == 0, log.read_text()
        return output.strip()

    assert ask("--timeout", "30", "domain", "wait", "--nodes", "3")[0] == 0, log.read_text()
    kept, stopped = begin(), begin()
    assert ask("workflow", "stop", stopped)[0] == 0
    until(logged, log.read_text)

    controller.send_signal(signal.SIGKILL)
    controller.wait()
    again = tmp_path / "again.log"
    start(run_in(home / "con"), again)

    until(lambda: ask("workflow", "list")[0] == 0, again.read_text)
    code, output = ask("workflow", "list")
    assert code == 0
    assert kept in output
    assert stopped not in output

    assert len(until(lambda: _mapping(tmp_path, kept), again.read_text)) == 4
    before = logged()
    until(lambda: logged() > before + 1, again.read_text)
    assert ask("workflow", "stop", kept)[0] == 0
    assert "Traceback" not in again.read_text()


def test_a_damaged_store_ends_the_start_in_words_and_stays_as_it_is(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "con"
    folder.mkdir()
    store = folder / "controller.save"
    store.write_bytes(b"not a store of workflows")
    url = f"tcp://{HOST}:{FIRST_PORT}"
    (folder / "controller.toml").write_text(f'controller_url = "{url}"\n')
    log = tmp_path / "log"
    assert start(run_in(folder), log).wait(PATIENCE_S) == 1
    assert "store of workflows controller.save: " in log.read_text()
    assert "Traceback" not in log.read_text()
    assert store.read_bytes() == b"not a store of workflows"
