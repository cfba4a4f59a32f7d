"""Workloads arrive when they should, and what became of them is counted."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

import pytest

from edgeless_sim.kernel.journal import Record
from edgeless_sim.resources.simulated.http_ingress import IngressDoor, IngressRequest
from edgeless_sim.scenario.arrivals import MODELS
from edgeless_sim.scenario.loader import parse_scenario
from edgeless_sim.scenario.outcome import Outcome, Verdict, WorkloadResult
from edgeless_sim.scenario.runner import run_scenario
from edgeless_sim.scenario.workloads import HttpWorkload

ROOT: Final = Path(__file__).parents[2]
HEAD: Final = """
name = "x"
duration = "10s"
call_timeout = "2s"
[[domain]]
name = "edge"
strategy = "RoundRobin"
nodes = [{count = 2, providers = ["http-ingress"]}]
[network]
latency = "2ms"
[[step]]
at = "1s"
do = "start_workflow"
as = "w"
"""
HTTP: Final = 'kind = "http"\npath = "/hello"\n'
CALL: Final = 'kind = "event"\nto = "w/processor"\ncall = true\n'
CAST: Final = 'kind = "event"\nto = "w/processor"\n'
FLEET: Final = 'kind = "workflow"\nfile = "noop.json"\nprefix = "fleet"\n'
EVERY_100_MS: Final = 'name = "load"\nstart = "5s"\ninterarrival = "100ms"\n'


def function(name: str, code: str) -> str:
    module = (ROOT / "functions" / code / f"{code}.wasm").as_posix()
    return (
        f'{{"name": "{name}", "class_specification": {{"id": "{code}", "function_type": '
        f'"RUST_WASM", "version": "0.1", "code": "{module}", "outputs": []}}, '
        '"output_mapping": {}, "annotations": {}}'
    )


def table(name: str, keys: str, kind: str) -> str:
    return f'[[workload]]\nname = "{name}"\n{keys}\n{kind}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ingress = (
        '{"name": "ingress", "class_type": "http-ingress", "output_mapping": '
        '{"new_request": "processor"}, "configurations": {"method": "GET"}}'
    )
    processor = function("processor", "http_processor")
    workflow = f'{{"functions": [{processor}], "resources": [{ingress}], "annotations": {{}}}}'
    (tmp_path / "workflow.json").write_text(workflow)
    fleet = function("noop-@WF_ID", "noop")
    (tmp_path / "noop.json").write_text(
        f'{{"functions": [{fleet}], "resources": [], "annotations": {{}}}}'
    )
    return tmp_path


def play(folder: Path, more: str, head: str = HEAD) -> tuple[Outcome, list[Record]]:
    records: list[Record] = []

    def read(batch: Sequence[Record]) -> None:
        records.extend(batch)

    scenario = parse_scenario((head + more).encode(), folder=folder)
    return run_scenario(scenario, readers=[read]), records


def result(folder: Path, workload: str, more: str = "") -> WorkloadResult:
    (found,) = play(folder, f"[[workload]]\n{workload}{more}")[0].workloads
    assert found.requested == found.in_flight + sum(found.answers.values())
    return found


@pytest.mark.parametrize(
    ("workload", "answers", "took_ns"),
    [
        (HTTP, {"200": 50}, 4_000_000),
        ('kind = "http"\npath = "/other"\n', {"404": 50}, 4_000_000),
        ('kind = "http"\nmethod = "POST"\n', {"404": 50}, 0),
        ('kind = "http"\nmethod = "OPTIONS"\n', {"405": 50}, 0),
        (CALL, {"reply": 50}, 4_000_000),
        (CAST, {"sent": 50}, 0),
    ],
)
def test_answers_and_latencies_are_counted(
    folder: Path, workload: str, answers: dict[str, int], took_ns: int
) -> None:
    found = result(folder, EVERY_100_MS + workload)
    assert found.answers == answers
    assert found.latency.minimum_ns == pytest.approx(took_ns, abs=200_000)
    assert found.blocking is None


def test_events_arrive_at_their_times(folder: Path) -> None:
    more = f'[[workload]]\n{EVERY_100_MS}{CAST}payload = "an unusual length"\nend = "6s"\n'
    _, records = play(folder, more)
    sent = [r[0] for r in records if r[1] == "send" and r[6] == len("an unusual length")]
    assert sent == [5_000_000_000 + n * 100_000_000 for n in range(10)]


def test_what_arrives_in_the_warmup_is_not_counted(folder: Path) -> None:
    assert result(folder, f'{EVERY_100_MS}{CAST}warmup = "2s"\n').requested == 30


@pytest.mark.parametrize("keys", ['duration = "1s"\n', 'end = "6s"\n', "count = 10\n"])
def test_it_ends_by_time_or_by_count(folder: Path, keys: str) -> None:
    assert result(folder, EVERY_100_MS + CAST + keys).requested == 10


def test_what_is_not_answered_in_time_is_given_up(folder: Path) -> None:
    cut = '[[step]]\nat = "6.95s"\ndo = "partition"\nbetween = [["edge/0"], ["edge/1"]]\n'
    found = result(folder, f'{EVERY_100_MS}{HTTP}timeout = "1s"\n', cut)
    assert found.answers == {"200": 20, "timeout": 20}
    assert found.in_flight == 10, "those of the last second"


def test_a_late_function_is_504_and_the_client_that_waits_longer_sees_it(folder: Path) -> None:
    cut = '[[step]]\nat = "5.95s"\ndo = "partition"\nbetween = [["edge/0"], ["edge/1"]]\n'
    found = result(folder, EVERY_100_MS + HTTP, cut)
    assert found.answers == {"200": 10, "504": 20}
    assert found.in_flight == 20


def test_an_overload_is_bounded_and_visible(folder: Path) -> None:
    cut = '[[step]]\nat = "4.95s"\ndo = "partition"\nbetween = [["edge/0"], ["edge/1"]]\n'
    found = result(folder, f'{EVERY_100_MS}{HTTP}timeout = "9s"\nwaiting_max = 15\n', cut)
    # Of the 20 that arrive in 2 s, 15 wait in vain; the last answer is the end of the run.
    assert (found.answers, found.in_flight) == ({"504": 25, "overload": 10}, 15)


def test_a_door_that_is_shut_refuses_and_calls_to_nobody_fail(folder: Path) -> None:
    crashes = "".join(
        f'[[step]]\nat = "4s"\ndo = "crash_node"\nnode = "edge/{index}"\n' for index in range(2)
    )
    assert result(folder, EVERY_100_MS + HTTP, crashes).answers == {"refused": 50}
    assert result(folder, EVERY_100_MS + CALL, crashes).answers == {"no instance": 50}


@pytest.mark.parametrize(("workload", "good"), [(HTTP, "200"), (CALL, "reply")])
def test_it_follows_what_it_asks_to_another_node(folder: Path, workload: str, good: str) -> None:
    component = "ingress" if good == "200" else "processor"
    crash = f'[[step]]\nat = "6s"\ndo = "crash_node"\nnode = "@w/{component}"\n'
    head = HEAD.replace('"10s"', '"20s"')
    (found,) = play(folder, f"[[workload]]\n{EVERY_100_MS}{workload}{crash}", head)[0].workloads
    # It is missed after the keep-alive of 2 s and started on the other node by the next round.
    assert found.answers[good] == pytest.approx(110, abs=5)
    assert found.requested == 150


def test_a_way_is_looked_for_when_something_changed_and_not_for_each_request(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def takes(door: IngressDoor, request: IngressRequest) -> bool:
        looks.append(request)
        return original(door, request)

    original = IngressDoor.takes
    monkeypatch.setattr(IngressDoor, "takes", takes)
    early = 'name = "load"\nstart = "0s"\ninterarrival = "1ms"\n'
    found = result(folder, early + HTTP)
    assert found.answers["404"] == pytest.approx(1_000, abs=100), "until the workflow is there"
    assert found.answers["200"] == pytest.approx(9_000, abs=100)
    # Two doors that open, an instance that is started and patched.
    assert len(looks) < 20


def test_workflows_come_and_go_as_their_lifetimes_say(folder: Path) -> None:
    more = (
        f'[[workload]]\nname = "load"\nstart = "2s"\nend = "6s"\ninterarrival = "1s"\n'
        f'lifetime = "1500ms"\n{FLEET}'
    )
    checks = "".join(
        f'[[expect]]\nwhat = "{what}"\nworkflow = "fleet-{number}"\nat = "{at}"\n'
        for what, number, at in [
            ("workflow_running", 0, "3.4s"),
            ("workflow_stopped", 0, "3.6s"),
            ("workflow_running", 3, "5.9s"),
            ("workflow_stopped", 3, "6.1s"),
        ]
    )
    outcome, records = play(folder, more + checks)
    assert [each.holds for each in outcome.judgements] == [True] * 4, outcome.judgements
    (found,) = outcome.workloads
    assert (found.answers, found.blocking) == ({"started": 4}, 0.0)
    names = [r[4] for r in records if r[1] == "def" and r[3] == "component"]
    assert [name.rpartition("/")[2] for name in names if "noop" in name] == [
        f"noop-{number}" for number in range(4)
    ]


def test_kept_workflows_outlive_their_workload(folder: Path) -> None:
    more = (
        f'[[workload]]\nname = "load"\nmodel = "incremental-and-keep"\nwarmup = "2s"\n'
        f'start = "1s"\nend = "5s"\ninterarrival = "1s"\n{FLEET}keep = {{}}\n'
        '[[expect]]\nwhat = "workflow_running"\nworkflow = "fleet-1"\n'
    )
    assert play(folder, more.format("true"))[0].judgements[0].holds
    assert not play(folder, more.format("false"))[0].judgements[0].holds


def test_a_workflow_that_is_refused_blocks(folder: Path) -> None:
    (folder / "noop.json").write_text(
        (folder / "noop.json")
        .read_text()
        .replace('"annotations": {}}]', '"annotations": {"label_match_all": "nowhere"}}]')
    )
    more = (
        f'[[workload]]\nname = "load"\nstart = "2s"\ninterarrival = "1s"\nlifetime = "1s"\n{FLEET}'
    )
    check = '[[expect]]\nwhat = "workload"\nworkload = "load"\nblocking_max = 0.5\n'
    outcome, _ = play(folder, more + check)
    (found,) = outcome.workloads
    assert (found.answers, found.blocking) == ({"rejected": 8}, 1.0)
    assert not outcome.judgements[0].holds
    assert outcome.judgements[0].found.endswith("blocking probability 1.0000")


def test_a_trace_says_when(folder: Path) -> None:
    (folder / "trace.csv").write_text("0.5,1\n0.5,1\n2,9\n")
    more = f'name = "load"\nmodel = "trace"\ntrace = "trace.csv"\nstart = "5s"\n{CAST}'
    assert result(folder, more).requested == 3


def test_each_workload_has_dice_of_its_own(folder: Path) -> None:
    poisson = '[[workload]]\nname = "{}"\nmodel = "poisson"\nstart = "2s"\ninterarrival = "50ms"\n'
    alone = play(folder, poisson.format("load") + CAST)[0].workloads
    both = play(folder, poisson.format("other") + CAST + poisson.format("load") + CAST)[0].workloads
    assert both[1].requested == alone[0].requested != both[0].requested


def test_a_workload_is_something_to_judge(folder: Path) -> None:
    head = HEAD.partition("[[step]]")[0]
    check = '[[expect]]\nwhat = "workload"\nworkload = "load"\nexactly = {}\n'
    workload = (
        f'[[workload]]\nname = "load"\nstart = "2s"\ninterarrival = "2s"\nlifetime = "1s"\n{FLEET}'
    )
    assert play(folder, workload + check.format(4), head)[0].verdict is Verdict.PASSED
    assert play(folder, workload + check.format(5), head)[0].verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("keys", "holds"),
    [
        ("exactly = 50", True),
        ("min = 51", False),
        ("max = 49", False),
        ('status = "200"\nmin = 50', True),
        ('status = "503"\nmin = 1', False),
        ('status = "timeout"\nexactly = 0', True),
        ('within = "5ms"', True),
        ('within = "3ms"', False),
        ('within = "3ms"\nshare = 0.0001', False),
        ('p95_max = "5ms"', True),
        ('p95_max = "3ms"', False),
    ],
)
def test_expectations_about_a_workload(folder: Path, keys: str, holds: bool) -> None:
    more = f'[[workload]]\n{EVERY_100_MS}{HTTP}[[expect]]\nwhat = "workload"\nworkload = "load"\n'
    # Those that arrive last are answered within the run.
    more = more.replace('start = "5s"', 'start = "4.9s"\nend = "9.9s"')
    judgement = play(folder, more + keys)[0].judgements[0]
    assert judgement.holds is holds, judgement.found


def test_every_model_can_be_named() -> None:
    assert set(get_args(HttpWorkload.model_fields["model"].annotation)) == set(MODELS)


def test_a_run_with_workloads_is_the_same_in_every_process(folder: Path) -> None:
    (folder / "scenario.toml").write_text(
        HEAD
        + table("a", 'model = "poisson"\nstart = "2s"\ninterarrival = "20ms"', HTTP)
        + table("b", 'model = "diurnal"\nperiod = "2s"\ninterarrival = "20ms"', CALL)
        + table("c", 'model = "poisson"\nlifetime = "1s"\ninterarrival = "1s"', FLEET)
        + '[[step]]\nat = "4s"\ndo = "crash_node"\nnode = "@w/ingress"\nrestart_after = "1s"\n'
    )
    command = [sys.executable, "-m", "edgeless_sim", "run", str(folder), "-q"]
    digests = {
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
