"""A TOML file -> a `Scenario`, or one error that lists what is wrong: file, line, remedy.

Nothing is started. The workflow files that the scenario names are read too, with their code, so
that a run does not fail half way for a file that is not there.
"""

import re
import tomllib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import ValidationError

from edgeless_sim.errors import ScenarioError, WorkflowSpecError
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.json_text import path_text
from edgeless_sim.model.names import clipped
from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.model.workflow_file import load_workflow
from edgeless_sim.scenario.checks import ScenarioFault, scenario_faults, scenario_warnings
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.shape_errors import shape_faults
from edgeless_sim.scenario.steps import StartWorkflow
from edgeless_sim.scenario.toml_places import TomlPath, TomlPlaces

__all__ = ["SCENARIO_BYTES_MAX", "SCENARIO_FILE", "load_scenario", "parse_scenario"]

SCENARIO_FILE: Final = "scenario.toml"
SCENARIO_BYTES_MAX: Final = 1 << 20

_PROBLEMS_MAX: Final = 10
_PROBLEM_CHARS_MAX: Final = 500
_TOML_PLACE: Final = re.compile(
    r"(.*) \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)", re.DOTALL
)


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
    text = _decoded(content, source)
    try:
        places = TomlPlaces(text)
    except ValueError as cause:
        _refuse(source, [str(cause)])
    document = _parsed(text, source)
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as error:
        _refuse_all(source, places, shape_faults(error, document))
    workflows, faults, warnings = _workflows(scenario, folder)
    faults += islice(scenario_faults(scenario, workflows), _PROBLEMS_MAX + 1)
    if faults:
        _refuse_all(source, places, faults)
    warnings += scenario_warnings(scenario)
    return scenario.located(folder, label, workflows, tuple(warnings))


def _decoded(content: bytes, source: str) -> str:
    if len(content) > SCENARIO_BYTES_MAX:
        _refuse(source, [f"has more than {SCENARIO_BYTES_MAX} bytes"])
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as cause:
        line = content[: cause.start].count(b"\n") + 1
        _refuse(source, [f"line {line}: not UTF-8 (byte {cause.start})"])
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        _refuse(source, [f"line {line}: a NUL character is not text"])
    return text


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        found = _TOML_PLACE.fullmatch(str(cause))
        reason = str(cause) if found is None else found[1]
        line = text.count("\n") + 1 if found is None or found[2] is None else int(found[2])
        column = f":{found[3]}" if found is not None and found[3] is not None else ""
        raise ScenarioError(clipped(f"{source}:{line}{column}: not TOML: {reason}")) from None
    except ValueError as cause:
        # An integer of thousands of digits.
        raise ScenarioError(clipped(f"{source}: not TOML: {cause}")) from None


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


def _refuse_all(
    source: str, places: TomlPlaces, faults: Iterable[tuple[TomlPath, str]]
) -> NoReturn:
    problems = []
    for path, reason in faults:
        where = f" {path_text(path)}:" if path else ""
        problems.append((places.line_of(path), f"{where} {reason}"))
    problems.sort(key=lambda problem: problem[0])
    raise ScenarioError("\n".join(_listed([f"{source}:{line}:{text}" for line, text in problems])))


def _refuse(source: str, reasons: list[str]) -> NoReturn:
    raise ScenarioError("\n".join(_listed([f"{source}: {reason}" for reason in reasons])))


def _listed(problems: list[str]) -> list[str]:
    lines = [clipped(problem[:_PROBLEM_CHARS_MAX]) for problem in problems[:_PROBLEMS_MAX]]
    if len(problems) == 1:
        return [clipped(problems[0])]
    if len(problems) > _PROBLEMS_MAX:
        more = len(problems) - _PROBLEMS_MAX
        lines.append(f"and {more if more < 100 else 'many'} more")
    return lines
