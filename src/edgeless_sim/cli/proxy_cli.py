"""The program ``proxy_cli``: EDGELESS's view into a domain, its verbs and its words (spec 7.5).

It reads what an ε-ORC mirrors into a Redis, or asks ε-ORCs themselves. What it has more: names
wherever there are ids, tables and JSON, ``--timeout``, completion, ``top`` outside of a terminal.
Options stand before the verb; ``--format`` and ``-q`` also behind it.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeless_sim.cli.loading import quietly_loading
from edgeless_sim.cli.problems import reported
from edgeless_sim.cli.proxy_completion import (
    ORCHESTRATOR_URL,
    complete_component,
    complete_node,
    complete_workflow,
)

if TYPE_CHECKING:
    from edgeless_sim.cli.proxy_asking import ProxyAsking

__all__ = [
    "app",
    "capabilities",
    "cordon",
    "dump",
    "dump_instances",
    "dump_performance",
    "dump_performance_csv",
    "functions",
    "health",
    "instances",
    "intent",
    "logical_to_physical",
    "logical_to_workflow",
    "main",
    "migrate",
    "node",
    "resource_providers",
    "resources",
    "show",
    "top",
    "top_nodes",
    "top_workflow",
    "uncordon",
]


def _group(text: str) -> typer.Typer:
    return typer.Typer(help=text, no_args_is_help=True)


app = typer.Typer(
    name="proxy_cli",
    help="Looks into an orchestration domain, and gives its orchestrator intents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
show = _group("What is there, and where.")
node = _group("Nodes and what they offer.")
top = _group("How nodes and workflows fare, every second.")
intent = _group("Ask the orchestrator for something.")
dump = _group("Write down what was measured and what was asked for.")
app.add_typer(show, name="show")
app.add_typer(top, name="top")
app.add_typer(intent, name="intent")
app.add_typer(dump, name="dump")
show.add_typer(node, name="node")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("edgeless-sim"))
        raise typer.Exit


def _one_of(*known: str, wrong: str) -> Callable[[str | None], str | None]:
    """Reads one of *known*, in any case; else *wrong* is said, in EDGELESS's words."""

    def read(value: str | None) -> str | None:
        if value is not None and value.lower() not in known:
            raise typer.BadParameter(f"{wrong}: {value[:64]}; it is none of {', '.join(known)}")
        return value and value.lower()

    return read


_Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="plain, table or json.",
        callback=_one_of("plain", "table", "json", wrong="unknown format"),
    ),
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show ids only.")]
_Once = Annotated[bool, typer.Option("--once", help="Show it once, and end.")]
_Interval = Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=3600)]
_Out = Annotated[Path, typer.Option("--out", help="The folder to write to.")]
_Last = Annotated[float | None, typer.Option("--last", help="Only of so many last seconds.", min=0)]
_Node = Annotated[
    str,
    typer.Argument(
        metavar="NODE",
        help="A node: its id, the first digits of it, or as it is printed.",
        autocompletion=complete_node,
    ),
]


_ProxyType = Annotated[
    str | None,
    typer.Option(
        "--proxy-type",
        "-p",
        help="Redis, or None: ask the orchestrators themselves.  [default: Redis]",
        callback=_one_of("redis", "none", wrong="unknown proxy type"),
    ),
]
_OrchestratorUrl = Annotated[
    list[str] | None,
    typer.Option(
        help="An orchestrator to ask instead of a Redis; several may be given."
        f"  [default with -p None: {ORCHESTRATOR_URL}]"
    ),
]
_NodePrintFormat = Annotated[
    str | None,
    typer.Option(
        help="How nodes are printed: hostname, uuid or labels.  [default: hostname]",
        callback=_one_of("hostname", "uuid", "labels", wrong="invalid node-print-format value"),
    ),
]


@app.callback()
def _options(
    context: typer.Context,
    proxy_type: _ProxyType = None,
    redis_url: Annotated[
        str, typer.Option("--redis-url", "-r", help="The Redis of the orchestrator.")
    ] = "redis://localhost:6379",
    controller_url: Annotated[
        str,
        typer.Option(
            "--controller-url", "-c", help="The controller; some verbs need names that it knows."
        ),
    ] = "http://127.0.0.1:7001",
    orchestrator_url: _OrchestratorUrl = None,
    node_print_format: _NodePrintFormat = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for an answer.", min=0.1, max=3600)
    ] = 10.0,
    form: _Format = None,
    quiet: _Quiet = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """See `app`."""
    del version
    urls = tuple(orchestrator_url or ())
    if proxy_type == "redis" and urls:
        raise typer.BadParameter("--orchestrator-url goes with --proxy-type None")
    if proxy_type == "none" and not urls:
        urls = (ORCHESTRATOR_URL,)
    context.obj = _Options(redis_url, urls, controller_url, node_print_format, timeout, form, quiet)


@dataclass(frozen=True, slots=True)
class _Options:
    """What was said before the verb."""

    redis_url: str
    orchestrator_urls: tuple[str, ...]
    controller_url: str
    node_form: str | None
    timeout_s: float
    form: str | None
    quiet: bool

    def asking(self, form: str | None = None, *, quiet: bool = False) -> "ProxyAsking":
        """What is said behind the verb counts."""
        with quietly_loading():
            from edgeless_sim.cli.mirror_words import NodeForm
            from edgeless_sim.cli.proxy_asking import ProxyAsking

        return ProxyAsking(
            self.redis_url,
            self.orchestrator_urls,
            self.controller_url,
            None if self.node_form is None else NodeForm(self.node_form),
            self.timeout_s,
            form or self.form,
            quiet or self.quiet,
        )


def _show(context: typer.Context, what: str, form: str | None, quiet: bool) -> None:
    with reported():
        context.obj.asking(form, quiet=quiet).show(what)


@show.command()
def functions(context: typer.Context, form: _Format = None, quiet: _Quiet = False) -> None:
    """On which nodes functions run."""
    _show(context, "functions", form, quiet)


@show.command()
def resources(context: typer.Context, form: _Format = None, quiet: _Quiet = False) -> None:
    """On which nodes resources run."""
    _show(context, "resources", form, quiet)


@show.command(name="logical-to-physical")
def logical_to_physical(
    context: typer.Context, form: _Format = None, quiet: _Quiet = False
) -> None:
    """The instances of functions and resources."""
    _show(context, "logical-to-physical", form, quiet)


@show.command(name="logical-to-workflow")
def logical_to_workflow(
    context: typer.Context, form: _Format = None, quiet: _Quiet = False
) -> None:
    """To which workflow functions and resources belong."""
    _show(context, "logical-to-workflow", form, quiet)


@node.command()
def capabilities(context: typer.Context, form: _Format = None, quiet: _Quiet = False) -> None:
    """What nodes offer."""
    _show(context, "capabilities", form, quiet)


@node.command(name="resource-providers")
def resource_providers(context: typer.Context, form: _Format = None, quiet: _Quiet = False) -> None:
    """Which resources can be had, and where."""
    _show(context, "resource-providers", form, quiet)


@node.command()
def health(context: typer.Context, form: _Format = None, quiet: _Quiet = False) -> None:
    """How nodes fared when they were heard of last."""
    _show(context, "health", form, quiet)


@node.command()
def instances(context: typer.Context, form: _Format = None, quiet: _Quiet = False) -> None:
    """What runs on which node."""
    _show(context, "instances", form, quiet)


@top.command(name="nodes")
def top_nodes(
    context: typer.Context,
    once: _Once = False,
    interval: _Interval = 1.0,
    form: _Format = None,
    quiet: _Quiet = False,
) -> None:
    """How nodes fare; Ctrl-C ends it."""
    with reported(), _ended_by_hand():
        asking: ProxyAsking = context.obj.asking(form, quiet=quiet)
        asking.top_nodes(once=once, interval_s=interval)


@top.command(name="workflow")
def top_workflow(
    context: typer.Context,
    workflow_id: Annotated[
        str,
        typer.Argument(
            metavar="WF_ID",
            help="The id of a workflow, its first digits, or its name.",
            autocompletion=complete_workflow,
        ),
    ],
    once: _Once = False,
    interval: _Interval = 1.0,
    form: _Format = None,
    quiet: _Quiet = False,
) -> None:
    """How long the components of a workflow took in the last minute; Ctrl-C ends it."""
    with reported(), _ended_by_hand():
        asking: ProxyAsking = context.obj.asking(form, quiet=quiet)
        asking.top_workflow(workflow_id, once=once, interval_s=interval)


@intent.command()
def migrate(
    context: typer.Context,
    instance: Annotated[
        str,
        typer.Argument(
            metavar="LID",
            help="A function or resource: its logical id, the first digits of it, or its name.",
            autocompletion=complete_component,
        ),
    ],
    target: _Node,
) -> None:
    """Move a function or resource to a node."""
    with reported():
        context.obj.asking().migrate(instance, target)


@intent.command()
def cordon(context: typer.Context, target: _Node) -> None:
    """Give a node nothing new."""
    with reported():
        context.obj.asking().cordon(target)


@intent.command()
def uncordon(context: typer.Context, target: _Node) -> None:
    """Give a node something new again."""
    with reported():
        context.obj.asking().uncordon(target)


@dump.command(name="performance")
def dump_performance(
    context: typer.Context,
    out: _Out = Path(),
    last: _Last = None,
    form: _Format = None,
    quiet: _Quiet = False,
) -> None:
    """A file METRIC-PID.dat for everything that was measured."""
    with reported(out):
        context.obj.asking(form, quiet=quiet).dump_performance(out, last)


@dump.command(name="performance-csv")
def dump_performance_csv(
    context: typer.Context,
    last: _Last = None,
    form: _Format = None,
    quiet: _Quiet = False,
) -> None:
    """A table of everything that was measured of workflows that are known."""
    with reported():
        context.obj.asking(form, quiet=quiet).dump_performance_csv(last)


@dump.command(name="instances")
def dump_instances(
    context: typer.Context,
    out: _Out = Path(),
    form: _Format = None,
    quiet: _Quiet = False,
) -> None:
    """A file fun-LID.json or res-LID.json for each function and resource."""
    with reported(out):
        context.obj.asking(form, quiet=quiet).dump_instances(out)


@contextmanager
def _ended_by_hand() -> Generator[None]:
    """Ctrl-C is how it is ended, and no failure."""
    with suppress(KeyboardInterrupt):
        yield


def main() -> None:
    """Run the program; the entry point of the console script."""
    app()
