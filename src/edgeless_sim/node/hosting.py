"""What the instances of a node share: data plane, cores, telemetry, journal, states."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.processor import Processor
from edgeless_sim.node.state_store import StateStore
from edgeless_sim.node.telemetry import Telemetry
from edgeless_sim.runtimes.base import FunctionInstance

__all__ = ["HostingContext", "Instantiate"]

#: Makes the guest of an instance; the number says how many it had before.
Instantiate: TypeAlias = Callable[[InstanceId, SpawnFunctionRequest, int], FunctionInstance]


@dataclass(frozen=True, slots=True)
class HostingContext:
    """Everything that an instance needs of its node."""

    actor: ActorContext
    plane: Dataplane
    processor: Processor
    telemetry: Telemetry
    states: StateStore
