"""Commands of ``edgeless-sim`` for those who write functions: ``new``, ``build``, ``invoke``."""

from pathlib import Path
from typing import Annotated

import typer

from edgeless_sim.cli.loading import quietly_loading
from edgeless_sim.cli.problems import reported

__all__ = ["authoring", "build", "invoke", "new"]

authoring = typer.Typer()


@authoring.command()
def new(
    what: Annotated[str, typer.Argument(help="function, workflow, scenario or guide.")],
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    lang: Annotated[
        str | None, typer.Option(help="Of a function: rust, c, python or wat (default: c).")
    ] = None,
) -> None:
    """Begin something new: a folder that builds and runs at once."""
    with reported(folder):
        with quietly_loading():
            from edgeless_sim.cli.new import new_command

        new_command(what, folder, lang)


@authoring.command()
def build(
    file: Annotated[Path, typer.Argument(help="A function.json, or the folder with it.")],
    force: Annotated[bool, typer.Option("--force", help="Also if it is up to date.")] = False,
) -> None:
    """Build a function by what lies beside its function.json: Cargo.toml, *.c, *.wat or *.py."""
    with reported(file):
        with quietly_loading():
            from edgeless_sim.cli.build import build_command

        build_command(file, force=force)


@authoring.command()
def invoke(
    function: Annotated[Path, typer.Argument(help="A function.json, or the folder with it.")],
    cast: Annotated[
        list[str] | None, typer.Option(help="Cast this; @FILE = its content. May be repeated.")
    ] = None,
    call: Annotated[
        list[str] | None, typer.Option(help="Call with this, after all casts. As --cast.")
    ] = None,
    init: Annotated[str | None, typer.Option(help="The init-payload.")] = None,
    state: Annotated[str | None, typer.Option(help="What it had synced before; @FILE too.")] = None,
    reply: Annotated[
        str | None, typer.Option(help="The answer to calls that it makes; else they fail.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="plain or json.")] = "plain",
    watch: Annotated[
        bool, typer.Option("--watch", help="Build and do it again whenever a file changes.")
    ] = False,
) -> None:
    """Start one function alone, give it events, and show what it does and what that costs."""
    if form not in ("plain", "json"):
        raise typer.BadParameter(f"{form!r} is none of plain, json")
    with reported():
        with quietly_loading():
            from edgeless_sim.cli.invoke import InvokeOptions, invoke_command

        options = InvokeOptions(
            function=function,
            casts=tuple(cast or ()),
            calls=tuple(call or ()),
            init=init,
            state=state,
            reply=reply,
            form=form,
        )
        invoke_command(options, watch=watch)
