"""What a shell offers when Tab is pressed after ``edgeless_cli``: names that the ε-CON knows.

It must be quick, and silent about everything that goes wrong.
"""

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from edgeless_sim.api.clients import ControllerClient

__all__ = ["complete_component", "complete_domain", "complete_domain_or_all", "complete_workflow"]

_TIMEOUT_S: Final = 0.5


def complete_workflow(context: typer.Context, incomplete: str) -> list[str]:
    """Names and ids of workflows, and ``all``."""
    found = _asked(context, _workflows)
    return [each for each in (*found, "all") if each.startswith(incomplete)]


def complete_domain(context: typer.Context, incomplete: str) -> list[str]:
    """Names of domains."""
    return [each for each in _asked(context, _domains) if each.startswith(incomplete)]


def complete_domain_or_all(context: typer.Context, incomplete: str) -> list[str]:
    """Names of domains, and ``all``."""
    found = _asked(context, _domains)
    return [each for each in (*found, "all") if each.startswith(incomplete)]


def complete_component(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the components of all workflows."""
    return [each for each in _asked(context, _components) if each.startswith(incomplete)]


def _asked(context: typer.Context, ask: Callable[..., Awaitable[list[str]]]) -> list[str]:
    found: list[str] = []
    # Whatever it is: a shell that completes is no place for complaints.
    with contextlib.suppress(Exception):
        from edgeless_sim.cluster.deployment_client import open_controller
        from edgeless_sim.cluster.settings import load_cli_settings, load_tls
        from edgeless_sim.kernel.loop import run

        file = Path(context.find_root().params.get("config_file") or "cli.toml")
        url, tls = load_cli_settings(file).controller_url, load_tls(file.parent)

        async def main() -> None:
            async with open_controller(url, tls=tls, timeout_s=_TIMEOUT_S) as controller:
                found.extend(await ask(controller))

        run(main, world="real")
    return found


async def _workflows(controller: "ControllerClient") -> list[str]:
    listed = await controller.list_workflows()
    return [each.name for each in listed if each.name] + [str(each.workflow_id) for each in listed]


async def _domains(controller: "ControllerClient") -> list[str]:
    from edgeless_sim.model.ids import DomainId

    return sorted(await controller.domains(DomainId("")))


async def _components(controller: "ControllerClient") -> list[str]:
    listed = await controller.list_workflows()
    return sorted({mapping.name for each in listed for mapping in each.mapping})
