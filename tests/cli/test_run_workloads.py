"""What a run says about its workloads, and the same scenario over real sockets."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from edgeless_sim.cli.main import app

ROOT: Final = Path(__file__).parents[2]
SCENARIO: Final = f"""\
name = "small"
duration = "2s"
worlds = [WORLDS]

[[domain]]
name = "edge"
nodes = [{{count = 2, providers = ["file-log", "http-ingress"]}}]

[[step]]
at = "100ms"
do = "start_workflow"
file = "{(ROOT / "scenarios/http_ingress/workflow.json").as_posix()}"
as = "web"

[[workload]]
name = "clients"
kind = "http"
interarrival = "20ms"
start = "1s"
duration = "500ms"
method = "POST"
host = "demo.lab"

[[workload]]
name = "strangers"
kind = "http"
interarrival = "50ms"
start = "1s"
duration = "500ms"

[[workload]]
name = "copies"
kind = "workflow"
interarrival = "500ms"
lifetime = "200ms"
file = "{(ROOT / "scenarios/noop/workflow.json").as_posix()}"
start = "1s"
end = "1900ms"

[[expect]]
what = "workload"
workload = "clients"
status = "200"
exactly = 25
"""


def run(tmp_path: Path, *words: str, worlds: str = '"sim", "tcp"') -> Result:
    (tmp_path / "scenario.toml").write_text(SCENARIO.replace("WORLDS", worlds), encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(tmp_path), *words])
    assert "Traceback" not in result.output
    return result


def summary_of(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["run"]


def test_the_summary_has_every_workload(tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = summary_of(run(tmp_path, "--format", "json", "--out", str(out)))
    assert json.loads((out / "summary.json").read_text())["run"]["workloads"] == shown["workloads"]
    clients, strangers, copies = shown["workloads"]
    assert (clients["requested"], clients["in_flight"]) == (25, 0)
    assert clients["answers"] == {"200": 25}
    assert clients["latency"]["p50_ns"] > 0
    assert clients["blocking"] is None
    assert strangers["answers"] == {"404": 10}
    assert (copies["answers"], copies["blocking"]) == ({"started": 2}, 0.0)


def test_people_and_programs_see_the_answers(tmp_path: Path) -> None:
    table = run(tmp_path).stdout
    assert "workload   kind      arrived" in table
    rows = {line.split()[0]: line for line in table.splitlines() if line}
    assert rows["clients"].split()[1:4] == ["http", "25", "0"]
    assert rows["clients"].endswith("25 200")
    assert rows["copies"].endswith("2 started, blocking 0.0000")
    plain = run(tmp_path, "--format", "plain").stdout
    assert "arrived\tclients\t25\n" in plain
    assert "answers\tstrangers\t404\t10\n" in plain


def test_real_resources_are_those_of_real_sockets(tmp_path: Path) -> None:
    shown = summary_of(run(tmp_path, "--realtime", "--real-resources", "--format", "json"))
    assert shown["world"] == "tcp"
    clients, strangers, copies = shown["workloads"]
    assert clients["answers"] == {"200": 25}
    assert strangers["answers"] == {"404": 10}
    assert copies["answers"] == {"started": 2}


def test_real_resources_need_a_scenario_for_real_sockets(tmp_path: Path) -> None:
    result = run(tmp_path, "--realtime", "--real-resources", worlds='"sim"')
    assert result.exit_code == 3
    assert "with real resources it runs in the world tcp, and it is for sim only" in result.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--real-resources"], "--real-resources needs --realtime"),
        (["--real-resources", "--speed", "10x"], "--real-resources needs --realtime"),
        (["--real-resources", "--world", "tcp"], "those of the world tcp are real"),
    ],
)
def test_what_does_not_go_with_real_resources(
    tmp_path: Path, words: list[str], reason: str
) -> None:
    result = run(tmp_path, *words)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())
