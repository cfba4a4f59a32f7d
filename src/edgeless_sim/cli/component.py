"""``python -m edgeless_sim component``: one ε-CON, ε-ORC or node as a process of its own."""

from pathlib import Path

import typer

from edgeless_sim.cluster.component import run_component
from edgeless_sim.cluster.component_files import load_component
from edgeless_sim.cluster.services import naming_places
from edgeless_sim.report.console import ConsoleReader

__all__ = ["component_command"]


def component_command(kind: str, file: Path, *, supervised: bool) -> None:
    """Run it; raise `EdgelessError` if it cannot begin."""
    settings = load_component(kind, file)
    with naming_places(settings, file):
        run_component(
            settings,
            supervised=supervised,
            reader=None if supervised else ConsoleReader(typer.echo).read,
            on_ready=None if supervised else lambda: typer.echo(f"{settings.name} is ready"),
        )
