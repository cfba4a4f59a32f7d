"""proxy_cli and what goes wrong: no Redis, a damaged one, a large one (spec 7.1, 7.5)."""

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from tests.cli.edgeless_redis import (
    CAPABILITIES,
    FUNCTION,
    FUNCTION_PID,
    FUNCTION_TEXT,
    HEALTH,
    NODE_1,
    NODE_9,
    RESOURCE_PID,
    SHOWN,
    WORKFLOW,
    health_words,
)
from typer.testing import CliRunner, Result

from edgeless_sim.cli.proxy_cli import app
from edgeless_sim.cluster.ports import LOOPBACK, free_ports

Ask: TypeAlias = Callable[..., Result]
PROGRAM: Final = str(Path(sys.executable).with_name("proxy_cli"))


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


def test_damaged_values_are_skipped_with_one_warning(ask_redis: Ask, redis_server: Any) -> None:
    for key, value in DAMAGED.items():
        redis_server.client.set(key, value)
    redis_server.client.set(b"instance:\xff", "x")
    for verb in SHOWN:
        answer = ask_redis("show", *verb.split())
        assert answer.exit_code == 0
        assert answer.stdout == SHOWN[verb]
        assert re.fullmatch(r"warning: skipped in the Redis: .+\n", answer.stderr)
    assert " (and " in ask_redis("show", "functions").stderr


def test_keys_of_another_type_are_skipped(
    ask_redis: Ask, redis_server: Any, tmp_path: Path
) -> None:
    client = redis_server.client
    client.rpush(f"instance:{NODE_1}", "a")
    client.set(f"performance:{RESOURCE_PID}:function_init_time", "a")
    client.zadd("performance:x", {"1:1": 1.0})
    client.zadd(f"performance:{RESOURCE_PID}:function_stop_time", {"1:nan": 1.0, "1": 2.0})
    client.delete(f"node:health:{NODE_9}")
    client.set(f"node:health:{NODE_9}", HEALTH)
    shown = ask_redis("show", "functions")
    assert (shown.stdout, shown.exit_code) == (SHOWN["functions"], 0)
    assert "no sorted set (and 1 more)" in shown.stderr
    health = ask_redis("show", "node", "health")
    assert health.stdout == f"{NODE_1} -> {health_words(2)}"
    dumped = ask_redis("dump", "performance", "--out", str(tmp_path), "-q")
    assert len(dumped.stdout.splitlines()) == 2
    assert dumped.exit_code == 0
    assert "(and 4 more)" in dumped.stderr


def test_health_that_is_damaged_does_not_hide_what_came_before(
    ask_redis: Ask, redis_server: Any
) -> None:
    key = f"node:health:{NODE_9}"
    large = HEALTH.replace("FREE", "9" * 30)
    redis_server.client.zadd(key, {large: 1895827968.0, HEALTH.replace("FREE", "7"): "inf"})
    answer = ask_redis("show", "node", "health")
    assert answer.stdout == SHOWN["node health"]
    assert "a number beyond 64 bits" in answer.stderr


def test_what_a_node_left_behind_is_no_node(ask_redis: Ask, redis_server: Any) -> None:
    redis_server.client.delete(f"node:capabilities:{NODE_1}")
    answer = ask_redis("show", "node", "health")
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


def test_a_hundred_thousand_keys_are_read_in_batches(ask_redis: Ask, redis_server: Any) -> None:
    client = redis_server.client
    client.eval("for n = 1, 100000 do redis.call('SET', 'foreign:' .. n, 'x') end", 0)
    _fill_with_idle_functions(client, 3_000)
    client.config_resetstat()
    answer = ask_redis("show", "logical-to-workflow")
    assert len(answer.stdout.splitlines()) == 3_004
    calls = {name: each["calls"] for name, each in client.info("commandstats").items()}
    assert "cmdstat_keys" not in calls
    # Two kinds of keys are looked for, 2,000 at a time; values come by 500.
    assert calls["cmdstat_scan"] <= 2 * 103_011 / 1_900
    assert calls["cmdstat_mget"] <= 12
    assert sum(calls.values()) < 150


def test_too_many_measurements_are_refused(
    ask_redis: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("edgeless_sim.orchestrator.redis_batches.POINTS_MAX", 2)
    answer = ask_redis("dump", "performance", "--out", str(tmp_path))
    assert answer.exit_code == 1
    assert answer.stderr == (
        "error: too many measurements [detail: 3 since then, at most 2: "
        "ask for a shorter time (--last)]\n"
    )


def test_a_closed_pipe_ends_it_without_a_word(ask_redis: Ask, redis_server: Any) -> None:
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
