"""The table of methods: service, name, path on the wire, types of request and reply (spec 10.1)."""

from typing import Any, Final

import msgspec

from edgeless_sim.api.handover import Collect, Collected, GiveBack, HandedState, TakeOver
from edgeless_sim.api.messages import (
    MigrateWorkflow,
    MirrorPage,
    MirrorQuery,
    StartReply,
    StartWorkflow,
    StopReply,
    UpdateDomainRequest,
    UpdateDomainResponse,
    UpdateNodeRequest,
    UpdateNodeResponse,
    UpdatePeersRequest,
    WorkflowInfo,
    WorkflowStatus,
)
from edgeless_sim.model.decision import Decision
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import DomainId, InstanceId, LogicalId, WorkflowId
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.resource import ResourceInstanceSpecification

__all__ = ["BY_PATH", "METHODS", "Method"]


class Method(msgspec.Struct, frozen=True):
    """One method of a service. ``request`` is None where the request is empty."""

    path: str
    request: Any
    reply: Any


_NOTHING: Final = type(None)


def _service(
    name: str, *, package: str = "edgeless_api", **methods: tuple[str, Any, Any]
) -> dict[str, Method]:
    return {
        method: Method(f"/{package}.{name}/{wire_name}", request, reply)
        for method, (wire_name, request, reply) in methods.items()
    }


METHODS: Final[dict[str, dict[str, Method]]] = {
    "WorkflowInstance": _service(
        "WorkflowInstance",
        start=("Start", StartWorkflow, WorkflowStatus),
        stop=("Stop", WorkflowId, _NOTHING),
        list_workflows=("List", None, tuple[WorkflowStatus, ...]),
        inspect=("Inspect", WorkflowId, WorkflowInfo),
        domains=("Domains", DomainId, dict[str, DomainCapabilities]),
        migrate=("Migrate", MigrateWorkflow, WorkflowStatus),
    ),
    "DomainRegistration": _service(
        "DomainRegistration",
        update_domain=("UpdateDomain", UpdateDomainRequest, UpdateDomainResponse),
    ),
    "DomainPoll": _service(
        "DomainPoll",
        package="edgeless_sim",
        poll=("Poll", UpdateDomainResponse, UpdateDomainRequest),
    ),
    "WorkflowExplanation": _service(
        "WorkflowExplanation",
        package="edgeless_sim",
        explain=("Explain", WorkflowId, tuple[Decision, ...]),
    ),
    "DomainMirror": _service(
        "DomainMirror",
        package="edgeless_sim",
        mirror=("Mirror", MirrorQuery, MirrorPage),
        submit=("Submit", Intent, _NOTHING),
        explain=("Explain", tuple[LogicalId, ...], tuple[Decision, ...]),
    ),
    "FunctionInstance": _service(
        "FunctionInstance",
        start_function=("Start", SpawnFunctionRequest, StartReply),
        stop_function=("Stop", InstanceId, StopReply),
        patch_function=("Patch", PatchRequest, StopReply),
    ),
    "ResourceConfiguration": _service(
        "ResourceConfiguration",
        start_resource=("Start", ResourceInstanceSpecification, StartReply),
        stop_resource=("Stop", InstanceId, StopReply),
        patch_resource=("Patch", PatchRequest, StopReply),
    ),
    "NodeManagement": _service(
        "NodeManagement",
        update_peers=("UpdatePeers", UpdatePeersRequest, _NOTHING),
        reset=("Reset", None, StopReply),
    ),
    "Handover": _service(
        "Handover",
        package="edgeless_sim",
        take_over=("TakeOver", TakeOver, HandedState),
        collect=("Collect", Collect, Collected),
        give_back=("GiveBack", GiveBack, _NOTHING),
    ),
    "NodeRegistration": _service(
        "NodeRegistration", update_node=("UpdateNode", UpdateNodeRequest, UpdateNodeResponse)
    ),
}

#: All methods by path.
BY_PATH: Final[dict[str, Method]] = {
    method.path: method for service in METHODS.values() for method in service.values()
}
