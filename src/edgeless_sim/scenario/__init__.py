"""Experiments as data: a TOML file with a cluster, what is done to it, and what must hold."""

from edgeless_sim.scenario.loader import load_scenario, parse_scenario
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.outcome import Judgement, Outcome, StepFailure, Verdict
from edgeless_sim.scenario.runner import open_cluster, run_scenario
from edgeless_sim.scenario.shipped import find_scenario, known_scenarios

__all__ = [
    "Judgement",
    "Outcome",
    "Scenario",
    "StepFailure",
    "Verdict",
    "find_scenario",
    "known_scenarios",
    "load_scenario",
    "open_cluster",
    "parse_scenario",
    "run_scenario",
]
