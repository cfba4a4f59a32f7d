"""A domain as its ε-ORC shows it to the outside: what the Redis mirror holds, as values (spec 7.1).

One form for all mirrors: in memory, over our wire, and in a Redis. Not here: where they are kept,
and how they are read.
"""

from enum import StrEnum
from typing import Final

import msgspec

from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import DomainId, InstanceId, LogicalId, NodeId
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus
from edgeless_sim.model.resource import (
    ResourceInstanceSpecification,
    ResourceProviderSpecification,
)

__all__ = [
    "LAST_UPDATES",
    "DomainMirror",
    "MirroredComponent",
    "MirroredHealth",
    "MirroredNode",
    "Point",
    "Series",
    "SeriesMetric",
]

#: The parts of a mirror that say when they changed last.
LAST_UPDATES: Final = ("node:capabilities", "provider", "instance", "dependency")


class SeriesMetric(StrEnum):
    """What is measured of an instance; a log's series bears the name of its target instead."""

    INSTANTIATE = "function_instantiate_time"
    INIT = "function_init_time"
    EXECUTION = "function_execution_time"
    STOP = "function_stop_time"
    TRANSFER = "function_transfer_time"


class MirroredHealth(msgspec.Struct, frozen=True):
    """How a node fared at a time (seconds since 1970)."""

    time_s: float
    health: NodeHealthStatus


class MirroredNode(msgspec.Struct, frozen=True):
    """A node of the domain. From ``name`` on the fields are ours: a Redis does not have them."""

    node_id: NodeId
    capabilities: NodeCapabilities
    providers: tuple[ResourceProviderSpecification, ...] = ()
    health: tuple[MirroredHealth, ...] = ()
    """Oldest first; the last one is the present."""
    name: str = ""
    cordoned: bool = False
    reachable: bool = True


class MirroredComponent(msgspec.Struct, frozen=True):
    """A function or resource of a workflow, without its code, and where it runs now."""

    logical_id: LogicalId
    function: SpawnFunctionRequest | None = None
    """What was asked for, if it is a function; exactly one of the two is there."""
    resource: ResourceInstanceSpecification | None = None
    instances: tuple[InstanceId, ...] = ()
    """None if it does not run at present."""
    outputs: dict[str, LogicalId] = {}
    """The dependency graph: channel and target, as the ε-CON asked for them."""

    def __post_init__(self) -> None:
        if (self.function is None) == (self.resource is None):
            raise ValueError("a component is a function or a resource")

    def asked(self) -> dict[str, object]:
        """What was asked for, with EDGELESS's keys, for its JSON (spec 7.1, 7.5)."""
        function, resource = self.function, self.resource
        if function is not None:
            code, state = function.code, function.state_specification
            return {
                "spec": {
                    "id": code.id,
                    "function_type": code.function_type,
                    "version": code.version,
                    "binary": None,
                    "code": code.code,
                    "outputs": code.outputs,
                },
                "annotations": function.annotations,
                "state_specification": {
                    "state_id": str(state.state_id),
                    "state_policy": state.policy.value,
                },
                "workflow_id": str(function.workflow_id),
            }
        assert resource is not None, "it is one of the two"
        return {
            "class_type": resource.class_type,
            "configuration": resource.configuration,
            "workflow_id": str(resource.workflow_id),
        }


class Point(msgspec.Struct, frozen=True, gc=False):
    """A measured value (in seconds) or a line of a log, and when (seconds since 1970)."""

    time_s: float
    value: float | str


class Series(msgspec.Struct, frozen=True):
    """Measurements of one instance, or lines of its log."""

    instance: InstanceId
    name: str
    """A `SeriesMetric`, or the target of a log."""
    points: tuple[Point, ...]
    """Oldest first."""


class DomainMirror(msgspec.Struct, frozen=True):
    """Everything that is shown of a domain. Nodes and components are sorted by id."""

    domain_id: DomainId
    nodes: tuple[MirroredNode, ...] = ()
    components: tuple[MirroredComponent, ...] = ()
    series: tuple[Series, ...] = ()
    """Sorted by instance, then name."""
    last_updates: dict[str, float] = {}
    """By `LAST_UPDATES`: seconds since 1970."""
