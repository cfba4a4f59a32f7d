"""new, build, invoke as they are typed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest
from typer.testing import CliRunner, Result

from edgeless_sim.cli import edgeless_cli
from edgeless_sim.cli.main import app

RUNNER = CliRunner()


def invoke(*words: str) -> Result:
    return RUNNER.invoke(app, list(words))


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    folder = tmp_path / "echo"
    assert invoke("new", "function", str(folder), "--lang", "wat").exit_code == 0
    return folder


def test_new_says_what_to_type_next(tmp_path: Path) -> None:
    result = invoke("new", "function", str(tmp_path / "greet"), "--lang", "python")
    assert result.exit_code == 0
    assert f"edgeless-sim invoke {tmp_path / 'greet'} --cast world" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("new", "functio", "x"), 2, "did you mean 'function'?"),
        (("new", "guide", "x", "--lang", "c"), 2, "--lang is for functions"),
        (("new", "function", "x", "--lang", "go"), 3, "none of rust, c, python, wat"),
        (("new", "function", "9"), 3, "is no name"),
        (("build", "nowhere"), 3, "no such file"),
        (("invoke", "nowhere", "--cast", "x"), 3, "no such file"),
        (("invoke", "nowhere", "--format", "xml"), 2, "none of plain, json"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: tuple[str, ...], code: int, text: str) -> None:
    result = invoke(*words)
    assert (result.exit_code, text in result.stderr) == (code, True), result.output


def test_invoke_builds_and_shows_what_the_function_does(echo: Path) -> None:
    result = invoke("invoke", str(echo), "--cast", "hi", "--call", "you")
    assert result.exit_code == 0
    assert f"built {echo / 'echo.wasm'}" in result.stdout
    assert "-> output: hi" in result.stdout
    assert "reply: you" in result.stdout
    assert "fuel = " in result.stdout


def test_a_payload_may_come_from_a_file(echo: Path, tmp_path: Path) -> None:
    (tmp_path / "payload").write_text("from a file")
    assert (
        "-> output: from a file"
        in invoke("invoke", str(echo), "--cast", f"@{tmp_path / 'payload'}").stdout
    )
    missing = invoke("invoke", str(echo), "--cast", "@nowhere")
    assert (missing.exit_code, "no such file" in missing.stderr) == (1, True)


def test_json_has_a_line_per_event(echo: Path) -> None:
    lines = invoke("invoke", str(echo), "--cast", "hi", "--format", "json").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["init", "cast", "stop"]


def test_what_a_function_says_cannot_command_the_terminal(echo: Path) -> None:
    shown = invoke("invoke", str(echo), "--cast", "a\x1b[2Jb").stdout
    assert "\x1b" not in shown
    assert "\\u001b" in shown


def test_a_function_that_fails_ends_with_an_exit_code(echo: Path) -> None:
    source = echo / "echo.wat"
    source.write_text(source.read_text().replace("(call $cast", "(unreachable) (call $cast"))
    result = invoke("invoke", str(echo), "--cast", "hi")
    assert (result.exit_code, "FAILED: trap: unreachable" in result.stdout) == (1, True)


def test_edgelesss_own_client_builds_by_the_guides_words(echo: Path) -> None:
    words = ["function", "build", str(echo / "function.json")]
    result = RUNNER.invoke(edgeless_cli.app, words)
    assert (result.exit_code, (echo / "echo.wasm").is_file()) == (0, True)


def _lines_within(stream: IO[bytes], seconds: float) -> list[str]:
    """What comes in so many seconds."""
    os.set_blocking(stream.fileno(), False)
    time.sleep(seconds)
    return (stream.read() or b"").decode().splitlines()


def test_watch_does_it_again_when_a_file_changes(echo: Path) -> None:
    pytest.importorskip("watchfiles")
    command = [sys.executable, "-m", "edgeless_sim", "invoke", str(echo), "--cast", "hi", "--watch"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        seen: list[str] = []
        try:
            source = echo / "echo.wat"
            deadline = time.monotonic() + 30
            # It may not watch yet: say it again until it has heard.
            while time.monotonic() < deadline and process.poll() is None:
                source.write_text(source.read_text().replace('"output"', '"outpux"') + "\n")
                seen += _lines_within(process.stdout, 0.5)
                if any("echo.wat" in line and "changed" in line for line in seen):
                    seen += _lines_within(process.stdout, 2)
                    break
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)
    again = seen.index("-- echo.wat changed")
    assert "  -> outpux: hi" in seen[again:]
