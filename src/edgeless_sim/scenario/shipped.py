"""Where scenarios are found by name: beside the user, in the checkout, or in the installation."""

import sys
from pathlib import Path

from edgeless_sim.errors import UnknownComponentError
from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.scenario.loader import SCENARIO_FILE

__all__ = ["find_scenario", "known_scenarios"]


def find_scenario(argument: str) -> Path:
    """The scenario file that *argument* names: a file, a folder with one, or a shipped name.

    Raise `UnknownComponentError` with the nearest match if there is none.
    """
    path = Path(argument)
    is_folder = False
    try:
        is_folder = path.is_dir()
        if (path / SCENARIO_FILE).is_file():
            return path / SCENARIO_FILE
        if path.exists() and not is_folder:
            return path
    except (OSError, ValueError):  # e.g. a name that is too long, or has a NUL
        pass
    known = known_scenarios()
    if argument in known:
        return known[argument]
    if is_folder:
        raise UnknownComponentError(
            "no such scenario", f"{quoted(argument)} has no {SCENARIO_FILE}"
        )
    hint = suggestion(argument, known) or f"; known: {', '.join(known) or 'none'}"
    raise UnknownComponentError("no such scenario", f"{quoted(argument)}{hint}")


def known_scenarios() -> dict[str, Path]:
    """The shipped scenarios, by name; where a name occurs twice, the nearer one."""
    checkout = Path(__file__).resolve().parents[3]
    places = (
        Path("scenarios"),
        checkout / "scenarios",
        Path(sys.prefix) / "share" / "edgeless-sim" / "scenarios",
    )
    found: dict[str, Path] = {}
    for place in places:
        if place.is_dir():
            for file in place.glob(f"*/{SCENARIO_FILE}"):
                found.setdefault(file.parent.name, file)
    return dict(sorted(found.items()))
