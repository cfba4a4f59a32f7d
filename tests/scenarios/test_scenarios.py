"""Each shipped scenario meets its expectations, with the same journal under two hash seeds.

The comparison itself is shown functions that sin against determinism, and finds them.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.outcome import Verdict
from edgeless_sim.scenario.runner import run_scenario

SCENARIOS: Final = Path(__file__).parents[2] / "scenarios"
SHIPPED: Final = sorted(path.parent.name for path in SCENARIOS.glob("*/scenario.toml"))
TIMEOUT_S: Final = 120

SINFUL_SCENARIO: Final = """\
name = "sinful"
seed = 1
duration = "20s"

[[domain]]
name = "edge"
nodes = [{}]

[[step]]
at = "1s"
do = "start_workflow"
as = "work"

[[step]]
at = "2s"
do = "send"
to = "work/sinner"
payload = "go on"
count = 5
every = "1s"
"""
SINFUL_WORKFLOW: Final = """\
{"functions": [{"name": "sinner", "output_mapping": {}, "annotations": {},
  "class_specification": {"id": "sinner", "function_type": "PYTHON", "version": "1",
                          "code": "sinner.py:Sinner", "outputs": []}}],
 "resources": [], "annotations": {}}
"""
SINNER: Final = """\
import random, time
from edgeless_sim import PythonFunction


class Sinner(PythonFunction):
    def handle_cast(self, source, message):
        self.edgeless.log(str({}))
"""


def journal_of(scenario: Path, out: Path, hash_seed: int) -> bytes:
    """The journal of a run in a process of its own; the run must not fail."""
    command = [sys.executable, "-m", "edgeless_sim", "run", str(scenario), "-q", "--out", str(out)]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return (out / "journal.jsonl").read_bytes()


def first_difference(one: bytes, other: bytes) -> str | None:
    """The first line in which two journals differ; None if they are the same, byte for byte."""
    if one == other:
        return None
    lines, others = one.splitlines(), other.splitlines()
    for number, (line, different) in enumerate(zip(lines, others, strict=False), start=1):
        if line != different:
            return f"line {number}: {line!r} and {different!r}"
    return f"line {min(len(lines), len(others)) + 1}: one journal ends"


def sinful(folder: Path, expression: str) -> Path:
    """A scenario with a function that logs the value of *expression* at each event."""
    folder.mkdir()
    (folder / "scenario.toml").write_text(SINFUL_SCENARIO)
    (folder / "workflow.json").write_text(SINFUL_WORKFLOW)
    (folder / "sinner.py").write_text(SINNER.format(expression))
    return folder


def differences(scenario: Path, tmp_path: Path) -> str | None:
    one = journal_of(scenario, tmp_path / "one", hash_seed=1)
    other = journal_of(scenario, tmp_path / "other", hash_seed=2)
    assert one, "an empty journal compares equal to everything"
    return first_difference(one, other)


def test_there_are_scenarios() -> None:
    assert {"chain", "file_log", "node-crash", "noop", "partition", "ping_pong"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_scenario_passes_and_its_journal_is_the_same_under_two_hash_seeds(
    name: str, tmp_path: Path
) -> None:
    assert differences(SCENARIOS / name, tmp_path) is None


@pytest.mark.parametrize("name", SHIPPED)
def test_another_seed_gives_another_run_and_the_same_seed_the_same(name: str) -> None:
    scenario = load_scenario(SCENARIOS / name)
    first, again, other = (run_scenario(scenario, seed=seed) for seed in (101, 101, 102))
    assert first.digest == again.digest
    assert first.digest != other.digest


@pytest.mark.parametrize("name", SHIPPED)
def test_a_scenario_says_in_a_readme_what_it_shows(name: str) -> None:
    text = (SCENARIOS / name / "README.md").read_text("utf-8")
    assert f"edgeless-sim run {name}" in text


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ["node-crash", "partition"])
def test_a_scenario_of_faults_passes_with_other_seeds(name: str, seed: int) -> None:
    outcome = run_scenario(load_scenario(SCENARIOS / name), seed=seed)
    assert outcome.verdict is Verdict.PASSED, outcome.judgements


@pytest.mark.parametrize(
    "expression",
    [
        "time.time_ns()",
        "random.random()",
        "list({'alpha', 'beta', 'gamma', 'delta', 'epsilon'})",
        "hash('alpha')",
    ],
)
def test_a_function_that_depends_on_its_process_is_found(expression: str, tmp_path: Path) -> None:
    found = differences(sinful(tmp_path / "sinful", expression), tmp_path)
    assert found is not None
    assert '"log"' in found


def test_a_function_that_draws_from_its_own_dice_is_innocent(tmp_path: Path) -> None:
    assert differences(sinful(tmp_path / "pure", "self.dice.random()"), tmp_path) is None


def test_the_first_difference_of_two_journals_is_named() -> None:
    assert first_difference(b"[1]\n[2]\n", b"[1]\n[2]\n") is None
    assert first_difference(b"[1]\n[2]\n", b"[1]\n[3]\n") == "line 2: b'[2]' and b'[3]'"
    assert first_difference(b"[1]\n", b"[1]\n[3]\n") == "line 2: one journal ends"
