"""Resource providers and the request that starts an instance of a resource (spec 6, 10.2)."""

from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import Target
from edgeless_sim.model.ids import InstanceId, WorkflowId
from edgeless_sim.model.names import name_fault, quoted

__all__ = [
    "PROVIDERS_MAX",
    "ResourceInstanceSpecification",
    "ResourceProviderSpecification",
    "validated_providers",
]

#: Most resource providers of one node.
PROVIDERS_MAX: Final = 1_000


class ResourceProviderSpecification(msgspec.Struct, frozen=True):
    """What a node offers: instances of *class_type*, under an id that is unique in its domain."""

    provider_id: str
    class_type: str
    outputs: tuple[str, ...] = ()


class ResourceInstanceSpecification(msgspec.Struct, frozen=True):
    """Asks for one instance of a resource; the counterpart of `SpawnFunctionRequest`.

    ``configuration`` also carries the deployment requirements of the resource. The fields from
    ``name`` on are ours (design, decisions 5 and 27), as are those of a function.
    """

    class_type: str
    configuration: dict[str, str]
    workflow_id: WorkflowId
    name: str = ""
    """Name of the component within its workflow, for people."""
    instance_id: InstanceId | None = None
    output_mapping: dict[str, Target] | None = None
    generation: int = 0
    provider_id: str = ""
    """The provider that the ε-ORC chose on that node; empty = the node's only one of the class."""


def validated_providers(
    providers: Sequence[ResourceProviderSpecification],
) -> tuple[ResourceProviderSpecification, ...]:
    """*providers* as one node may announce them.

    Raise `RejectedError` if there are more than 1,000, if a provider id, class or output is not a
    name, or if an id occurs twice.
    """
    if len(providers) > PROVIDERS_MAX:
        _reject(f"{len(providers)} providers, at most {PROVIDERS_MAX}")
    seen: set[str] = set()
    for provider in providers:
        if provider.provider_id in seen:
            _reject(f"provider {quoted(provider.provider_id)} occurs twice")
        seen.add(provider.provider_id)
        if len(provider.outputs) > PROVIDERS_MAX:
            _reject(f"provider {quoted(provider.provider_id)} has too many outputs")
        for what, name in (
            ("provider id", provider.provider_id),
            ("class type", provider.class_type),
            *(("output", channel) for channel in provider.outputs),
        ):
            fault = name_fault(name)
            if fault:
                _reject(f"{what} {quoted(name)}: {fault}")
    return tuple(providers)


def _reject(detail: str) -> NoReturn:
    raise RejectedError("invalid resource providers", detail)
