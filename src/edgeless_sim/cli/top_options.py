"""What was typed behind ``edgeless-sim top``, and how its snapshots are printed."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import typer

from edgeless_sim.cli.layout import NODES_MAX, WORKFLOWS_MAX, text
from edgeless_sim.report.snapshot import Snapshot, plain_lines

__all__ = ["TopOptions", "printed"]

#: Width of a table for whoever is no terminal and says nothing of columns.
_COLUMNS: Final = 120
_ROWS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class TopOptions:
    """What was typed."""

    scenario: str | None
    seed: int | None
    world: str
    in_process: bool
    speed: float | None
    interval_s: float | None
    once: bool
    form: str
    controller_url: str | None
    orchestrator_urls: tuple[str, ...]
    config_file: Path

    @property
    def nodes_max(self) -> int:
        """Most nodes of what is printed: programs get more than people."""
        return NODES_MAX if self.form == "table" else _ROWS_MAX

    @property
    def workflows_max(self) -> int:
        """Most workflows of what is printed."""
        return WORKFLOWS_MAX if self.form == "table" else _ROWS_MAX


def printed(snapshot: Snapshot, form: str) -> None:
    """Print *snapshot* as table, JSON or plain facts, without colours."""
    if form == "json":
        typer.echo(msgspec.json.encode(snapshot).decode())
    elif form == "plain":
        typer.echo("\n".join(plain_lines(snapshot)))
    else:
        width = shutil.get_terminal_size(fallback=(_COLUMNS, 0)).columns
        typer.echo(text(snapshot, width))
