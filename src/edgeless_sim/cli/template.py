"""``-t FILE`` of EDGELESS's programs: a file to begin with, where there is none."""

from pathlib import Path
from secrets import randbits
from uuid import UUID

from edgeless_sim.cluster.settings import (
    balancer_template,
    cli_template,
    controller_template,
    node_template,
    orchestrator_template,
)
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import NodeId
from edgeless_sim.node.capabilities import detected_capabilities

__all__ = ["template_of", "write_template"]


def template_of(kind: str) -> str:
    """The file for ``con``, ``orc``, ``node``, ``bal`` or ``cli``; nodes get new ids."""
    match kind:
        case "con":
            return controller_template()
        case "orc":
            return orchestrator_template()
        case "node":
            return node_template(_fresh_id(), detected_capabilities())
        case "bal":
            return balancer_template(_fresh_id(), _fresh_id())
        case "cli":
            return cli_template()
    raise AssertionError(kind)


def _fresh_id() -> NodeId:
    return NodeId(UUID(int=randbits(128), version=4))


def write_template(kind: str, path: Path) -> None:
    """Write it to *path*; raise `RejectedError` if something is there, `OSError` if it cannot."""
    text = template_of(kind)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise RejectedError(f"cannot overwrite configuration file: {path}") from None
