"""``python -m edgeless_sim component``: one ε-CON, ε-ORC or node as a process of its own."""

from pathlib import Path

from edgeless_sim.cluster.component import run_component
from edgeless_sim.cluster.component_files import load_component

__all__ = ["component_command"]


def component_command(kind: str, file: Path, *, supervised: bool) -> None:
    """Run it; raise `EdgelessError` if it cannot begin."""
    run_component(load_component(kind, file), supervised=supervised)
