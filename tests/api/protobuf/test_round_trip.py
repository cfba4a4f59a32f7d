"""Whatever a message of ours says, it says the same after a journey on EDGELESS's wire."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeless_sim.api.handover import (
    Answer,
    Collect,
    Collected,
    GiveBack,
    HandedEvent,
    HandedState,
    TakeOver,
)
from edgeless_sim.api.messages import (
    ComponentInventory,
    ComponentMapping,
    ComponentState,
    InstanceInventory,
    InstanceState,
    MigrateWorkflow,
    MirrorPage,
    MirrorPart,
    MirrorQuery,
    StartReply,
    StartWorkflow,
    StopReply,
    UpdateDomainRequest,
    UpdateDomainResponse,
    UpdateNodeRequest,
    UpdateNodeResponse,
    UpdatePeersRequest,
    UpdatePeersType,
    WorkflowInfo,
    WorkflowStatus,
)
from edgeless_sim.api.methods import METHODS
from edgeless_sim.api.protobuf import EventWire, IdKind, Place, ProtobufWire
from edgeless_sim.api.protobuf.wire import WIRE_METHODS
from edgeless_sim.model.decision import Candidate, Decision
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.event import UNPLACED, Event, EventType, PatchRequest, Target
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    Predecessor,
    SpawnFunctionRequest,
    StatePolicy,
    StateSpecification,
)
from edgeless_sim.model.ids import FUNCTION_ID_NONE, NODE_ID_NONE, InstanceId, NodeId
from edgeless_sim.model.intent import Cordon, Migrate, Uncordon
from edgeless_sim.model.mirror import DomainMirror, MirroredComponent, Point, Series
from edgeless_sim.model.node import (
    FunctionLogEntry,
    NodeCapabilities,
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)
from edgeless_sim.model.resource import (
    ResourceInstanceSpecification,
    ResourceProviderSpecification,
)
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

NIL = NodeId(UUID(int=0))
WIRES = {kind: ProtobufWire(Place(ids=kind, unix_s=lambda: 1_700_000_000.5)) for kind in IdKind}

TEXT = st.text(max_size=12)
NAME = st.text(min_size=1, max_size=12)
UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(allow_nan=False)
UUIDS = st.uuids().filter(lambda one: one not in (NIL, NODE_ID_NONE, FUNCTION_ID_NONE))
TTL = st.floats(0.001, 3600)


def tuples(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(one, max_size=3).map(tuple)


def maps(value: st.SearchStrategy[Any], key: st.SearchStrategy[Any] = TEXT) -> Any:
    return st.dictionaries(key, value, max_size=3)


PHYSICAL = st.builds(InstanceId, UUIDS, UUIDS)
LOGICAL = st.builds(InstanceId, st.just(NIL), UUIDS)
INSTANCE = st.one_of(PHYSICAL, LOGICAL)
TARGET = st.builds(Target, st.one_of(INSTANCE, st.just(UNPLACED)), TEXT)
CLASS = st.builds(
    FunctionClassSpecification,
    id=TEXT,
    function_type=TEXT,
    version=TEXT,
    binary=st.none() | st.binary(min_size=1, max_size=9),
    code=st.none() | NAME,
    outputs=tuples(TEXT),
)
OURS = {
    "name": TEXT,
    "instance_id": st.none() | INSTANCE,
    "output_mapping": st.none() | maps(TARGET),
    "generation": UINT64,
}
FUNCTION = st.builds(
    SpawnFunctionRequest,
    code=CLASS,
    annotations=maps(TEXT),
    state_specification=st.builds(StateSpecification, st.uuids(), st.sampled_from(StatePolicy)),
    workflow_id=st.uuids(),
    takes_over=st.none() | st.builds(Predecessor, INSTANCE, TEXT),
    **OURS,
)
RESOURCE = st.builds(
    ResourceInstanceSpecification,
    class_type=NAME,
    configuration=maps(TEXT),
    workflow_id=st.uuids(),
    provider_id=TEXT,
    **OURS,
)
PATCH = st.builds(
    PatchRequest, function_id=INSTANCE, output_mapping=maps(TARGET), generation=UINT64
)
WORKFLOW = st.builds(
    SpawnWorkflowRequest,
    functions=tuples(st.builds(WorkflowFunction, TEXT, CLASS, maps(TEXT), maps(TEXT))),
    resources=tuples(st.builds(WorkflowResource, TEXT, TEXT, maps(TEXT), maps(TEXT))),
    annotations=maps(TEXT),
)
MAPPING = st.builds(
    ComponentMapping,
    name=TEXT,
    logical_id=st.uuids(),
    domain_id=TEXT,
    state=st.sampled_from(ComponentState),
    reason=TEXT,
    instance=st.none() | INSTANCE,
    node=TEXT,
)
STATUS = st.builds(WorkflowStatus, st.uuids(), tuples(MAPPING), TEXT)
DOMAIN = st.builds(
    DomainCapabilities,
    **{
        name: tuples(TEXT) if isinstance(default, tuple) else UINT32
        for name, default in zip(
            DomainCapabilities.__struct_fields__,
            DomainCapabilities.__struct_defaults__,
            strict=True,
        )
    },
)
PROVIDER = st.builds(ResourceProviderSpecification, NAME, NAME, tuples(TEXT))
CAPABILITIES = st.builds(
    NodeCapabilities,
    num_cpus=UINT32,
    model_name_cpu=TEXT,
    clock_freq_cpu=st.floats(width=32, allow_nan=False),
    num_cores=UINT32,
    mem_size=UINT32,
    labels=tuples(TEXT),
    is_tee_running=st.booleans(),
    has_tpm=st.booleans(),
    runtimes=tuples(TEXT),
    disk_tot_space=UINT32,
    num_gpus=UINT32,
    model_name_gpu=TEXT,
    mem_size_gpu=UINT32,
)
HEALTH = st.builds(
    NodeHealthStatus,
    **{
        name: INT64 if name.startswith(("tot_", "disk_")) else INT32
        for name in NodeHealthStatus.__struct_fields__
    },
)
SAMPLES = tuples(st.builds(Sample, INT64, UINT32, FLOAT))
LOG = tuples(st.builds(FunctionLogEntry, INT64, UINT32, TEXT, TEXT))
PERFORMANCE = st.builds(
    NodePerformanceSamples,
    *[maps(SAMPLES, st.uuids())] * 5,
    function_log_entries=maps(LOG, st.uuids()),
)
NODE = st.builds(
    UpdateNodeRequest,
    node_id=UUIDS,
    agent_url=TEXT,
    invocation_url=TEXT,
    resource_providers=tuples(PROVIDER),
    capabilities=CAPABILITIES,
    ttl_s=TTL,
    nonce=UINT64,
    health_status=HEALTH,
    performance_samples=PERFORMANCE,
    name=TEXT,
    inventory=st.none()
    | tuples(st.builds(InstanceInventory, INSTANCE, UINT64, st.sampled_from(InstanceState), TEXT)),
    revision=UINT64,
)
DOMAIN_REQUEST = st.builds(
    UpdateDomainRequest,
    domain_id=NAME,
    orchestrator_url=TEXT,
    capabilities=DOMAIN,
    ttl_s=TTL,
    counter=UINT64,
    nonce=UINT64,
    components=st.none()
    | tuples(
        st.builds(
            ComponentInventory,
            st.uuids(),
            st.sampled_from(ComponentState),
            TEXT,
            st.none() | INSTANCE,
            TEXT,
        )
    ),
    epoch=UINT64,
    base=st.none() | UINT64,
    version=UINT64,
    gone=tuples(st.uuids()),
    more=st.booleans(),
).map(
    lambda request: (
        # Without an inventory there is nothing to say of it.
        msgspec.structs.replace(request, base=None, version=0, gone=(), more=False)
        if request.components is None
        else request
    )
)
DOMAIN_ANSWER = st.builds(UpdateDomainResponse, st.booleans(), UINT64, st.none() | UINT64)
PEERS = st.one_of(
    st.builds(UpdatePeersRequest, st.just(UpdatePeersType.ADD), UUIDS, NAME),
    st.builds(UpdatePeersRequest, st.just(UpdatePeersType.DEL), UUIDS),
    st.just(UpdatePeersRequest(UpdatePeersType.CLEAR)),
)
CONTROL = st.builds(StopReply, UINT64)
HANDED = st.builds(
    HandedEvent,
    st.sampled_from((0, 1, 3)),
    st.binary(min_size=32, max_size=32),
    UINT64,
    TEXT,
    UINT64,
    st.binary(min_size=24, max_size=24),
    UINT64,
)
ANSWER = st.builds(
    Answer, st.binary(min_size=32, max_size=32), UINT64, st.sampled_from((0, 1, 2)), TEXT
)
NOTHING = st.none()
DECISIONS = tuples(
    st.builds(
        Decision,
        FLOAT,
        TEXT,
        TEXT,
        candidates=tuples(st.builds(Candidate, TEXT, TEXT, st.none() | FLOAT)),
    )
)
MIRROR = st.builds(
    DomainMirror,
    TEXT,
    components=tuples(st.builds(MirroredComponent, st.uuids(), FUNCTION, outputs=maps(st.uuids()))),
    series=tuples(st.builds(Series, PHYSICAL, TEXT, tuples(st.builds(Point, FLOAT, FLOAT | TEXT)))),
)
INTENTS = st.one_of(
    st.builds(Migrate, st.uuids(), tuples(st.uuids())),
    st.builds(Cordon, st.uuids()),
    st.builds(Uncordon, st.uuids()),
)
#: Path -> what it takes and what it gives.
MESSAGES = {
    "edgeless_api.WorkflowInstance/Start": (st.builds(StartWorkflow, WORKFLOW, TEXT), STATUS),
    "edgeless_api.WorkflowInstance/Stop": (st.uuids(), NOTHING),
    "edgeless_api.WorkflowInstance/List": (NOTHING, tuples(STATUS)),
    "edgeless_api.WorkflowInstance/Inspect": (
        st.uuids(),
        st.builds(WorkflowInfo, WORKFLOW, STATUS),
    ),
    "edgeless_api.WorkflowInstance/Domains": (TEXT, maps(DOMAIN)),
    "edgeless_api.WorkflowInstance/Migrate": (
        st.builds(MigrateWorkflow, st.uuids(), TEXT, TEXT),
        STATUS,
    ),
    "edgeless_api.DomainRegistration/UpdateDomain": (
        DOMAIN_REQUEST,
        DOMAIN_ANSWER,
    ),
    "edgeless_sim.DomainPoll/Poll": (
        DOMAIN_ANSWER,
        DOMAIN_REQUEST,
    ),
    "edgeless_sim.WorkflowExplanation/Explain": (st.uuids(), DECISIONS),
    "edgeless_sim.DomainMirror/Mirror": (
        st.builds(MirrorQuery, st.sampled_from(MirrorPart), TEXT, FLOAT),
        st.builds(MirrorPage, MIRROR, TEXT),
    ),
    "edgeless_sim.DomainMirror/Submit": (INTENTS, NOTHING),
    "edgeless_sim.DomainMirror/Explain": (tuples(st.uuids()), DECISIONS),
    "edgeless_api.FunctionInstance/Start": (FUNCTION, st.builds(StartReply, PHYSICAL, UINT64)),
    "edgeless_api.FunctionInstance/Stop": (PHYSICAL, CONTROL),
    "edgeless_api.FunctionInstance/Patch": (PATCH, CONTROL),
    "edgeless_api.ResourceConfiguration/Start": (RESOURCE, st.builds(StartReply, PHYSICAL, UINT64)),
    "edgeless_api.ResourceConfiguration/Stop": (PHYSICAL, CONTROL),
    "edgeless_api.ResourceConfiguration/Patch": (PATCH, CONTROL),
    "edgeless_api.NodeManagement/UpdatePeers": (PEERS, NOTHING),
    "edgeless_api.NodeManagement/Reset": (NOTHING, CONTROL),
    "edgeless_sim.Handover/TakeOver": (
        st.builds(TakeOver, INSTANCE, INSTANCE),
        st.builds(HandedState, st.none() | TEXT, UINT64),
    ),
    "edgeless_sim.Handover/Collect": (
        st.builds(Collect, INSTANCE, INSTANCE, UINT64, st.booleans()),
        st.builds(Collected, tuples(HANDED), st.booleans()),
    ),
    "edgeless_sim.Handover/GiveBack": (
        st.builds(GiveBack, INSTANCE, INSTANCE, tuples(ANSWER)),
        NOTHING,
    ),
    "edgeless_api.NodeRegistration/UpdateNode": (
        NODE,
        st.builds(UpdateNodeResponse, st.none() | FLOAT),
    ),
}


def test_every_method_of_ours_is_on_this_wire_and_in_this_test() -> None:
    paths = {method.path for service in METHODS.values() for method in service.values()}
    assert set(WIRE_METHODS) == paths
    assert {f"/{name}" for name in MESSAGES} == paths


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_and_replies_arrive_as_they_were(name: str) -> None:
    path, wire = f"/{name}", WIRES[IdKind.PHYSICAL]
    requests, replies = MESSAGES[name]

    @settings(max_examples=60, deadline=None)
    @given(requests, replies)
    def check(request: object, reply: object) -> None:
        assert wire.decode_request(path, wire.encode_request(path, request)) == request
        assert wire.decode_reply(path, wire.encode_result(path, reply)) == reply

    check()


@given(LOGICAL, UINT64)
def test_logical_ids_arrive_as_they_were(instance: InstanceId, revision: int) -> None:
    wire = WIRES[IdKind.LOGICAL]
    for service in ("FunctionInstance", "ResourceConfiguration"):
        start, stop = f"/edgeless_api.{service}/Start", f"/edgeless_api.{service}/Stop"
        assert wire.decode_request(stop, wire.encode_request(stop, instance)) == instance
        reply = StartReply(instance, revision)
        assert wire.decode_reply(start, wire.encode_result(start, reply)) == reply


@given(
    st.builds(
        Event,
        kind=st.sampled_from(EventType).map(int),
        target=st.binary(min_size=32, max_size=32),
        source=st.binary(min_size=32, max_size=32),
        stream=UINT64,
        payload=TEXT,
        created_ns=st.integers(0, 2**62),
        metadata=st.binary(min_size=24, max_size=24),
        serial=UINT64,
    )
)
def test_events_arrive_as_they_were(event: Event) -> None:
    for wire in (EventWire(), EventWire(epoch_ns=1_700_000_000_123_456_789)):
        assert wire.decode(wire.encode(event)) == event
