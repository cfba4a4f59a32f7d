"""Daemons as operators meet them: measurements, health, signals, logs, any order of starts."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil
import pytest

Until: TypeAlias = Callable[..., Any]
ROOT: Final = Path(__file__).parents[2]
FILE_LOG: Final = ROOT / "scenarios" / "file_log" / "workflow.json"
NOOP: Final = ROOT / "scenarios" / "noop" / "workflow.json"
PATIENCE_S: Final = 60
STOP_S: Final = 10
ORC: Final = "orc/d"
NODE: Final = "node/d/0"
ALL: Final = ("con", ORC, NODE)


def test_each_daemon_tells_what_it_measures_and_whether_it_is_ready(
    deployment: Any, until: Until
) -> None:
    node_id = deployment.node_id(NODE)
    deployment.start()
    for name in ALL:
        until(partial(deployment.answers, name, "ready"))
        status, text = deployment.ask(name, "health")
        assert (status, json.loads(text)["status"]) == (200, "alive")
    deployment.cli("domain", "wait", "--nodes", "1")
    workflow = deployment.cli("workflow", "start", str(FILE_LOG))

    def metrics() -> str:
        text: str = deployment.ask(NODE, "metrics")[1]
        return text

    sample = f'function_count{{function_type="RUST_WASM",node_id="{node_id}"}} 1.0'
    until(lambda: sample in metrics(), metrics)
    executions = (
        r'execution_times_count\{function_id="[0-9a-f-]{36}",function_type="file-log",'
        rf'invocation_type="Cast",node_id="{node_id}"\}} [1-9]'
    )
    until(lambda: re.search(executions, metrics()), metrics)
    text = metrics()
    assert text.endswith("# EOF\n")
    assert re.search(r"transfer_times_bucket\{.*le=\"0\.1\"", text)
    assert f'edgeless_registered{{node_id="{node_id}"}} 1.0' in text
    assert 'edgeless_workflows{state="active"} 1.0' in deployment.ask("con", "metrics")[1]
    assert 'edgeless_nodes{state="usable"} 1.0' in deployment.ask(ORC, "metrics")[1]
    deployment.cli("workflow", "stop", workflow)
    until(lambda: 'function_type="RUST_WASM"' not in metrics(), metrics)
    until(lambda: "execution_times_count{" not in metrics(), metrics)


def test_a_node_without_its_orchestrator_is_alive_and_not_ready(
    deployment: Any, until: Until
) -> None:
    deployment.start(NODE)
    until(partial(deployment.answers, NODE))
    status, text = deployment.ask(NODE, "ready")
    assert status == 503
    assert "not registered at http://127.0.0.1:" in json.loads(text)["reason"]


@pytest.mark.parametrize("order", [ALL, ALL[::-1]], ids=["con-first", "node-first"])
def test_daemons_find_each_other_soon_in_whatever_order_they_start(
    order: Sequence[str], deployment: Any, until: Until
) -> None:
    for name in order:
        deployment.start(name)
        until(partial(deployment.answers, name))
    begun_s = time.monotonic()
    deployment.cli("domain", "wait", "--nodes", "1")
    # The goal is 2 s; a machine under load may take longer to start a client.
    assert time.monotonic() - begun_s < 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_a_node_in_order(
    number: signal.Signals, deployment: Any, until: Until
) -> None:
    deployment.start()
    deployment.cli("domain", "wait", "--nodes", "1")
    deployment.cli("workflow", "start", str(NOOP))
    until(lambda: "Noop initialized" in deployment.said(NODE))
    deployment.signal(NODE, number)
    assert deployment.processes[NODE].wait(STOP_S) == 0
    assert "Noop stopped" in deployment.said(NODE)


@pytest.mark.parametrize("name", ALL)
def test_the_second_signal_ends_a_daemon_at_once(name: str, deployment: Any, until: Until) -> None:
    deployment.start(name)
    until(partial(deployment.answers, name))
    # Both before it can have done what the first one asked for.
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        deployment.signal(name, number)
    code = deployment.processes[name].wait(STOP_S)
    assert code in (0, 128 + signal.SIGTERM, 128 + signal.SIGINT)
    assert "Traceback" not in deployment.said(name)


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_ctrl_c_while_a_daemon_loads_shows_no_traceback(
    delay_s: float, deployment: Any, until: Until
) -> None:
    deployment.start(NODE)
    daemon = deployment.processes[NODE]
    # Python itself is up when a library of ours is being loaded; before, there is nothing to do.
    maps = Path(f"/proc/{daemon.pid}/maps")
    until(lambda: "site-packages" in maps.read_text() or "_uuid" in maps.read_text())
    time.sleep(delay_s)
    daemon.send_signal(signal.SIGINT)
    until(lambda: daemon.poll() is not None, lambda: deployment.said(NODE))
    assert daemon.returncode in (0, 130, -signal.SIGINT), deployment.said(NODE)
    assert "Traceback" not in deployment.said(NODE)


def test_logs_as_json_have_one_object_per_line(deployment: Any, until: Until) -> None:
    deployment.start(ORC, options=("--log-format", "json"))
    until(partial(deployment.answers, ORC))
    deployment.signal(ORC, signal.SIGTERM)
    assert deployment.processes[ORC].wait(STOP_S) == 0
    entries = [json.loads(line) for line in deployment.said(ORC).splitlines()]
    assert {entry["level"] for entry in entries} == {"info"}
    assert any(entry["text"].startswith("Starting Edgeless Orchestrator") for entry in entries)
    assert all({"time", "level", "target", "text"} == set(entry) for entry in entries)


def test_an_error_at_the_start_is_json_too(deployment: Any) -> None:
    (deployment.place(ORC) / "orchestrator.toml").write_text("[general]\n")
    deployment.start(ORC, options=("--log-format", "json"))
    assert deployment.processes[ORC].wait(STOP_S) == 3
    (line,) = deployment.said(ORC).splitlines()
    entry = json.loads(line)
    assert entry["level"] == "error"
    assert entry["text"].startswith("orchestrator.toml")


#: A guest that never gives the loop back, in a process that takes signals.
HANGING: Final = """
import sys
from edgeless_sim.cluster import lifeline
from edgeless_sim.kernel.loop import run

lifeline.STOP_S_MAX = int(sys.argv[1])

async def main():
    lifeline.StopSignal()
    sys.stdout.write("hangs")
    sys.stdout.flush()
    while True:
        pass

run(main, world="real")
"""


def hanging(stop_s: int) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(stop_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.read(5) == "hangs"
    return process


def test_a_second_signal_ends_a_process_that_hangs() -> None:
    process = hanging(60)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=STOP_S)
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    assert said == ""


def test_an_orderly_stop_that_takes_too_long_is_ended_with_a_word() -> None:
    process = hanging(1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=STOP_S)
    assert (process.returncode, said) == (1, "error: it did not stop within 1 s\n")


def test_an_address_that_is_taken_names_file_line_and_key(deployment: Any, until: Until) -> None:
    deployment.start(ORC)
    until(partial(deployment.answers, ORC))
    first = deployment.processes[ORC]
    deployment.start(ORC)
    assert deployment.processes[ORC].wait(STOP_S) == 1
    assert re.search(r"orchestrator\.toml:3: general\.orchestrator_url", deployment.said(ORC))
    assert "Traceback" not in deployment.said(ORC)
    assert first.poll() is None


@pytest.mark.slow
def test_idle_daemons_take_little(deployment: Any) -> None:
    deployment.start()
    deployment.cli("domain", "wait", "--nodes", "1")
    time.sleep(2)
    seconds = 10
    processes = {name: psutil.Process(deployment.processes[name].pid) for name in ALL}
    before = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
    time.sleep(seconds)
    for name, process in processes.items():
        share = (sum(process.cpu_times()[:2]) - before[name]) / seconds
        mib = process.memory_info().rss / (1 << 20)
        sys.stdout.write(f"{name}: {share:.2%} of a core, {mib:.0f} MiB\n")
        assert mib < 120
        # The goal is 1 %; a timed test on a busy machine must not fail by chance.
        assert share < 0.05


def test_a_template_is_never_written_over_a_file(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("edgeless_node_d")), "-t", "node.toml"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=PATIENCE_S)
    text = (tmp_path / "node.toml").read_text(encoding="utf-8")
    again = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert again.returncode == 1
    assert "cannot overwrite configuration file: node.toml" in again.stderr
    assert (tmp_path / "node.toml").read_text(encoding="utf-8") == text
