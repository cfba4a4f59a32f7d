"""The program as people type it: results, exit codes, what is kept, what is said."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from edgeless_sim.cli.main import app

ROOT: Final = Path(__file__).parents[2]
SMALL: Final = """\
name = "small"
seed = 4
duration = "5s"

[[domain]]
name = "edge"
nodes = [{providers = ["file-log"]}]
"""
START: Final = '\n[[step]]\nat = "1s"\ndo = "start_workflow"\nfile = "FILE"\nas = "work"\n'


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert "Traceback" not in result.output
    return result


def spawn(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeless_sim", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def scenario(folder: Path, more: str = "", *, workflow: str = "noop") -> str:
    """Write a small scenario; give the path to type."""
    file = ROOT / "scenarios" / workflow / "workflow.json"
    text = SMALL + START.replace("FILE", file.as_posix()) + more
    (folder / "scenario.toml").write_text(text, encoding="utf-8")
    return str(folder)


def test_help_lists_only_what_exists() -> None:
    text = invoke("--help").stdout
    assert " run " in text
    assert " check " in text
    assert " up " in text
    assert " top " in text
    assert " explore " in text


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['edgeless-sim', '--help']\n"
        "from edgeless_sim.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'anyio', 'msgspec', 'pydantic', 'wasmtime', 'edgeless_sim.cluster'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_shown() -> None:
    assert invoke("--version").stdout == "edgeless-sim 0.1.0\n"


def test_the_last_line_repeats_the_run() -> None:
    first = invoke("run", "ping_pong", "--seed", "42").stdout.splitlines()[-1]
    digest, command = first.removeprefix("digest ").split("  ")
    assert len(digest) == 32
    assert command == "edgeless-sim run ping_pong --seed 42"
    again = invoke(*command.split()[1:])
    assert again.exit_code == 0
    assert again.stdout.splitlines()[-1] == first


def test_quiet_says_the_digest_only() -> None:
    text = invoke("run", "noop", "-q").stdout
    assert text.strip().isalnum()
    assert len(text) == 33


def test_json_has_the_numbers_of_the_run() -> None:
    summary = json.loads(invoke("run", "latency", "--format", "json").stdout)
    assert summary["version"] == 1
    assert summary["run"]["verdict"] == "passed"
    assert summary["simulated_s"] >= 60
    components = {(each["workflow"], each["component"]): each for each in summary["components"]}
    chain = [component for workflow, component in components if workflow == "chain"]
    assert chain == ["counter", "double", "incr", "log"]
    assert 4_000_000 <= components["chain", "incr"]["latency"]["p50_ns"] <= 6_000_000
    assert summary["events"]["lost"] == 0


def test_plain_has_one_fact_per_line() -> None:
    lines = invoke("run", "noop", "--format", "plain").stdout.splitlines()
    assert "handled\tnoop/noop\t1" in lines
    assert all(len(line.split("\t")) >= 3 for line in lines)


def test_no_output_has_a_colour() -> None:
    assert "\x1b" not in invoke("run", "chain", "--logs").output


def test_logs_have_virtual_time_and_no_control_characters(tmp_path: Path) -> None:
    (tmp_path / "speaker.py").write_text(
        "from edgeless_sim import PythonFunction\n"
        "class Speaker(PythonFunction):\n"
        "    def handle_init(self, payload, state):\n"
        "        self.edgeless.log('red \\x1b[31m\\nsecond')\n"
    )
    specification = {
        "id": "x",
        "function_type": "PYTHON",
        "version": "1",
        "code": "speaker.py:Speaker",
        "outputs": [],
    }
    function = {
        "name": "speaker",
        "class_specification": specification,
        "output_mapping": {},
        "annotations": {},
    }
    workflow = {"functions": [function], "resources": [], "annotations": {}}
    (tmp_path / "workflow.json").write_text(json.dumps(workflow))
    (tmp_path / "scenario.toml").write_text(SMALL + START.replace("FILE", "workflow.json"))

    line = invoke("run", str(tmp_path), "--logs").stdout.splitlines()[0]
    assert line.startswith("[   1.000")
    assert line.endswith("s] edge/0 work/speaker INFO red \\u001b[31m\\u000asecond")


def test_a_run_is_kept_with_its_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = invoke("run", "chain", "--out", str(out), "-q")
    assert result.exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "files",
        "journal.jsonl",
        "logs.jsonl",
        "summary.json",
    ]
    summary = json.loads((out / "summary.json").read_text())
    journal = (out / "journal.jsonl").read_text().splitlines()
    assert summary["records"] == len(journal)
    assert summary["run"]["digest"] == result.stdout.strip()
    written = list(out.glob("files/edge/*/chain.log"))
    assert len(written) == 1
    assert written[0].read_text().splitlines()[-1].isdecimal()
    entry = json.loads((out / "logs.jsonl").read_text().splitlines()[0])
    assert entry["workflow"] == "chain"


def test_the_digest_is_that_of_the_journal_that_was_kept(tmp_path: Path) -> None:
    from hashlib import blake2b

    out = tmp_path / "out"
    digest = invoke("run", "noop", "--out", str(out), "-q").stdout.strip()
    journal = (out / "journal.jsonl").read_bytes()
    assert blake2b(journal, digest_size=16).hexdigest() == digest


def test_an_earlier_run_is_replaced_by_force_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert invoke("run", "noop", "--out", str(out)).exit_code == 0
    before = (out / "summary.json").read_text()
    refused = invoke("run", "noop", "--seed", "8", "--out", str(out))
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert (out / "summary.json").read_text() == before
    assert invoke("run", "noop", "--seed", "8", "--out", str(out), "--force").exit_code == 0
    assert (out / "summary.json").read_text() != before


def test_a_folder_with_other_things_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    refused = invoke("run", "noop", "--out", str(tmp_path), "--force")
    assert refused.exit_code == 1
    assert "thesis.txt" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_unknown_scenario_is_not_found_but_the_nearest_is_named() -> None:
    result = invoke("run", "pingpong")
    assert result.exit_code == 4
    assert "did you mean 'ping_pong'?" in result.stderr


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "no/such/place.toml"])
def test_a_strange_name_is_not_found(name: str) -> None:
    assert invoke("run", name).exit_code == 4
    assert invoke("check", name).exit_code == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "noop", "--seed", "x"],
        ["run", "noop", "--seed", "-1"],
        ["run", "noop", "--format", "xml"],
        ["run", "noop", "--speed", "fast"],
        ["run", "noop", "--speed", "0"],
        ["run", "noop", "--speed", "0.0000000001"],
        ["run", "noop", "--speed", "9" * 400 + "x"],
        ["run", "noop", "--no-such-option"],
        ["no-such-command"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_a_world_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    result = invoke("run", "noop", "--world", "mars", "--out", str(tmp_path / "out"))
    assert result.exit_code == 3
    assert "no world 'mars'; there are: sim, tcp, grpc" in result.stderr


def test_a_real_world_has_no_speed_and_a_simulation_no_processes() -> None:
    for words in (("--world", "tcp", "--speed", "2"), ("--in-process",)):
        assert invoke("run", "noop", *words).exit_code == 2


def test_an_expectation_that_does_not_hold_has_its_own_exit_code(tmp_path: Path) -> None:
    more = '\n[[expect]]\nwhat = "events_handled"\nworkflow = "work"\nmin = 1\n'
    result = invoke("run", scenario(tmp_path, more))
    assert result.exit_code == 6
    assert "FAIL events_handled(workflow='work', min=1): 0 events" in result.stdout
    assert "does not hold: 0 events" in result.stderr


def test_a_scenario_without_expectations_is_inconclusive_and_says_so(tmp_path: Path) -> None:
    result = invoke("run", scenario(tmp_path))
    assert result.exit_code == 0
    assert "result: inconclusive" in result.stdout
    assert "warning: no [[expect]]" in result.stderr


def test_a_step_that_is_refused_ends_the_run_unless_it_may_fail(tmp_path: Path) -> None:
    more = '\n[[step]]\nat = "2s"\ndo = "call"\nto = "work/noop"\n'
    result = invoke("run", scenario(tmp_path, more))
    assert result.exit_code == 6
    assert "step[1] call(to='work/noop') at 2.0" in result.stderr
    assert "NO_REPLY" in result.stderr
    more += "may_fail = true\n"
    assert invoke("run", scenario(tmp_path, more)).exit_code == 0


def test_a_step_that_has_not_ended_with_the_run_is_a_failure(tmp_path: Path) -> None:
    # The ε-CON is reached, but reaches nobody.
    more = (
        '\n[[step]]\nat = "2s"\ndo = "partition"\nbetween = [["con"], []]\n'
        '\n[[step]]\nat = "4s"\ndo = "start_workflow"\nfile = "FILE"\nas = "late"\n'
    )
    file = ROOT / "scenarios" / "noop" / "workflow.json"
    result = invoke("run", scenario(tmp_path, more.replace("FILE", file.as_posix())))
    assert result.exit_code == 6
    assert "had not ended" in result.stderr


def test_a_bug_is_one_line_and_a_traceback_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeless_sim.cli import run

    def buggy(*_: object, **__: object) -> None:
        raise AssertionError("two and two is five")

    monkeypatch.setattr(run, "run_scenario", buggy)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = invoke("run", "noop")
    assert result.exit_code == 70
    assert "AssertionError: two and two is five" in result.stderr
    assert "repeat with: edgeless-sim" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    (file,) = tmp_path.glob("edgeless-sim-bug-*.txt")
    assert "Traceback" in file.read_text()


def test_the_program_runs_as_a_module_and_as_a_script() -> None:
    done = spawn("run", "noop", "-q")
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(done.stdout) == 33


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -m edgeless_sim run chain --logs | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("options", ["", "--logs", "--format json"])
def test_output_that_cannot_be_written_is_no_bug(options: str) -> None:
    command = f"{sys.executable} -m edgeless_sim run ping_pong {options} > /dev/full"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "error: standard output: No space left on device\n"


def test_who_reads_only_the_first_line_of_the_logs_hears_of_no_bug() -> None:
    command = [sys.executable, "-m", "edgeless_sim", "run", "ping_pong", "--logs"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(60) == 1


def full_disk(*_: object, **__: object) -> None:
    raise ExceptionGroup("", [OSError(errno.ENOSPC, "No space left on device")])


def test_a_full_disk_is_said_with_the_folder_that_is_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeless_sim.cli import run

    monkeypatch.setattr(run, "run_scenario", full_disk)
    result = invoke("run", "noop", "--out", str(tmp_path / "kept"))
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path / 'kept'}: No space left on device\n"


def test_even_what_is_no_exception_is_a_bug_with_a_traceback_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeless_sim.cli import run

    def buggy(*_: object, **__: object) -> None:
        raise BaseExceptionGroup("", [GeneratorExit("odd")])

    monkeypatch.setattr(run, "run_scenario", buggy)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = invoke("run", "noop")
    assert result.exit_code == 70
    assert "GeneratorExit: odd; traceback in" in result.stderr
    assert len(list(tmp_path.glob("edgeless-sim-bug-*.txt"))) == 1


def test_help_says_that_a_check_loads_python_functions() -> None:
    text = " ".join(invoke("check", "--help").stdout.split())
    assert "their modules are imported and their classes made. Nothing else runs." in text


def test_an_interrupt_ends_a_paced_run_with_130() -> None:
    command = [sys.executable, "-m", "edgeless_sim", "run", "noop", "--realtime", "--logs"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert "Noop initialized" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert complaint == "interrupted\n"
