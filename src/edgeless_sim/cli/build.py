"""``edgeless-sim build`` and ``edgeless_cli function build``: one function, from source to code."""

from pathlib import Path

import typer

from edgeless_sim.cli.problems import complain
from edgeless_sim.toolchain.building import Built, build_function

__all__ = ["build_command"]


def build_command(file: Path, *, force: bool = False) -> None:
    """Build it and say what came of it; raise `EdgelessError`."""
    built = build_function(file, force=force)
    for warning in built.warnings:
        complain(f"warning: {file}: {warning}")
    typer.echo(_result(built))


def _result(built: Built) -> str:
    if built.module is None:
        return f"{built.specification.code}: nothing to build, it loads"
    size = built.module.stat().st_size
    done = f"built from {built.language}" if built.fresh else "up to date"
    return f"{built.module}: {size:,} bytes, {done}"
