"""Mechanism without EDGELESS: clock, dice, scheduler, actors, supervisor, journal."""

from edgeless_sim.kernel.actor import Actor
from edgeless_sim.kernel.clock import Clock, LoopClock
from edgeless_sim.kernel.entropy import Entropy, uuid4_from
from edgeless_sim.kernel.journal import Journal, Record
from edgeless_sim.kernel.loop import VirtualTimeLoop, current_scheduler, run
from edgeless_sim.kernel.scheduler import Scheduler, Timer
from edgeless_sim.kernel.supervisor import Supervisor

__all__ = [
    "Actor",
    "Clock",
    "Entropy",
    "Journal",
    "LoopClock",
    "Record",
    "Scheduler",
    "Supervisor",
    "Timer",
    "VirtualTimeLoop",
    "current_scheduler",
    "run",
    "uuid4_from",
]
