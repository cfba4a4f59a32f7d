"""What the instances of a node share: data plane, cores, telemetry, journal, states."""

from dataclasses import dataclass

from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.node.processor import Processor
from edgeless_sim.node.state_store import StateStore
from edgeless_sim.node.telemetry import Telemetry

__all__ = ["HostingContext"]


@dataclass(frozen=True, slots=True)
class HostingContext:
    """Everything that an instance needs of its node."""

    actor: ActorContext
    plane: Dataplane
    processor: Processor
    telemetry: Telemetry
    states: StateStore
