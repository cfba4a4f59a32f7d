"""What every actor is given from outside: time, dice, tasks, the journal."""

from dataclasses import dataclass

from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.kernel.clock import Clock
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.scheduler import Scheduler

__all__ = ["ActorContext"]


@dataclass(frozen=True, slots=True)
class ActorContext:
    """The surroundings of one actor. ``name`` is its place, e.g. ``orc/edge`` or ``edge/0``."""

    name: str
    clock: Clock
    scheduler: Scheduler
    entropy: Entropy
    journal: Journal
    spawn: Spawn
