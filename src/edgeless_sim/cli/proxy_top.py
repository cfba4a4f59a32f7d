"""Shows something again and again, as ``top`` does: on a terminal in place, else line after line.

Not here: what is shown (`top_tables`).
"""

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import typer

from edgeless_sim.cli.answers import Answer, show
from edgeless_sim.cli.mirror_words import on_one_line
from edgeless_sim.cli.problems import complain
from edgeless_sim.errors import UnreachableError
from edgeless_sim.kernel.clock import Clock

__all__ = ["Screen", "harmless", "keep_showing"]

_CLEAR: Final = "\x1b[2J\x1b[H"


@dataclass(frozen=True, slots=True)
class Screen:
    """Where and how answers are shown; *clears* = each one replaces the one before."""

    form: str
    quiet: bool
    clears: bool

    @classmethod
    def of_this_terminal(cls, form: str | None, *, quiet: bool) -> "Screen":
        """Tables on a terminal, lines elsewhere, unless *form* says otherwise."""
        terminal = sys.stdout.isatty()
        form = form or ("table" if terminal else "plain")
        clears = terminal and form == "table" and not quiet and not os.environ.get("NO_COLOR")
        return cls(form, quiet, clears)

    def show(self, answer: Answer) -> None:
        """Show *answer*."""
        if self.clears:
            typer.echo(_CLEAR, nl=False, color=True)
        show(harmless(answer), self.form, quiet=self.quiet)
        sys.stdout.flush()


async def keep_showing(
    look: Callable[[], Awaitable[Answer]],
    screen: Screen,
    clock: Clock,
    *,
    once: bool,
    interval_s: float,
) -> None:
    """Show what *look* finds, *once* or every *interval_s* until cancelled.

    Who does not answer any more is waited for, with one warning; raises `UnreachableError` if there
    was no answer at all.
    """
    answered = silent = False
    while True:
        try:
            screen.show(await look())
            answered, silent = True, False
        except UnreachableError as error:
            if not answered:
                raise
            if not silent:
                complain(f"warning: {error}; waiting for it")
            silent = True
        if once:
            return
        await clock.sleep(interval_s)


def harmless(answer: Answer) -> Answer:
    """*answer* without anything that a terminal would obey; JSON escapes it anyway."""
    return replace(
        answer,
        plain=[_line(line) for line in answer.plain],
        ids=[_line(one) for one in answer.ids],
        rows=[[_line(cell) for cell in row] for row in answer.rows],
    )


def _line(text: str) -> str:
    # Columns are parted by tabs.
    return "\t".join(map(on_one_line, text.split("\t")))
