"""``-t FILE`` of EDGELESS's programs: a file to begin with, where there is none."""

from pathlib import Path
from secrets import randbits
from uuid import UUID

from edgeless_sim.cluster.settings import (
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
    """The guide's file for ``con``, ``orc``, ``node`` or ``cli``; a node gets a new id."""
    match kind:
        case "con":
            return controller_template()
        case "orc":
            return orchestrator_template()
        case "node":
            node_id = NodeId(UUID(int=randbits(128), version=4))
            return node_template(node_id, detected_capabilities())
        case "cli":
            return cli_template()
    raise AssertionError(kind)


def write_template(kind: str, path: Path) -> None:
    """Write it to *path*; raise `RejectedError` if something is there, `OSError` if it cannot."""
    text = template_of(kind)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise RejectedError(f"cannot overwrite configuration file: {path}") from None
