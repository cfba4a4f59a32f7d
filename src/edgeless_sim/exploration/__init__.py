"""Looks for seeds that break the reliability contract: random operations, random faults."""

from edgeless_sim.exploration.run import explore_seed
from edgeless_sim.exploration.setting import Setting, built_in, load_setting
from edgeless_sim.exploration.tally import SeedResult, Tally

__all__ = ["SeedResult", "Setting", "Tally", "built_in", "explore_seed", "load_setting"]
