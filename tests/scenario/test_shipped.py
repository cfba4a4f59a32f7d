"""Scenarios are found by name, and what is not found says why."""

from pathlib import Path

import pytest

from edgeless_sim.errors import UnknownComponentError
from edgeless_sim.scenario.shipped import find_scenario


def test_a_folder_without_a_scenario_is_told_apart_from_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownComponentError, match=r"has no scenario\.toml"):
        find_scenario(str(tmp_path))
    with pytest.raises(UnknownComponentError, match="did you mean 'noop'"):
        find_scenario("nop")
