"""Exploring finds what it is for: EDGELESS's defects, and slips of our own, planted one by one.

Each is planted into the product and found by the seed that stands beside it; how many seeds it
takes from 0 on is the number of that seed plus one.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
from tests.defects import plants

from edgeless_sim.exploration.run import explore_seed
from edgeless_sim.exploration.setting import built_in

Patch = pytest.MonkeyPatch


class Planted(NamedTuple):
    """A defect, and what finds it."""

    plant: Callable[[Patch], None]
    seed: int
    invariants: tuple[str, ...]
    """One of them is broken."""


PLANTED: Final[dict[str, Planted]] = {
    "U01": Planted(plants.workflows_are_not_stored, 0, ("I07",)),
    "U02": Planted(plants.a_stop_of_an_orphan_is_ignored, 6, ("I07", "I09")),
    "U03": Planted(
        plants.nothing_is_deployed_again_after_a_restart_of_the_orchestrator, 12, ("I01",)
    ),
    "U24": Planted(plants.requirements_are_not_looked_at, 2, ("I06",)),
    "U30": Planted(plants.a_stray_resource_is_stopped_as_a_function, 1, ("I13",)),
    "U34": Planted(plants.a_stopped_instance_keeps_its_inbox, 0, ("I39",)),
    "U36": Planted(plants.a_patch_without_an_answer_is_not_repeated, 11, ("I16",)),
    "U37 node": Planted(plants.strays_on_nodes_are_left_alone, 1, ("I13",)),
    "U37 domain": Planted(
        plants.components_that_the_controller_does_not_know_are_left_alone, 47, ("I13",)
    ),
    "U38": Planted(plants.a_reset_without_an_echo_is_taken_for_done, 7, ("I13",)),
    "copies": Planted(plants.copies_of_events_are_handled, 21, ("I22",)),
    "cordons": Planted(plants.cordons_are_not_looked_at, 2, ("I14",)),
    "stops": Planted(plants.stops_are_not_stored, 3, ("I07", "I09")),
}


def violations(seed: int) -> tuple[str, ...]:
    return explore_seed(seed, built_in()).violations


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_is_found(name: str, monkeypatch: Patch) -> None:
    planted = PLANTED[name]
    planted.plant(monkeypatch)
    found = violations(planted.seed)
    assert any(each.startswith(planted.invariants) for each in found), found
    monkeypatch.undo()
    assert violations(planted.seed) == ()
