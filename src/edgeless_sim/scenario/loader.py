"""A TOML file -> a `Scenario`, or one error that lists what is wrong: file, line, remedy.

Nothing is started. The workflow files that the scenario names are read too, with their code, so
that a run does not fail half way for a file that is not there.
"""

from itertools import islice
from pathlib import Path
from typing import Final

from edgeless_sim.errors import ScenarioError
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.names import clipped
from edgeless_sim.model.toml_document import PROBLEMS_MAX, TOML_BYTES_MAX, read_toml
from edgeless_sim.scenario.checks import scenario_faults, scenario_warnings
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.scenario_files import read_files

__all__ = ["SCENARIO_BYTES_MAX", "SCENARIO_FILE", "load_scenario", "parse_scenario"]

SCENARIO_FILE: Final = "scenario.toml"
SCENARIO_BYTES_MAX: Final = TOML_BYTES_MAX


def load_scenario(path: Path, *, label: str = "") -> Scenario:
    """The scenario in the file at *path*, or in the folder there.

    *label* is what the user called it. Raise `ScenarioError`; its message has one line per
    problem, ten at most.
    """
    if path.is_dir():
        path = path / SCENARIO_FILE
    try:
        text = read_regular_file(path, SCENARIO_BYTES_MAX)
    except FileNotFoundError:
        raise ScenarioError(clipped(f"{path}: no such file")) from None
    except ValueError as cause:
        raise ScenarioError(clipped(f"{path}: {cause}")) from None
    return parse_scenario(text, folder=path.parent, source=str(path), label=label or str(path))


def parse_scenario(
    content: bytes, *, folder: Path, source: str = SCENARIO_FILE, label: str = ""
) -> Scenario:
    """The scenario that *content* describes; its files are looked up in *folder*.

    Raise `ScenarioError`, as `load_scenario` does.
    """
    document = read_toml(content, error=ScenarioError, source=source)
    scenario = document.validated(Scenario)
    files, faults, warnings = read_files(scenario, folder)
    faults += islice(scenario_faults(scenario, files), PROBLEMS_MAX + 1)
    if faults:
        document.refuse(faults)
    warnings += scenario_warnings(scenario)
    return scenario.located(folder, label, files, tuple(warnings))
