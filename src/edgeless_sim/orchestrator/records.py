"""The rows of an ε-ORC's state: nodes, components, placements. `domain_state` keeps them.

"Wanted" and "known" stand side by side: what differs is to be repaired.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from edgeless_sim.api.messages import ComponentState, InstanceState
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import Target
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import InstanceId, LogicalId, NodeId
from edgeless_sim.model.node import INVALID_HEALTH, NodeHealthStatus
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.orchestrator.requirements import Needs
from edgeless_sim.orchestrator.view import ComponentKind, ComponentView, NodeView

__all__ = ["Changes", "Component", "Node", "Placement", "Request"]

Request = SpawnFunctionRequest | ResourceInstanceSpecification


@dataclass(slots=True, eq=False)
class Changes:
    """What a mirror has to look at again: the ids of what came, changed or went."""

    nodes: dict[NodeId, None] = field(default_factory=dict)
    instances: dict[LogicalId, None] = field(default_factory=dict)
    """Components that run elsewhere, or not any more, or are new or gone."""
    dependencies: dict[LogicalId, None] = field(default_factory=dict)
    """Components with other outputs, or new or gone."""


@dataclass(slots=True, eq=False)
class Placement:
    """An instance of a component on a node, from the decision on."""

    instance_id: InstanceId
    provider_id: str = ""
    sent: bool = False
    """A start request has left: the instance may exist, whether it was answered or not."""
    confirmed: bool = False
    """The node said that it has the instance."""
    revision: int = 0
    """The node's revision by which it had the instance; an older inventory proves nothing."""
    generation: int = 0
    """Of the last patch that the node said it took."""
    patch_revision: int = 0
    """The node's revision when it said so."""
    refusals: int = 0
    """Patches in a row that the node refused."""
    state: InstanceState = InstanceState.RUNNING
    reason: str = ""


@dataclass(slots=True, eq=False)
class Component:
    """A function or resource of a workflow, and where it is."""

    logical_id: LogicalId
    kind: ComponentKind
    request: Request
    needs: Needs
    mapping: dict[str, LogicalId]
    """Channel -> target, as the ε-CON wants it."""
    mapping_generation: int = 0
    """The ε-CON's generation of that."""
    targets: dict[str, Target] = field(default_factory=dict)
    """Channel -> instance: those of ``mapping`` that run."""
    generation: int = 1
    """Grows whenever ``targets`` changes."""
    current: Placement | None = None
    successor: Placement | None = None
    """Where it is going to be, while it migrates."""
    wanted: int = 1
    """Most instances: a function may ask for several (``max_instances``)."""
    further: tuple[Placement, ...] = ()
    """The instances beside ``current``, each on a node of its own, oldest first."""
    accepted: bool = False
    """The ε-CON was told that it runs: from then on it is kept whatever happens."""
    tried: tuple[NodeId, ...] = ()
    """Nodes that failed to start it, since the last pause."""
    further_tried: tuple[NodeId, ...] = ()
    """As ``tried``, of its further instances."""
    further_failures: int = 0
    """As ``failures``, of its further instances."""
    failures: int = 0
    """Pauses since it ran."""
    reason: str = ""
    """Why it does not run."""
    refusal: RejectedError | None = None
    """What the last node that was tried said."""

    def placements(self) -> tuple[Placement, ...]:
        """The present one, the one to come and the further ones, as far as there are any."""
        return tuple(p for p in (self.current, self.successor, *self.further) if p is not None)

    def placement_of(self, instance_id: InstanceId) -> Placement | None:
        """The one of them with this id."""
        for placement in (self.current, self.successor, *self.further):
            if placement is not None and placement.instance_id == instance_id:
                return placement
        return None

    @property
    def short(self) -> bool:
        """Whether it runs, and may have more instances than it has."""
        return self.current is not None and len(self.further) < self.wanted - 1

    def running(self) -> tuple[Placement, ...]:
        """Those of its placements that events may be sent to."""
        own = () if self.current is None else (self.current,)
        return tuple(placement for placement in (*own, *self.further) if placement.confirmed)

    def succeed(self) -> None:
        """It has lost its own instance: another takes the rank, rather one that runs."""
        self.current, self.successor = self.successor, None
        if self.current is None and self.further:
            self.current = next((p for p in self.further if p.confirmed), self.further[0])
            self.give_up(self.current)

    def give_up(self, placement: Placement) -> None:
        """*placement* is none of the further ones any more."""
        self.further = tuple(one for one in self.further if one is not placement)

    def hosts(self) -> tuple[NodeId, ...]:
        """The nodes on which it is, or is going to be."""
        return tuple(placement.instance_id.node_id for placement in self.placements())

    def condition(self) -> tuple[ComponentState, str]:
        """State and reason, as people see them."""
        current = self.current
        if current is None:
            return ComponentState.PENDING, self.reason
        if not current.confirmed:
            return ComponentState.PENDING, "being started"
        if current.state is not InstanceState.RUNNING:
            return ComponentState.DEGRADED, f"{current.state.value}: {current.reason}"
        return ComponentState.RUNNING, ""

    def view(self, node_name: str) -> ComponentView:
        """The component as a value; *node_name* is that of its host."""
        state, reason = self.condition()
        return ComponentView(
            self.logical_id,
            self.request.name,
            self.request.workflow_id,
            self.kind,
            self.needs.type_name,
            tuple(sorted(self.mapping.items())),
            state,
            reason,
            None if self.current is None else self.current.instance_id,
            node_name,
            tuple(placement.instance_id for placement in self.further),
        )


@dataclass(slots=True, eq=False)
class Node:
    """One incarnation of a node: a restarted node gets a new row."""

    view: NodeView
    agent_url: str
    invocation_url: str
    own: bool
    """It reports an inventory; EDGELESS's own nodes do not (design, decision 5)."""
    instances: dict[InstanceId, LogicalId] = field(default_factory=dict)
    """What should run there."""
    garbage: dict[InstanceId, ComponentKind | None] = field(default_factory=dict)
    """What should not, and perhaps does. None = nobody knows whether function or resource."""
    errands: "OrderedDict[InstanceId, None]" = field(default_factory=OrderedDict)
    """Instances about which something is to be said to the node, oldest first."""
    reset_wanted: bool = False
    peers_wanted: bool = False
    """Its table of peers may be out of date (in domains with a node without inventory only)."""
    peers: dict[NodeId, str] = field(default_factory=dict)
    """The peers that it was told of, and their URLs."""
    health: NodeHealthStatus = INVALID_HEALTH
    """What it said of itself last."""
    revision: int = 0
    """Of the last inventory."""
    older: int = 0
    """Inventories in a row that were older than that."""
    stop_revision: int = 0
    """After the last stop that was answered."""
    failures: int = 0
    """Requests without answer since the last answer."""
    busy: bool = False
    """A task is talking to it."""

    @property
    def node_id(self) -> NodeId:
        """Its id."""
        return self.view.node_id

    @property
    def idle(self) -> bool:
        """Whether there is nothing to say to it."""
        return not (self.errands or self.reset_wanted or self.peers_wanted)
