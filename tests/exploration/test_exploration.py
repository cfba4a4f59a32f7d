"""A seed is a run of its own, always the same one; what it did and found is counted."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from edgeless_sim.cli.main import app
from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.controller.workflow_store import MemoryWorkflowStore
from edgeless_sim.errors import ScenarioError, SimulationError
from edgeless_sim.exploration.faults import FAULTS
from edgeless_sim.exploration.findings import Record
from edgeless_sim.exploration.hands import Hands
from edgeless_sim.exploration.operations import OPERATIONS
from edgeless_sim.exploration.oracle import Oracle, parts_of
from edgeless_sim.exploration.pool import explore_seeds
from edgeless_sim.exploration.run import explore_seed
from edgeless_sim.exploration.setting import built_in, load_setting, unplaceable
from edgeless_sim.exploration.swarm import draw_swarm, occasions
from edgeless_sim.exploration.tally import SeedResult
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.kernel.loop import run

TIMEOUT_S: Final = 120


def explore(*options: str, hash_seed: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edgeless_sim", "explore", *options]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def test_the_same_seeds_are_the_same_journals_in_any_process() -> None:
    one, other = (
        explore("--seeds", "3", "--seed", "5", "--format", "plain", *more, hash_seed=hash_seed)
        for hash_seed, more in ((1, ["--processes", "1"]), (2, ["--processes", "2"]))
    )
    assert one.returncode == other.returncode == 0, one.stderr + other.stderr
    assert one.stdout == other.stdout
    assert len(set(one.stdout.split())) == 6, "three seeds and three different digests"


def test_findings_are_json_on_request() -> None:
    done = explore("--seeds", "1", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["seeds"], found["violations"]) == (1, [])
    assert found["operations"][0]["kind"] == "start"
    assert found["operations"][0]["times"] > 0
    assert found["never"], "no seed does everything"


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--seeds", "0"], 2, "--seeds"),
        (["--format", "xml"], 2, "table, json, plain"),
        (["--scenario", "no-such"], 4, "no-such"),
        (["--scenario", "portal"], 3, "balancer"),
        (["--scenario", "kafka_egress", "--seed", "x"], 2, "--seed"),
    ],
)
def test_a_wrong_command_line_is_refused(options: list[str], code: int, text: str) -> None:
    done = explore(*options)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_violation_is_told_with_the_command_that_repeats_it_and_its_journal_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryWorkflowStore, "put", lambda *_: None)
    command = ["explore", "--seeds", "1", "--processes", "1", "--out", str(tmp_path / "kept")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 6
    assert "error: seed 0: I07: " in done.stderr
    assert "repeat with: edgeless-sim explore --seeds 1 --seed 0\n" in done.stderr
    assert "1 of them broke something" in done.stdout
    assert (tmp_path / "kept" / "seed-0.jsonl").read_bytes()
    assert json.loads((tmp_path / "kept" / "findings.json").read_bytes())["violations"]


def test_a_ctrl_c_shows_what_is_known_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seeds: Sequence[int], *_: Any, **__: Any) -> Iterator[SeedResult]:
        yield explore_seed(seeds[0], built_in())
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeless_sim.cli.explore.explore_seeds", interrupted)
    done = CliRunner().invoke(app, ["explore", "--seeds", "5000"])
    assert done.exit_code == 130
    assert "1 seeds from 0, 0 of them broke something" in done.stdout
    assert "interrupted after 1 of 5000 seeds" in done.stderr


def test_the_workflows_of_a_scenario_can_be_explored() -> None:
    result = explore_seed(3, load_setting("simple_workflow_http"))
    assert result.violations == ()
    assert result.tally.operations["start"] > 0


def test_a_scenario_without_workflows_is_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "scenario.toml").write_text(
        'name = "x"\nduration = "1s"\n[[domain]]\nname = "edge"\nnodes = [{}]\n'
    )
    with pytest.raises(ScenarioError, match="no workflow to start"):
        load_setting(str(tmp_path))


def test_a_seed_turns_off_about_half_of_what_there_is() -> None:
    swarms = [draw_swarm(Entropy(seed).stream("explore/swarm")) for seed in range(100)]
    for kind in FAULTS:
        assert 20 < sum(kind in swarm.faults for swarm in swarms) < 80, kind
    for kind in OPERATIONS:
        assert sum(kind in swarm.operations for swarm in swarms) > 20, kind
    drawn = {each.kind for each in occasions(swarms[0], Entropy(0).stream("x"))}
    assert drawn <= {*swarms[0].operations, *swarms[0].faults}


def test_what_never_happened_is_said() -> None:
    results = list(explore_seeds([4], None, processes=1))
    record = Record(scenario=None, first_seed=4, seeds_wanted=1)
    for result in results:
        record.add(result)
    found = record.findings(wall_s=1)
    done = {f"fault {each.kind!r}" for each in found.faults if each.times}
    assert not done & set(found.never)
    assert done | set(found.never) >= {f"fault {kind!r}" for kind in FAULTS}


def test_the_oracle_knows_where_what_fits() -> None:
    setting = built_in()
    oracle = Oracle(setting.topology, {})
    pinned = dict(setting.workflows)["pinned"]
    gpu, store = parts_of(pinned)[1:]
    assert oracle.feasible(gpu, "edge", ()) == ["edge/3"]
    assert oracle.feasible(gpu, "edge", ["edge/3"]) == []
    assert oracle.feasible(store, "cloud", ()) == ["cloud/0", "cloud/1"]
    assert oracle.hosts(pinned, ()) == ["edge", "lab"]
    assert oracle.hosts(unplaceable(), ()) == []


def test_the_oracle_knows_functions_that_run_elsewhere() -> None:
    setting = load_setting("serverless")
    oracle = Oracle(setting.topology, {})
    for _, request in setting.workflows:
        assert oracle.hosts(request, ())


def test_a_bug_that_ends_a_run_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> bool:
        raise ZeroDivisionError("a slip")

    monkeypatch.setitem(OPERATIONS, "start", broken)
    result = explore_seed(1, built_in())
    assert result.violations == ("I37: ZeroDivisionError: a slip",)
    assert len(result.digest) == 32


def test_what_was_found_before_a_run_ends_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(_: Cluster, **__: Any) -> None:
        raise SimulationError("not settled after 60 s")

    monkeypatch.setattr(MemoryWorkflowStore, "put", lambda *_: None)
    monkeypatch.setattr(Cluster, "settled", endless)
    setting = replace(built_in(), quiet=False)
    first, *others = explore_seed(0, setting).violations
    assert first == "G04: SimulationError: not settled after 60 s"
    assert any(each.startswith("I07") for each in others)


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_each_fault_can_happen_to_a_single_node(kind: str) -> None:
    setting = load_setting("noop")
    assert setting.topology.domains[0].nodes_total == 1

    async def story(seed: int) -> None:
        async with open_topology(setting.topology, seed=seed) as cluster:
            hands = Hands(cluster, setting, Entropy(seed))
            await FAULTS[kind](hands, hands.dice(kind))

    for seed in range(8):
        run(partial(story, seed))


def test_a_folder_that_cannot_be_made_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = explore("--seeds", "1000000", "--out", str(tmp_path / "file" / "kept"))
    assert done.returncode == 1
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_another_journal_when_a_seed_is_run_again_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moods = count()

    async def moody(hands: Hands, _: Random) -> bool:
        hands.cluster.journal.record("fault", f"mood {next(moods)}", "")
        return True

    monkeypatch.setitem(OPERATIONS, "start", moody)
    command = ["explore", "--seeds", "1", "--processes", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert "seed 0: G12: its journal is another one" in done.stderr
    assert done.exit_code == 6


def test_a_code_and_its_start_fit_through_the_narrowest_link() -> None:
    assert built_in().code_bytes_max == 0
    code = [
        function.class_specification.binary
        for _, request in load_setting("sqlx").workflows
        for function in request.functions
    ]
    assert load_setting("sqlx").code_bytes_max == max(len(each or b"") for each in code) > 1_000
