"""Shells that a test types into, as a person who follows the guide would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

import pytest

PATIENCE_S: Final = 60
#: Long enough for a build in Rust.
COMMAND_S: Final = 300
_STOP_S: Final = 12


class Shell:
    """One shell with its programs; everything that they say goes to one file."""

    def __init__(self, name: str, folder: Path, log: Path) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.name = name
        self._log = log
        self._read = 0
        with log.open("wb") as output:
            # A process group of its own, so that Ctrl-C reaches what runs in it, and nobody else.
            self._process = subprocess.Popen(
                ["bash", "--norc"],
                cwd=folder,
                env={**os.environ, "PATH": path},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def type(self, command: str) -> None:
        """Type one line."""
        self._stdin.write(f"{command}\n".encode())
        self._stdin.flush()

    def run(self, command: str) -> str:
        """Type one line, wait for its end, and return what it said; it must succeed."""
        before = len(self.said())
        mark = f"@{before}@"
        self.type(f"{command}\necho '{mark}'$?")
        self.until(lambda: mark in self.said()[before:], COMMAND_S, command)
        said, _, code = self.said()[before:].partition(mark)
        assert code.strip() == "0", f"{command}: exit {code.strip()}\n{said}"
        self._read = len(self.said())
        return said

    def said(self) -> str:
        """Everything so far."""
        return self._log.read_text(errors="replace")

    def expect(self, find: Callable[[str], int], line: str) -> None:
        """Wait until *find* finds *line* after what was read before."""
        end = 0

        def there() -> bool:
            nonlocal end
            end = find(self.said()[self._read :])
            return end >= 0

        self.until(there, PATIENCE_S, line)
        self._read += end

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for *condition*; fail with what the shell said."""
        deadline_s = time.monotonic() + seconds
        while not condition():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline_s:
                pytest.fail(f"in shell {self.name}: {what}\n{self.said()[-4000:]}")
            time.sleep(0.05)

    def interrupt(self) -> None:
        """Ctrl-C, and the end of the shell."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._stdin.close()
        self._process.wait(_STOP_S)

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if not self._stdin.closed:
            self._stdin.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin


@pytest.fixture
def open_shell(tmp_path: Path) -> Generator[Callable[[str, Path], Shell]]:
    """``open_shell(name, folder)``; all of them end with the test."""
    with ExitStack() as stack:

        def opened(name: str, folder: Path) -> Shell:
            shell = Shell(name, folder, tmp_path / f"{name}.log")
            stack.callback(shell.end)
            return shell

        yield opened
