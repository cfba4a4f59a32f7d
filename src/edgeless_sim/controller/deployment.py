"""From a workflow to the steps that bring it up in its domains (spec 3.2). Pure.

Not here: which domains (`choice`, `portal`), and what became of the steps (`ledger`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Final, TypeAlias
from uuid import UUID

from edgeless_sim.kernel.entropy import uuid4_from
from edgeless_sim.model.event import PatchRequest, Target
from edgeless_sim.model.function import SpawnFunctionRequest, StateSpecification
from edgeless_sim.model.ids import (
    DomainId,
    FunctionId,
    InstanceId,
    LogicalId,
    NodeId,
    WorkflowId,
)
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest

__all__ = [
    "NODE_NIL",
    "Assignment",
    "Component",
    "ComponentKind",
    "Deployment",
    "Patch",
    "Start",
    "Step",
    "Stop",
    "logical",
    "plan_deployment",
    "plan_patches",
    "plan_starts",
]

#: The node half of a logical id on the wire: the domain finds the node.
NODE_NIL: Final = NodeId(UUID(int=0))


class ComponentKind(StrEnum):
    """Which of a domain's two services a component belongs to."""

    FUNCTION = "function"
    RESOURCE = "resource"


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which domain each component of a workflow is to be in."""

    request: SpawnWorkflowRequest
    """As it is to be deployed, with the resources that join domains."""
    domains: tuple[DomainId, ...]
    """All domains concerned; even a workflow without components has one."""
    places: Mapping[str, DomainId]
    """The domain of each component that is not in the first of `domains`."""
    reason: str
    """How it came about, for people."""

    @classmethod
    def whole(cls, request: SpawnWorkflowRequest, domain_id: DomainId, reason: str) -> "Assignment":
        """All of *request* in one domain."""
        return cls(request, (domain_id,), {}, reason)

    def place_of(self, name: str) -> DomainId:
        """The domain of the component called *name*."""
        return self.places.get(name, self.domains[0])


@dataclass(frozen=True, slots=True)
class Component:
    """One component as it is deployed."""

    name: str
    kind: ComponentKind
    lid: LogicalId
    domain_id: DomainId


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the components of a workflow are: functions, then resources, as in the request."""

    request: SpawnWorkflowRequest
    """As it is deployed, with the resources that join domains."""
    domains: tuple[DomainId, ...]
    """All domains concerned, at least one."""
    components: tuple[Component, ...]

    @property
    def where(self) -> str:
        """Its domains, for people."""
        return ", ".join(self.domains)

    @property
    def places(self) -> dict[str, DomainId]:
        """The domain of each component."""
        return {component.name: component.domain_id for component in self.components}

    def renamed(self, lids: Mapping[LogicalId, LogicalId]) -> "Deployment":
        """As this one, with the logical ids that the domain has chosen itself."""
        return replace(
            self,
            components=tuple(
                replace(component, lid=lids.get(component.lid, component.lid))
                for component in self.components
            ),
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Start a component; the same step twice is one component."""

    lid: LogicalId
    kind: ComponentKind
    name: str
    message: SpawnFunctionRequest | ResourceInstanceSpecification


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a component. ``kind`` is None for one that we do not know: then both are tried."""

    lid: LogicalId
    kind: ComponentKind | None


@dataclass(frozen=True, slots=True)
class Patch:
    """Replace the outputs of a component."""

    lid: LogicalId
    kind: ComponentKind
    message: PatchRequest


Step: TypeAlias = Start | Stop | Patch


def logical(lid: LogicalId) -> InstanceId:
    """The form in which a logical id travels."""
    return InstanceId(NODE_NIL, FunctionId(lid))


def plan_deployment(assignment: Assignment, dice: Random) -> Deployment:
    """The components of *assignment*, under new logical ids.

    The ids are drawn here and not by the ε-ORC, so that a start whose reply is lost can be
    repeated or undone (defect U37).
    """
    request = assignment.request
    named = [(function.name, ComponentKind.FUNCTION) for function in request.functions]
    named += [(resource.name, ComponentKind.RESOURCE) for resource in request.resources]
    components = tuple(
        Component(name, kind, LogicalId(uuid4_from(dice)), assignment.place_of(name))
        for name, kind in named
    )
    return Deployment(request, assignment.domains, components)


def plan_starts(
    workflow_id: WorkflowId, state_ids: tuple[UUID, ...], deployment: Deployment
) -> tuple[Start, ...]:
    """Functions in declaration order, then resources; each with its first output mapping.

    One for each component, in their order. *state_ids* are those of the functions, in their order;
    they outlive a deployment.
    """
    targets = _targets(deployment)
    request, components = deployment.request, deployment.components
    functions_total = len(request.functions)
    starts = [
        Start(
            component.lid,
            component.kind,
            component.name,
            SpawnFunctionRequest(
                code=function.class_specification,
                annotations=function.annotations,
                state_specification=StateSpecification(state_id),
                workflow_id=workflow_id,
                name=function.name,
                instance_id=targets[component.name].instance,
                output_mapping=_translated(function.output_mapping, targets),
            ),
        )
        for component, function, state_id in zip(
            components[:functions_total], request.functions, state_ids, strict=True
        )
    ]
    starts += [
        Start(
            component.lid,
            component.kind,
            component.name,
            ResourceInstanceSpecification(
                class_type=resource.class_type,
                configuration=resource.configurations,
                workflow_id=workflow_id,
                name=resource.name,
                instance_id=targets[component.name].instance,
                output_mapping=_translated(resource.output_mapping, targets),
            ),
        )
        for component, resource in zip(components[functions_total:], request.resources, strict=True)
    ]
    return tuple(starts)


def plan_patches(deployment: Deployment, generation: int, domain_id: DomainId) -> tuple[Patch, ...]:
    """One patch for each component in *domain_id* that has outputs, in their order.

    Needed only where the first output mapping could not travel with the start.
    """
    targets = _targets(deployment)
    request = deployment.request
    mappings = [function.output_mapping for function in request.functions]
    mappings += [resource.output_mapping for resource in request.resources]
    return tuple(
        Patch(
            component.lid,
            component.kind,
            PatchRequest(logical(component.lid), _translated(mapping, targets), generation),
        )
        for component, mapping in zip(deployment.components, mappings, strict=True)
        if mapping and component.domain_id == domain_id
    )


def _targets(deployment: Deployment) -> dict[str, Target]:
    return {
        component.name: Target(logical(component.lid), "") for component in deployment.components
    }


def _translated(mapping: Mapping[str, str], targets: Mapping[str, Target]) -> dict[str, Target]:
    return {channel: targets[name] for channel, name in mapping.items()}
