"""``edgeless-sim export``: a scenario's cluster as files of a real deployment."""

from pathlib import Path

import typer

from edgeless_sim.cluster.export import export_topology
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.shipped import find_scenario

__all__ = ["export_command"]


def export_command(
    scenario: str, hosts: str, folder: Path, *, scheme: str, first_port: int
) -> None:
    """Write the files and say how to start them; raise `EdgelessError`."""
    found = load_scenario(find_scenario(scenario), label=scenario)
    names = [name.strip() for name in hosts.split(",") if name.strip()]
    scripts = export_topology(
        found.topology(),
        names,
        folder,
        scheme=scheme,
        seed=found.seed,
        first_port=first_port,
    )
    for script in scripts:
        typer.echo(f"on {script.parent.name}: sh {script}")
