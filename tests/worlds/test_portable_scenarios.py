"""Each portable scenario handles the same events in the three worlds (design, decision 34).

Two of them in every run of the tests; the others, and those of faults, with ``-m slow``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from edgeless_sim.model.worlds import REAL_WORLDS, WORLDS
from edgeless_sim.scenario import steps as do
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.outcome import Verdict
from edgeless_sim.scenario.runner import run_scenario
from edgeless_sim.testing.multisets import EventMultisets

SCENARIOS: Final = Path(__file__).parents[2] / "scenarios"
#: Every way to send; a function that moves under load.
QUICK: Final = ("messaging", "live_migration")
PORTABLE_LEAST: Final = 8
DURATION_NS_MAX: Final = 10_000_000_000
FAULTS: Final = (
    do.CrashNode,
    do.CrashOrchestrator,
    do.CrashBalancer,
    do.Partition,
    do.Degrade,
)

WireRun = Callable[[str, str], Any]


def load_all() -> dict[str, Scenario]:
    """All shipped scenarios that are for every world, by name."""
    loaded = {path.parent.name: load_scenario(path) for path in SCENARIOS.glob("*/scenario.toml")}
    return {
        name: loaded[name] for name in sorted(loaded) if set(loaded[name].worlds) == set(WORLDS)
    }


def has_faults(scenario: Scenario) -> bool:
    return any(isinstance(step, FAULTS) for step in scenario.steps)


EVERYWHERE: Final = load_all()
PORTABLE: Final = [name for name, scenario in EVERYWHERE.items() if not has_faults(scenario)]
FAULTY: Final = [name for name, scenario in EVERYWHERE.items() if has_faults(scenario)]


def in_virtual_time(scenario: Scenario) -> EventMultisets:
    multisets = EventMultisets()
    outcome = run_scenario(scenario, readers=[multisets.read])
    assert outcome.verdict is Verdict.PASSED, outcome.judgements
    return multisets


def test_there_are_enough_of_them() -> None:
    assert len(PORTABLE) >= PORTABLE_LEAST
    assert set(QUICK) <= set(PORTABLE)
    assert set(FAULTY) == {"node-crash", "partition", "portal-crash"}


@pytest.mark.parametrize("name", PORTABLE)
def test_a_portable_scenario_is_short_and_stops_what_it_starts(name: str) -> None:
    scenario = EVERYWHERE[name]
    started = {step.workflow for step in scenario.steps if isinstance(step, do.StartWorkflow)}
    stopped = {step.workflow for step in scenario.steps if isinstance(step, do.StopWorkflow)}
    assert scenario.duration <= DURATION_NS_MAX
    assert started
    assert started == stopped


@pytest.mark.parametrize(
    "wire_scenario",
    [pytest.param(each, marks=() if each in QUICK else pytest.mark.slow) for each in PORTABLE],
)
def test_each_component_handles_and_says_the_same_in_every_world(
    wire_scenario: str, wire_runs: WireRun
) -> None:
    simulated = in_virtual_time(EVERYWHERE[wire_scenario])
    assert any(each.handled for each in simulated.by_component().values())
    for world in REAL_WORLDS:
        run = wire_runs(wire_scenario, world)
        run.check()
        real = EventMultisets.of_file(run.folder / "journal.jsonl")
        assert simulated.differences(real) == [], run.command


@pytest.mark.slow
@pytest.mark.parametrize("wire_world", REAL_WORLDS)
@pytest.mark.parametrize("wire_scenario", FAULTY)
def test_a_scenario_of_faults_meets_its_expectations_over_the_wire(
    wire_scenario: str, wire_world: str, wire_runs: WireRun
) -> None:
    wire_runs(wire_scenario, wire_world).check()
