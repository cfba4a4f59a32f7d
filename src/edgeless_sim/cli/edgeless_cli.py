"""The program ``edgeless_cli``: EDGELESS's client, as far as it exists."""

from pathlib import Path
from typing import Annotated

import typer

from edgeless_sim.cli.problems import reported

__all__ = ["app", "build", "main"]

app = typer.Typer(
    name="edgeless_cli",
    help="EDGELESS's client; this version: functions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
function = typer.Typer(help="Functions.", no_args_is_help=True)
app.add_typer(function, name="function")


@app.callback()
def _options() -> None:
    """See `app`."""


@function.command()
def build(
    spec_file: Annotated[Path, typer.Argument(help="The function.json.")],
) -> None:
    """Build a function's WebAssembly module beside its function.json."""
    with reported(spec_file):
        from edgeless_sim.cli.build import build_command

        build_command(spec_file)


def main() -> None:
    """Run the program; the entry point of the console script."""
    app()
