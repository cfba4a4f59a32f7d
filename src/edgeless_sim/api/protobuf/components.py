"""Functions and resources: start, stop, patch (spec 10.2).

What is ours has fields of its own; an absent one becomes the default of the value. Functions
named ``read_...`` raise ValueError.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from edgeless_sim.api.messages import StartReply, StopReply
from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.api.protobuf.fields import flat_message, read_list, read_map, require
from edgeless_sim.api.protobuf.identifiers import (
    NIL,
    Place,
    instance_message,
    read_instance,
    read_optional_instance,
    read_uuid,
    read_variant,
    variant_message,
)
from edgeless_sim.model.event import UNPLACED, FurtherTarget, PatchRequest, Target
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    Predecessor,
    SpawnFunctionRequest,
    StatePolicy,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification

__all__ = [
    "class_message",
    "control_reply_message",
    "function_message",
    "id_message",
    "patch_message",
    "read_class",
    "read_control_reply",
    "read_function",
    "read_id",
    "read_patch",
    "read_resource",
    "read_start_reply",
    "resource_message",
    "start_reply_message",
]

_POLICIES: Final = {
    StatePolicy.TRANSIENT: pb.TRANSIENT,
    StatePolicy.NODE_LOCAL: pb.NODE_LOCAL,
    StatePolicy.GLOBAL: pb.GLOBAL,
}
_POLICY_OF: Final[dict[int, StatePolicy]] = {number: name for name, number in _POLICIES.items()}


def class_message(code: FunctionClassSpecification) -> pb.FunctionClassSpecification:
    """No byte code, or no code, is an empty one."""
    return flat_message(pb.FunctionClassSpecification, code)


def read_class(message: pb.FunctionClassSpecification) -> FunctionClassSpecification:
    """An empty byte code, or code, is none."""
    return FunctionClassSpecification(
        id=message.id,
        function_type=message.function_type,
        version=message.version,
        binary=message.binary or None,
        code=message.code or None,
        outputs=read_list("outputs", message.outputs),
    )


def function_message(request: SpawnFunctionRequest) -> pb.SpawnFunctionRequest:
    """See `SpawnFunctionRequest`."""
    state = request.state_specification
    return pb.SpawnFunctionRequest(
        code=class_message(request.code),
        annotations=request.annotations,
        state_specification=pb.StateSpecification(
            state_id=str(state.state_id), policy=_POLICIES[state.policy]
        ),
        workflow_id=str(request.workflow_id),
        takes_over=_predecessor(request.takes_over),
        **_extensions(request),
    )


def read_function(message: pb.SpawnFunctionRequest) -> SpawnFunctionRequest:
    """Code and state are mandatory (spec 10.5); an unknown policy is Transient (spec 10.3)."""
    require(message, "code", "state_specification")
    state = message.state_specification
    return SpawnFunctionRequest(
        code=read_class(message.code),
        annotations=read_map("annotations", message.annotations),
        state_specification=StateSpecification(
            read_uuid("state_specification.state_id", state.state_id),
            _POLICY_OF.get(state.policy, StatePolicy.TRANSIENT),
        ),
        workflow_id=WorkflowId(read_uuid("workflow_id", message.workflow_id)),
        takes_over=_read_predecessor(message.takes_over)
        if message.HasField("takes_over")
        else None,
        **_read_extensions(message),
    )


def resource_message(request: ResourceInstanceSpecification) -> pb.ResourceInstanceSpecification:
    """See `ResourceInstanceSpecification`."""
    return pb.ResourceInstanceSpecification(
        resource_class_type=request.class_type,
        configuration=request.configuration,
        workflow_id=str(request.workflow_id),
        provider_id=request.provider_id,
        **_extensions(request),
    )


def read_resource(message: pb.ResourceInstanceSpecification) -> ResourceInstanceSpecification:
    """See `ResourceInstanceSpecification`; the class is mandatory."""
    if not message.resource_class_type:
        raise ValueError("resource_class_type: empty")
    return ResourceInstanceSpecification(
        class_type=message.resource_class_type,
        configuration=read_map("configuration", message.configuration),
        workflow_id=WorkflowId(read_uuid("workflow_id", message.workflow_id)),
        provider_id=message.provider_id,
        **_read_extensions(message),
    )


def id_message(place: Place, instance: InstanceId) -> pb.InstanceIdVariant:
    """Which component to stop."""
    return variant_message(place.ids, instance)


def read_id(place: Place, message: pb.InstanceIdVariant) -> InstanceId:
    """Which component to stop."""
    return read_variant(place.ids, message)


def patch_message(request: PatchRequest) -> pb.PatchRequest:
    """EDGELESS carries the function half of the id only; the node half is ours."""
    node_id = request.function_id.node_id
    return pb.PatchRequest(
        function_id=str(request.function_id.function_id),
        output_mapping=_targets(request.output_mapping),
        node_id="" if node_id == NIL else str(node_id),
        output_urls=_urls(request.output_mapping),
        unplaced_outputs=_unplaced(request.output_mapping),
        further_outputs=_further(request.output_mapping),
        generation=request.generation,
    )


def read_patch(place: Place, message: pb.PatchRequest) -> PatchRequest:
    """One entry that cannot be read refuses the whole request (defect U27)."""
    node_id = NodeId(read_uuid("node_id", message.node_id)) if message.node_id else place.home
    function_id = FunctionId(read_uuid("function_id", message.function_id))
    return PatchRequest(
        function_id=InstanceId(node_id, function_id),
        output_mapping=_read_mapping(
            message.output_mapping,
            message.output_urls,
            message.unplaced_outputs,
            message.further_outputs,
        ),
        generation=message.generation,
    )


def start_reply_message(place: Place, reply: StartReply) -> pb.StartComponentResponse:
    """The id in the form of the one who answers."""
    return pb.StartComponentResponse(
        instance_id=variant_message(place.ids, reply.instance_id), revision=reply.revision
    )


def read_start_reply(place: Place, message: pb.StartComponentResponse) -> StartReply:
    """See `StartReply`."""
    return StartReply(read_variant(place.ids, message.instance_id), message.revision)


def control_reply_message(reply: StopReply) -> pb.ControlReply:
    """To EDGELESS it is an Empty."""
    return pb.ControlReply(revision=reply.revision)


def read_control_reply(message: pb.ControlReply) -> StopReply:
    """EDGELESS's Empty has revision 0."""
    return StopReply(message.revision)


def _predecessor(found: Predecessor | None) -> pb.Predecessor | None:
    if found is None:
        return None
    return pb.Predecessor(instance=instance_message(found.instance), agent_url=found.agent_url)


def _read_predecessor(message: pb.Predecessor) -> Predecessor:
    return Predecessor(read_instance("takes_over", message.instance), message.agent_url)


def _extensions(request: SpawnFunctionRequest | ResourceInstanceSpecification) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": request.name, "generation": request.generation}
    if request.instance_id is not None:
        fields["instance_id"] = instance_message(request.instance_id)
    if request.output_mapping is not None:
        fields["output_mapping"] = pb.OutputMapping(
            targets=_targets(request.output_mapping),
            urls=_urls(request.output_mapping),
            unplaced=_unplaced(request.output_mapping),
            further=_further(request.output_mapping),
        )
    return fields


def _read_extensions(
    message: pb.SpawnFunctionRequest | pb.ResourceInstanceSpecification,
) -> dict[str, Any]:
    mapping = message.output_mapping
    return {
        "name": message.name,
        "generation": message.generation,
        "instance_id": read_optional_instance(
            "instance_id", message.HasField("instance_id"), message.instance_id
        ),
        "output_mapping": _read_mapping(
            mapping.targets, mapping.urls, mapping.unplaced, mapping.further
        )
        if message.HasField("output_mapping")
        else None,
    }


def _targets(mapping: Mapping[str, Target]) -> dict[str, pb.InstanceId]:
    return {
        channel: instance_message(target.instance)
        for channel, target in mapping.items()
        if target.instance != UNPLACED
    }


def _urls(mapping: Mapping[str, Target]) -> dict[str, str]:
    return {
        channel: target.invocation_url
        for channel, target in mapping.items()
        if target.invocation_url
    }


def _unplaced(mapping: Mapping[str, Target]) -> list[str]:
    return sorted(channel for channel, target in mapping.items() if target.instance == UNPLACED)


def _further(mapping: Mapping[str, Target]) -> dict[str, pb.FurtherTargets]:
    return {
        channel: pb.FurtherTargets(
            instances=[instance_message(other.instance) for other in target.further],
            urls=[other.invocation_url for other in target.further],
        )
        for channel, target in mapping.items()
        if target.further
    }


def _read_further(message: pb.FurtherTargets) -> tuple[FurtherTarget, ...]:
    instances = read_list("further.instances", message.instances)
    urls = read_list("further.urls", message.urls)
    if len(instances) != len(urls):
        raise ValueError(f"further: {len(instances)} instances and {len(urls)} URLs")
    return tuple(
        FurtherTarget(read_instance("further", instance), url)
        for instance, url in zip(instances, urls, strict=True)
    )


def _read_mapping(
    targets: Mapping[str, pb.InstanceId],
    urls: Mapping[str, str],
    unplaced: Iterable[str],
    further: Mapping[str, pb.FurtherTargets],
) -> dict[str, Target]:
    found = {
        channel: read_instance(f"output_mapping.{channel[:64]!r}", target)
        for channel, target in read_map("output_mapping", targets).items()
    }
    found.update((channel, UNPLACED) for channel in read_list("unplaced", unplaced))
    known = read_map("urls", urls)
    others = {
        channel: _read_further(message) for channel, message in read_map("further", further).items()
    }
    return {
        channel: Target(found[channel], known.get(channel, ""), others.get(channel, ()))
        for channel in sorted(found)
    }
