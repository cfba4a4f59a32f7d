"""What a shell offers when Tab is pressed after ``proxy_cli``: what the mirror and the ε-CON show.

It must be quick, and silent about everything that goes wrong.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from edgeless_sim.cli.proxy_asking import ProxyAsking

__all__ = ["ORCHESTRATOR_URL", "complete_component", "complete_node", "complete_workflow"]

#: Where an ε-ORC is, unless it is said.
ORCHESTRATOR_URL: Final = "http://127.0.0.1:7003"
_TIMEOUT_S: Final = 0.5


def complete_node(context: typer.Context, incomplete: str) -> list[str]:
    """Nodes as they are printed, and their ids."""

    def ask(asking: "ProxyAsking") -> list[str]:
        return asking.node_names()

    return _asked(context, incomplete, ask)


def complete_component(context: typer.Context, incomplete: str) -> list[str]:
    """Logical ids."""

    def ask(asking: "ProxyAsking") -> list[str]:
        return asking.logical_ids()

    return _asked(context, incomplete, ask)


def complete_workflow(context: typer.Context, incomplete: str) -> list[str]:
    """Names and ids of workflows."""

    def ask(asking: "ProxyAsking") -> list[str]:
        return asking.workflow_names()

    return _asked(context, incomplete, ask)


def _asked(
    context: typer.Context, incomplete: str, ask: Callable[["ProxyAsking"], list[str]]
) -> list[str]:
    # Whatever it is: a shell that completes is no place for complaints.
    with contextlib.suppress(Exception):
        from edgeless_sim.cli.mirror_words import NodeForm
        from edgeless_sim.cli.proxy_asking import ProxyAsking

        said = context.find_root().params
        urls = tuple(said.get("orchestrator_url") or ())
        if (said.get("proxy_type") or "").lower() == "none":
            urls = urls or (ORCHESTRATOR_URL,)
        form = said.get("node_print_format")
        asking = ProxyAsking(
            said["redis_url"],
            urls,
            said["controller_url"],
            NodeForm(form) if form else None,
            _TIMEOUT_S,
            None,
            warn=_keep_quiet,
        )
        return [each for each in ask(asking) if each.startswith(incomplete)]
    return []


def _keep_quiet(_: str) -> None:
    pass
