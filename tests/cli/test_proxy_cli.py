"""proxy_cli against a real Redis, filled with EDGELESS's own formats (spec 7.1, 7.2, 7.5)."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from typer.testing import CliRunner, Result

from edgeless_sim.cli.proxy_cli import app
from edgeless_sim.cluster.ports import LOOPBACK, free_ports

Ask: TypeAlias = Callable[..., Result]
PROGRAM: Final = str(Path(sys.executable).with_name("proxy_cli"))
NODE_1: Final = "1ba123fd-e697-4e92-8413-ff63fd70ae9d"
NODE_9: Final = "9ba123fd-e697-4e92-8413-ff63fd70ae9c"
FUNCTION: Final = "d65ae2b9-0b15-4ab6-8a06-cf52287d0276"
RESOURCE: Final = "6b40e9a6-4bed-4456-9192-9a0ee93c06bd"
IDLE_FUNCTION: Final = "11111111-1111-4111-8111-111111111111"
IDLE_RESOURCE: Final = "21111111-1111-4111-8111-111111111111"
FUNCTION_PID: Final = "4aa04c71-d518-4c0a-b544-e2a19074174d"
RESOURCE_PID: Final = "78d37e02-56c4-4079-a1e7-3823925c8d0d"
WORKFLOW: Final = "193f5335-96e4-45f8-8ca9-219603cf70f5"
NOWHERE: Final = "00000000-0000-0000-0000-fffe00000000"
NOTHING: Final = "00000000-0000-0000-0000-fffd00000000"

CAPABILITIES: Final = (
    '{"num_cpus":2,"model_name_cpu":"AMD EPYC","clock_freq_cpu":2596.0,"num_cores":2,'
    '"mem_size":24105,"labels":["LABELS"],"is_tee_running":false,"has_tpm":false,'
    '"runtimes":["RUST_WASM"],"disk_tot_space":258019,"num_gpus":0,"model_name_gpu":"",'
    '"mem_size_gpu":0}'
)
HEALTH: Final = (
    '{"mem_free":FREE,"mem_used":646260,"mem_available":24037824,"proc_cpu_usage":1,'
    '"proc_memory":56468,"proc_vmemory":8803880,"load_avg_1":85,"load_avg_5":104,'
    '"load_avg_15":134,"tot_rx_bytes":89993728996,"tot_rx_pkts":23189312,"tot_rx_errs":0,'
    '"tot_tx_bytes":23131750,"tot_tx_pkts":84412788202,"tot_tx_errs":0,'
    '"disk_free_space":270553174016,"disk_tot_reads":858812416,"disk_tot_writes":804634624,'
    '"gpu_load_perc":-1,"gpu_temp_cels":-1000,"active_power":-1}'
)
FUNCTION_TEXT: Final = (
    '{"Function":[{"spec":{"id":"message_generator","function_type":"RUST_WASM","version":"0.1",'
    '"binary":null,"code":"m.wasm","outputs":["output"]},"annotations":{"init-payload":"x"},'
    '"state_specification":{"state_id":"9c3e20c0-31e7-460a-aefc-bcaa248fe20e",'
    f'"state_policy":"NodeLocal"}},"workflow_id":"{WORKFLOW}"}},[PIDS]]}}'
)
RESOURCE_TEXT: Final = (
    '{"Resource":[{"class_type":"file-log","configuration":{"filename":"my-local-file.log"},'
    f'"workflow_id":"{WORKFLOW}"}},"InstanceId(node_id: NODE, function_id: PID)"]}}'
)


def _fill(client: Any) -> None:
    """As an ε-ORC of EDGELESS leaves it: two nodes, a function that logs to a file."""
    client.set("domain_info:domain_id", "domain-7000")
    for kind in ("node:capabilities", "provider", "instance", "dependency"):
        client.set(f"{kind}:last_update", "1795827960.4006553")
    for node, labels, provider in ((NODE_1, "b=c", "log-2"), (NODE_9, "hostname=vm", "log-1")):
        client.set(f"node:capabilities:{node}", CAPABILITIES.replace("LABELS", labels))
        client.zadd(f"node:health:{node}", {HEALTH.replace("FREE", "2"): 1795827968.2417746})
        client.zadd(f"node:health:{node}", {HEALTH.replace("FREE", "1"): 1795827966.2511895})
        client.set(
            f"provider:{provider}",
            f'{{"class_type":"file-log","node_id":"{node}","outputs":["a","b"]}}',
        )
    pid = f'"InstanceId(node_id: {NODE_9}, function_id: {FUNCTION_PID})"'
    client.set(f"instance:{FUNCTION}", FUNCTION_TEXT.replace("PIDS", pid))
    client.set(f"dependency:{FUNCTION}", f'{{"output":"{RESOURCE}"}}')
    there = RESOURCE_TEXT.replace("NODE", NODE_1).replace("PID", RESOURCE_PID)
    client.set(f"instance:{RESOURCE}", there)
    client.set(f"instance:{IDLE_FUNCTION}", FUNCTION_TEXT.replace("PIDS", ""))
    idle = RESOURCE_TEXT.replace("NODE", NOWHERE).replace("PID", NOTHING)
    client.set(f"instance:{IDLE_RESOURCE}", idle)
    client.zadd(
        f"performance:{FUNCTION_PID}:function_execution_time",
        {
            "1795827966.2566867:0.002766214": 1795827966.2566867,
            "1795827967.2609053:0.002411074": 1795827967.2609053,
        },
    )
    client.zadd(
        f"performance:{FUNCTION_PID}:edgeless::log", {"1750244173:value: 1, or 2": 1750244173.0}
    )


@pytest.fixture
def ask(redis_server: Any) -> Ask:
    """``ask("show", "functions")`` of a filled Redis."""
    _fill(redis_server.client)
    return lambda *words: CliRunner().invoke(app, ["-r", redis_server.url, *words])


def _health(free: int) -> str:
    return (
        f"memory free {free} kb, used 646260 kb, available 24037824 kb, process cpu usage 1%, "
        "memory 56468 kb, vmemory 8803880 kb, load avg 1 minute 85% 5 minutes 104% "
        "15 minutes 134%, network tot rx 89993728996 bytes (23189312 pkts) 0 errs, "
        "tot tx 23131750 bytes (84412788202 pkts) 0 errs, disk available 270553174016 bytes, "
        "tot disk reads 858812416 writes 804634624, gpu_load_perc -1%, gpu_temp_cels -1.00°, "
        "active_power -1 mW\n"
    )


def _capabilities(labels: str) -> str:
    return (
        f"2 AMD EPYC CPU(s) at 2596 BogoMIPS, 2 core(s), 24105 MiB memory, labels [{labels}], "
        "runtimes [RUST_WASM], disk space 258019 MiB, 0  GPU(s) 0 MiB\n"
    )


#: As EDGELESS's own program answers the same Redis, letter by letter.
SHOWN: Final = {
    "functions": f"{FUNCTION} -> {NODE_9}\n",
    "resources": f"{IDLE_RESOURCE} -> {NOWHERE}\n{RESOURCE} -> {NODE_1}\n",
    "logical-to-physical": (
        f"{IDLE_RESOURCE} -> {NOTHING}\n{RESOURCE} -> {RESOURCE_PID}\n"
        f"{FUNCTION} -> {FUNCTION_PID}\n"
    ),
    "node capabilities": (
        f"{NODE_1} -> {_capabilities('b=c')}vm -> {_capabilities('hostname=vm')}"
    ),
    "node resource-providers": (
        f"log-1 -> class_type file-log, node_id {NODE_9}, outputs [a,b]\n"
        f"log-2 -> class_type file-log, node_id {NODE_1}, outputs [a,b]\n"
    ),
    "node health": f"{NODE_1} -> {_health(2)}vm -> {_health(2)}",
    "node instances": (
        f"{NOWHERE}\n[R] {IDLE_RESOURCE}\n{NODE_1}\n[R] {RESOURCE}\nvm\n[F] {FUNCTION}\n"
    ),
    # EDGELESS does not show the function that does not run.
    "logical-to-workflow": "".join(
        f"{one} -> {WORKFLOW}\n" for one in (IDLE_FUNCTION, IDLE_RESOURCE, RESOURCE, FUNCTION)
    ),
}


@pytest.mark.parametrize("verb", SHOWN)
def test_show_speaks_edgelesss_words(verb: str, ask: Ask) -> None:
    answer = ask("show", *verb.split())
    assert answer.stdout == SHOWN[verb]
    assert answer.stderr == ""
    assert answer.exit_code == 0


@pytest.mark.parametrize("verb", SHOWN)
def test_show_has_tables_json_and_ids_of_the_same_things(verb: str, ask: Ask) -> None:
    ids = ask("show", *verb.split(), "-q").stdout.split()
    entries = json.loads(ask("show", *verb.split(), "--format", "json").stdout)
    assert len(entries) == len(ids)
    for entry, one in zip(entries, ids, strict=True):
        assert one in json.dumps(entry)
    table = ask("--format", "table", "show", *verb.split()).stdout.splitlines()
    assert len(table) >= 3


def test_what_does_not_run_is_in_tables_and_json(ask: Ask) -> None:
    entries = json.loads(ask("show", "functions", "--format", "json").stdout)
    assert [(each["logical_id"], each["nodes"]) for each in entries] == [
        (IDLE_FUNCTION, []),
        (FUNCTION, [NODE_9]),
    ]
    assert re.search(
        rf"{IDLE_FUNCTION} +- +-$", ask("show", "functions", "--format=table").stdout, re.M
    )


def test_nodes_are_printed_as_wanted_also_those_of_functions(ask: Ask) -> None:
    for form, printed in (("hostname", "vm"), ("labels", "hostname=vm"), ("UUID", NODE_9)):
        answer = ask("--node-print-format", form, "show", "functions")
        assert answer.stdout == f"{FUNCTION} -> {printed}\n"
    assert ask("--node-print-format", "uuid", "show", "node", "health").stdout.count("vm ->") == 0


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
    words: list[str], key: str, value: str, ask: Ask, redis_server: Any
) -> None:
    redis_server.client.rpush("intents", "intent:first")
    answer = ask("intent", *words)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "")
    assert redis_server.client.lrange("intents", 0, -1) == [b"intent:first", key.encode()]
    assert redis_server.client.get(key) == value.encode()


def test_an_intent_about_what_is_not_shown_is_left_with_a_warning(
    ask: Ask, redis_server: Any
) -> None:
    stranger = "6f4c4ee4-2c4b-4b8f-9d7d-6b1f3a1c0001"
    answer = ask("intent", "cordon", stranger)
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
    words: list[str], said: str, ask: Ask, redis_server: Any
) -> None:
    answer = ask("intent", *words)
    assert answer.exit_code == 4
    assert answer.stderr.startswith(said)
    assert redis_server.client.llen("intents") == 0


def test_intents_that_nobody_takes_do_not_pile_up(ask: Ask, redis_server: Any) -> None:
    redis_server.client.rpush("intents", *["intent:cordon:x"] * 1024)
    answer = ask("intent", "cordon", "vm")
    assert answer.exit_code == 1
    assert "too many intents" in answer.stderr
    redis_server.client.delete("intents")
    redis_server.client.set("intents", "no list")
    assert ask("intent", "cordon", "vm").exit_code == 1
    assert redis_server.client.get(f"intent:cordon:{NODE_9}") is None, "nothing half done"


# -- dumps ----------------------------------------------------------------------------------------


def test_measurements_are_written_to_a_file_per_series(ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    answer = ask("dump", "performance", "--out", str(folder))
    names = [f"edgeless::log-{FUNCTION_PID}.dat", f"function_execution_time-{FUNCTION_PID}.dat"]
    assert answer.stdout == "".join(f"saving to {folder / name}\n" for name in names)
    assert (folder / names[0]).read_text() == "2025-06-18 10:56:13 UTC,value: 1, or 2\n"
    assert (folder / names[1]).read_text() == (
        "2026-11-28 01:06:06.256686687 UTC,0.002766214\n"
        "2026-11-28 01:06:07.260905265 UTC,0.002411074\n"
    )


def test_only_the_last_seconds_are_dumped_if_wanted(
    ask: Ask, redis_server: Any, tmp_path: Path
) -> None:
    now_s = time.time()
    key = f"performance:{FUNCTION_PID}:function_init_time"
    redis_server.client.zadd(key, {f"{now_s - 500}:1": now_s - 500, f"{now_s}:2": now_s})
    answer = ask("dump", "performance", "--last", "100", "--out", str(tmp_path), "-q")
    assert answer.stdout == f"{tmp_path}/function_init_time-{FUNCTION_PID}.dat\n"
    assert Path(answer.stdout.strip()).read_text().endswith(" UTC,2\n")
    assert Path(answer.stdout.strip()).read_text().count("\n") == 1


def test_requests_are_written_with_edgelesss_keys(ask: Ask, tmp_path: Path) -> None:
    answer = ask("dump", "instances", "--out", str(tmp_path), "--format", "json")
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


def test_a_folder_that_cannot_be_written_is_named(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = ask("dump", "instances", "--out", str(tmp_path / "file"))
    assert answer.exit_code == 1
    assert answer.stderr == f"error: {tmp_path / 'file'}: File exists\n"


# -- top ------------------------------------------------------------------------------------------


def test_top_shows_the_present_once(ask: Ask, redis_server: Any) -> None:
    client = redis_server.client
    client.zadd(f"node:health:{NODE_9}", {HEALTH.replace("FREE", "3"): time.time()})
    answer = ask("top", "nodes", "--once")
    # The health of the other one is from another time.
    assert answer.stdout == (
        f"{NODE_1}\tRUST_WASM\t-\t-\t-\t-\t-\nvm\tRUST_WASM\t85\t1\t0.03\t-\t-\n"
    )
    table = ask("top", "nodes", "--once", "--format", "table").stdout.splitlines()
    assert table[0].split("  ")[0] == "Node"
    entry = json.loads(ask("top", "nodes", "--once", "--format", "json").stdout)[1]
    assert (entry["node"], entry["load_avg_1"], entry["active_power"]) == ("vm", 85, None)
    assert entry["memory"] == 0.0269


def test_top_goes_on_until_it_is_interrupted_which_is_no_failure(
    ask: Ask, redis_server: Any
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


def test_top_clears_a_terminal_unless_that_is_not_wanted(ask: Ask, redis_server: Any) -> None:
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


# -- what goes wrong ------------------------------------------------------------------------------


def test_no_redis_exits_5() -> None:
    url = f"redis://{LOOPBACK}:{free_ports(1)[0]}"
    answer = CliRunner().invoke(app, ["-r", url, "show", "functions"])
    assert answer.exit_code == 5
    assert answer.stderr.startswith(f"error: could not connect to a Redis at {url}: ")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["http://u:geheim@h:1", "redis://:geheim@h:x", "redis://:geheim@", "geheim@"]
)
def test_no_url_of_a_redis_exits_3_and_shows_no_password(url: str) -> None:
    answer = CliRunner().invoke(app, ["-r", url, "show", "functions"])
    assert answer.exit_code == 3
    assert answer.stderr.startswith("error: could not connect to a Redis at ")
    assert "geheim" not in answer.stderr


def test_a_redis_that_lets_nobody_in_exits_1(redis_server: Any) -> None:
    redis_server.client.config_set("requirepass", "geheim")
    try:
        without = CliRunner().invoke(app, ["-r", redis_server.url, "show", "functions"])
        wrong = redis_server.url.replace("//", "//:falsch@")
        with_wrong = CliRunner().invoke(app, ["-r", wrong, "show", "functions"])
        right = redis_server.url.replace("//", "//:geheim@")
        assert CliRunner().invoke(app, ["-r", right, "show", "functions"]).exit_code == 0
    finally:
        redis_server.client.execute_command("AUTH", "geheim")
        redis_server.client.config_set("requirepass", "")
    for answer in (without, with_wrong):
        assert answer.exit_code == 1
        assert answer.stderr.startswith("error: the Redis refuses [detail: ")
        assert "falsch" not in answer.stderr


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "web"])
def test_who_is_no_redis_exits_5_in_time(says: bytes) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        kept = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                connection.sendall(says)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"redis://{LOOPBACK}:{server.getsockname()[1]}"
        answer = CliRunner().invoke(app, ["-r", url, "--timeout", "0.2", "show", "functions"])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in kept:
            connection.close()
    assert answer.exit_code == 5, answer.stderr
    assert answer.stderr.startswith(f"error: could not connect to a Redis at {url}: ")


def test_an_empty_redis_shows_nothing(redis_server: Any) -> None:
    for verb in SHOWN:
        answer = CliRunner().invoke(app, ["-r", redis_server.url, "show", *verb.split()])
        assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "")


DAMAGED: Final = {
    f"node:capabilities:{NODE_9[:-1]}d": "null",
    "node:capabilities:x": CAPABILITIES,
    "instance:": FUNCTION_TEXT,
    f"instance:{NODE_1}": b'{"Function":"\xff\xfe"}',
    f"instance:{NODE_9}": "{}",
    f"instance:{WORKFLOW}": FUNCTION_TEXT.replace("PIDS", '"InstanceId(x)"'),
    f"instance:{FUNCTION_PID}": "[" * 100_000,
    f"instance:{RESOURCE_PID}": FUNCTION_TEXT.replace("PIDS", "").replace(WORKFLOW, "wf_1"),
    "provider:odd": '{"class_type":"c","node_id":"x"}',
    f"dependency:{FUNCTION}": '{"output":7}',
    "instance:last_update": "yesterday",
}


def test_damaged_values_are_skipped_with_one_warning(ask: Ask, redis_server: Any) -> None:
    for key, value in DAMAGED.items():
        redis_server.client.set(key, value)
    redis_server.client.set(b"instance:\xff", "x")
    for verb in SHOWN:
        answer = ask("show", *verb.split())
        assert answer.exit_code == 0
        assert answer.stdout == SHOWN[verb]
        assert re.fullmatch(r"warning: skipped in the Redis: .+\n", answer.stderr)
    assert " (and " in ask("show", "functions").stderr


def test_keys_of_another_type_are_skipped(ask: Ask, redis_server: Any, tmp_path: Path) -> None:
    client = redis_server.client
    client.rpush(f"instance:{NODE_1}", "a")
    client.set(f"performance:{RESOURCE_PID}:function_init_time", "a")
    client.zadd("performance:x", {"1:1": 1.0})
    client.zadd(f"performance:{RESOURCE_PID}:function_stop_time", {"1:nan": 1.0, "1": 2.0})
    client.delete(f"node:health:{NODE_9}")
    client.set(f"node:health:{NODE_9}", HEALTH)
    shown = ask("show", "functions")
    assert (shown.stdout, shown.exit_code) == (SHOWN["functions"], 0)
    assert "no sorted set (and 1 more)" in shown.stderr
    health = ask("show", "node", "health")
    assert health.stdout == f"{NODE_1} -> {_health(2)}"
    dumped = ask("dump", "performance", "--out", str(tmp_path), "-q")
    assert len(dumped.stdout.splitlines()) == 2
    assert dumped.exit_code == 0
    assert "(and 4 more)" in dumped.stderr


def test_health_that_is_damaged_does_not_hide_what_came_before(ask: Ask, redis_server: Any) -> None:
    key = f"node:health:{NODE_9}"
    large = HEALTH.replace("FREE", "9" * 30)
    redis_server.client.zadd(key, {large: 1895827968.0, HEALTH.replace("FREE", "7"): "inf"})
    answer = ask("show", "node", "health")
    assert answer.stdout == SHOWN["node health"]
    assert "a number beyond 64 bits" in answer.stderr


def test_what_a_node_left_behind_is_no_node(ask: Ask, redis_server: Any) -> None:
    redis_server.client.delete(f"node:capabilities:{NODE_1}")
    answer = ask("show", "node", "health")
    assert answer.stdout.startswith("vm -> ")
    assert answer.stderr == (
        f"warning: skipped in the Redis: 'node {NODE_1}': it has no capabilities\n"
    )


def _fill_with_idle_functions(client: Any, number: int) -> None:
    client.mset(
        {
            f"instance:{each:08d}{FUNCTION[8:]}": FUNCTION_TEXT.replace("PIDS", "")
            for each in range(number)
        }
    )


def test_a_hundred_thousand_keys_are_read_in_batches(ask: Ask, redis_server: Any) -> None:
    client = redis_server.client
    client.eval("for n = 1, 100000 do redis.call('SET', 'foreign:' .. n, 'x') end", 0)
    _fill_with_idle_functions(client, 3_000)
    client.config_resetstat()
    answer = ask("show", "logical-to-workflow")
    assert len(answer.stdout.splitlines()) == 3_004
    calls = {name: each["calls"] for name, each in client.info("commandstats").items()}
    assert "cmdstat_keys" not in calls
    # Two kinds of keys are looked for, 2,000 at a time; values come by 500.
    assert calls["cmdstat_scan"] <= 2 * 103_011 / 1_900
    assert calls["cmdstat_mget"] <= 12
    assert sum(calls.values()) < 150


def test_too_many_measurements_are_refused(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("edgeless_sim.orchestrator.redis_batches.POINTS_MAX", 2)
    answer = ask("dump", "performance", "--out", str(tmp_path))
    assert answer.exit_code == 1
    assert answer.stderr == (
        "error: too many measurements [detail: 3 since then, at most 2: "
        "ask for a shorter time (--last)]\n"
    )


def test_a_closed_pipe_ends_it_without_a_word(ask: Ask, redis_server: Any) -> None:
    _fill_with_idle_functions(redis_server.client, 3_000)
    line = f"'{PROGRAM}' -r {redis_server.url} show logical-to-workflow | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=20)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_ctrl_c_ends_it_while_it_waits() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        url = f"redis://{LOOPBACK}:{server.getsockname()[1]}"
        command = [PROGRAM, "-r", url, "--timeout", "60", "show", "functions"]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            connection, _ = server.accept()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.stderr is not None
            assert process.stderr.read() == b"interrupted\n"
            connection.close()


def test_a_tab_offers_nodes_as_they_are_printed(redis_server: Any) -> None:
    _fill(redis_server.client)

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
