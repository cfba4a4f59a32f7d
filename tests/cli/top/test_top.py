"""``edgeless-sim top`` with a scenario: on a terminal, elsewhere, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from edgeless_sim.cli.main import app

ROOT: Final = Path(__file__).parents[3]
#: What a frame begins with.
HOME: Final = "\x1b[H"


def top(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["top", *arguments], env={"COLUMNS": "120"})
    assert "Traceback" not in result.output
    return result


def row(frame: str, name: str) -> list[str]:
    """The cells of the first row that begins with *name*; none if there is none."""
    for line in frame.splitlines():
        if line.split()[:1] == [name]:
            return line.split()
    return []


def test_a_crash_and_its_repair_are_seen_as_they_happen(terminal: Callable[..., Any]) -> None:
    with terminal("node-crash", "--speed", "20x") as shown:
        assert shown.ended() == 0
        frames = shown.frames()
        states = [row(frame, "edge/1")[2:3] for frame in frames if row(frame, "edge/1")]
        assert ["alive"] in states
        assert ["crashed"] in states
        assert states.index(["alive"]) < states.index(["crashed"])
        homes = [row(frame, "sensor")[1:3] for frame in frames if row(frame, "sensor")]
        assert ["edge/1", "running"] in homes
        assert homes[-1] == ["edge/2", "running"]
        assert all(len(frame.splitlines()) <= shown.rows for frame in frames)
        assert all(len(line) <= shown.columns for frame in frames for line in frame.splitlines())
        left = shown.left()
        assert (
            "    12.000 s  place    sensors/sensor on edge/2 (RoundRobin: 2 of 2 feasible)" in left
        )
        assert left.splitlines()[-1] == "result: passed, 9 of 9 expectations hold"


def test_q_ends_it_well_and_leaves_what_was_to_be_seen(terminal: Callable[..., Any]) -> None:
    with terminal("node-crash") as shown:
        shown.until(lambda text: text.count(HOME) > 2)
        os.write(shown.master, b"q")
        assert shown.ended() == 0
        assert "5 nodes: 5 alive" in shown.left()
        assert "result" not in shown.left()
        assert "interrupted" not in shown.left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_gives_the_terminal_back(
    terminal: Callable[..., Any], number: signal.Signals
) -> None:
    with terminal("node-crash") as shown:
        shown.until(lambda text: text.count(HOME) > 2)
        shown.process.send_signal(number)
        assert shown.ended() == 130
        assert "5 nodes: 5 alive" in shown.left(), "the last frame"
        assert shown.left().endswith("\ninterrupted\n")


def test_no_color_is_respected(terminal: Callable[..., Any]) -> None:
    with terminal("noop", "--speed", "100x", NO_COLOR="1") as shown:
        assert shown.ended() == 0
        colours = re.findall(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", shown.written)
        assert colours == []


def test_a_dumb_terminal_gets_plain_text(terminal: Callable[..., Any]) -> None:
    with terminal("noop", "--speed", "100x", TERM="dumb") as shown:
        assert shown.ended() == 0
        assert "\x1b" not in shown.written
        assert "result: passed" in shown.written


def test_without_a_terminal_the_end_is_printed() -> None:
    result = top("node-crash")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert lines[0] == "node-crash  25.039 s  seed 42  rates of 10 s  passed"
    assert lines[1] == "5 nodes: 5 alive; 2 workflows: 2 running"
    assert row(result.stdout, "sensor")[1:3] == ["edge/2", "running"]
    assert lines[-1] == "result: passed, 9 of 9 expectations hold"


def test_an_interval_gives_a_snapshot_each_time_and_one_at_the_end() -> None:
    result = top("node-crash", "--interval", "4", "--format", "json")
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["at_s"] for each in shown[:-1]] == [4, 8, 12, 16, 20, 24]
    assert shown[-1]["phase"] == "passed"
    assert [each["window_s"] for each in shown] == [4] * 7
    states = [{each["name"]: each["state"] for each in one["nodes"]}["edge/1"] for one in shown]
    # At 8 s it has not crashed yet: a snapshot is of what was before.
    assert states == ["alive", "alive", "crashed", "crashed", "alive", "alive", "alive"]
    degraded = shown[2]["workflows"][0]
    assert (degraded["name"], degraded["state"]) == ("sensors", "degraded")
    assert shown[1]["phase"] == "next: crash_node at 8 s"
    assert shown[2]["network"]["lost_by_cause"] == {"nobody listens": 1}


def test_the_same_seed_shows_the_same() -> None:
    one, other = (top("node-crash", "--interval", "7", "--format", "json") for _ in range(2))
    assert one.stdout == other.stdout
    assert top("node-crash", "--seed", "7", "--format", "json").stdout != one.stdout


def test_plain_is_one_fact_per_line() -> None:
    lines = top("node-crash", "--once", "--format", "plain").stdout.splitlines()
    assert "node\tedge/0\tstate\talive" in lines
    assert "component\tsensors/sensor\tnode\tedge/2" in lines
    assert "network\t\tlost\t1" in lines
    assert all(len(line.split("\t")) == 4 for line in lines)


def scenario(folder: Path, more: str) -> str:
    """Write a small scenario of a second; give the path to type."""
    text = 'name = "x"\nduration = "1s"\nworlds = ["sim", "tcp"]\n[[domain]]\nname = "edge"\n'
    file = (ROOT / "scenarios" / "noop" / "workflow.json").as_posix()
    (folder / "scenario.toml").write_text(
        f'{text}nodes = [{{}}]\n{more}[[step]]\nat = "100ms"\ndo = "start_workflow"\nas = "w"\n'
        f'file = "{file}"\n'
    )
    return str(folder)


def test_a_run_over_real_sockets_is_shown_too(tmp_path: Path) -> None:
    more = '[[expect]]\nwhat = "workflow_running"\nworkflow = "w"\n'
    words = (scenario(tmp_path, more), "--world", "tcp", "--in-process", "--format", "json")
    result = top(*words, "--interval", "0.5")
    assert result.exit_code == 0, result.output
    *_, before, end = map(json.loads, result.stdout.splitlines())
    assert before["speed"] is None
    assert before["phase"].startswith(("next: ", "until "))
    assert end["phase"] == "passed"
    assert end["workflows_by_state"] == {"running": 1}
    assert end["nodes_by_state"] == {"alive": 1}


def test_an_expectation_that_fails_has_its_exit_code(tmp_path: Path) -> None:
    more = '[[expect]]\nwhat = "events_handled"\nworkflow = "w"\nmin = 1\n'
    result = top(scenario(tmp_path, more))
    assert result.exit_code == 6
    assert result.stdout.splitlines()[-1] == "result: failed, 0 of 1 expectations hold"
    assert "error: events_handled(workflow='w', min=1) does not hold" in result.stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("noop", "--controller-url", "http://127.0.0.1:1"), "do not go together"),
        (("noop", "--world", "tcp", "--speed", "2x"), "--speed is for the world sim"),
        (("noop", "--in-process"), "--in-process is for the worlds"),
        (("noop", "--once", "--interval", "1"), "do not go together"),
        (("--seed", "1", "--controller-url", "http://127.0.0.1:1"), "need a scenario"),
        (("noop", "--interval", "0"), "0.1"),
        (("noop", "--format", "xml"), "none of table, json, plain"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(words: tuple[str, ...], what: str) -> None:
    result = top(*words)
    assert result.exit_code == 2
    assert what in " ".join(result.stderr.replace("│", " ").split())


def test_an_unknown_scenario_is_not_found() -> None:
    result = top("node-crsh")
    assert result.exit_code == 4
    assert "did you mean 'node-crash'?" in result.stderr


def test_help_loads_no_rich() -> None:
    code = (
        "import sys; sys.argv = ['edgeless-sim', 'top', '--help']\n"
        "from edgeless_sim.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'anyio', 'msgspec', 'rich.live', 'edgeless_sim.cluster'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
