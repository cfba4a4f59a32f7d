"""The terminal while ``top`` draws on it: a screen of its own, and the key that ends it.

Nothing here waits and no thread runs: whoever has the time calls `Screen.show`. A frame is drawn
four times a second at most, and less often where drawing takes long, so that it never costs more
than a small share of the time. Not here: what is drawn (`layout`).
"""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from rich.console import Console, RenderableType
from rich.live import Live

from edgeless_sim.kernel.clock import cpu_seconds, wall_seconds

__all__ = ["Drawn", "Screen", "is_screen", "open_screen"]

#: Gives a frame for a width and a height.
Drawn: TypeAlias = Callable[[int, int], RenderableType]

_EVERY_S: Final = 0.25
#: A frame is followed by so many times what it cost in which none is drawn.
_REST: Final = 15
_KEYS_BYTES: Final = 64


def is_screen() -> bool:
    """Whether standard output is a terminal that can be drawn on."""
    return sys.stdout.isatty() and not Console().is_dumb_terminal


class Screen:
    """A terminal that shows one frame after the other."""

    def __init__(self, console: Console, live: Live, keys: int | None) -> None:
        self._console = console
        self._live = live
        self._keys = keys
        self._next_s = 0.0
        #: Whether somebody has typed ``q``.
        self.quitting = False

    def show(self, drawn: Drawn) -> None:
        """Draw a frame if it is time for one, and look at the keys."""
        now_s = wall_seconds()
        if now_s < self._next_s:
            return
        self._look()
        begun_s = cpu_seconds()
        size = self._console.size
        self._live.update(drawn(size.width, size.height), refresh=True)
        # What it cost, and not how long it took: others may be busy, too.
        self._next_s = now_s + max(_EVERY_S, _REST * (cpu_seconds() - begun_s))

    def _look(self) -> None:
        keys = self._keys
        if keys is None or not select.select([keys], [], [], 0)[0]:
            return
        typed = os.read(keys, _KEYS_BYTES)
        if not typed:
            self._keys = None
        elif b"q" in typed.lower() and not self.quitting:
            self.quitting = True
            # Whatever runs ends as for Ctrl-C; who opened the screen knows better.
            signal.raise_signal(signal.SIGINT)


@contextmanager
def open_screen() -> Generator[Screen]:
    """Draw on another screen than the one with what was typed before, which comes back.

    ``q`` ends the block as if it had ended well, wherever it is; a SIGTERM ends it as Ctrl-C does,
    so that no terminal stays as it must not.
    """
    console = Console()
    live = Live(
        console=console,
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with _keys() as keys, _terminated_as_interrupted(), live:
        screen = Screen(console, live, keys)
        try:
            yield screen
        except KeyboardInterrupt:
            if not screen.quitting:
                raise


@contextmanager
def _keys() -> Generator[int | None]:
    """The descriptor on which keys come as they are typed; None if nobody types."""
    if not sys.stdin.isatty():
        yield None
        return
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    tty.setcbreak(keys)
    try:
        yield keys
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)


@contextmanager
def _terminated_as_interrupted() -> Generator[None]:
    def interrupt(*_: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
