"""What tests of programs share: a terminal that nobody sees."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[3]
PATIENCE_S: Final = 60
ESCAPE: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
#: What a frame begins with.
HOME: Final = "\x1b[H"
OTHER_SCREEN: Final = "\x1b[?1049h"
THIS_SCREEN: Final = "\x1b[?1049l"


class Terminal:
    """A pseudo-terminal with the program in it, and what it has written so far."""

    rows = 40
    columns = 120

    def __init__(self, master: int, process: "subprocess.Popen[bytes]") -> None:
        self.master = master
        self.process = process
        self._bytes = b""

    @property
    def written(self) -> str:
        return self._bytes.decode(errors="replace")

    def until(self, found: Callable[[str], bool]) -> str:
        """Read until what was written is as wanted; fails after a minute."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not found(self.written):
            assert time.monotonic() < deadline_s, self.written
            self._read()
        return self.written

    def ended(self) -> int:
        """Read until the program has ended; its exit code."""
        # The test has the other end, too, so that nobody is told of its end.
        self.until(lambda _: self.process.poll() is not None)
        while self._read():
            pass
        return self.process.wait()

    def frames(self) -> list[str]:
        """What stood on the other screen, one text after the other."""
        drawn = self.written.partition(OTHER_SCREEN)[2].partition(THIS_SCREEN)[0]
        return [ESCAPE.sub("", each) for each in drawn.split(HOME)]

    def left(self) -> str:
        """What stands on the screen afterwards."""
        return ESCAPE.sub("", self.written.partition(THIS_SCREEN)[2]).replace("\r", "")

    def _read(self) -> bool:
        """Read what there is; whether there was something within a moment."""
        there = bool(select.select([self.master], [], [], 0.05)[0])
        if there:
            self._bytes += os.read(self.master, 65_536)
        return there


@contextmanager
def _terminal(*arguments: str, **environment: str) -> Generator[Terminal]:
    master, slave = pty.openpty()
    size = struct.pack("HHHH", Terminal.rows, Terminal.columns, 0, 0)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
    before = termios.tcgetattr(slave)
    program = Path(sys.executable).with_name("edgeless-sim")
    hidden = ("NO_COLOR", "COLUMNS", "LINES")
    inherited = {key: value for key, value in os.environ.items() if key not in hidden}
    process = subprocess.Popen(
        [str(program), "top", *arguments],
        cwd=ROOT,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**inherited, "TERM": "xterm-256color", **environment},
        start_new_session=True,
    )
    try:
        yield Terminal(master, process)
        # As it was: what is typed is seen again.
        assert termios.tcgetattr(slave) == before
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)


@pytest.fixture
def terminal() -> Callable[..., Any]:
    """``with terminal(ARGUMENTS, TERM="dumb") as shown``: ``edgeless-sim top`` in a terminal."""
    return _terminal
