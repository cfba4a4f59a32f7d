"""EDGELESS's client against a real ε-CON: words, forms, names, exit codes (spec 9.2; class B77)."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from edgeless_sim.api.messages import WorkflowStatus
from edgeless_sim.cli.asking import workflow_named
from edgeless_sim.cli.edgeless_cli import app
from edgeless_sim.cluster.ports import LOOPBACK, free_ports
from edgeless_sim.errors import UnknownComponentError
from edgeless_sim.model.ids import WorkflowId

Ask: TypeAlias = Callable[..., Result]
SCENARIOS: Final = Path(__file__).parents[2] / "scenarios"
NOOP: Final = SCENARIOS / "noop" / "workflow.json"
FILE_LOG: Final = SCENARIOS / "file_log" / "workflow.json"
PROGRAM: Final = str(Path(sys.executable).with_name("edgeless_cli"))
ONE_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n")
STRANGER: Final = "6f4c4ee4-2c4b-4b8f-9d7d-6b1f3a1c0001"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """A folder with a cli.toml, and a cluster of two nodes behind it."""
    place = tmp_path_factory.mktemp("up")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "edgeless_sim", "up", "--port", str(port)]
    log = (place / "up.log").open("wb")
    process = subprocess.Popen(
        [*command, "--state", str(place / "state")], stdout=log, stderr=log, start_new_session=True
    )
    try:
        deadline_s = time.monotonic() + 60
        while "Ctrl-C stops it" not in (place / "up.log").read_text():
            assert process.poll() is None, (place / "up.log").read_text()
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        (place / "cli.toml").write_text(f'controller_url = "http://{LOOPBACK}:{port}"\n')
        yield place
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        log.close()


@pytest.fixture
def ask(folder: Path) -> Generator[Ask]:
    """``ask("workflow", "list")``; no workflow is left behind."""

    def asked(*words: str) -> Result:
        return CliRunner().invoke(app, ["-c", str(folder / "cli.toml"), *words])

    yield asked
    asked("workflow", "stop", "all")


def test_a_start_prints_the_id_and_nothing_else(ask: Ask) -> None:
    started = ask("workflow", "start", str(NOOP))
    assert started.exit_code == 0
    assert ONE_ID.fullmatch(started.stdout)
    assert started.stderr == ""
    listed = ask("workflow", "list")
    assert listed.stdout == started.stdout


def test_a_workflow_goes_by_name_by_id_and_by_the_beginning_of_its_id(ask: Ask) -> None:
    one = ask("workflow", "start", str(NOOP), "--name", "one").stdout.strip()
    two = ask("workflow", "start", str(NOOP), "--name", "two").stdout.strip()
    for which in ("one", one, one[:13], one.upper(), f" {one} "):
        assert "* function noop\n" in ask("workflow", "inspect", which).stdout, which
    stopped = ask("workflow", "stop", "one")
    assert stopped.stdout == "Workflow one stopped\n"
    assert ask("workflow", "list", "-q").stdout == f"{two}\n"


def test_what_is_unknown_exits_4_and_names_what_may_be_meant(ask: Ask) -> None:
    ask("workflow", "start", str(NOOP), "--name", "game")
    missing = ask("workflow", "stop", "gane")
    assert missing.exit_code == 4
    assert missing.stderr == (
        "error: unknown or invalid workflow ID [detail: 'gane'; did you mean 'game'?]\n"
    )
    assert missing.stdout == ""
    assert ask("workflow", "inspect", STRANGER).exit_code == 4
    assert ask("domain", "inspect", "domain-2").exit_code == 4
    assert "did you mean 'domain-1'?" in ask("domain", "inspect", "domain-2").stderr


def test_the_beginning_of_an_id_is_enough_if_it_has_four_digits(ask: Ask) -> None:
    workflow_id = ask("workflow", "start", str(NOOP)).stdout.strip()
    assert ask("workflow", "inspect", workflow_id[:4].upper()).exit_code == 0
    # So that short names stay names.
    assert ask("workflow", "inspect", workflow_id[:3]).exit_code == 4


def test_the_beginning_of_two_ids_is_ambiguous() -> None:
    first, second = (WorkflowId(UUID(f"6f4c4ee{digit}{'0' * 24}")) for digit in "12")
    listed = tuple(
        WorkflowStatus(each, (), name) for each, name in ((first, "a"), (second, "6f4c"))
    )
    assert workflow_named(listed, "6f4c4ee2") is listed[1]
    assert workflow_named(listed, "6f4c") is listed[1], "a name comes before the beginning of an id"
    with pytest.raises(UnknownComponentError, match="ambiguous") as refusal:
        workflow_named(listed, "6f4c4")
    assert str(first) in str(refusal.value)
    assert str(second) in str(refusal.value)


def test_inspect_speaks_edgelesss_words(ask: Ask) -> None:
    ask("workflow", "start", str(FILE_LOG), "--name", "log")
    lines = ask("workflow", "inspect", "log").stdout.splitlines()
    assert lines[0] == "* function my-message-generator"
    assert lines[1].startswith("run-time RUST_WASM class message_generator version 0.1 code Some(")
    assert "OUT output -> my-log" in lines
    assert "* resource my-log" in lines
    assert "CONF filename -> my-local-file.log" in lines
    assert "* mapping" in lines
    assert any(re.fullmatch(r"MAP my-log -> domain-1 \[logical ID .{36}\]", x) for x in lines)
    everything = ask("workflow", "inspect", "all").stdout.splitlines()
    assert everything[0].startswith("** workflow ")
    assert everything[1:] == lines


@pytest.mark.parametrize("behind", [True, False], ids=["behind the verb", "before it"])
def test_json_is_one_document(behind: bool, ask: Ask) -> None:
    ask("workflow", "start", str(NOOP), "--name", "one")

    def asked(*words: str) -> Any:
        words = (*words, "--format", "json") if behind else ("--format", "json", *words)
        return json.loads(ask(*words).stdout)

    (entry,) = asked("workflow", "list")
    assert (entry["name"], entry["domains"], entry["components"]) == ("one", ["domain-1"], 1)
    info = asked("workflow", "inspect", "one")
    assert info["status"]["name"] == "one"
    assert "binary" not in info["request"]["functions"][0]["class_specification"]
    assert asked("domain", "list") == [{"domain": "domain-1", "nodes": 2}]
    assert asked("domain", "inspect", "domain-1")["num_nodes"] == 2
    assert asked("domain", "wait", "--nodes", "2") == {"nodes": 2}
    assert asked("workflow", "stop", "one") == {"stopped": entry["workflow_id"]}
    assert asked("workflow", "list") == []


def test_tables_have_a_head_and_aligned_columns(ask: Ask) -> None:
    ask("workflow", "start", str(NOOP), "--name", "one")
    ask("workflow", "start", str(NOOP), "--name", "a-longer-name")
    head, first, second = ask("workflow", "list", "--format", "table").stdout.splitlines()
    assert head.split() == ["ID", "NAME", "STATE", "DOMAIN", "COMPONENTS", "REASON"]
    assert first.index("one") == second.index("a-longer-name") == head.index("NAME")
    head, row = ask("workflow", "inspect", "one", "--format", "table").stdout.splitlines()
    assert head.split()[:4] == ["COMPONENT", "DOMAIN", "NODE", "STATE"]
    assert row.split()[:2] == ["noop", "domain-1"]
    head, row = ask("domain", "list", "--format", "table").stdout.splitlines()
    assert row.split()[:2] == ["domain-1", "2"]


def test_domains_in_edgelesss_words(ask: Ask) -> None:
    assert ask("domain", "list").stdout == "domain domain-1 (2 nodes)\n"
    text = ask("domain", "inspect", "all").stdout
    assert text.startswith("domain domain-1,2 nodes, ")
    assert "runtimes [MODELLED,RUST_WASM]" in text


def test_stop_all_says_so_for_each(ask: Ask) -> None:
    ids = [ask("workflow", "start", str(NOOP)).stdout.strip() for _ in range(2)]
    assert ask("workflow", "stop", "ALL").stdout.splitlines() == [
        f"Workflow {each} stopped" for each in ids
    ]


def test_a_refused_start_exits_1_with_the_reason_and_prints_no_id(ask: Ask, tmp_path: Path) -> None:
    workflow = json.loads(NOOP.read_text())
    code = (NOOP.parent / workflow["functions"][0]["class_specification"]["code"]).resolve()
    workflow["functions"][0]["class_specification"]["code"] = str(code)
    workflow["functions"][0]["annotations"]["label_match_all"] = "nowhere"
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(workflow))
    refused = ask("workflow", "start", str(file))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "nowhere" in refused.stderr


def test_a_refused_migration_says_why(ask: Ask) -> None:
    ask("workflow", "start", str(NOOP), "--name", "one")
    refused = ask("workflow", "migrate", "one", "domain-9")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: migration of one to domain-9 failed: ")


def test_an_event_from_outside_reaches_an_instance(ask: Ask, folder: Path) -> None:
    ask("workflow", "start", str(NOOP), "--name", "one")
    deadline_s = time.monotonic() + 20
    mapping: dict[str, Any] = {"instance": None}
    while mapping["instance"] is None:
        assert time.monotonic() < deadline_s
        info = json.loads(ask("workflow", "inspect", "one", "--format", "json").stdout)
        (mapping,) = info["status"]["mapping"]
    node, function = mapping["instance"]["node_id"], mapping["instance"]["function_id"]
    told = (folder / "up.log").read_text()
    (url,) = re.findall(rf"^node {re.escape(mapping['node'])} +(\S+)", told, re.M)
    said = ask("function", "invoke", "cast", url, node, function, "hello from outside")
    assert (said.stdout, said.exit_code) == ("event casted\n", 0)
    while "hello from outside" not in (folder / "up.log").read_text():
        assert time.monotonic() < deadline_s, (folder / "up.log").read_text()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("call", "http://127.0.0.1:1", STRANGER, STRANGER, "x"), 2, "invalid event type: call"),
        (("cast", "http://127.0.0.1:1", "x", STRANGER, "x"), 1, "NODE: 'x' is no id"),
        (("cast", "nonsense", STRANGER, STRANGER, "x"), 3, "nonsense"),
    ],
)
def test_a_cast_that_cannot_be_is_refused(
    words: Sequence[str], code: int, text: str, ask: Ask
) -> None:
    refused = ask("function", "invoke", *words)
    assert refused.exit_code == code, refused.stderr
    assert text in refused.stderr


# -- what goes wrong before anybody is asked ----------------------------------------------------


def alone(folder: Path, *words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    """The program as a process, in *folder*."""
    return subprocess.run(
        [PROGRAM, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **more,
    )


def test_without_its_file_it_says_how_to_get_one(tmp_path: Path) -> None:
    done = alone(tmp_path, "workflow", "list")
    assert done.returncode == 3
    assert done.stderr == (
        "error: configuration file does not exist or cannot be accessed: cli.toml; "
        "edgeless_cli -t cli.toml writes one\n"
    )


def test_nobody_at_home_is_told_within_the_time_out(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    (tmp_path / "cli.toml").write_text(f'controller_url = "http://{LOOPBACK}:{port}"\n')
    begun_s = time.monotonic()
    done = alone(tmp_path, "--timeout", "1", "workflow", "list")
    assert time.monotonic() - begun_s < 10
    assert done.returncode == 5
    assert f"no ε-CON answers at http://{LOOPBACK}:{port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_speaks_something_else_is_no_controller(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        (tmp_path / "cli.toml").write_text(f'controller_url = "tcp://{LOOPBACK}:{port}"\n')
        done = alone(tmp_path, "--timeout", "1", "domain", "list")
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("controller_url = 3\n", "cli.toml:1: controller_url: "),
        ('controler_url = "http://x:1"\n', "did you mean 'controller_url'?"),
        ('controller_url = "http://x"\n', "cli.toml:1: controller_url: "),
        ("controller_url = \n", "cli.toml:1"),
    ],
)
def test_a_broken_file_is_told_with_line_and_key(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "cli.toml").write_text(text)
    done = alone(tmp_path, "workflow", "list")
    assert done.returncode == 3
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_template_is_written_once(tmp_path: Path) -> None:
    assert alone(tmp_path, "-t", "cli.toml").returncode == 0
    again = alone(tmp_path, "-t", "cli.toml")
    assert again.returncode == 1
    assert "cannot overwrite configuration file: cli.toml" in again.stderr
    (tmp_path / "folder").mkdir()
    assert alone(tmp_path, "-c", "folder", "workflow", "list").returncode == 3


def test_without_a_verb_it_exits_0(tmp_path: Path) -> None:
    assert alone(tmp_path).returncode == 0


def test_a_reader_that_goes_away_is_no_fault(folder: Path, ask: Ask) -> None:
    ask("workflow", "start", str(NOOP))
    command = f"{PROGRAM} workflow list | head -0; exit ${{PIPESTATUS[1]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_unicode_shows_names_all_the_same(folder: Path, ask: Ask) -> None:
    ask("workflow", "start", str(NOOP), "--name", "naïve-ε")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = alone(folder, "workflow", "list", "--format", "table", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "naïve-ε" in done.stdout
    missing = alone(folder, "workflow", "stop", "naive-ε", env=environment)
    assert missing.returncode == 4
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize("delay_s", [0.1, 0.2, 0.4, 0.8])
def test_ctrl_c_is_quiet_whenever_it_comes(delay_s: float, tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as mute:
        port = mute.getsockname()[1]
        (tmp_path / "cli.toml").write_text(f'controller_url = "http://{LOOPBACK}:{port}"\n')
        process = subprocess.Popen(
            [PROGRAM, "workflow", "list"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        maps = Path(f"/proc/{process.pid}/maps")
        while "site-packages" not in maps.read_text():
            time.sleep(0.005)
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said in ("", "interrupted\n")


def test_two_clients_at_once_do_not_meet(folder: Path, ask: Ask) -> None:
    command = [PROGRAM, "workflow", "start", str(NOOP)]
    clients = [
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    ids = {client.communicate(timeout=60)[0].strip() for client in clients}
    assert len(ids) == 4
    assert set(ask("workflow", "list").stdout.split()) == ids


def test_a_shell_is_offered_the_names_that_there_are(folder: Path, ask: Ask) -> None:
    ask("workflow", "start", str(NOOP), "--name", "one")

    def offered(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        environment = {**os.environ, "_EDGELESS_CLI_COMPLETE": "complete_bash", **words}
        return alone(folder, env=environment).stdout.split()

    assert "one" in offered("edgeless_cli workflow stop ")
    assert offered("edgeless_cli workflow stop o") == ["one"]
    assert offered("edgeless_cli domain inspect d") == ["domain-1"]
    assert offered("edgeless_cli workflow migrate-component one domain-1 n") == ["noop"]


def test_completion_is_silent_where_nobody_answers(tmp_path: Path) -> None:
    words = {"COMP_WORDS": "edgeless_cli domain inspect ", "COMP_CWORD": "3"}
    environment = {**os.environ, "_EDGELESS_CLI_COMPLETE": "complete_bash", **words}
    done = alone(tmp_path, env=environment)
    assert done.stdout.split() == ["all"]
    assert done.stderr == ""


def test_explain_says_where_each_component_is_and_why(ask: Ask) -> None:
    workflow_id = ask("workflow", "start", str(NOOP), "--name", "game").stdout.strip()
    told = ask("workflow", "explain", "game").stdout.splitlines()
    assert told[0] == f"** workflow {workflow_id}"
    assert any(re.match(r"\S+ \S+ game: placed on \S+", line) for line in told)
    assert "/noop: placed on " in "\n".join(told)
    one = ask("workflow", "explain", "game", "noop", "--format", "json")
    (decision,) = json.loads(one.stdout)["decisions"]
    assert decision["outcome"] == "placed"
    assert decision["chosen"] in {each["name"] for each in decision["candidates"]}
    wrong = ask("workflow", "explain", "game", "nop")
    assert wrong.exit_code == 4
    assert "did you mean 'noop'?" in wrong.stderr
    assert ask("workflow", "explain", STRANGER).exit_code == 4
