"""What to do about the difference between what should be and what is known. Pure.

`plan_refresh` decides where components run, `plan_node` what to say next to one node. Whoever
performs a step changes the state; that is why `plan_refresh` is to be read step by step.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

import msgspec

from edgeless_sim.api.messages import UpdatePeersRequest, UpdatePeersType
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.entropy import uuid4_from
from edgeless_sim.model.event import UNPLACED, PatchRequest, Target
from edgeless_sim.model.function import Predecessor
from edgeless_sim.model.ids import FunctionId, InstanceId, LogicalId, NodeId
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.judge import Judge
from edgeless_sim.orchestrator.live_view import LiveView
from edgeless_sim.orchestrator.records import Component, Node, Request
from edgeless_sim.orchestrator.requirements import (
    explained,
    infeasible_reason,
    suitable_providers,
)
from edgeless_sim.orchestrator.view import ComponentKind, DomainView, NodeView

__all__ = [
    "CANDIDATES_MAX",
    "Hold",
    "NodeStep",
    "PatchInstance",
    "Place",
    "ResetNode",
    "StartInstance",
    "StopInstance",
    "Suffice",
    "TellPeer",
    "plan_instance",
    "plan_migration",
    "plan_node",
    "plan_refresh",
]

#: How many nodes are tried for a component before there is a pause, or the ε-CON hears of it.
CANDIDATES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Run the component there, under that id."""

    logical_id: LogicalId
    instance_id: InstanceId
    provider_id: str
    reason: str
    scores: Mapping[str, float] | None = None
    """What the strategy gave to the first candidates, by name."""


@dataclass(frozen=True, slots=True)
class Suffice:
    """The component runs, and no node can host a further instance now. ``retry`` as in `Hold`."""

    logical_id: LogicalId
    retry: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """The component cannot run now. ``retry`` = time may heal it; else a node has to change.

    ``fault`` = the strategy is to blame, and not the nodes.
    """

    logical_id: LogicalId
    reason: str
    retry: bool
    fault: bool = False


@dataclass(frozen=True, slots=True)
class StartInstance:
    """Start an instance, with the outputs known now."""

    instance_id: InstanceId
    logical_id: LogicalId
    request: Request


@dataclass(frozen=True, slots=True)
class PatchInstance:
    """Replace the outputs of an instance."""

    instance_id: InstanceId
    logical_id: LogicalId
    kind: ComponentKind
    request: PatchRequest


@dataclass(frozen=True, slots=True)
class StopInstance:
    """Stop an instance. A stray one may be of either kind."""

    instance_id: InstanceId
    kind: ComponentKind | None


@dataclass(frozen=True, slots=True)
class ResetNode:
    """Stop everything that runs there."""


@dataclass(frozen=True, slots=True)
class TellPeer:
    """Change the node's table of peers."""

    request: UpdatePeersRequest


NodeStep: TypeAlias = StartInstance | PatchInstance | StopInstance | ResetNode | TellPeer


def plan_refresh(
    state: DomainState, dice: Random, judge: Judge
) -> Iterator[Place | Hold | Suffice]:
    """A step for each component that is to be placed.

    Perform each step before asking for the next: a strategy sees what was placed before.
    """
    for logical_id in list(state.waiting.unplaced):
        component = state.components.get(logical_id)
        if component is not None and component.current is None:
            yield _plan_placement(state, component, dice, judge)
    for logical_id in list(state.waiting.short):
        component = state.components.get(logical_id)
        while component is not None and logical_id in state.waiting.short:
            current = component.current
            if current is None or not current.confirmed:
                # Looked at again when it is.
                break
            yield _plan_further(state, component, dice, judge)


def plan_migration(
    state: DomainState, component: Component, targets: tuple[NodeId, ...], dice: Random
) -> Place | Hold:
    """Where a migrating component goes: the first of *targets* that can host it (spec 4.7)."""
    logical_id = component.logical_id
    current = component.current
    if current is None or not current.confirmed or component.successor is not None:
        return Hold(logical_id, "it does not run at present", retry=False)
    reasons: list[str] = []
    for node_id in targets:
        node = state.nodes.get(node_id)
        if node is None:
            reasons.append(f"{node_id}: unknown node")
        elif node_id in component.hosts():
            return Hold(logical_id, f"{node.view.name}: runs there already", retry=False)
        elif (reason := infeasible_reason(component.needs, node.view)) is not None:
            reasons.append(f"{node.view.name}: {reason}")
        else:
            return _place(component, node.view, dice, "migrate")
    return Hold(logical_id, "; ".join(reasons)[:300] or "no target named", retry=False)


def plan_node(state: DomainState, node: Node) -> ResetNode | TellPeer | None:
    """What to say to *node* before anything about its instances."""
    if node.reset_wanted:
        return ResetNode()
    if node.peers_wanted:
        for peer_id, peer in state.nodes.items():
            introduced = node.own and peer.own
            if not introduced and node.peers.get(peer_id) != peer.invocation_url:
                return TellPeer(
                    UpdatePeersRequest(UpdatePeersType.ADD, peer_id, peer.invocation_url)
                )
        for peer_id in node.peers:
            if peer_id not in state.nodes:
                return TellPeer(UpdatePeersRequest(UpdatePeersType.DEL, peer_id))
    return None


def plan_instance(state: DomainState, node: Node, instance_id: InstanceId) -> NodeStep | None:
    """What to say to *node* about one instance; None if all is as it should be."""
    if instance_id in node.garbage:
        return StopInstance(instance_id, node.garbage[instance_id])
    logical_id = node.instances.get(instance_id)
    if logical_id is None:
        return None
    component = state.components[logical_id]
    placement = component.placement_of(instance_id)
    assert placement is not None, instance_id
    if not placement.confirmed:
        request = _start_request(state, component, node, instance_id)
        return StartInstance(instance_id, logical_id, request)
    if placement.generation < component.generation:
        patch = PatchRequest(instance_id, _mapping(component, node), component.generation)
        return PatchInstance(instance_id, logical_id, component.kind, patch)
    return None


def _plan_placement(
    state: DomainState, component: Component, dice: Random, judge: Judge
) -> Place | Hold:
    found = state.feasible(component.needs)
    why = explained(judge.name, found)
    if not _without(found.nodes, component.tried) or len(component.tried) >= CANDIDATES_MAX:
        if component.refusal is not None and component.tried:
            return Hold(component.logical_id, str(component.refusal)[:300], retry=True)
        return Hold(component.logical_id, why, retry=bool(component.tried))
    try:
        node, scores = _chosen(state, component, component.tried, dice=dice, judge=judge)
    except RejectedError as fault:
        return Hold(component.logical_id, fault.summary, retry=True, fault=True)
    return _place(component, node, dice, explained(judge.name, found, scores), scores)


def _plan_further(
    state: DomainState, component: Component, dice: Random, judge: Judge
) -> Place | Suffice:
    """Another instance of a component that runs: on a node that has none of it."""
    found = state.feasible(component.needs)
    out = (*component.hosts(), *component.further_tried)
    tried = bool(component.further_tried)
    if not _without(found.nodes, out) or len(component.further_tried) >= CANDIDATES_MAX:
        return Suffice(component.logical_id, retry=tried)
    try:
        node, scores = _chosen(state, component, out, dice=dice, judge=judge)
    except RejectedError:
        return Suffice(component.logical_id, retry=True)
    number = len(component.further) + 2
    how = explained(judge.name, found, scores)
    why = f"instance {number} of at most {component.wanted}; {how}"
    return _place(component, node, dice, why, scores)


def _without(nodes: tuple[NodeView, ...], out: Collection[NodeId]) -> tuple[NodeView, ...]:
    # The same tuple if none is out: a strategy may recognise the one that it saw last by identity.
    return tuple(node for node in nodes if node.node_id not in out) if out else nodes


def _chosen(
    state: DomainState,
    component: Component,
    out: Collection[NodeId],
    *,
    dice: Random,
    judge: Judge,
) -> tuple[NodeView, Mapping[str, float]]:
    """What the strategy chooses, and its scores; raise `RejectedError` that blames it for
    whatever is wrong."""
    candidates = _without(state.feasible(component.needs).nodes, out)
    view = LiveView(state) if judge.wants_components else DomainView(state.views())
    choice = judge.choose(candidates, component.view(""), view, dice)
    node = None if choice.node_id in out else state.nodes.get(choice.node_id)
    if node is None or infeasible_reason(component.needs, node.view):
        raise judge.blame(f"it chose {choice.node_id!r}, which is not feasible")
    return node.view, choice.scores


def _place(
    component: Component,
    node: NodeView,
    dice: Random,
    reason: str,
    scores: Mapping[str, float] | None = None,
) -> Place:
    provider_id = ""
    if component.kind is ComponentKind.RESOURCE:
        provider_id = dice.choice(suitable_providers(component.needs, node))
    instance_id = InstanceId(node.node_id, FunctionId(uuid4_from(dice)))
    return Place(component.logical_id, instance_id, provider_id, reason, scores)


def _mapping(component: Component, node: Node) -> dict[str, Target]:
    """The outputs as *node* understands them: EDGELESS's own nodes cannot hold events."""
    return {
        channel: target
        for channel, target in component.targets.items()
        if node.own or target.instance != UNPLACED
    }


def _predecessor(state: DomainState, component: Component, node: Node) -> Predecessor | None:
    """From whom a successor on *node* takes over; EDGELESS's own nodes do not know how."""
    current = component.current
    if current is None:
        return None
    old = state.nodes[current.instance_id.node_id]
    return Predecessor(current.instance_id, old.agent_url) if old.own and node.own else None


def _start_request(
    state: DomainState, component: Component, node: Node, instance_id: InstanceId
) -> Request:
    request = component.request
    placement = component.placement_of(instance_id)
    changes: dict[str, object] = {
        "instance_id": instance_id,
        "output_mapping": _mapping(component, node),
        "generation": component.generation,
    }
    if component.kind is ComponentKind.RESOURCE and placement is not None:
        changes["provider_id"] = placement.provider_id
    if component.kind is ComponentKind.FUNCTION and placement is component.successor:
        changes["takes_over"] = _predecessor(state, component, node)
    return msgspec.structs.replace(request, **changes)
