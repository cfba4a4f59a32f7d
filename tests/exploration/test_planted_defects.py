"""Exploring finds what it is for: EDGELESS's defects, and slips of our own, planted one by one.

Each is planted into the product and found by the seed that stands beside it. Another order of
events is another experiment: then one of a hundred has to, and `-m slow` tells how many do.
Of the listed defects those are here that a simulated cluster can have; `tests/defects` has all.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
from tests.defects import further_plants as further
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
    of_30: int
    """How many of the seeds 0 to 29 find it."""


PLANTED: Final[dict[str, Planted]] = {
    "U01": Planted(plants.workflows_are_not_stored, 0, ("I07",), 8),
    "U02": Planted(plants.a_stop_of_an_orphan_is_ignored, 6, ("I07", "I09"), 2),
    "U03": Planted(
        plants.nothing_is_deployed_again_after_a_restart_of_the_orchestrator, 12, ("I01",), 1
    ),
    "U05": Planted(plants.the_old_nonce_is_kept, 25, ("I03", "I13", "I16"), 5),
    "U22": Planted(further.a_migration_takes_it_that_its_targets_are_known, 6, ("I37",), 11),
    "U24": Planted(plants.requirements_are_not_looked_at, 2, ("I06",), 16),
    "U30": Planted(plants.a_stray_resource_is_stopped_as_a_function, 1, ("I13",), 13),
    "U34": Planted(plants.a_stopped_instance_keeps_its_inbox, 0, ("I39",), 28),
    "U36": Planted(plants.a_patch_without_an_answer_is_not_repeated, 1, ("I13",), 2),
    "U36 stop": Planted(further.a_lost_stop_is_not_sent_again, 6, ("I13",), 2),
    "U37 node": Planted(plants.strays_on_nodes_are_left_alone, 1, ("I13",), 15),
    "U37 domain": Planted(
        plants.components_that_the_controller_does_not_know_are_left_alone, 7, ("I13",), 4
    ),
    "U38": Planted(plants.resets_are_not_confirmed_and_strays_not_looked_for, 6, ("I13",), 5),
    "copies": Planted(plants.copies_of_events_are_handled, 21, ("I22",), 1),
    "cordons": Planted(plants.cordons_are_not_looked_at, 2, ("I14",), 13),
    "stops": Planted(plants.stops_are_not_stored, 3, ("I07", "I09"), 2),
}


def violations(seed: int) -> tuple[str, ...]:
    return explore_seed(seed, built_in()).violations


def finds(planted: Planted, seed: int) -> bool:
    return any(each.startswith(planted.invariants) for each in violations(seed))


@pytest.mark.parametrize(
    "name",
    # A node that joins anew at each refresh makes many events.
    [pytest.param(name, marks=pytest.mark.slow) if name == "U05" else name for name in PLANTED],
)
def test_a_planted_defect_is_found(name: str, monkeypatch: Patch) -> None:
    planted = PLANTED[name]
    planted.plant(monkeypatch)
    finder = next((seed for seed in (planted.seed, *range(100)) if finds(planted, seed)), None)
    assert finder is not None, f"none of a hundred seeds finds {name}"
    monkeypatch.undo()
    assert violations(finder) == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_how_many_seeds_find_a_planted_defect(
    name: str, monkeypatch: Patch, record_property: Callable[[str, object], None]
) -> None:
    planted = PLANTED[name]
    planted.plant(monkeypatch)
    found = [seed for seed in range(30) if violations(seed)]
    record_property(name, found)
    # Half of them: a change of the product moves what happens in a seed.
    assert 2 * len(found) >= planted.of_30, f"{name} is found by {found}"
