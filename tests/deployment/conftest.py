"""What the tests of deployments share: processes that end with the test."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

Start: TypeAlias = Callable[[Sequence[str], Path], "subprocess.Popen[bytes]"]
ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 60
STOP_S: Final = 15


@pytest.fixture
def start() -> Generator[Start]:
    """``start(command, log)``: run it until the test ends; all of its group goes with it.

    This version's commands are on its path, and so is ``python``.
    """
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    with ExitStack() as stack:

        def started(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
            output = stack.enter_context(log.open("wb"))
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, start_new_session=True
            )
            stack.callback(_stop, process)
            return process

        yield started


@pytest.fixture
def first_port() -> int:
    """A port with nobody at it and at the 39 above; below those that clients are given."""
    begin = 11_000 + os.getpid() * 40 % 16_000
    for port in range(begin, begin + 4_000, 40):
        if all(_is_free(one) for one in range(port, port + 40)):
            return port
    raise AssertionError("no free ports")


class Person:
    """Somebody beside a program that stays up: types commands, waits, reads what it says."""

    def typed(
        self, program: str, *words: str, cwd: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """One of our programs, typed in *cwd*, to its end."""
        command = [str(Path(sys.executable).with_name(program)), *words]
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def until(self, condition: Callable[[], Any], told: Callable[[], str]) -> Any:
        """What *condition* returns as soon as that is true."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            assert time.monotonic() < deadline_s, told()
            time.sleep(0.05)
        return found

    def web_workflow(self, folder: Path) -> Path:
        """A workflow file with an http-ingress, whose function answers ``World`` to ``/hello``."""
        function = ROOT / "functions" / "http_processor" / "function.json"
        specification = json.loads(function.read_text())
        specification["code"] = str(function.with_name("http_processor.wasm"))
        workflow = {
            "functions": [
                {
                    "name": "processor",
                    "class_specification": specification,
                    "output_mapping": {},
                    "annotations": {},
                }
            ],
            "resources": [
                {
                    "name": "ingress",
                    "class_type": "http-ingress",
                    "output_mapping": {"new_request": "processor"},
                    "configurations": {"methods": "GET"},
                }
            ],
            "annotations": {},
        }
        path = folder / "web.json"
        path.write_text(json.dumps(workflow))
        return path

    def answer_of(self, url: str) -> str:
        """What is answered there; empty if nothing is."""
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
                return str(response.read().decode())
        except (urllib.error.URLError, OSError):
            return ""


@pytest.fixture
def person() -> Person:
    return Person()


def _is_free(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
