"""The daemons ``edgeless_con_d``, ``edgeless_orc_d``, ``edgeless_node_d``, ``edgeless_bal_d``
and ``edgeless_inabox`` (spec 9.1).

Their options, and how they begin. What they do is a component's.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from edgeless_sim.cli.problems import complain, reported

__all__ = ["balancer_main", "controller_main", "inabox_main", "node_main", "orchestrator_main"]


@dataclass(frozen=True, slots=True)
class _Daemon:
    program: str
    kind: str
    file: str
    purpose: str


_CONTROLLER: Final = _Daemon(
    "edgeless_con_d", "con", "controller.toml", "The controller (ε-CON) of a cluster."
)
_ORCHESTRATOR: Final = _Daemon(
    "edgeless_orc_d", "orc", "orchestrator.toml", "The orchestrator (ε-ORC) of a domain."
)
_BALANCER: Final = _Daemon(
    "edgeless_bal_d", "bal", "balancer.toml", "A balancer (ε-BAL): joins a domain to another one."
)
_NODE: Final = _Daemon("edgeless_node_d", "node", "node.toml", "A node.")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("edgeless-sim"))
        raise typer.Exit


def _log_format(value: str) -> str:
    if value not in ("plain", "json"):
        raise typer.BadParameter(f"{value!r} is none of plain, json")
    return value


_ConfigFile: TypeAlias = Annotated[Path, typer.Option("--config-file", "-c", help="Its settings.")]
_Template: TypeAlias = Annotated[
    Path | None,
    typer.Option("--template", "-t", help="Write a file to begin with, and exit."),
]
_LogFormat: TypeAlias = Annotated[str, typer.Option(help="plain or json.", callback=_log_format)]
_Version: TypeAlias = Annotated[
    bool,
    typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True),
]


def _typer() -> typer.Typer:
    return typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False)


def _app(daemon: _Daemon) -> Callable[[], None]:
    app = _typer()

    @app.command(name=daemon.program, help=f"{daemon.purpose} Runs until it is told to stop.")
    def start(
        config_file: _ConfigFile = Path(daemon.file),
        template: _Template = None,
        log_format: _LogFormat = "plain",
        version: _Version = False,
    ) -> None:
        del version
        _start(daemon, config_file, template, log_format)

    return app


_NODE_APP: Final = _typer()


@_NODE_APP.command(name=_NODE.program)
def _node(
    config_file: _ConfigFile = Path(_NODE.file),
    template: _Template = None,
    available_resources: Annotated[
        bool, typer.Option("--available-resources", help="Show the resource classes, and exit.")
    ] = False,
    output_json: Annotated[
        bool, typer.Option("--output-json", help="With --available-resources: as JSON.")
    ] = False,
    log_format: _LogFormat = "plain",
    version: _Version = False,
) -> None:
    """A node. Runs until it is told to stop."""
    del version
    if output_json and not available_resources:
        raise typer.BadParameter("--output-json is for --available-resources")
    if available_resources and template is None:
        with reported():
            _show_resources(config_file, as_json=output_json)
        return
    _start(_NODE, config_file, template, log_format)


def _show_resources(config_file: Path, *, as_json: bool) -> None:
    from edgeless_sim.cli import available_resources as shown

    classes = shown.available_classes(config_file, complain)
    typer.echo(shown.as_json(classes) if as_json else shown.as_text(classes))


def _start(daemon: _Daemon, config_file: Path, template: Path | None, log_format: str) -> None:
    with reported(template, _complain_as_json if log_format == "json" else complain):
        if template is not None:
            from edgeless_sim.cli.template import write_template

            write_template(daemon.kind, template)
            return
        from edgeless_sim.cli.logs import console_reader, set_up_logs
        from edgeless_sim.cluster.component import run_component
        from edgeless_sim.cluster.component_files import load_component
        from edgeless_sim.cluster.services import naming_places

        set_up_logs(as_json=log_format == "json")
        settings = load_component(daemon.kind, config_file)
        told = logging.getLogger("edgeless_sim").getChild(daemon.kind)
        with naming_places(settings, config_file):
            run_component(settings, reader=console_reader(told, settings.said_level))


def _complain_as_json(text: str) -> None:
    from edgeless_sim.cli.logs import json_line

    complain(json_line("error", "edgeless_sim", text.removeprefix("error: ")))


_INABOX: Final = _typer()


@_INABOX.command(name="edgeless_inabox")
def _inabox(
    templates: Annotated[
        bool,
        typer.Option("--templates", "-t", help="Write the missing files, and exit."),
    ] = False,
    config_path: Annotated[
        Path, typer.Option("--config-path", help="The folder of the files.")
    ] = Path(),
    nodes: Annotated[
        int, typer.Option("--num-of-nodes", "-n", help="With -t: how many nodes.", min=1, max=100)
    ] = 1,
    initial_port: Annotated[
        int,
        typer.Option(
            help="With -t: the first port of ε-ORC and nodes; the ε-CON has 7001 and 7002.",
            min=1,
            max=65_535,
        ),
    ] = 7000,
    everywhere: Annotated[
        bool,
        typer.Option(
            "--bind-to-nonloopback", "-b", help="With -t: let other machines reach all of it."
        ),
    ] = False,
    log_format: _LogFormat = "plain",
    version: _Version = False,
) -> None:
    """A whole deployment in one process: whatever has a file in the folder (controller.toml,
    orchestrator.toml, balancer.toml, node*.toml). Runs until it is told to stop.
    """
    del version
    with reported(config_path, _complain_as_json if log_format == "json" else complain):
        from edgeless_sim.cli.inabox import run_inabox, write_templates

        if templates:
            write_templates(config_path, nodes, initial_port, everywhere=everywhere)
            return
        from edgeless_sim.cli.logs import set_up_logs

        if everywhere or (nodes, initial_port) != (1, 7000):
            complain("warning: -n, --initial-port and -b are for -t; the files say what is started")
        set_up_logs(as_json=log_format == "json")
        run_inabox(config_path)


def controller_main() -> None:
    """Run ``edgeless_con_d``."""
    _app(_CONTROLLER)()


def orchestrator_main() -> None:
    """Run ``edgeless_orc_d``."""
    _app(_ORCHESTRATOR)()


def node_main() -> None:
    """Run ``edgeless_node_d``."""
    _NODE_APP()


def balancer_main() -> None:
    """Run ``edgeless_bal_d``."""
    _app(_BALANCER)()


def inabox_main() -> None:
    """Run ``edgeless_inabox``."""
    _INABOX()
