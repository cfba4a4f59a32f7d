"""The program ``edgeless-sim``: its commands and their options, and nothing else.

Nothing heavy is imported before a command runs, so that ``--help`` is quick.
"""

from pathlib import Path
from typing import Annotated

import typer

from edgeless_sim.cli.authoring import authoring
from edgeless_sim.cli.loading import quietly_loading
from edgeless_sim.cli.observing import observing
from edgeless_sim.cli.options import InProcess as _InProcess
from edgeless_sim.cli.options import Seed as _Seed
from edgeless_sim.cli.options import World as _World
from edgeless_sim.cli.options import checked_form as _form
from edgeless_sim.cli.options import checked_speed as _speed
from edgeless_sim.cli.problems import reported

__all__ = ["app", "check", "component", "explore", "export", "main", "run", "up", "wire"]

app = typer.Typer(
    name="edgeless-sim",
    help="The EDGELESS platform: run scenarios, in virtual time or over real sockets; work with"
    " clusters; check files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Rich help would take twice as long to show.
    rich_markup_mode=None,
)


app.add_typer(authoring)
app.add_typer(observing)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"edgeless-sim {version('edgeless-sim')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """See `app`."""
    del version


_Realtime = Annotated[bool, typer.Option("--realtime", help="As fast as the wall clock.")]
_RealResources = Annotated[
    bool,
    typer.Option("--real-resources", help="With --realtime: real sockets, in one process."),
]


@app.command()
def run(
    scenario: Annotated[
        str, typer.Argument(help="A scenario.toml, a folder with one, or a shipped name.")
    ],
    seed: Annotated[
        int | None,
        typer.Option(help="Instead of the scenario's own.", min=0, max=(1 << 63) - 1),
    ] = None,
    world: _World = "sim",
    in_process: _InProcess = False,
    realtime: _Realtime = False,
    real_resources: _RealResources = False,
    speed: Annotated[
        str | None,
        typer.Option(help="So many times the wall clock, such as 10x.", callback=_speed),
    ] = None,
    logs: Annotated[bool, typer.Option("--logs", help="Show what functions say.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Keep the run: journal, logs, summary, files.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier run in --out.")
    ] = False,
    form: Annotated[
        str, typer.Option("--format", help="table, json or plain.", callback=_form)
    ] = "table",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show the digest of the journal only.")
    ] = False,
) -> None:
    """Run a scenario and say what came of it."""
    with reported(out):
        with quietly_loading():
            from edgeless_sim.cli.run import RunOptions, run_command

        pace = float(speed.removesuffix("x")) if speed is not None else 1.0 if realtime else None
        run_command(
            RunOptions(
                scenario=scenario,
                seed=seed,
                world=world,
                in_process=in_process,
                speed=pace,
                logs=logs,
                out=out,
                force=force,
                form=form,
                quiet=quiet,
                real_resources=real_resources,
            )
        )


def _wire(value: str) -> str:
    if value not in ("tcp", "grpc"):
        raise typer.BadParameter(f"{value!r} is none of tcp, grpc")
    return value


@app.command()
def up(
    scenario: Annotated[
        str | None,
        typer.Argument(help="As for run; without one, a domain of two nodes.", show_default=False),
    ] = None,
    steps: Annotated[
        bool,
        typer.Option("--steps", help="Perform the scenario's steps, too, once it is up."),
    ] = False,
    wire_format: Annotated[
        str,
        typer.Option("--wire", help="grpc (EDGELESS's own) or tcp (ours).", callback=_wire),
    ] = "grpc",
    port: Annotated[
        int, typer.Option(help="The ε-CON's; the others get the next free ones.", min=1, max=65_535)
    ] = 7001,
    state: Annotated[
        Path, typer.Option(help="The folder for cli.toml and the nodes' files.")
    ] = Path(".edgeless"),
    seed: Annotated[
        int | None,
        typer.Option(help="For ids and dice; else a new one.", min=0, max=(1 << 63) - 1),
    ] = None,
    processes: Annotated[
        bool, typer.Option("--processes", help="A process for each component.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show the ε-CON's URL only, and no logs.")
    ] = False,
) -> None:
    """Bring a cluster up on this machine, and keep it up until Ctrl-C.

    It has the domains, nodes, providers and links of the scenario, or is a small one. Nothing of
    the scenario is started without --steps. What functions say is shown.
    """
    with reported(state):
        with quietly_loading():
            from edgeless_sim.cli.up import UpOptions, up_command

        up_command(
            UpOptions(
                scenario=scenario,
                steps=steps,
                wire=wire_format,
                port=port,
                state=state,
                seed=seed,
                processes=processes,
                quiet=quiet,
            )
        )


@app.command()
def check(
    files: Annotated[
        list[str],
        typer.Argument(help="scenario.toml, workflow.json, function.json, *.wasm, or a folder."),
    ],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what is wrong.")] = False,
) -> None:
    """Check files and the files that they name.

    PYTHON functions and own strategies are loaded: their modules are imported and their classes
    made. Nothing else runs.
    """
    with reported():
        with quietly_loading():
            from edgeless_sim.cli.check import check_command

        check_command(files, quiet=quiet)


@app.command()
def explore(
    seeds: Annotated[int, typer.Option(help="How many.", min=1, max=1_000_000)] = 100,
    seed: Annotated[int, typer.Option(help="The first one.", min=0, max=(1 << 62))] = 0,
    scenario: Annotated[
        str | None,
        typer.Option(help="Take cluster and workflows of this scenario.", show_default=False),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="How many work at it; else one per core.", min=1, max=1024),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep findings, and journals of seeds that break something.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="table, json or plain.", callback=_form)
    ] = "table",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show seeds that break something only.")
    ] = False,
) -> None:
    """Simulate random operations and faults, and check what must hold whatever happens.

    Each seed is a run of its own, and always the same one. Exit code 6: one of them broke
    something.
    """
    with reported(out):
        with quietly_loading():
            from edgeless_sim.cli.explore import ExploreOptions, explore_command

        explore_command(ExploreOptions(seeds, seed, scenario, processes, out, form, quiet))


def _scheme(value: str) -> str:
    if value not in ("http", "tcp"):
        raise typer.BadParameter(f"{value!r} is none of http, tcp")
    return value


@app.command()
def export(
    scenario: Annotated[
        str, typer.Argument(help="A scenario.toml, a folder with one, or a shipped name.")
    ],
    hosts: Annotated[str, typer.Option(help="Names or addresses, separated by commas.")],
    to: Annotated[Path, typer.Option(help="A new folder for the files.")],
    scheme: Annotated[
        str,
        typer.Option(help="http (EDGELESS's gRPC) or tcp (our own wire).", callback=_scheme),
    ] = "http",
    first_port: Annotated[
        int, typer.Option(help="The first port on each host.", min=1, max=65_535)
    ] = 7001,
) -> None:
    """Write the cluster of a scenario as files of a real deployment, with start commands."""
    with reported(to):
        with quietly_loading():
            from edgeless_sim.cli.export import export_command

        export_command(scenario, hosts, to, scheme=scheme, first_port=first_port)


def _form_or_none(value: str | None) -> str | None:
    return None if value is None else _form(value)


_Capture = Annotated[Path | None, typer.Option(help="Write frames to this file.")]
_Show = Annotated[Path | None, typer.Option(help="Show the frames in this file.")]
_Captured = Annotated[str | None, typer.Option(help="Capture a run of this scenario.")]
_CapturedWorld = Annotated[str | None, typer.Option(help="sim (default), tcp or grpc.")]
_Listen = Annotated[str | None, typer.Option(help="Capture what comes to this URL …")]
_To = Annotated[
    str | None, typer.Option(help="… and pass it on to that one; with --show: to whom.")
]
_Tls = Annotated[Path | None, typer.Option(help="Certificates of a relay: a tls_config.toml.")]
_Force = Annotated[bool, typer.Option("--force", help="Replace an earlier capture.")]
_Method = Annotated[
    str | None, typer.Option(help="Show this method or service only; * and ? are wild.")
]
_From = Annotated[
    str | None, typer.Option("--from", help="Show what this component sent only; * as above.")
]
_ShownForm = Annotated[
    str | None, typer.Option("--format", help="table, json or plain.", callback=_form_or_none)
]


@app.command()
def wire(
    capture: _Capture = None,
    show: _Show = None,
    scenario: _Captured = None,
    world: _CapturedWorld = None,
    seed: _Seed = None,
    in_process: _InProcess = False,
    listen: _Listen = None,
    to: _To = None,
    tls: _Tls = None,
    force: _Force = False,
    method: _Method = None,
    source: _From = None,
    form: _ShownForm = None,
) -> None:
    """Capture what components send one another, or show a capture, decoded."""
    with reported(capture):
        with quietly_loading():
            from edgeless_sim.cli.wire import WireOptions, wire_command

        wire_command(
            WireOptions(
                capture=capture,
                show=show,
                scenario=scenario,
                world=world,
                seed=seed,
                in_process=in_process,
                listen=listen,
                to=to,
                tls=tls,
                force=force,
                method=method,
                source=source,
                form=form,
            )
        )


@app.command(hidden=True)
def component(
    kind: Annotated[str, typer.Argument(help="con, orc or node.")],
    file: Annotated[Path, typer.Argument(help="Its TOML file.")],
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Belongs to a cluster that talks to it by pipes.")
    ] = False,
) -> None:
    """Run one component as this process, until it is told to stop."""
    with reported():
        with quietly_loading():
            from edgeless_sim.cli.component import component_command

        component_command(kind, file, supervised=supervised)


def main() -> None:
    """Run the program; the entry point of the console script."""
    app()
