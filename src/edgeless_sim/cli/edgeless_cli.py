"""The program ``edgeless_cli``: EDGELESS's client, its verbs and its words (spec 9.2).

What it has more: names wherever there are ids, tables and JSON, ``--timeout``, completion, and an
exit code that tells a refusal from success. Options stand before the verb, or behind it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeless_sim.cli.completion import (
    complete_component,
    complete_domain,
    complete_domain_or_all,
    complete_workflow,
)
from edgeless_sim.cli.loading import quietly_loading
from edgeless_sim.cli.problems import reported

if TYPE_CHECKING:
    from edgeless_sim.cli.asking import Asking

__all__ = [
    "app",
    "build",
    "domain",
    "explain",
    "function",
    "inspect",
    "inspect_domain",
    "invoke",
    "list_domains",
    "list_workflows",
    "main",
    "migrate",
    "migrate_component",
    "start",
    "stop",
    "wait_for_nodes",
    "workflow",
]

app = typer.Typer(
    name="edgeless_cli",
    help="EDGELESS's client: workflows, domains, functions.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
workflow = typer.Typer(help="Start, stop and inspect workflows.", no_args_is_help=True)
domain = typer.Typer(help="Orchestration domains.", no_args_is_help=True)
function = typer.Typer(help="Functions.", no_args_is_help=True)
app.add_typer(workflow, name="workflow")
app.add_typer(domain, name="domain")
app.add_typer(function, name="function")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("edgeless-sim"))
        raise typer.Exit


def _form(value: str | None) -> str | None:
    if value not in (None, "plain", "table", "json"):
        raise typer.BadParameter(f"{value!r} is none of plain, table, json")
    return value


_Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The id of a workflow, its first digits, or its name.",
        autocompletion=complete_workflow,
    ),
]
_IdOrAll = Annotated[
    str,
    typer.Argument(
        metavar="ID|all",
        help="The id of a workflow, its first digits, or its name; or all.",
        autocompletion=complete_workflow,
    ),
]
_Domain = Annotated[
    str,
    typer.Argument(metavar="DOMAIN", help="The name of a domain.", autocompletion=complete_domain),
]
_Format = Annotated[
    str | None, typer.Option("--format", help="plain, table or json.", callback=_form)
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show ids only.")]


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    config_file: Annotated[
        Path, typer.Option("--config-file", "-c", help="Where the ε-CON is.")
    ] = Path("cli.toml"),
    template: Annotated[
        Path | None, typer.Option("--template", "-t", help="Write a file to begin with, and exit.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for an answer.", min=0.1, max=3600)
    ] = 60.0,
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
    with reported(template):
        if template is not None:
            with quietly_loading():
                from edgeless_sim.cli.template import write_template

            write_template("cli", template)
            raise typer.Exit
        context.obj = _Options(config_file, timeout, form or "plain", quiet)


@dataclass(frozen=True, slots=True)
class _Options:
    """What was said before the verb."""

    config_file: Path
    timeout_s: float
    form: str
    quiet: bool

    def asking(self, form: str | None = None, *, quiet: bool = False) -> "Asking":
        """What is said behind the verb counts."""
        with quietly_loading():
            from edgeless_sim.cli.asking import Asking

        return Asking(self.config_file, self.timeout_s, form or self.form, quiet or self.quiet)


@workflow.command()
def start(
    context: typer.Context,
    spec_file: Annotated[Path, typer.Argument(help="The workflow.json.")],
    name: Annotated[str, typer.Option(help="What it is called; else only its id names it.")] = "",
    form: _Format = None,
) -> None:
    """Start a workflow; its id is all that is printed."""
    with reported():
        context.obj.asking(form).start(spec_file, name)


@workflow.command()
def stop(
    context: typer.Context, workflow_id: _IdOrAll, form: _Format = None, quiet: _Quiet = False
) -> None:
    """Stop a workflow, or all of them."""
    with reported():
        context.obj.asking(form, quiet=quiet).stop(workflow_id)


@workflow.command(name="list")
def list_workflows(context: typer.Context, form: _Format = None, quiet: _Quiet = False) -> None:
    """The ids of the workflows, one per line; as a table or JSON, also their names and states."""
    with reported():
        context.obj.asking(form, quiet=quiet).list_workflows()


@workflow.command()
def inspect(
    context: typer.Context, workflow_id: _IdOrAll, form: _Format = None, quiet: _Quiet = False
) -> None:
    """What a workflow consists of, and where its components are."""
    with reported():
        context.obj.asking(form, quiet=quiet).inspect(workflow_id)


@workflow.command()
def explain(
    context: typer.Context,
    workflow_id: _IdOrAll,
    component: Annotated[
        str,
        typer.Argument(
            metavar="[COMPONENT]",
            help="Of one component only.",
            autocompletion=complete_component,
        ),
    ] = "",
    form: _Format = None,
    quiet: _Quiet = False,
) -> None:
    """Why the components of a workflow are where they are: the last decisions about each, what
    else was looked at, and what spoke against it."""
    with reported():
        context.obj.asking(form, quiet=quiet).explain(workflow_id, component)


@workflow.command()
def migrate(context: typer.Context, workflow_id: _Id, domain_id: _Domain) -> None:
    """Move a workflow to another domain."""
    with reported():
        context.obj.asking().migrate(workflow_id, domain_id, "")


@workflow.command(name="migrate-component")
def migrate_component(
    context: typer.Context,
    workflow_id: _Id,
    domain_id: _Domain,
    component: Annotated[
        str,
        typer.Argument(help="The name of the component.", autocompletion=complete_component),
    ],
) -> None:
    """Move one component of a workflow to another domain."""
    with reported():
        context.obj.asking().migrate(workflow_id, domain_id, component)


@domain.command(name="list")
def list_domains(context: typer.Context, form: _Format = None, quiet: _Quiet = False) -> None:
    """The domains and how many nodes they have."""
    with reported():
        context.obj.asking(form, quiet=quiet).list_domains()


@domain.command(name="inspect")
def inspect_domain(
    context: typer.Context,
    domain_id: Annotated[
        str,
        typer.Argument(
            metavar="DOMAIN|all",
            help="A domain, or all.",
            autocompletion=complete_domain_or_all,
        ),
    ],
    form: _Format = None,
    quiet: _Quiet = False,
) -> None:
    """What the nodes of a domain offer together."""
    with reported():
        context.obj.asking(form, quiet=quiet).inspect_domain(domain_id)


@domain.command(name="wait")
def wait_for_nodes(
    context: typer.Context,
    nodes: Annotated[int, typer.Option(help="How many there must be.", min=0)] = 1,
    domain_id: Annotated[
        str,
        typer.Option("--domain", help="Of one domain only.", autocompletion=complete_domain),
    ] = "",
    form: _Format = None,
) -> None:
    """Return when there are so many nodes; the time to wait is that of --timeout."""
    with reported():
        context.obj.asking(form).wait_for_nodes(nodes, domain_id)


@function.command()
def build(
    spec_file: Annotated[Path, typer.Argument(help="The function.json.")],
) -> None:
    """Build a function's WebAssembly module beside its function.json."""
    with reported(spec_file):
        with quietly_loading():
            from edgeless_sim.cli.build import build_command

        build_command(spec_file)


@function.command()
def invoke(
    context: typer.Context,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="cast is the only one.")],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The invocation URL of the instance's node.")
    ],
    node: Annotated[str, typer.Argument(metavar="NODE", help="The id of the node.")],
    instance: Annotated[str, typer.Argument(metavar="FUN", help="The id of the instance.")],
    payload: Annotated[str, typer.Argument(metavar="PAYLOAD", help="What it gets.")],
) -> None:
    """Cast an event to an instance from outside."""
    if event != "cast":
        raise typer.BadParameter(f"invalid event type: {event}", param_hint="EVENT")
    with reported():
        context.obj.asking().cast(url, node, instance, payload)


def main() -> None:
    """Run the program; the entry point of the console script."""
    app()
