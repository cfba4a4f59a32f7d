"""``edgeless-sim new``: something to begin with, and what to type next."""

from pathlib import Path

import typer

from edgeless_sim.model.names import suggestion
from edgeless_sim.toolchain.skeletons import (
    new_function,
    new_guide,
    new_scenario,
    new_workflow,
)

__all__ = ["new_command"]

_DEFAULT_LANGUAGE = "c"
_MAKERS = {"workflow": new_workflow, "scenario": new_scenario, "guide": new_guide}


def new_command(what: str, folder: Path, language: str | None) -> None:
    """Write it; raise `EdgelessError`, or `typer.BadParameter` for what cannot be meant."""
    if what == "function":
        lines = new_function(folder, language or _DEFAULT_LANGUAGE)
    elif what not in _MAKERS:
        kinds = ("function", *_MAKERS)
        hint = suggestion(what, kinds) or f"; there are: {', '.join(kinds)}"
        raise typer.BadParameter(f"nothing new is called {what!r}{hint}")
    elif language is not None:
        raise typer.BadParameter(f"--lang is for functions, not for a {what}")
    else:
        lines = _MAKERS[what](folder)
    typer.echo(f"{folder} is there. Next:")
    for line in lines:
        typer.echo(f"  {line}")
