"""Ctrl-C while something is being imported ends the program, and is not forgotten.

Imported before anything else: no imports of ours here.
"""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["INTERRUPTED", "leave_at_once", "quietly_loading"]

INTERRUPTED: Final = 130


def leave_at_once() -> bool:
    """Let Ctrl-C end the program without a word; whether that was changed."""
    # Whoever ignores it, as shells do for programs in the background, goes on ignoring it.
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if default:
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
    return default


@contextmanager
def quietly_loading() -> Generator[None]:
    """Let Ctrl-C end the program at once while what a command needs is imported.

    A KeyboardInterrupt that comes in a callback, of which importing has thousands, is forgotten by
    the interpreter: the program would go on, deaf to that Ctrl-C.
    """
    default = leave_at_once()
    try:
        yield
    finally:
        if default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
