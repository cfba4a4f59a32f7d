"""What the tests of deployments share: processes that end with the test."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, TypeAlias

import pytest

Start: TypeAlias = Callable[[Sequence[str], Path], "subprocess.Popen[bytes]"]
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
    begin = 11_000 + os.getpid() * 40 % 20_000
    for port in range(begin, begin + 1_000, 40):
        if all(_is_free(one) for one in range(port, port + 40)):
            return port
    raise AssertionError("no free ports")


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
