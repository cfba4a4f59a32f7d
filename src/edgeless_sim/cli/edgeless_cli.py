"""The program ``edgeless_cli``: EDGELESS's client, its verbs and its words (spec 9.2).

What it has more: names wherever there are ids, ``--format json``, ``--timeout``, and an exit code
that tells a refusal from success.
"""

from pathlib import Path
from typing import Annotated

import typer

from edgeless_sim.cli.problems import reported

__all__ = [
    "app",
    "build",
    "domain",
    "function",
    "inspect",
    "inspect_domain",
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

_Id = Annotated[str, typer.Argument(metavar="ID", help="The id or the name of a workflow.")]
_IdOrAll = Annotated[
    str, typer.Argument(metavar="ID|all", help="The id or the name of a workflow, or all.")
]
_Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="The name of a domain.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("edgeless-sim"))
        raise typer.Exit


def _form(value: str) -> str:
    if value not in ("plain", "json"):
        raise typer.BadParameter(f"{value!r} is none of plain, json")
    return value


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
    form: Annotated[str, typer.Option("--format", help="plain or json.", callback=_form)] = "plain",
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
        from edgeless_sim.cli.asking import Asking
        from edgeless_sim.cli.template import write_template

        if template is not None:
            write_template("cli", template)
            raise typer.Exit
        context.obj = Asking(config_file, timeout_s=timeout, form=form)


@workflow.command()
def start(
    context: typer.Context,
    spec_file: Annotated[Path, typer.Argument(help="The workflow.json.")],
    name: Annotated[str, typer.Option(help="What it is called; else only its id names it.")] = "",
) -> None:
    """Start a workflow; its id is all that is printed."""
    with reported():
        context.obj.start(spec_file, name)


@workflow.command()
def stop(context: typer.Context, workflow_id: _IdOrAll) -> None:
    """Stop a workflow, or all of them."""
    with reported():
        context.obj.stop(workflow_id)


@workflow.command(name="list")
def list_workflows(context: typer.Context) -> None:
    """The ids of the workflows, one per line."""
    with reported():
        context.obj.list_workflows()


@workflow.command()
def inspect(context: typer.Context, workflow_id: _IdOrAll) -> None:
    """What a workflow consists of, and where its components are."""
    with reported():
        context.obj.inspect(workflow_id)


@workflow.command()
def migrate(context: typer.Context, workflow_id: _Id, domain_id: _Domain) -> None:
    """Move a workflow to another domain."""
    with reported():
        context.obj.migrate(workflow_id, domain_id, "")


@workflow.command(name="migrate-component")
def migrate_component(
    context: typer.Context,
    workflow_id: _Id,
    domain_id: _Domain,
    component: Annotated[str, typer.Argument(help="The name of the component.")],
) -> None:
    """Move one component of a workflow to another domain."""
    with reported():
        context.obj.migrate(workflow_id, domain_id, component)


@domain.command(name="list")
def list_domains(context: typer.Context) -> None:
    """The domains and how many nodes they have."""
    with reported():
        context.obj.list_domains()


@domain.command(name="inspect")
def inspect_domain(
    context: typer.Context,
    domain_id: Annotated[str, typer.Argument(metavar="DOMAIN|all", help="A domain, or all.")],
) -> None:
    """What the nodes of a domain offer together."""
    with reported():
        context.obj.inspect_domain(domain_id)


@domain.command(name="wait")
def wait_for_nodes(
    context: typer.Context,
    nodes: Annotated[int, typer.Option(help="How many there must be.", min=0)] = 1,
    domain_id: Annotated[str, typer.Option("--domain", help="Of one domain only.")] = "",
) -> None:
    """Return when there are so many nodes; the time to wait is that of --timeout."""
    with reported():
        context.obj.wait_for_nodes(nodes, domain_id)


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
