"""What the ε-CON asks for: components to start, stop and patch, under their logical ids.

A request changes the state and, for a start, waits for the first node's answer. Not here: where a
component goes and how a node is told (`orchestrator`, `performer`).
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from edgeless_sim.api.messages import StartReply, StopReply
from edgeless_sim.errors import (
    EdgelessError,
    NoFeasibleNodeError,
    RejectedError,
    UnknownComponentError,
)
from edgeless_sim.kernel.entropy import uuid4_from
from edgeless_sim.model.event import PatchRequest, Target
from edgeless_sim.model.function import (
    SpawnFunctionRequest,
    shared_annotations,
    shared_code,
    shared_name,
)
from edgeless_sim.model.ids import DomainId, FunctionId, InstanceId, LogicalId, NodeId
from edgeless_sim.model.names import clipped
from edgeless_sim.model.recent import Recent
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.decisions import DecisionLog
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.records import Component, Request
from edgeless_sim.orchestrator.requirements import Needs, function_needs, resource_needs
from edgeless_sim.orchestrator.view import ComponentKind

__all__ = [
    "COMPONENTS_MAX",
    "INSTANCES_PER_FUNCTION_MAX",
    "STOPPED_MAX",
    "ComponentRequests",
    "infeasible",
    "is_final",
]

COMPONENTS_MAX: Final = 200_000
#: Most instances of one function, whatever ``max_instances`` allows: each sender knows them all.
INSTANCES_PER_FUNCTION_MAX: Final = 64
#: Components that were stopped, and are remembered.
STOPPED_MAX: Final = 10_000
_LOGICAL: Final = NodeId(UUID(int=0))
#: Other nodes would refuse the same code for the same reason (spec 5.4).
_BAD_CODE: Final = "Error when creating a function instance"


class ComponentRequests:
    """`ComponentApi` of an ε-ORC: all ids are logical, their node half is all zeroes."""

    def __init__(
        self,
        state: DomainState,
        chronicle: Chronicle,
        dice: Random,
        domain_id: DomainId,
        decisions: DecisionLog,
        changed: Callable[[], None],
    ) -> None:
        self._state = state
        self._chronicle = chronicle
        self._dice = dice
        self._domain_id = domain_id
        self._decisions = decisions
        self._changed = changed
        self._waiters: dict[LogicalId, list[asyncio.Future[None]]] = {}
        # A start that arrives after the stop of the same component starts nothing (F44).
        self._stopped: Recent[LogicalId] = Recent(STOPPED_MAX)

    # --- ComponentApi

    async def start_function(self, request: SpawnFunctionRequest) -> StartReply:
        """See `ComponentApi.start_function`. Answers when a node has answered."""
        return await self._start(request, function_needs(request))

    async def start_resource(self, request: ResourceInstanceSpecification) -> StartReply:
        """See `ComponentApi.start_resource`. Answers when a node has answered."""
        return await self._start(request, resource_needs(request))

    async def stop_function(self, instance_id: InstanceId) -> StopReply:
        """See `ComponentApi.stop_function`. Nodes are told in the background."""
        return self._stop(instance_id, ComponentKind.FUNCTION)

    async def stop_resource(self, instance_id: InstanceId) -> StopReply:
        """See `ComponentApi.stop_resource`. Nodes are told in the background."""
        return self._stop(instance_id, ComponentKind.RESOURCE)

    async def patch_function(self, request: PatchRequest) -> StopReply:
        """See `ComponentApi.patch_function`. Nodes are told in the background."""
        return self._patch(request, ComponentKind.FUNCTION)

    async def patch_resource(self, request: PatchRequest) -> StopReply:
        """See `ComponentApi.patch_resource`. Nodes are told in the background."""
        return self._patch(request, ComponentKind.RESOURCE)

    # --- what became of a start

    def started(self, component: Component) -> None:
        """A node runs the component: from now on it is kept."""
        component.accepted = True
        component.refusal = None
        for waiter in self._waiters.pop(component.logical_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    def refuse(self, component: Component, error: EdgelessError) -> None:
        """No node runs the component, and none will."""
        self._forget(component)
        self._fail(component.logical_id, error)

    def stop_all(self) -> None:
        """Nothing is wanted any more."""
        for component in list(self._state.components.values()):
            self._stopped.add(component.logical_id)
            self._remove(component, RejectedError("the domain was reset"))

    def abandon(self, error: EdgelessError) -> None:
        """Answer all who wait with *error*."""
        for logical_id in list(self._waiters):
            self._fail(logical_id, error)

    # --- inside

    async def _start(self, request: Request, needs: Needs) -> StartReply:
        given = request.instance_id
        logical_id = LogicalId(uuid4_from(self._dice) if given is None else given.function_id)
        component = self._state.components.get(logical_id)
        if component is None:
            component = self._add(logical_id, request, needs)
        else:
            self._check_kind(component, needs.kind)
            if request.output_mapping is not None:
                self._map(component, request.output_mapping, request.generation)
        self._changed()
        if not component.accepted:
            await self._wait_for(logical_id)
        return StartReply(InstanceId(_LOGICAL, FunctionId(logical_id)))

    def _add(self, logical_id: LogicalId, request: Request, needs: Needs) -> Component:
        if len(self._state.components) >= COMPONENTS_MAX:
            raise RejectedError("too many components", f"the domain has {COMPONENTS_MAX}")
        if logical_id in self._stopped:
            raise RejectedError("stale start", f"{logical_id} was stopped before")
        mapping = _logical(request.output_mapping or {})
        # What is kept as `mapping`, as `logical_id`, and with others, is kept once.
        kept: Request = replace(
            request,
            workflow_id=self._state.workflow_id(request.workflow_id),
            name=shared_name(request.name),
            output_mapping=None,
            instance_id=None,
        )
        if isinstance(kept, SpawnFunctionRequest):
            kept = replace(
                kept,
                code=shared_code(kept.code),
                annotations=shared_annotations(kept.annotations),
            )
        component = Component(
            logical_id,
            needs.kind,
            kept,
            needs,
            mapping,
            request.generation,
            wanted=_wanted(needs),
        )
        self._state.add(component)
        return component

    async def _wait_for(self, logical_id: LogicalId) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(logical_id, []).append(waiter)
        try:
            await waiter
        finally:
            waiters = self._waiters.get(logical_id, [])
            if waiter in waiters:
                waiters.remove(waiter)

    def _stop(self, instance_id: InstanceId, kind: ComponentKind) -> StopReply:
        logical_id = LogicalId(instance_id.function_id)
        component = self._state.components.get(logical_id)
        if component is not None:
            self._check_kind(component, kind)
        self._stopped.add(logical_id)
        if component is not None:
            self._remove(component, RejectedError("stopped before it had started"))
            self._changed()
        return StopReply()

    def _patch(self, request: PatchRequest, kind: ComponentKind) -> StopReply:
        component = self._state.components.get(LogicalId(request.function_id.function_id))
        if component is None:
            # Remembering it for a component that may never come would grow for ever (defect U30).
            raise UnknownComponentError("unknown component", str(request.function_id.function_id))
        self._check_kind(component, kind)
        self._map(component, request.output_mapping, request.generation)
        self._changed()
        return StopReply()

    def _map(self, component: Component, mapping: dict[str, Target], generation: int) -> None:
        # An older one that arrives late changes nothing (reliability F44).
        if generation >= component.mapping_generation:
            component.mapping_generation = generation
            self._state.set_mapping(component, _logical(mapping))

    def _check_kind(self, component: Component, kind: ComponentKind) -> None:
        # Upstream forgets such a component without stopping it (defect U30).
        if component.kind is not kind:
            raise RejectedError(
                "wrong kind of component", f"{component.logical_id} is a {component.kind.value}"
            )

    def _remove(self, component: Component, error: EdgelessError) -> None:
        self._chronicle.component(component, "stopped")
        self._forget(component)
        self._fail(component.logical_id, error)

    def _forget(self, component: Component) -> None:
        self._state.remove(component)
        self._decisions.forget(component.logical_id)

    def _fail(self, logical_id: LogicalId, error: EdgelessError) -> None:
        for waiter in self._waiters.pop(logical_id, ()):
            if not waiter.done():
                waiter.set_exception(error)


def infeasible(component: Component, state: DomainState) -> NoFeasibleNodeError:
    """How the ε-CON hears that no node can host *component* (spec 4.3)."""
    reasons = "; ".join(state.feasible(component.needs).reasons)
    request = component.request
    if isinstance(request, SpawnFunctionRequest):
        code = request.code
        shown = "None" if code.code is None else f'Some("{code.code}")'
        return NoFeasibleNodeError(
            f"Could not start function run-time {code.function_type} class ID {code.id} "
            f"version {code.version} code {shown}",
            clipped("; ".join(filter(None, ("no valid node found", reasons)))),
        )
    detail = "; ".join(filter(None, (f"class_type: {request.class_type}", reasons)))
    return NoFeasibleNodeError("class type not found", clipped(detail))


def is_final(error: RejectedError) -> bool:
    """Whether other nodes need not be asked."""
    return error.summary == _BAD_CODE


def _wanted(needs: Needs) -> int:
    """A resource is one: it has a name outside, or an effect that must not happen twice."""
    if needs.kind is ComponentKind.RESOURCE:
        return 1
    return max(1, min(needs.requirements.max_instances, INSTANCES_PER_FUNCTION_MAX))


def _logical(mapping: dict[str, Target]) -> dict[str, LogicalId]:
    return {channel: LogicalId(target.instance.function_id) for channel, target in mapping.items()}
