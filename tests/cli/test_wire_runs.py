"""Runs in real worlds as people see them: each component a process of its own."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import pytest

Begin = Callable[..., "subprocess.Popen[str]"]

ROOT: Final = Path(__file__).parents[2]
SCENARIO: Final = f"""\
name = "brief"
worlds = ["sim", "tcp", "grpc"]
duration = "4s"

[[domain]]
name = "edge"
nodes = [{{}}]

[[step]]
at = "100ms"
do = "start_workflow"
file = "{(ROOT / "scenarios/noop/workflow.json").as_posix()}"
as = "work"

[[step]]
at = "3s"
do = "send"
to = "work/noop"

[[expect]]
what = "workflow_running"
workflow = "work"
"""
#: Runs before anything else in each Python that finds it: does *what* in a component of one kind.
CUSTOM: Final = """\
import sys
words = sys.orig_argv
if "component" in words and words[words.index("component") + 1] == "{kind}":
    {what}
"""
#: A component notices at once that its cluster is gone; how long the machine may take.
GONE_S: Final = 10


@pytest.fixture
def brief(tmp_path: Path) -> str:
    """The path of a scenario of four seconds: starting a function may take one of them."""
    folder = tmp_path / "brief"
    folder.mkdir()
    (folder / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
    return str(folder)


@pytest.fixture
def begin(tmp_path: Path) -> Generator[Begin]:
    """Begin ``edgeless-sim run ARGUMENTS``; whatever runs at the end of the test is killed."""
    place = tmp_path / "temporary"
    place.mkdir()
    begun: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, custom: Path | None = None) -> "subprocess.Popen[str]":
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(place)}
        if custom is not None:
            known = environment.get("PYTHONPATH")
            environment["PYTHONPATH"] = os.pathsep.join([str(custom), *([known] if known else [])])
        process = subprocess.Popen(
            [sys.executable, "-m", "edgeless_sim", "run", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def wait_for_a_function(run: "subprocess.Popen[str]") -> None:
    """Return when one says in the logs that it has begun."""
    assert run.stdout is not None
    line = run.stdout.readline()
    assert ": started" in line, (line, *run.communicate(timeout=60))


def custom(folder: Path, kind: str, what: str) -> Path:
    """A folder that makes components of *kind* do *what* before they begin."""
    folder.joinpath("sitecustomize.py").write_text(CUSTOM.format(kind=kind, what=what))
    return folder


def children(process: "subprocess.Popen[str]") -> list[int]:
    """Process ids of what *process* has started."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
    return [int(word) for word in text.split()]


@pytest.mark.parametrize("world", [pytest.param("tcp", marks=pytest.mark.slow), "grpc"])
def test_a_real_run_says_that_its_time_is_real_and_how_to_repeat_it(
    world: str, brief: str, begin: Begin, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = begin(brief, "--world", world, "--out", str(out))
    text, complaint = run.communicate(timeout=60)
    assert (run.returncode, complaint) == (0, "")
    assert "simulated" not in text
    assert f" s in the world {world}; the cluster was up at " in text
    assert f"edgeless-sim run {brief} --seed 0 --world {world}  (real time: " in text
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert 0 < summary["run"]["begun_ns"] < summary["run"]["ended_ns"]
    assert summary["events"]["handled"] == 1


def test_a_step_waits_until_the_cluster_is_up_however_long_that_takes(
    brief: str, begin: Begin, tmp_path: Path
) -> None:
    late = custom(tmp_path, "con", "__import__('time').sleep(1.5)")
    run = begin(brief, "--world", "grpc", "--format", "json", custom=late)
    text, complaint = run.communicate(timeout=60)
    assert (run.returncode, complaint) == (0, "")
    summary = json.loads(text)
    assert summary["run"]["begun_ns"] >= 1_500_000_000
    assert summary["run"]["ended_ns"] - summary["run"]["begun_ns"] >= 1_000_000_000
    assert summary["events"]["handled"] == 1


def test_a_component_that_cannot_start_ends_the_run_with_its_own_words(
    brief: str, begin: Begin, tmp_path: Path
) -> None:
    words = r"sys.stderr.write('error: this disk is full\n'); sys.stderr.flush()"
    broken = custom(tmp_path, "node", f"{words}; __import__('os')._exit(1)")
    run = begin(brief, "--world", "tcp", custom=broken)
    text, complaint = run.communicate(timeout=60)
    assert (run.returncode, text) == (5, "")
    assert complaint == "error: node/edge/0 did not start: this disk is full\n"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("world", ["tcp", "grpc"])
def test_an_interrupt_ends_a_real_run_with_130_and_leaves_nothing(
    world: str, begin: Begin, tmp_path: Path
) -> None:
    run = begin("ping_pong", "--world", world, "--logs")
    wait_for_a_function(run)
    started = children(run)
    assert len(started) == 4
    run.send_signal(signal.SIGINT)
    _, complaint = run.communicate(timeout=60)
    assert (run.returncode, complaint) == (130, "interrupted\n")
    assert [number for number in started if Path(f"/proc/{number}").exists()] == []
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_run_that_is_killed_leaves_no_process(begin: Begin) -> None:
    run = begin("ping_pong", "--world", "tcp", "--logs")
    wait_for_a_function(run)
    started = children(run)
    run.kill()
    run.wait(timeout=60)
    for number in started:
        try:
            ended = os.pidfd_open(number)
        except ProcessLookupError:
            continue
        readable, _, _ = select.select([ended], [], [], GONE_S)
        os.close(ended)
        assert readable, f"process {number} is still there"
