"""Errors -> exit codes and one message for people; never a traceback on the screen.

This is the last boundary: what is no `EdgelessError` is a bug of ours, whose traceback goes to a
file. Not here: the wording of errors, which is theirs.
"""

import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import typer

__all__ = ["Exit", "complain", "exit_code", "reported"]

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
    """Write *text* to standard error, at most a screenful."""
    lines = text[:_MESSAGE_CHARS_MAX].splitlines() or [""]
    if len(lines) > _MESSAGE_LINES_MAX:
        lines = [*lines[:_MESSAGE_LINES_MAX], "..."]
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
def reported() -> Generator[None]:
    """Turn whatever goes wrong inside into a message and an exit code."""
    from edgeless_sim.errors import EdgelessError

    try:
        yield
    except typer.Exit:
        raise
    except EdgelessError as error:
        complain(f"error: {error}")
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        complain("interrupted")
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        # Who read our output has gone; nothing more can be said there, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.FAILED) from None
    except Exception as bug:  # noqa: BLE001 - the last boundary: the user must not see a traceback
        complain(_bug_text(bug))
        raise typer.Exit(Exit.BUG) from None


def _bug_text(bug: Exception) -> str:
    while isinstance(bug, ExceptionGroup) and len(bug.exceptions) == 1:
        bug = bug.exceptions[0]
    command = shlex.join(["edgeless-sim", *sys.argv[1:]])
    text = f"{command}\n\n{''.join(traceback.format_exception(bug))}"
    with tempfile.NamedTemporaryFile(
        "w", prefix="edgeless-sim-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    first = str(bug).partition("\n")[0][:200]
    return (
        f"this is a bug of edgeless-sim: {type(bug).__name__}: {first};"
        f" traceback in {file.name}; repeat with: {command}"
    )
