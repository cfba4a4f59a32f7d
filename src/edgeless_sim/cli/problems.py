"""Errors -> exit codes and one message for people; never a traceback on the screen.

This is the last boundary: what is no `EdgelessError` is a bug of ours, whose traceback goes to a
file. Not here: the wording of errors, which is theirs.
"""

import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

import typer

__all__ = ["Complain", "Exit", "complain", "exit_code", "reported"]

#: Says to people what went wrong.
Complain: TypeAlias = Callable[[str], None]

_MESSAGE_LINES_MAX: Final = 22
_MESSAGE_CHARS_MAX: Final = 6_000


class Exit:
    """Exit codes; 2 is a wrong command line."""

    DONE: Final = 0
    FAILED: Final = 1
    INVALID_FILE: Final = 3
    NOT_FOUND: Final = 4
    UNREACHABLE: Final = 5
    EXPECTATION: Final = 6
    BUG: Final = 70
    INTERRUPTED: Final = 130


def complain(text: str) -> None:
    """Write *text* to standard error, at most a screenful; or nothing, if nobody can read it."""
    lines = text[:_MESSAGE_CHARS_MAX].splitlines() or [""]
    if len(lines) > _MESSAGE_LINES_MAX:
        lines = [*lines[:_MESSAGE_LINES_MAX], "..."]
    with suppress(OSError):
        typer.echo("\n".join(lines), err=True)


def exit_code(error: Exception) -> int:
    """The exit code for an error that was raised on purpose."""
    from edgeless_sim import errors

    if isinstance(error, errors.SpecError):
        return Exit.INVALID_FILE
    if isinstance(error, errors.UnknownComponentError):
        return Exit.NOT_FOUND
    if isinstance(error, errors.UnreachableError):
        return Exit.UNREACHABLE
    if isinstance(error, errors.SimulationError):
        return Exit.EXPECTATION
    return Exit.FAILED


@contextmanager
def reported(out: Path | None = None, say: Complain = complain) -> Generator[None]:
    """Turn whatever goes wrong inside into a message and an exit code.

    *out* is the folder that is written to; it is named if a write fails without saying where.
    *say* writes the message.
    """
    try:
        yield
    except BaseException as raised:  # noqa: BLE001 - the last boundary: no traceback on the screen
        error = _unwrapped(raised)
        if isinstance(error, (typer.Exit, typer.BadParameter, SystemExit)):
            raise error from None
        code = _complained(error, out, say)
        _leave_broken_streams()
        raise typer.Exit(code) from None


def _unwrapped(error: BaseException) -> BaseException:
    """What is inside of *error*: every nursery puts a group around what ends it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _complained(error: BaseException, out: Path | None, say: Complain) -> int:
    """Say what happened, if there is anything to say; the exit code."""
    from edgeless_sim.errors import EdgelessError

    if isinstance(error, EdgelessError):
        say(f"error: {error}")
        return exit_code(error)
    if isinstance(error, KeyboardInterrupt):
        say("interrupted")
        return Exit.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # Who read our output has gone, and that is how `head` works.
        return Exit.FAILED
    if isinstance(error, OSError):
        say(f"error: {_place(error, out)}: {error.strerror or error}")
        return Exit.FAILED
    say(_bug_text(error))
    return Exit.BUG


def _place(error: OSError, out: Path | None) -> str:
    """What could not be read or written; the error of a full disk does not say it."""
    if error.filename is not None:
        return str(error.filename)
    if _leave_broken_streams() or out is None:
        return "standard output"
    return str(out)


def _leave_broken_streams() -> bool:
    """Whether output waits that cannot be written; it is dropped, or the end would complain."""
    broken = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            broken = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return broken


def _bug_text(bug: BaseException) -> str:
    command = shlex.join(["edgeless-sim", *sys.argv[1:]])
    text = f"{command}\n\n{''.join(traceback.format_exception(bug))}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="edgeless-sim-bug-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        kept = f"traceback in {file.name}"
    except OSError as cause:
        kept = f"the traceback could not be kept: {cause.strerror}"
    first = str(bug).partition("\n")[0][:200]
    return (
        f"this is a bug of edgeless-sim: {type(bug).__name__}: {first};"
        f" {kept}; repeat with: {command}"
    )
