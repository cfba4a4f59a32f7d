"""The command ``edgeless-sim top``: its options, and nothing else."""

from pathlib import Path
from typing import Annotated

import typer

from edgeless_sim.cli.loading import quietly_loading
from edgeless_sim.cli.options import InProcess, Seed, World, checked_form, checked_speed
from edgeless_sim.cli.problems import reported

__all__ = ["observing", "top"]

observing = typer.Typer()

_Speed = Annotated[
    str | None,
    typer.Option(
        help="So many times the wall clock; 1x on a terminal, else as fast as it goes.",
        callback=checked_speed,
    ),
]
_Interval = Annotated[
    float | None,
    typer.Option(
        help="Seconds between snapshots: of virtual time in a run, else between questions.",
        min=0.1,
        max=86_400,
    ),
]


@observing.command()
def top(
    scenario: Annotated[
        str | None,
        typer.Argument(help="As for run; without one, a deployment.", show_default=False),
    ] = None,
    speed: _Speed = None,
    seed: Seed = None,
    world: World = "sim",
    in_process: InProcess = False,
    controller_url: Annotated[
        str | None, typer.Option(help="The ε-CON; else that of the file in --config-file.")
    ] = None,
    orchestrator_url: Annotated[
        list[str] | None,
        typer.Option(help="An ε-ORC (repeatable); else http://127.0.0.1:7003.", show_default=False),
    ] = None,
    config_file: Annotated[
        Path, typer.Option("--config-file", "-c", help="Where the ε-CON is, as for edgeless_cli.")
    ] = Path("cli.toml"),
    interval: _Interval = None,
    once: Annotated[
        bool, typer.Option("--once", help="One snapshot as plain text; of a run, its end.")
    ] = False,
    form: Annotated[
        str, typer.Option("--format", help="table, json or plain.", callback=checked_form)
    ] = "table",
) -> None:
    """Show nodes, workflows and rates while a scenario runs, or of a deployment; q ends it.

    On a terminal it is drawn again and again; elsewhere, and with --once, snapshots are printed.
    """
    with reported():
        with quietly_loading():
            from edgeless_sim.cli.top import top_command
            from edgeless_sim.cli.top_options import TopOptions

        top_command(
            TopOptions(
                scenario=scenario,
                seed=seed,
                world=world,
                in_process=in_process,
                speed=None if speed is None else float(speed.removesuffix("x")),
                interval_s=interval,
                once=once,
                form=form,
                controller_url=controller_url,
                orchestrator_urls=tuple(orchestrator_url or ()),
                config_file=config_file,
            )
        )
