"""Reads the files that a scenario names: workflows, templates of workflows, traces of arrivals.

Not here: the scenario's own file (`loader`).
"""

from pathlib import Path
from typing import Final

from edgeless_sim.errors import ResourceError, SpecError, WorkflowSpecError
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.json_text import JSON_BYTES_MAX
from edgeless_sim.model.names import clipped, quoted, shown_path
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.model.workflow_file import load_workflow
from edgeless_sim.resources.pushed_files import file_names
from edgeless_sim.scenario.arrivals import parse_trace
from edgeless_sim.scenario.checks import ScenarioFault
from edgeless_sim.scenario.map_reduce import MapReduceClasses
from edgeless_sim.scenario.model import Scenario, ScenarioFiles
from edgeless_sim.scenario.steps import StartWorkflow
from edgeless_sim.scenario.workflow_template import WorkflowTemplate
from edgeless_sim.scenario.workloads import WorkflowWorkload

__all__ = ["read_files"]

_TRACE_BYTES_MAX: Final = 64 << 20


def read_files(
    scenario: Scenario, folder: Path
) -> tuple[ScenarioFiles, list[ScenarioFault], list[str]]:
    """The files of *scenario* in *folder*, what is wrong with them, and warnings."""
    reader = _Reader(folder)
    for place, step in enumerate(scenario.steps):
        if isinstance(step, StartWorkflow):
            reader.workflow(("step", place, "file"), step.file)
    for place, workload in enumerate(scenario.workloads):
        if isinstance(workload, WorkflowWorkload):
            if workload.map_reduce is None:
                reader.template(("workload", place, "file"), workload.file)
            else:
                path = ("workload", place, "map_reduce", "functions")
                reader.classes(path, workload.map_reduce.functions)
        if workload.trace is not None:
            reader.trace(("workload", place, "trace"), workload.trace)
    for place, domain in enumerate(scenario.domains):
        for group, nodes in enumerate(domain.nodes):
            if nodes.file_pusher_directory is not None:
                key = ("domain", place, "nodes", group, "file_pusher_directory")
                reader.pushed(key, nodes.file_pusher_directory)
    return reader.files, list(reader.faults.values()), reader.warnings


class _Reader:
    """Reads each file once."""

    def __init__(self, folder: Path) -> None:
        self.files = ScenarioFiles()
        self.faults: dict[str, ScenarioFault] = {}
        self.warnings: list[str] = []
        self._folder = folder

    def workflow(self, path: TomlPath, file: str) -> None:
        if file in self.files.workflows or file in self.faults:
            return
        try:
            self.files.workflows[file], found = load_workflow(self._folder / file)
        except WorkflowSpecError as cause:
            self.faults[file] = path, str(cause)
        else:
            self._warn(file, found)

    def template(self, path: TomlPath, file: str) -> None:
        if file in self.files.templates or file in self.faults:
            return
        place = self._folder / file
        try:
            text = self._content(file, JSON_BYTES_MAX)
            template = WorkflowTemplate(text, place.parent, shown_path(str(place)))
        except (ValueError, WorkflowSpecError) as cause:
            self.faults[file] = path, str(cause)
        else:
            self.files.templates[file] = template
            self._warn(file, template.warnings)

    def classes(self, path: TomlPath, folder: str) -> None:
        if folder in self.files.classes or folder in self.faults:
            return
        try:
            self.files.classes[folder] = MapReduceClasses.read(self._folder / folder)
        except SpecError as cause:
            self.faults[folder] = path, str(cause)

    def pushed(self, path: TomlPath, folder: str) -> None:
        try:
            file_names(self._folder / folder)
        except ResourceError as cause:
            self.faults[folder] = path, str(cause)

    def trace(self, path: TomlPath, file: str) -> None:
        if file in self.files.traces or file in self.faults:
            return
        try:
            text = self._content(file, _TRACE_BYTES_MAX).decode()
        except UnicodeDecodeError:
            self.faults[file] = path, f"{quoted(file)}: not UTF-8"
            return
        except ValueError as cause:
            self.faults[file] = path, str(cause)
            return
        try:
            self.files.traces[file] = parse_trace(text)
        except ValueError as cause:
            self.faults[file] = path, clipped(f"{quoted(file)}: {cause}")

    def _content(self, file: str, bytes_max: int) -> bytes:
        """Raise `ValueError` with the file's name."""
        try:
            return read_regular_file(self._folder / file, bytes_max)
        except FileNotFoundError:
            raise ValueError(clipped(f"{quoted(file)}: no such file")) from None
        except ValueError as cause:
            raise ValueError(clipped(f"{quoted(file)}: {cause}")) from None

    def _warn(self, file: str, found: list[str]) -> None:
        for warning in found:
            text = f"{file}: {warning}"
            if text not in self.warnings:
                self.warnings.append(text)
