"""The messages, enums and services of generation H (spec 10.1 to 10.3), compared one by one."""

from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from edgeless_sim.api import protobuf
from edgeless_sim.api.methods import METHODS
from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb

#: Message: number, name and type of each field; ? optional, * repeated.
MESSAGES: Final = """
InstanceId: 1 node_id string; 2 function_id string
DomainManagedInstanceId: 1 instance_id string
InstanceIdVariant: 1 instance_id InstanceId; 2 domain_managed_instance_id DomainManagedInstanceId
StateSpecification: 1 state_id string; 2 policy StatePolicy
FunctionClassSpecification: 1 id string; 2 function_type string; 3 version string; 4 binary
    bytes; 5 code string; 6 outputs string*
SpawnFunctionRequest: 2 code FunctionClassSpecification; 3 annotations map<string,string>; 4
    state_specification StateSpecification; 5 workflow_id string
StartComponentResponse: 1 response_error ResponseError?; 2 instance_id InstanceIdVariant?
ResponseError: 1 summary string; 2 detail string?
PatchRequest: 1 function_id string; 3 output_mapping map<string,InstanceId>
ResourceProviderSpecification: 1 provider_id string; 2 class_type string; 3 outputs string*
ResourceInstanceSpecification: 1 resource_class_type string; 2 configuration map<string,string>;
    3 workflow_id string
UpdateNodeRequest: 2 node_id string; 3 agent_url string; 4 invocation_url string; 5
    resource_providers ResourceProviderSpecification*; 6 capabilities NodeCapabilities; 10
    refresh_deadline uint64; 11 nonce uint64; 20 health_status NodeHealthStatus; 30
    performance_samples NodePerformanceSamples
UpdateNodeResponse: 1 response_error ResponseError?
NodeCapabilities: 10 num_cpus uint32; 11 model_name_cpu string; 12 clock_freq_cpu float; 13
    num_cores uint32; 14 mem_size uint32; 20 labels string*; 30 is_tee_running bool; 40 has_tpm
    bool; 50 runtimes string*; 70 disk_tot_space uint32; 80 num_gpus uint32; 81 model_name_gpu
    string; 82 mem_size_gpu uint32
NodeHealthStatus: 20 mem_free int32; 21 mem_used int32; 23 mem_available int32; 30 proc_cpu_usage
    int32; 31 proc_memory int32; 32 proc_vmemory int32; 40 load_avg_1 int32; 41 load_avg_5 int32;
    42 load_avg_15 int32; 80 gpu_load_perc int32; 81 gpu_temp_cels int32; 90 active_power int32;
    50 tot_rx_bytes int64; 51 tot_rx_pkts int64; 52 tot_rx_errs int64; 60 tot_tx_bytes int64; 61
    tot_tx_pkts int64; 62 tot_tx_errs int64; 71 disk_free_space int64; 72 disk_tot_reads int64;
    73 disk_tot_writes int64
NodePerformanceSamples: 90 function_instantiate_times Samples*; 95 function_init_times Samples*;
    100 function_execution_times Samples*; 105 function_stop_times Samples*; 110
    function_transfer_times Samples*; 200 function_log_entries FunctionLogEntries*
Samples: 1 id string; 10 samples Sample*
Sample: 1 timestamp_sec int64; 2 timestamp_ns uint32; 3 sample double
FunctionLogEntries: 1 id string; 10 entries FunctionLogEntry*
FunctionLogEntry: 1 timestamp_sec int64; 2 timestamp_ns uint32; 3 target string; 4 msg string
UpdatePeersRequest: 1 request_type UpdatePeersRequestType; 2 node_id string?; 3 invocation_url
    string?
WorkflowResource: 1 name string; 2 class_type string; 3 output_mapping map<string,string>; 4
    configurations map<string,string>
WorkflowFunction: 1 name string; 2 class_spec FunctionClassSpecification; 3 output_mapping
    map<string,string>; 4 annotations map<string,string>
SpawnWorkflowRequest: 1 workflow_functions WorkflowFunction*; 2 workflow_resources
    WorkflowResource*; 3 annotations map<string,string>
SpawnWorkflowResponse: 1 response_error ResponseError?; 2 workflow_status WorkflowInstanceStatus?
WorkflowFunctionMapping: 1 name string; 2 function_id string; 3 domain_id string
WorkflowInstanceStatus: 1 workflow_id WorkflowId; 2 domain_mapping WorkflowFunctionMapping*
WorkflowId: 1 workflow_id string
WorkflowIdList: 1 identifiers string*
WorkflowInstanceInfo: 1 request SpawnWorkflowRequest; 2 status WorkflowInstanceStatus
DomainId: 1 domain_id string
DomainCapabilitiesEntry: 1 domain_id string; 2 domain_capabilities DomainCapabilities
DomainCapabilitiesList: 1 domain_capabilities DomainCapabilitiesEntry*
DomainCapabilities: 1 num_nodes uint32; 10 num_cpus uint32; 11 num_cores uint32; 12 mem_size
    uint32; 30 num_tee uint32; 40 num_tpm uint32; 60 disk_tot_space uint32; 70 num_gpus uint32;
    71 mem_size_gpu uint32; 20 labels string*; 50 runtimes string*; 80 resource_providers
    string*; 81 resource_classes string*
UpdateDomainRequest: 10 domain_id string; 20 orchestrator_url string; 30 capabilities
    DomainCapabilities; 40 refresh_deadline uint64; 50 counter uint64; 51 nonce uint64
UpdateDomainResponse: 1 response_error ResponseError?; 2 reset bool
MigrateWorkflowRequest: 1 workflow_id WorkflowId; 2 domain_id DomainId; 3 component string
Event: 1 target InstanceId; 2 source InstanceId; 3 stream_id uint64; 4 msg EventData; 5 created
    EventTimestamp; 6 metadata EventSerializedMetadata
EventData: 1 event_type EventType; 2 payload string
EventTimestamp: 1 secs int64; 2 nsecs uint32
EventSerializedMetadata: 1 trace_id bytes; 2 span_id bytes
BootData: 1 guest_api_host_endpoint string; 2 instance_id InstanceId
FunctionInstanceInit: 1 init_payload string; 10 serialized_state bytes
InputEventData: 1 src InstanceId; 2 msg bytes
CallReturn: 1 type CallRetType; 2 msg bytes
OutputEventData: 1 originator InstanceId; 2 alias string; 3 msg bytes
OutputEventDataRaw: 1 originator InstanceId; 2 dst InstanceId; 3 msg bytes
TelemetryLogEvent: 1 originator InstanceId; 2 log_level TelemetryLogLevel; 3 target string; 4 msg
    string
DelayedEventData: 1 originator InstanceId; 2 alias string; 3 msg bytes; 4 delay uint64; 5
    metadata EventSerializedMetadata
SyncData: 1 originator InstanceId; 2 serialized_state bytes
"""
ENUMS: Final = {
    "StatePolicy": ["TRANSIENT", "NODE_LOCAL", "GLOBAL"],
    "UpdatePeersRequestType": ["ADD", "DEL", "CLEAR"],
    "EventType": ["CALL", "CAST", "CALL_RET", "CALL_NO_RET", "ERR"],
    "CallRetType": ["CALL_RET_NO_REPLY", "CALL_RET_REPLY", "CALL_RET_ERR"],
    "TelemetryLogLevel": ["LOG_ERROR", "LOG_WARN", "LOG_INFO", "LOG_DEBUG", "LOG_TRACE"],
}
SERVICES: Final = """
WorkflowInstance.Start SpawnWorkflowRequest SpawnWorkflowResponse
WorkflowInstance.Stop WorkflowId Empty
WorkflowInstance.List Empty WorkflowIdList
WorkflowInstance.Inspect WorkflowId WorkflowInstanceInfo
WorkflowInstance.Domains DomainId DomainCapabilitiesList
WorkflowInstance.Migrate MigrateWorkflowRequest SpawnWorkflowResponse
DomainRegistration.UpdateDomain UpdateDomainRequest UpdateDomainResponse
FunctionInstance.Start SpawnFunctionRequest StartComponentResponse
FunctionInstance.Stop InstanceIdVariant Empty
FunctionInstance.Patch PatchRequest Empty
ResourceConfiguration.Start ResourceInstanceSpecification StartComponentResponse
ResourceConfiguration.Stop InstanceIdVariant Empty
ResourceConfiguration.Patch PatchRequest Empty
NodeRegistration.UpdateNode UpdateNodeRequest UpdateNodeResponse
NodeManagement.UpdatePeers UpdatePeersRequest Empty
NodeManagement.Reset Empty Empty
FunctionInvocation.Handle Event Empty
GuestAPIFunction.Boot BootData Empty
GuestAPIFunction.Init FunctionInstanceInit Empty
GuestAPIFunction.Cast InputEventData Empty
GuestAPIFunction.Call InputEventData CallReturn
GuestAPIFunction.Stop Empty Empty
GuestAPIHost.Cast OutputEventData Empty
GuestAPIHost.CastRaw OutputEventDataRaw Empty
GuestAPIHost.Call OutputEventData CallReturn
GuestAPIHost.CallRaw OutputEventDataRaw CallReturn
GuestAPIHost.TelemetryLog TelemetryLogEvent Empty
GuestAPIHost.Slf Empty InstanceId
GuestAPIHost.DelayedCast DelayedEventData Empty
GuestAPIHost.Sync SyncData Empty
"""
#: Messages of ours alone.
OURS: Final = {
    "ComponentReport",
    "ControlReply",
    "DomainInventory",
    "FurtherTargets",
    "InstanceReport",
    "NodeInventory",
    "OutputMapping",
    "Predecessor",
}
SCALARS: Final = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}
OURS_FROM: Final = 1000


def table() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in MESSAGES.replace("\n    ", " ").strip().splitlines():
        name, _, fields = row.partition(": ")
        found[name] = {field.strip() for field in fields.split(";")}
    return found


def type_of(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return field.enum_type.name
    if field.message_type is None:
        return SCALARS[field.type]
    if field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        return f"map<{type_of(key)},{type_of(value)}>"
    return field.message_type.name


def shown(field: FieldDescriptor) -> str:
    kind = type_of(field)
    oneof = field.containing_oneof
    if oneof is not None and oneof.name.startswith("_"):
        kind += "?"
    elif field.is_repeated and not kind.startswith("map"):
        kind += "*"
    return f"{field.number} {field.name} {kind}"


def test_the_fields_are_those_of_the_table() -> None:
    built = {
        name: {shown(field) for field in message.fields if field.number < OURS_FROM}
        for name, message in pb.DESCRIPTOR.message_types_by_name.items()
    }
    assert {name: built[name] for name in built if name not in OURS} == table()


def test_messages_of_ours_have_no_number_that_edgeless_could_give_away() -> None:
    for name in OURS:
        message = pb.DESCRIPTOR.message_types_by_name[name]
        assert all(field.number >= OURS_FROM for field in message.fields), name


def test_the_enums_count_from_zero_in_the_order_of_the_table() -> None:
    built = {
        name: {value.name: value.number for value in enum.values}
        for name, enum in pb.DESCRIPTOR.enum_types_by_name.items()
    }
    assert built == {
        name: {value: number for number, value in enumerate(values)}
        for name, values in ENUMS.items()
    }


def test_the_services_are_those_of_the_table() -> None:
    built = {
        f"{service.name}.{method.name} {method.input_type.name} {method.output_type.name}"
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert built == set(SERVICES.strip().splitlines())
    assert pb.DESCRIPTOR.package == "edgeless_api"


def test_our_paths_are_paths_of_the_table_or_in_a_package_of_ours() -> None:
    paths = {
        f"/edgeless_api.{row.split()[0].replace('.', '/')}" for row in SERVICES.strip().splitlines()
    }
    ours = {method.path for one in METHODS.values() for method in one.values()}
    assert all(path.startswith("/edgeless_sim.") for path in ours - paths)


def test_the_generated_code_is_that_of_the_interface(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc", reason="the compiler is not installed")
    folder = Path(protobuf.__file__).parent
    out = tmp_path / "descriptors"
    include = files("grpc_tools") / "_proto"
    arguments = ["", f"-I{folder}", f"-I{include}", f"-o{out}", "edgeless_api.proto"]
    assert protoc.main(arguments) == 0
    (compiled,) = FileDescriptorSet.FromString(out.read_bytes()).file
    generated = FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(generated)
    compiled.ClearField("source_code_info")
    for file in (compiled, generated):
        for message in file.message_type:
            # Names in JSON are derived, and only the compiler writes them down.
            nested = (field for entry in message.nested_type for field in entry.field)
            for field in (*message.field, *nested):
                field.ClearField("json_name")
    assert generated == compiled
