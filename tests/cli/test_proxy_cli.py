"""proxy_cli against a real Redis, filled with EDGELESS's own formats (spec 7.1, 7.2, 7.5)."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from tests.cli.edgeless_redis import (
    FUNCTION,
    FUNCTION_PID,
    HEALTH,
    IDLE_FUNCTION,
    NODE_1,
    NODE_9,
    RESOURCE,
    SHOWN,
    WORKFLOW,
    fill,
)
from typer.testing import CliRunner, Result

from edgeless_sim.cli.proxy_cli import app

Ask: TypeAlias = Callable[..., Result]
PROGRAM: Final = str(Path(sys.executable).with_name("proxy_cli"))


@pytest.mark.parametrize("verb", SHOWN)
def test_show_speaks_edgelesss_words(verb: str, ask_redis: Ask) -> None:
    answer = ask_redis("show", *verb.split())
    assert answer.stdout == SHOWN[verb]
    assert answer.stderr == ""
    assert answer.exit_code == 0


@pytest.mark.parametrize("verb", SHOWN)
def test_show_has_tables_json_and_ids_of_the_same_things(verb: str, ask_redis: Ask) -> None:
    ids = ask_redis("show", *verb.split(), "-q").stdout.split()
    entries = json.loads(ask_redis("show", *verb.split(), "--format", "json").stdout)
    assert len(entries) == len(ids)
    for entry, one in zip(entries, ids, strict=True):
        assert one in json.dumps(entry)
    table = ask_redis("--format", "table", "show", *verb.split()).stdout.splitlines()
    assert len(table) >= 3


def test_what_does_not_run_is_in_tables_and_json(ask_redis: Ask) -> None:
    entries = json.loads(ask_redis("show", "functions", "--format", "json").stdout)
    assert [(each["logical_id"], each["nodes"]) for each in entries] == [
        (IDLE_FUNCTION, []),
        (FUNCTION, [NODE_9]),
    ]
    assert re.search(
        rf"{IDLE_FUNCTION} +- +-$", ask_redis("show", "functions", "--format=table").stdout, re.M
    )


def test_nodes_are_printed_as_wanted_also_those_of_functions(ask_redis: Ask) -> None:
    for form, printed in (("hostname", "vm"), ("labels", "hostname=vm"), ("UUID", NODE_9)):
        answer = ask_redis("--node-print-format", form, "show", "functions")
        assert answer.stdout == f"{FUNCTION} -> {printed}\n"
    assert (
        ask_redis("--node-print-format", "uuid", "show", "node", "health").stdout.count("vm ->")
        == 0
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-p", "x", "show", "functions"], "unknown proxy type: x"),
        (["--node-print-format", "x", "show", "functions"], "invalid node-print-format value: x"),
        (["--format", "x", "show", "functions"], "unknown format: x"),
        (["-p", "redis", "--orchestrator-url", "tcp://h:1", "show", "functions"], "--proxy-type"),
        (["show", "nothing"], "No such command"),
        (["top", "nodes", "--interval", "0"], "--interval"),
    ],
)
def test_a_wrong_command_line_exits_2(words: list[str], said: str) -> None:
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 2
    assert said in answer.stderr.replace("│", " ")


def test_version_needs_no_verb() -> None:
    answer = CliRunner().invoke(app, ["--version"])
    assert (answer.exit_code, answer.stdout.count("\n")) == (0, 1)


# -- intents --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["migrate", FUNCTION, NODE_1], f"intent:migrate:{FUNCTION}", NODE_1),
        (["migrate", FUNCTION[:8], "vm"], f"intent:migrate:{FUNCTION}", NODE_9),
        (["cordon", "vm"], f"intent:cordon:{NODE_9}", "yes"),
        (["cordon", "b=c"], f"intent:cordon:{NODE_1}", "yes"),
        (["uncordon", NODE_1], f"intent:cordon:{NODE_1}", "no"),
    ],
)
def test_an_intent_is_left_as_an_orchestrator_of_edgeless_takes_it(
    words: list[str], key: str, value: str, ask_redis: Ask, redis_server: Any
) -> None:
    redis_server.client.rpush("intents", "intent:first")
    answer = ask_redis("intent", *words)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "")
    assert redis_server.client.lrange("intents", 0, -1) == [b"intent:first", key.encode()]
    assert redis_server.client.get(key) == value.encode()


def test_an_intent_about_what_is_not_shown_is_left_with_a_warning(
    ask_redis: Ask, redis_server: Any
) -> None:
    stranger = "6f4c4ee4-2c4b-4b8f-9d7d-6b1f3a1c0001"
    answer = ask_redis("intent", "cordon", stranger)
    assert answer.exit_code == 0
    assert answer.stderr.startswith(f"warning: {stranger} is not shown at present")
    assert redis_server.client.llen("intents") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["migrate", "x", "vm"], "error: invalid instance id 'x' ["),
        (["migrate", FUNCTION, "wm"], "error: invalid node id 'wm' ["),
        (["cordon", ""], "error: invalid node id '' ["),
    ],
)
def test_an_intent_about_nobody_is_left_to_nobody(
    words: list[str], said: str, ask_redis: Ask, redis_server: Any
) -> None:
    answer = ask_redis("intent", *words)
    assert answer.exit_code == 4
    assert answer.stderr.startswith(said)
    assert redis_server.client.llen("intents") == 0


def test_intents_that_nobody_takes_do_not_pile_up(ask_redis: Ask, redis_server: Any) -> None:
    redis_server.client.rpush("intents", *["intent:cordon:x"] * 1024)
    answer = ask_redis("intent", "cordon", "vm")
    assert answer.exit_code == 1
    assert "too many intents" in answer.stderr
    redis_server.client.delete("intents")
    redis_server.client.set("intents", "no list")
    assert ask_redis("intent", "cordon", "vm").exit_code == 1
    assert redis_server.client.get(f"intent:cordon:{NODE_9}") is None, "nothing half done"


# -- dumps ----------------------------------------------------------------------------------------


def test_measurements_are_written_to_a_file_per_series(ask_redis: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    answer = ask_redis("dump", "performance", "--out", str(folder))
    names = [f"edgeless::log-{FUNCTION_PID}.dat", f"function_execution_time-{FUNCTION_PID}.dat"]
    assert answer.stdout == "".join(f"saving to {folder / name}\n" for name in names)
    assert (folder / names[0]).read_text() == "2025-06-18 10:56:13 UTC,value: 1, or 2\n"
    assert (folder / names[1]).read_text() == (
        "2026-11-28 01:06:06.256686687 UTC,0.002766214\n"
        "2026-11-28 01:06:07.260905265 UTC,0.002411074\n"
    )


def test_only_the_last_seconds_are_dumped_if_wanted(
    ask_redis: Ask, redis_server: Any, tmp_path: Path
) -> None:
    now_s = time.time()
    key = f"performance:{FUNCTION_PID}:function_init_time"
    redis_server.client.zadd(key, {f"{now_s - 500}:1": now_s - 500, f"{now_s}:2": now_s})
    answer = ask_redis("dump", "performance", "--last", "100", "--out", str(tmp_path), "-q")
    assert answer.stdout == f"{tmp_path}/function_init_time-{FUNCTION_PID}.dat\n"
    assert Path(answer.stdout.strip()).read_text().endswith(" UTC,2\n")
    assert Path(answer.stdout.strip()).read_text().count("\n") == 1


def test_requests_are_written_with_edgelesss_keys(ask_redis: Ask, tmp_path: Path) -> None:
    answer = ask_redis("dump", "instances", "--out", str(tmp_path), "--format", "json")
    assert len(json.loads(answer.stdout)) == 4
    text = (tmp_path / f"fun-{FUNCTION}.json").read_text()
    assert text == (
        '{\n  "spec": {\n    "id": "message_generator",\n    "function_type": "RUST_WASM",\n'
        '    "version": "0.1",\n    "binary": null,\n    "code": "m.wasm",\n    "outputs": [\n'
        '      "output"\n    ]\n  },\n  "annotations": {\n    "init-payload": "x"\n  },\n'
        '  "state_specification": {\n    "state_id": "9c3e20c0-31e7-460a-aefc-bcaa248fe20e",\n'
        f'    "state_policy": "NodeLocal"\n  }},\n  "workflow_id": "{WORKFLOW}"\n}}'
    )
    assert json.loads((tmp_path / f"res-{RESOURCE}.json").read_text()) == {
        "class_type": "file-log",
        "configuration": {"filename": "my-local-file.log"},
        "workflow_id": WORKFLOW,
    }


def test_a_folder_that_cannot_be_written_is_named(ask_redis: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = ask_redis("dump", "instances", "--out", str(tmp_path / "file"))
    assert answer.exit_code == 1
    assert answer.stderr == f"error: {tmp_path / 'file'}: File exists\n"


# -- top ------------------------------------------------------------------------------------------


def test_top_shows_the_present_once(ask_redis: Ask, redis_server: Any) -> None:
    client = redis_server.client
    client.zadd(f"node:health:{NODE_9}", {HEALTH.replace("FREE", "3"): time.time()})
    answer = ask_redis("top", "nodes", "--once")
    # The health of the other one is from another time.
    assert answer.stdout == (
        f"{NODE_1}\tRUST_WASM\t-\t-\t-\t-\t-\nvm\tRUST_WASM\t85\t1\t0.03\t-\t-\n"
    )
    table = ask_redis("top", "nodes", "--once", "--format", "table").stdout.splitlines()
    assert table[0].split("  ")[0] == "Node"
    entry = json.loads(ask_redis("top", "nodes", "--once", "--format", "json").stdout)[1]
    assert (entry["node"], entry["load_avg_1"], entry["active_power"]) == ("vm", 85, None)
    assert entry["memory"] == 0.0269


def test_top_goes_on_until_it_is_interrupted_which_is_no_failure(
    ask_redis: Ask, redis_server: Any
) -> None:
    command = [PROGRAM, "-r", redis_server.url, "top", "nodes", "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(6):
            assert b"RUST_WASM" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == b""


def test_top_clears_a_terminal_unless_that_is_not_wanted(ask_redis: Ask, redis_server: Any) -> None:
    for no_color, clears in (("", True), ("1", False)):
        ours, theirs = pty.openpty()
        environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
        command = [PROGRAM, "-r", redis_server.url, "top", "nodes", "--once"]
        subprocess.run(command, stdout=theirs, env=environment, check=True, timeout=20)
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
        os.close(ours)
        assert shown.startswith("\x1b[2J\x1b[HNode") == clears
        assert ("\x1b" in shown) == clears
        assert "vm " in shown


def test_a_tab_offers_nodes_as_they_are_printed(redis_server: Any) -> None:
    fill(redis_server.client)

    def offered(*words: str) -> list[str]:
        environment = {
            **os.environ,
            "_PROXY_CLI_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["proxy_cli", "-r", redis_server.url, *words]),
            "COMP_CWORD": str(len(words) + 2),
        }
        done = subprocess.run(
            [PROGRAM], env=environment, capture_output=True, text=True, timeout=20
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert offered("intent", "cordon", "v") == ["vm"]
    redis_server.client.flushall()
    assert offered("intent", "cordon", "v") == []
