"""Each step does what it says, at its time."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.errors import RejectedError, ScenarioError, SettingsError, UnknownComponentError
from edgeless_sim.kernel.journal import Record
from edgeless_sim.kernel.loop import run as run_loop
from edgeless_sim.scenario.loader import parse_scenario
from edgeless_sim.scenario.outcome import Outcome
from edgeless_sim.scenario.runner import open_cluster, run_scenario
from edgeless_sim.scenario.shipped import find_scenario, known_scenarios

ROOT: Final = Path(__file__).parents[2]
HEAD: Final = f"""
name = "x"
duration = "30s"
call_timeout = "2s"
[[domain]]
name = "edge"
strategy = "RoundRobin"
nodes = [{{count = 3, providers = ["file-log"]}}]
[network]
latency = "5ms"
[[step]]
at = "1s"
do = "start_workflow"
file = "{(ROOT / "scenarios/ping_pong/workflow.json").as_posix()}"
as = "w"
"""


def play(tmp_path: Path, *steps: str, head: str = HEAD) -> tuple[Outcome, list[Record]]:
    text = head + "".join(f"[[step]]\n{each}\n" for each in steps)
    records: list[Record] = []

    def read(batch: Sequence[Record]) -> None:
        records.extend(batch)

    outcome = run_scenario(parse_scenario(text.encode(), folder=tmp_path), readers=[read])
    return outcome, records


def faults(records: list[Record]) -> list[tuple[float, str, str]]:
    return [(r[0] / 1e9, r[2], r[3]) for r in records if r[1] == "fault"]


def test_a_crashed_node_comes_back_when_it_should(tmp_path: Path) -> None:
    step = 'at = "5s"\ndo = "crash_node"\nnode = "edge/0"\nrestart_after = "3s"'
    outcome, records = play(tmp_path, step)
    assert outcome.failure is None
    assert faults(records) == [(5, "crash", "edge/0"), (8, "restart", "edge/0")]


def test_outages_of_nodes_and_orchestrators(tmp_path: Path) -> None:
    outcome, records = play(
        tmp_path,
        'at = "5s"\ndo = "stop_node"\nnode = "edge/0"',
        'at = "7s"\ndo = "restart_node"\nnode = "edge/0"',
        'at = "9s"\ndo = "crash_orchestrator"\ndomain = "edge"',
        'at = "12s"\ndo = "restart_orchestrator"\ndomain = "edge"',
    )
    assert outcome.failure is None, outcome.failure
    assert faults(records) == [
        (5, "stop", "edge/0"),
        (7, "restart", "edge/0"),
        (9, "crash", "orc/edge"),
        (12, "restart", "orc/edge"),
    ]


def test_faults_of_the_network_heal_by_time_or_by_step(tmp_path: Path) -> None:
    outcome, records = play(
        tmp_path,
        'at = "5s"\ndo = "partition"\nbetween = [["edge/0"], ["edge/1"]]\nheal_after = "2s"',
        'at = "10s"\ndo = "degrade"\nloss = 0.5\nlatency = "100ms"',
        'at = "12s"\ndo = "heal"',
    )
    assert outcome.failure is None
    assert [(at, what) for at, what, _ in faults(records)] == [
        (5, "partition #1"),
        (7, "heal #1"),
        (10, "loss 0.5 #2"),
        (10, "delay 100 ms #3"),
        (12, "heal #2"),
        (12, "heal #3"),
    ]


def test_a_one_way_partition_loses_events_one_way(tmp_path: Path) -> None:
    step = (
        'at = "5s"\ndo = "partition"\none_way = true\nheal_after = "5s"\n'
        'between = [["@w/pinger"], ["@w/ponger"]]'
    )
    _, records = play(tmp_path, step)
    causes = {r[4] for r in records if r[1] == "drop"}
    assert causes == {"one-way partition"}


def test_a_step_begins_after_the_start_of_the_workflow_that_it_names(tmp_path: Path) -> None:
    outcome, records = play(
        tmp_path,
        'at = "1.1s"\ndo = "send"\nto = "w/ponger"\npayload = "early"',
        head=HEAD.replace('"5ms"', '"200ms"'),
    )
    assert outcome.failure is None, outcome.failure
    started = [r[0] for r in records if r[1] == "start"]
    sent = [r[0] for r in records if r[1] == "send" and r[6] == len("early")]
    assert len(started) == 2
    assert min(sent) > max(started) > 1.1e9


def test_a_cordoned_node_gets_nothing(tmp_path: Path) -> None:
    cordon = 'at = "0.5s"\ndo = "cordon"\nnode = "edge/{}"'
    uncordon = 'at = "0.6s"\ndo = "uncordon"\nnode = "edge/2"'
    _, records = play(tmp_path, *(cordon.format(index) for index in range(3)), uncordon)
    nodes = {r[2]: r[4] for r in records if r[1] == "def" and r[3] == "node"}
    assert {nodes[r[4]] for r in records if r[1] == "start"} == {"edge/2"}


def test_a_component_moves_where_it_is_told_to(tmp_path: Path) -> None:
    steps = [
        f'at = "{at}s"\ndo = "migrate"\ncomponent = "w/ponger"\nto = "edge/{to}"'
        for at, to in ((4, 0), (5, 1), (6, 2), (7, 0))
    ]
    _, records = play(tmp_path, *steps)
    names = {r[2]: r[4] for r in records if r[1] == "def" and r[3] in ("node", "component")}
    ran = [names[r[4]] for r in records if r[1] == "start" and names[r[3]].endswith("/ponger")]
    assert ran[-3:] == ["edge/1", "edge/2", "edge/0"]
    assert [r for r in records if r[1] == "drop"] == []


def test_events_are_sent_at_their_rate(tmp_path: Path) -> None:
    step = (
        'at = "5s"\ndo = "send"\nto = "w/ponger"\npayload = "an unusual length"\n'
        'count = 20\nevery = "1ms"'
    )
    _, records = play(tmp_path, step)
    sent = [r[0] for r in records if r[1] == "send" and r[6] == len("an unusual length")]
    assert len(sent) == 20
    assert {later - earlier for earlier, later in pairwise(sent)} == {1_000_000}


def test_a_call_waits_for_the_answer_it_names(tmp_path: Path) -> None:
    call = 'at = "5s"\ndo = "call"\nto = "w/ponger"\npayload = "hello"\nreply = "{}"'
    assert play(tmp_path, call.format("PONG"))[0].failure is None
    failure = play(tmp_path, call.format("PANG"))[0].failure
    assert failure is not None
    assert "answered 'PONG', expected 'PANG'" in str(failure.error)


def test_a_slow_step_delays_no_other(tmp_path: Path) -> None:
    outcome, records = play(
        tmp_path,
        'at = "5s"\ndo = "crash_node"\nnode = "@w/ponger"',
        'at = "5s"\ndo = "call"\nto = "w/ponger"\nmay_fail = true',
        'at = "5.5s"\ndo = "degrade"\nloss = 0.1',
    )
    assert outcome.failure is None
    assert faults(records)[1][:2] == (5.5, "loss 0.1 #1")


def test_a_component_that_runs_nowhere_has_no_node(tmp_path: Path) -> None:
    outcome, _ = play(
        tmp_path,
        'at = "5s"\ndo = "stop_workflow"\nworkflow = "w"',
        'at = "8s"\ndo = "crash_node"\nnode = "@w/ponger"',
    )
    assert outcome.failure is not None
    assert isinstance(outcome.failure.error, UnknownComponentError)
    assert outcome.ended_ns == 8_000_000_000, "the run ends with the step that failed"


def test_readers_get_every_record_from_the_first(tmp_path: Path) -> None:
    outcome, records = play(tmp_path)
    assert len(records) == outcome.records
    assert records[0][0] == 0


def test_a_cluster_is_opened_by_the_name_of_a_scenario() -> None:
    async def main() -> tuple[list[str], int]:
        async with open_cluster("node-crash", seed=5) as cluster:
            with pytest.raises(RejectedError):
                await cluster.host_of("sensors/sensor")
            return list(cluster.nodes), cluster.seed

    nodes, seed = run_loop(main)
    assert nodes == ["edge/0", "edge/1", "edge/2", "cloud/0", "cloud/1"]
    assert seed == 5


def test_a_world_that_does_not_exist_is_refused_and_one_that_the_scenario_is_not_for(
    tmp_path: Path,
) -> None:
    scenario = parse_scenario(HEAD.encode(), folder=tmp_path)
    with pytest.raises(SettingsError, match="no world 'mars'; there are: sim, tcp, grpc"):
        run_scenario(scenario, world="mars")
    with pytest.raises(ScenarioError, match=r"for sim only \(its key 'worlds'\), not for grpc"):
        run_scenario(scenario, world="grpc")


def test_shipped_scenarios_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_scenario("chain") == ROOT / "scenarios" / "chain" / "scenario.toml"
    assert "node-crash" in known_scenarios()
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "scenario.toml").write_text("")
    assert find_scenario("chain") == Path("chain/scenario.toml"), "the nearer one"
