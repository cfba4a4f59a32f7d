"""Workflows between clients and the ε-CON (spec 10.2).

EDGELESS drops components and mappings that it cannot read and starts the rest; here one of them
refuses the request (defect U27). Not here: whether a workflow makes sense (`model.workflow`).
"""

from edgeless_sim.api.messages import (
    ComponentMapping,
    ComponentState,
    MigrateWorkflow,
    StartWorkflow,
    WorkflowInfo,
    WorkflowStatus,
)
from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.api.protobuf.components import class_message, read_class
from edgeless_sim.api.protobuf.fields import read_list, read_map, require
from edgeless_sim.api.protobuf.identifiers import (
    instance_message,
    read_instance,
    read_optional_instance,
    read_uuid,
)
from edgeless_sim.model.ids import DomainId, LogicalId, WorkflowId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

__all__ = [
    "info_message",
    "list_message",
    "migrate_message",
    "read_info",
    "read_list_reply",
    "read_migrate",
    "read_start",
    "read_status_reply",
    "read_workflow_id",
    "start_message",
    "status_reply_message",
    "workflow_id_message",
]


def workflow_id_message(workflow_id: WorkflowId) -> pb.WorkflowId:
    """One workflow."""
    return pb.WorkflowId(workflow_id=str(workflow_id))


def read_workflow_id(message: pb.WorkflowId) -> WorkflowId:
    """One workflow."""
    return WorkflowId(read_uuid("workflow_id", message.workflow_id))


def start_message(request: StartWorkflow) -> pb.SpawnWorkflowRequest:
    """See `StartWorkflow`."""
    message = _request_message(request.request)
    message.name = request.name
    return message


def read_start(message: pb.SpawnWorkflowRequest) -> StartWorkflow:
    """See `StartWorkflow`."""
    return StartWorkflow(_read_request(message), message.name)


def migrate_message(request: MigrateWorkflow) -> pb.MigrateWorkflowRequest:
    """See `MigrateWorkflow`."""
    return pb.MigrateWorkflowRequest(
        workflow_id=workflow_id_message(request.workflow_id),
        domain_id=pb.DomainId(domain_id=request.domain_id),
        component=request.component,
    )


def read_migrate(message: pb.MigrateWorkflowRequest) -> MigrateWorkflow:
    """Workflow and domain are mandatory."""
    require(message, "workflow_id", "domain_id")
    return MigrateWorkflow(
        workflow_id=read_workflow_id(message.workflow_id),
        domain_id=DomainId(message.domain_id.domain_id),
        component=message.component,
    )


def status_reply_message(status: WorkflowStatus) -> pb.SpawnWorkflowResponse:
    """Started, or moved."""
    return pb.SpawnWorkflowResponse(workflow_status=_status_message(status))


def read_status_reply(message: pb.SpawnWorkflowResponse) -> WorkflowStatus:
    """Started, or moved."""
    return _read_status(message.workflow_status)


def list_message(workflows: tuple[WorkflowStatus, ...]) -> pb.WorkflowIdList:
    """EDGELESS tells the ids only."""
    return pb.WorkflowIdList(
        identifiers=[str(status.workflow_id) for status in workflows],
        statuses=[_status_message(status) for status in workflows],
    )


def read_list_reply(message: pb.WorkflowIdList) -> tuple[WorkflowStatus, ...]:
    """From EDGELESS's own ε-CON, workflows without their mappings."""
    identifiers = read_list("identifiers", message.identifiers)
    if len(message.statuses) == len(identifiers):
        return tuple(_read_status(status) for status in message.statuses)
    return tuple(
        WorkflowStatus(WorkflowId(read_uuid("identifiers", text)), ()) for text in identifiers
    )


def info_message(info: WorkflowInfo) -> pb.WorkflowInstanceInfo:
    """See `WorkflowInfo`."""
    return pb.WorkflowInstanceInfo(
        request=_request_message(info.request), status=_status_message(info.status)
    )


def read_info(message: pb.WorkflowInstanceInfo) -> WorkflowInfo:
    """Request and status are mandatory."""
    require(message, "request", "status")
    return WorkflowInfo(_read_request(message.request), _read_status(message.status))


def _request_message(request: SpawnWorkflowRequest) -> pb.SpawnWorkflowRequest:
    return pb.SpawnWorkflowRequest(
        workflow_functions=[
            pb.WorkflowFunction(
                name=function.name,
                class_spec=class_message(function.class_specification),
                output_mapping=function.output_mapping,
                annotations=function.annotations,
            )
            for function in request.functions
        ],
        workflow_resources=[
            pb.WorkflowResource(
                name=resource.name,
                class_type=resource.class_type,
                output_mapping=resource.output_mapping,
                configurations=resource.configurations,
            )
            for resource in request.resources
        ],
        annotations=request.annotations,
    )


def _read_request(message: pb.SpawnWorkflowRequest) -> SpawnWorkflowRequest:
    return SpawnWorkflowRequest(
        functions=tuple(
            _read_function(function)
            for function in read_list("workflow_functions", message.workflow_functions)
        ),
        resources=tuple(
            WorkflowResource(
                name=resource.name,
                class_type=resource.class_type,
                output_mapping=read_map("output_mapping", resource.output_mapping),
                configurations=read_map("configurations", resource.configurations),
            )
            for resource in read_list("workflow_resources", message.workflow_resources)
        ),
        annotations=read_map("annotations", message.annotations),
    )


def _read_function(message: pb.WorkflowFunction) -> WorkflowFunction:
    require(message, "class_spec")
    return WorkflowFunction(
        name=message.name,
        class_specification=read_class(message.class_spec),
        output_mapping=read_map("output_mapping", message.output_mapping),
        annotations=read_map("annotations", message.annotations),
    )


def _status_message(status: WorkflowStatus) -> pb.WorkflowInstanceStatus:
    return pb.WorkflowInstanceStatus(
        workflow_id=pb.WorkflowId(workflow_id=str(status.workflow_id)),
        domain_mapping=[_mapping_message(mapping) for mapping in status.mapping],
        name=status.name,
    )


def _read_status(message: pb.WorkflowInstanceStatus) -> WorkflowStatus:
    require(message, "workflow_id")
    return WorkflowStatus(
        workflow_id=WorkflowId(read_uuid("workflow_id", message.workflow_id.workflow_id)),
        mapping=tuple(
            _read_mapping(mapping)
            for mapping in read_list("domain_mapping", message.domain_mapping)
        ),
        name=message.name,
    )


def _mapping_message(mapping: ComponentMapping) -> pb.WorkflowFunctionMapping:
    return pb.WorkflowFunctionMapping(
        name=mapping.name,
        function_id=str(mapping.logical_id),
        domain_id=mapping.domain_id,
        state="" if mapping.state is ComponentState.RUNNING else mapping.state.value,
        reason=mapping.reason,
        instance_id=None if mapping.instance is None else instance_message(mapping.instance),
        node=mapping.node,
        further=[instance_message(instance) for instance in mapping.further],
    )


def _read_mapping(message: pb.WorkflowFunctionMapping) -> ComponentMapping:
    return ComponentMapping(
        name=message.name,
        logical_id=LogicalId(read_uuid("function_id", message.function_id)),
        domain_id=DomainId(message.domain_id),
        # EDGELESS does not tell the state: what it lists, it believes to run.
        state=ComponentState(message.state) if message.state else ComponentState.RUNNING,
        reason=message.reason,
        instance=read_optional_instance(
            "instance_id", message.HasField("instance_id"), message.instance_id
        ),
        node=message.node,
        further=tuple(
            read_instance("further", one) for one in read_list("further", message.further)
        ),
    )
