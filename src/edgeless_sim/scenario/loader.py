"""A TOML file -> a `Scenario`, or one error that lists what is wrong: file, line, remedy.

Nothing is started. The workflow files that the scenario names are read too, with their code, so
that a run does not fail half way for a file that is not there.
"""

from itertools import islice
from pathlib import Path
from typing import Final

from edgeless_sim.errors import ScenarioError, WorkflowSpecError
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.names import clipped
from edgeless_sim.model.toml_document import PROBLEMS_MAX, TOML_BYTES_MAX, read_toml
from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.model.workflow_file import load_workflow
from edgeless_sim.scenario.checks import ScenarioFault, scenario_faults, scenario_warnings
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.steps import StartWorkflow

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
    workflows, faults, warnings = _workflows(scenario, folder)
    faults += islice(scenario_faults(scenario, workflows), PROBLEMS_MAX + 1)
    if faults:
        document.refuse(faults)
    warnings += scenario_warnings(scenario)
    return scenario.located(folder, label, workflows, tuple(warnings))


def _workflows(
    scenario: Scenario, folder: Path
) -> tuple[dict[str, SpawnWorkflowRequest], list[ScenarioFault], list[str]]:
    """The workflows that *scenario* starts, by file as written; and what is wrong with them."""
    workflows: dict[str, SpawnWorkflowRequest] = {}
    faults: dict[str, ScenarioFault] = {}
    warnings: list[str] = []
    for place, step in enumerate(scenario.steps):
        if not isinstance(step, StartWorkflow) or step.file in workflows or step.file in faults:
            continue
        try:
            workflows[step.file], found = load_workflow(folder / step.file)
        except WorkflowSpecError as cause:
            faults[step.file] = ("step", place, "file"), str(cause)
        else:
            warnings += [f"{step.file}: {warning}" for warning in found]
    return workflows, list(faults.values()), warnings
