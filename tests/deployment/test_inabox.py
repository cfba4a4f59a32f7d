"""``edgeless_inabox``: its files, what they start, and how it ends."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

Start: TypeAlias = Callable[[Sequence[str], Path], "subprocess.Popen[bytes]"]
PROGRAM: Final = "edgeless_inabox"
STOP_S: Final = 10.0


def templates(person: Any, folder: Path, first_port: int, *options: str) -> None:
    """The files of ``-t``, at ports of this test: those of the ε-CON cannot be chosen there."""
    options = ("--initial-port", str(first_port + 2), *options)
    done = person.typed(PROGRAM, "-t", *options, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for file in folder.glob("*.toml"):
        text = file.read_text()
        for index, port in enumerate((7001, 7002)):
            text = text.replace(f":{port}", f":{first_port + index}")
        file.write_text(text)


def begin(person: Any, start: Start, folder: Path) -> "tuple[subprocess.Popen[bytes], Path]":
    """Start it in *folder*; what it says."""
    log = folder / "log"
    program = Path(sys.executable).with_name(PROGRAM)
    line = f'cd "$0" && EDGELESS_LOG=info exec {program}'
    process = start(["sh", "-c", line, str(folder)], log)
    person.until(lambda: "ready: " in log.read_text() or process.poll() is not None, log.read_text)
    return process, log


def test_its_files_work_as_they_are_and_it_stops_in_order(
    start: Start, tmp_path: Path, first_port: int, person: Any
) -> None:
    templates(person, tmp_path, first_port, "-n", "3")
    process, log = begin(person, start, tmp_path)
    url = f"http://127.0.0.1:{first_port}"
    assert "ready: controller, orchestrator, node0, node1, node2; workflows are" in log.read_text()
    assert url in log.read_text()
    assert person.typed("edgeless_cli", "-t", "cli.toml", cwd=tmp_path).returncode == 0
    client = tmp_path / "cli.toml"
    client.write_text(client.read_text().replace("http://127.0.0.1:7001", url))

    wait = ("--timeout", "30", "domain", "wait", "--nodes", "3")
    assert person.typed("edgeless_cli", *wait, cwd=tmp_path).returncode == 0, log.read_text()
    listed = person.typed("edgeless_cli", "domain", "list", cwd=tmp_path).stdout
    assert listed == f"domain domain-{first_port + 2} (3 nodes)\n"
    file = str(person.web_workflow(tmp_path))
    begun = person.typed("edgeless_cli", "workflow", "start", file, cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr + log.read_text()
    ports = [first_port + 7 + 4 * index for index in range(3)]
    answers = [f"http://127.0.0.1:{port}/hello" for port in ports]
    person.until(lambda: "World" in map(person.answer_of, answers), log.read_text)
    # Each node tells its own measurements.
    told = [person.answer_of(f"http://127.0.0.1:{port - 1}/metrics") for port in ports]
    assert all("function_count" in text for text in told)

    told_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(STOP_S) == 0, log.read_text()
    assert time.monotonic() - told_s < STOP_S
    text = log.read_text()
    assert "Traceback" not in text
    assert "error" not in text.lower()
    # Each line says who speaks.
    for who in ("controller", "orchestrator", "node0", "node1", "node2"):
        assert f"INFO  edgeless_sim.{who}] Starting Edgeless " in text


def test_what_was_started_is_there_again_after_a_restart(
    start: Start, tmp_path: Path, first_port: int, person: Any
) -> None:
    templates(person, tmp_path, first_port)
    process, log = begin(person, start, tmp_path)
    (tmp_path / "cli.toml").write_text(f'controller_url = "http://127.0.0.1:{first_port}"\n')
    wait = ("--timeout", "30", "domain", "wait")
    assert person.typed("edgeless_cli", *wait, cwd=tmp_path).returncode == 0, log.read_text()
    file = str(person.web_workflow(tmp_path))
    kept = person.typed("edgeless_cli", "workflow", "start", file, cwd=tmp_path).stdout
    assert kept
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_S) == 0, log.read_text()

    _, log = begin(person, start, tmp_path)
    assert person.typed("edgeless_cli", "workflow", "list", cwd=tmp_path).stdout == kept
    url = f"http://127.0.0.1:{first_port + 7}/hello"
    person.until(lambda: person.answer_of(url) == "World", log.read_text)


def test_files_that_are_there_stay_and_others_are_named(tmp_path: Path, person: Any) -> None:
    folder = tmp_path / "new" / "folder"
    done = person.typed(PROGRAM, "-t", "--config-path", str(folder), cwd=tmp_path)
    assert done.returncode == 0
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert sorted(before) == ["controller.toml", "node.toml", "orchestrator.toml"]
    done = person.typed(PROGRAM, "-t", "-n", "2", "--config-path", str(folder), cwd=tmp_path)
    assert done.returncode == 0
    first, second, others = done.stderr.splitlines()
    assert first == f"warning: {folder}/orchestrator.toml is there already, and stays as it is"
    assert second == f"warning: {folder}/controller.toml is there already, and stays as it is"
    assert others.endswith("has other nodes, too, which would be started: node.toml")
    assert before.items() <= {path.name: path.read_text() for path in folder.iterdir()}.items()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("-t", "-n", "0"), 2, "--num-of-nodes"),
        (("-t", "-n", "101"), 2, "--num-of-nodes"),
        (("-t", "--initial-port", "65536"), 2, "--initial-port"),
        (("-t", "-n", "2", "--initial-port", "65527"), 2, "--initial-port is 65526 at most"),
        (("-t", "--config-path", "file"), 3, "file: it is no folder"),
        (("--config-path", "file"), 3, "file: it is no folder"),
        (("--config-path", "absent"), 3, "absent: there is no such folder"),
        ((), 3, "edgeless_inabox -t writes them"),
        (("--log-format", "xml"), 2, "'xml' is none of plain, json"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    options: tuple[str, ...], code: int, words: str, tmp_path: Path, person: Any
) -> None:
    (tmp_path / "file").touch()
    done = person.typed(PROGRAM, *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_broken_file_ends_the_start_with_file_and_line(tmp_path: Path, person: Any) -> None:
    assert person.typed(PROGRAM, "-t", cwd=tmp_path).returncode == 0
    file = tmp_path / "node.toml"
    file.write_text(file.read_text().replace("agent_url =", "agent_urk =", 1))
    done = person.typed(PROGRAM, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "node.toml:3: general.agent_urk: unknown key" in done.stderr
    assert "agent_url" in done.stderr


@pytest.mark.parametrize(
    ("offset", "place"),
    [
        (0, "controller.toml:1: controller_url"),
        (3, "orchestrator.toml:7: general.node_register_url"),
        (5, "node.toml:5: general.invocation_url"),
        (6, "node.toml:11: telemetry.metrics_url"),
        (7, "node.toml:23: resources.http_ingress_url"),
    ],
)
def test_a_port_that_is_taken_is_named_with_file_and_key(
    offset: int, place: str, tmp_path: Path, first_port: int, person: Any
) -> None:
    templates(person, tmp_path, first_port)
    with socket.create_server(("127.0.0.1", first_port + offset)):
        done = person.typed(PROGRAM, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {place}: "), line
    assert f"127.0.0.1:{first_port + offset}" in line


def test_a_daemon_names_file_and_key_of_a_port_that_is_taken_too(
    tmp_path: Path, first_port: int, person: Any
) -> None:
    templates(person, tmp_path, first_port)
    with socket.create_server(("127.0.0.1", first_port)):
        done = person.typed("edgeless_con_d", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: controller.toml:1: controller_url: ")


def test_its_help_is_quick_to_load_and_its_version_is_told(tmp_path: Path, person: Any) -> None:
    code = (
        "import sys; sys.argv = ['edgeless_inabox', '--help']\n"
        "from edgeless_sim.cli.daemons import inabox_main\n"
        "try: inabox_main()\n"
        "except SystemExit: pass\n"
        "heavy = {'anyio', 'msgspec', 'pydantic', 'wasmtime', 'edgeless_sim.cluster'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert person.typed(PROGRAM, "--version", cwd=tmp_path).stdout == "0.1.0\n"
