"""What a node tells its ε-ORC, and what it is told about its peers (spec 10.2).

Not here: whether what a node claims can be true (`NodeCapabilities.validated`).
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from google.protobuf.descriptor import FieldDescriptor

from edgeless_sim.api.messages import (
    InstanceInventory,
    InstanceState,
    UpdateNodeRequest,
    UpdateNodeResponse,
    UpdatePeersRequest,
    UpdatePeersType,
)
from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.api.protobuf.deadlines import deadline_of, read_ttl_s
from edgeless_sim.api.protobuf.fields import flat_message, flat_value, read_list, require
from edgeless_sim.api.protobuf.identifiers import (
    Place,
    instance_message,
    read_instance,
    read_node_id,
    read_uuid,
)
from edgeless_sim.model.ids import FunctionId
from edgeless_sim.model.node import (
    FunctionLogEntry,
    NodeCapabilities,
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)
from edgeless_sim.model.resource import ResourceProviderSpecification

__all__ = [
    "node_message",
    "node_reply_message",
    "peers_message",
    "read_node",
    "read_node_reply",
    "read_peers",
]

_PEERS: Final = {
    UpdatePeersType.ADD: pb.ADD,
    UpdatePeersType.DEL: pb.DEL,
    UpdatePeersType.CLEAR: pb.CLEAR,
}
_PEERS_OF: Final[dict[int, UpdatePeersType]] = {number: name for name, number in _PEERS.items()}
_TIMES: Final = (
    "function_instantiate_times",
    "function_init_times",
    "function_execution_times",
    "function_stop_times",
    "function_transfer_times",
)
_BITS: Final = {
    field.name: 31 if field.cpp_type == FieldDescriptor.CPPTYPE_INT32 else 63
    for field in pb.NodeHealthStatus.DESCRIPTOR.fields
}


def node_message(place: Place, request: UpdateNodeRequest) -> pb.UpdateNodeRequest:
    """See `UpdateNodeRequest`."""
    return pb.UpdateNodeRequest(
        node_id=str(request.node_id),
        agent_url=request.agent_url,
        invocation_url=request.invocation_url,
        resource_providers=[
            flat_message(pb.ResourceProviderSpecification, provider)
            for provider in request.resource_providers
        ],
        capabilities=flat_message(pb.NodeCapabilities, request.capabilities),
        refresh_deadline=deadline_of(place, request.ttl_s),
        nonce=request.nonce,
        health_status=_health_message(request.health_status),
        performance_samples=_performance_message(request.performance_samples),
        name=request.name,
        inventory=None if request.inventory is None else _inventory_message(request.inventory),
        revision=request.revision,
        ttl_s=request.ttl_s,
    )


def read_node(place: Place, message: pb.UpdateNodeRequest) -> UpdateNodeRequest:
    """Absent capabilities, health and samples are those of a node that offers nothing."""
    inventory = message.inventory if message.HasField("inventory") else None
    return UpdateNodeRequest(
        node_id=read_node_id("node_id", message.node_id),
        agent_url=message.agent_url,
        invocation_url=message.invocation_url,
        resource_providers=tuple(
            _read_provider(provider)
            for provider in read_list("resource_providers", message.resource_providers)
        ),
        capabilities=flat_value(NodeCapabilities, message.capabilities),
        ttl_s=read_ttl_s(place, message.HasField("ttl_s"), message),
        nonce=message.nonce,
        health_status=flat_value(NodeHealthStatus, message.health_status),
        performance_samples=_read_performance(message.performance_samples),
        name=message.name,
        inventory=None if inventory is None else _read_inventory(inventory),
        revision=message.revision,
    )


def node_reply_message(reply: UpdateNodeResponse) -> pb.UpdateNodeResponse:
    """Accepted."""
    return pb.UpdateNodeResponse(refresh_interval_s=reply.refresh_interval_s)


def read_node_reply(message: pb.UpdateNodeResponse) -> UpdateNodeResponse:
    """Accepted; EDGELESS's own ε-ORC wishes no interval."""
    told = message.HasField("refresh_interval_s")
    return UpdateNodeResponse(message.refresh_interval_s if told else None)


def peers_message(request: UpdatePeersRequest) -> pb.UpdatePeersRequest:
    """See `UpdatePeersRequest`."""
    return pb.UpdatePeersRequest(
        request_type=_PEERS[request.kind],
        node_id=None if request.node_id is None else str(request.node_id),
        invocation_url=request.invocation_url or None,
    )


def read_peers(message: pb.UpdatePeersRequest) -> UpdatePeersRequest:
    """A node to add has an id and a URL, one to remove has an id."""
    kind = _PEERS_OF.get(message.request_type)
    if kind is None:
        raise ValueError(f"request_type: {message.request_type} is unknown")
    if kind is UpdatePeersType.CLEAR:
        return UpdatePeersRequest(kind)
    if kind is UpdatePeersType.ADD and not message.invocation_url:
        raise ValueError("invocation_url: missing")
    node_id = read_node_id("node_id", message.node_id)
    return UpdatePeersRequest(kind, node_id, message.invocation_url)


def _health_message(health: NodeHealthStatus) -> pb.NodeHealthStatus:
    # 2 TiB of memory in KiB need 31 bits; more is told as that much.
    values: dict[str, int] = msgspec.structs.asdict(health)
    return pb.NodeHealthStatus(
        **{
            name: max(-1 << _BITS[name], min(value, (1 << _BITS[name]) - 1))
            for name, value in values.items()
        }
    )


def _performance_message(performance: NodePerformanceSamples) -> pb.NodePerformanceSamples:
    times: dict[str, list[pb.Samples]] = {}
    for name in _TIMES:
        by_id: Mapping[FunctionId, Iterable[Sample]] = getattr(performance, name)
        times[name] = [
            pb.Samples(
                id=str(function_id), samples=[flat_message(pb.Sample, sample) for sample in samples]
            )
            for function_id, samples in by_id.items()
        ]
    return pb.NodePerformanceSamples(
        **times,
        function_log_entries=[
            pb.FunctionLogEntries(
                id=str(function_id),
                entries=[flat_message(pb.FunctionLogEntry, entry) for entry in entries],
            )
            for function_id, entries in performance.function_log_entries.items()
        ],
    )


def _read_performance(message: pb.NodePerformanceSamples) -> NodePerformanceSamples:
    times = {name: _read_times(name, getattr(message, name)) for name in _TIMES}
    logs = read_list("function_log_entries", message.function_log_entries)
    return NodePerformanceSamples(
        **times,
        function_log_entries={
            FunctionId(read_uuid("function_log_entries.id", log.id)): tuple(
                flat_value(FunctionLogEntry, entry) for entry in read_list("entries", log.entries)
            )
            for log in logs
        },
    )


def _read_times(where: str, found: Iterable[pb.Samples]) -> dict[FunctionId, tuple[Sample, ...]]:
    return {
        FunctionId(read_uuid(f"{where}.id", series.id)): tuple(
            flat_value(Sample, sample) for sample in read_list(where, series.samples)
        )
        for series in read_list(where, found)
    }


def _read_provider(message: pb.ResourceProviderSpecification) -> ResourceProviderSpecification:
    if not message.provider_id or not message.class_type:
        raise ValueError("resource_providers: empty provider_id or class_type")
    return flat_value(ResourceProviderSpecification, message)


def _inventory_message(inventory: Iterable[InstanceInventory]) -> pb.NodeInventory:
    return pb.NodeInventory(
        instances=[
            pb.InstanceReport(
                instance_id=instance_message(one.instance_id),
                generation=one.generation,
                state=one.state.value,
                reason=one.reason,
            )
            for one in inventory
        ]
    )


def _read_inventory(message: pb.NodeInventory) -> tuple[InstanceInventory, ...]:
    found = []
    for report in read_list("inventory", message.instances):
        require(report, "instance_id")
        found.append(
            InstanceInventory(
                instance_id=read_instance("inventory.instance_id", report.instance_id),
                generation=report.generation,
                state=InstanceState(report.state),
                reason=report.reason,
            )
        )
    return tuple(found)
