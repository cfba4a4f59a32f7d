"""The table of methods: service, name, path on the wire, type of the request (spec 10.1)."""

from typing import Any, Final

import msgspec

from edgeless_sim.api.messages import (
    MigrateWorkflow,
    StartWorkflow,
    UpdateDomainRequest,
    UpdateNodeRequest,
    UpdatePeersRequest,
)
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import DomainId, InstanceId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification

__all__ = ["METHODS", "Method"]


class Method(msgspec.Struct, frozen=True):
    """One method of a service. ``request`` is None where the request is empty."""

    path: str
    request: Any


def _service(name: str, **methods: tuple[str, Any]) -> dict[str, Method]:
    return {
        method: Method(f"/edgeless_api.{name}/{wire_name}", request)
        for method, (wire_name, request) in methods.items()
    }


METHODS: Final[dict[str, dict[str, Method]]] = {
    "WorkflowInstance": _service(
        "WorkflowInstance",
        start=("Start", StartWorkflow),
        stop=("Stop", WorkflowId),
        list_workflows=("List", None),
        inspect=("Inspect", WorkflowId),
        domains=("Domains", DomainId),
        migrate=("Migrate", MigrateWorkflow),
    ),
    "DomainRegistration": _service(
        "DomainRegistration", update_domain=("UpdateDomain", UpdateDomainRequest)
    ),
    "FunctionInstance": _service(
        "FunctionInstance",
        start_function=("Start", SpawnFunctionRequest),
        stop_function=("Stop", InstanceId),
        patch_function=("Patch", PatchRequest),
    ),
    "ResourceConfiguration": _service(
        "ResourceConfiguration",
        start_resource=("Start", ResourceInstanceSpecification),
        stop_resource=("Stop", InstanceId),
        patch_resource=("Patch", PatchRequest),
    ),
    "NodeManagement": _service(
        "NodeManagement", update_peers=("UpdatePeers", UpdatePeersRequest), reset=("Reset", None)
    ),
    "NodeRegistration": _service("NodeRegistration", update_node=("UpdateNode", UpdateNodeRequest)),
}
