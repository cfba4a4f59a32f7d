"""Runs a test twice, in a pytest of its own: as the product is, and with a defect planted."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

__all__ = ["Plant", "Trial", "tried"]

Plant = Callable[[pytest.MonkeyPatch], None]

ROOT: Final = Path(__file__).parents[2]
_SOUND: Final = "sound"
_PLANTED: Final = "planted"
#: Nothing is printed or left on the disk; a test that a marker leaves out elsewhere is run, too.
_OPTIONS: Final = (
    *("-o", "addopts=", "--import-mode=importlib", "--strict-markers"),
    *("-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:faulthandler"),
)


@dataclass
class Trial:
    """What became of the runs of one test."""

    sound: list[str] = field(default_factory=list)
    """How each run without the defect failed; "" = it passed."""
    planted: list[str] = field(default_factory=list)
    """How each run with the defect failed; "" = it passed."""


class _Planting:
    """A plugin: each test runs first as it is, then with the defect."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.trial = Trial()
        self._planted = False
        self._failure = ""

    @pytest.fixture(autouse=True, params=[_SOUND, _PLANTED])
    def planted(self, request: pytest.FixtureRequest) -> Generator[None]:
        """Plants the defect before all else, and takes it out after all else."""
        self._planted = request.param == _PLANTED
        with pytest.MonkeyPatch.context() as patch:
            if self._planted:
                self._plant(patch)
            yield

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what was said of one phase."""
        if report.when == "setup":
            self._failure = ""
        if not report.passed and not self._failure:
            self._failure = f"{report.outcome}: {report.longreprtext}"
        if report.when == "teardown":
            runs = self.trial.planted if self._planted else self.trial.sound
            runs.append(self._failure)


def tried(test: str, plant: Plant) -> Trial:
    """Run *test*, ``folder/file.py::name`` below tests/, without and with what *plant* does."""
    planting = _Planting(plant)
    words = [*_OPTIONS, "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    code = pytest.main([*words, str(ROOT / "tests" / test)], plugins=[planting])
    assert code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), (test, code)
    assert planting.trial.planted, f"there is no {test}"
    return planting.trial
