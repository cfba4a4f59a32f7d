"""Golden bytes of requests and replies, written field by field by hand (cases C065 to C089).

What none of our extensions is needed for is, byte for byte, what EDGELESS's own programs send.
"""

from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.api.messages import (
    ComponentMapping,
    MigrateWorkflow,
    StartReply,
    StartWorkflow,
    StopReply,
    UpdateDomainRequest,
    UpdateDomainResponse,
    UpdateNodeRequest,
    UpdateNodeResponse,
    UpdatePeersRequest,
    UpdatePeersType,
    WorkflowStatus,
)
from edgeless_sim.api.protobuf import IdKind, Place, ProtobufWire
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.event import UNPLACED, PatchRequest, Target
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import DomainId, FunctionId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.node import (
    FunctionLogEntry,
    NodeCapabilities,
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

A = "aaaaaaaa-0000-4000-8000-00000000000a"
B = "bbbbbbbb-0000-4000-8000-00000000000b"
C = "cccccccc-0000-4000-8000-00000000000c"
NIL = "00000000-0000-0000-0000-000000000000"
NODE = NodeId(UUID(A))
PID = InstanceId(NODE, FunctionId(UUID(B)))
LID = InstanceId(NodeId(UUID(NIL)), FunctionId(UUID(B)))
WORKFLOW = WorkflowId(UUID(C))

FUNCTION = "/edgeless_api.FunctionInstance/"
RESOURCE = "/edgeless_api.ResourceConfiguration/"
WORKFLOWS = "/edgeless_api.WorkflowInstance/"
NODES = "/edgeless_api.NodeRegistration/UpdateNode"
DOMAINS = "/edgeless_api.DomainRegistration/UpdateDomain"
PEERS = "/edgeless_api.NodeManagement/UpdatePeers"

DEADLINE_S = 313_714_800
AGENT = ProtobufWire(Place(ids=IdKind.PHYSICAL, unix_s=lambda: DEADLINE_S - 60.0))
ORCHESTRATOR = ProtobufWire(Place(ids=IdKind.LOGICAL, unix_s=lambda: 0.0))


def same_request(wire: ProtobufWire, path: str, request: object, payload: bytes) -> None:
    assert wire.encode_request(path, request) == payload
    assert wire.decode_request(path, payload) == request


def same_reply(wire: ProtobufWire, path: str, reply: object, payload: bytes) -> None:
    assert wire.encode_result(path, reply) == payload
    assert wire.decode_reply(path, payload) == reply


def test_an_instance_id_is_two_texts() -> None:
    # The one in hexadecimal: tag 0x0a, length 76, and in it twice 36 characters.
    payload = bytes.fromhex("0a4c0a24") + A.encode() + bytes.fromhex("1224") + B.encode()
    same_request(AGENT, FUNCTION + "Stop", PID, payload)


def test_a_logical_id_is_the_other_variant(scribe: Any) -> None:
    payload = scribe.block(2, scribe.text(1, B))
    same_request(ORCHESTRATOR, FUNCTION + "Stop", LID, payload)


@pytest.mark.parametrize("node_id", [A, NIL])
def test_a_patch_has_two_channels_with_or_without_node_ids(scribe: Any, node_id: str) -> None:
    """C065."""
    targets = {
        "err": Target(InstanceId(NodeId(UUID(node_id)), FunctionId(UUID(C))), ""),
        "out": Target(InstanceId(NodeId(UUID(node_id)), FunctionId(UUID(B))), ""),
    }
    payload = (
        scribe.text(1, B)
        + scribe.block(3, scribe.text(1, "err"), scribe.instance(2, node_id, C))
        + scribe.block(3, scribe.text(1, "out"), scribe.instance(2, node_id, B))
    )
    same_request(ORCHESTRATOR, FUNCTION + "Patch", PatchRequest(LID, targets, 0), payload)


def test_a_patch_for_a_node_of_edgeless_lacks_channels_without_instance(scribe: Any) -> None:
    request = PatchRequest(PID, {"out": Target(UNPLACED, "")}, 7)
    payload = (
        scribe.text(1, B) + scribe.text(1000, A) + scribe.text(1002, "out") + scribe.number(1003, 7)
    )
    same_request(AGENT, FUNCTION + "Patch", request, payload)


def test_a_patch_from_edgeless_is_completed_by_the_node_that_gets_it(scribe: Any) -> None:
    agent = ProtobufWire(Place(home=NODE, unix_s=lambda: 0.0))
    assert agent.decode_request(FUNCTION + "Patch", scribe.text(1, B)) == PatchRequest(PID, {}, 0)


DOMAIN = DomainCapabilities(
    1, 2, 3, 4, ("a", "b"), 5, 6, ("c", "d"), 7, 8, 9, ("e", "f"), ("g", "h")
)


def domain_bytes(scribe: Any) -> bytes:
    numbers = {1: 1, 10: 2, 11: 3, 12: 4, 30: 5, 40: 6, 60: 7, 70: 8, 71: 9}
    texts = {20: "ab", 50: "cd", 80: "ef", 81: "gh"}
    fields = {number: scribe.number(number, value) for number, value in numbers.items()}
    fields |= {n: b"".join(scribe.text(n, one) for one in both) for n, both in texts.items()}
    return b"".join(fields[number] for number in sorted(fields))


@pytest.mark.parametrize(("nonce", "counter"), [(2, 1), (2**64 - 1, 42)])
@pytest.mark.parametrize("capabilities", [DOMAIN, DomainCapabilities()], ids=["full", "default"])
def test_a_domain_registers(
    scribe: Any, nonce: int, counter: int, capabilities: DomainCapabilities
) -> None:
    """C067."""
    request = UpdateDomainRequest(
        DomainId("edge"), "http://o:1", capabilities, 60.0, counter, nonce
    )
    payload = (
        scribe.text(10, "edge")
        + scribe.text(20, "http://o:1")
        + scribe.block(30, domain_bytes(scribe) if capabilities is DOMAIN else b"")
        + scribe.number(40, DEADLINE_S)
        + scribe.number(50, counter)
        + scribe.number(51, nonce)
    )
    assert AGENT.encode_request(DOMAINS, request) == payload + scribe.double(1002, 60.0)
    assert AGENT.decode_request(DOMAINS, payload) == request


def test_a_domain_is_answered(scribe: Any) -> None:
    """C068; unlike in EDGELESS's own test, the reset arrives."""
    same_reply(AGENT, DOMAINS, UpdateDomainResponse(False), b"")
    same_reply(AGENT, DOMAINS, UpdateDomainResponse(True), scribe.number(2, 1))
    refused(AGENT, DOMAINS, scribe)


def refused(wire: ProtobufWire, path: str, scribe: Any) -> None:
    payload = scribe.block(1, scribe.text(1, "no"), scribe.text(2, "why"))
    assert wire.encode_refusal(path, RejectedError("no", "why")) == payload
    with pytest.raises(RejectedError) as caught:
        wire.decode_reply(path, payload)
    assert (type(caught.value), caught.value.summary, caught.value.detail) == (
        RejectedError,
        "no",
        "why",
    )


CLASS = FunctionClassSpecification("f", "RUST_WASM", "0.1", b"\0asm", "f.wasm", ("out", "err"))


def class_bytes(scribe: Any) -> bytes:
    return bytes(
        scribe.text(1, "f")
        + scribe.text(2, "RUST_WASM")
        + scribe.text(3, "0.1")
        + scribe.block(4, b"\0asm")
        + scribe.text(5, "f.wasm")
        + scribe.text(6, "out")
        + scribe.text(6, "err")
    )


def test_a_function_starts(scribe: Any) -> None:
    """C069."""
    request = SpawnFunctionRequest(CLASS, {"key1": "value1"}, StateSpecification(UUID(A)), WORKFLOW)
    payload = (
        scribe.block(2, class_bytes(scribe))
        + scribe.entry(3, "key1", "value1")
        + scribe.block(4, scribe.text(1, A), scribe.number(2, 1))
        + scribe.text(5, C)
    )
    same_request(AGENT, FUNCTION + "Start", request, payload)


def test_a_resource_starts(scribe: Any) -> None:
    request = ResourceInstanceSpecification("file-log", {"filename": "x"}, WORKFLOW)
    payload = scribe.text(1, "file-log") + scribe.entry(2, "filename", "x") + scribe.text(3, C)
    same_request(AGENT, RESOURCE + "Start", request, payload)


def test_a_start_is_answered_with_an_id_or_an_error(scribe: Any) -> None:
    """C070."""
    same_reply(
        AGENT, FUNCTION + "Start", StartReply(PID), scribe.block(2, scribe.instance(1, A, B))
    )
    same_reply(
        ORCHESTRATOR,
        RESOURCE + "Start",
        StartReply(LID),
        scribe.block(2, scribe.block(2, scribe.text(1, B))),
    )
    refused(AGENT, FUNCTION + "Start", scribe)


def test_an_empty_reply_is_one_of_revision_0(scribe: Any) -> None:
    same_reply(AGENT, FUNCTION + "Stop", StopReply(), b"")
    same_reply(AGENT, FUNCTION + "Stop", StopReply(5), scribe.number(1000, 5))
    same_reply(AGENT, WORKFLOWS + "Stop", None, b"")


def test_peers_are_added_removed_and_forgotten(scribe: Any) -> None:
    """C080."""
    add = UpdatePeersRequest(UpdatePeersType.ADD, NODE, "http://n:2")
    same_request(AGENT, PEERS, add, scribe.text(2, A) + scribe.text(3, "http://n:2"))
    remove = UpdatePeersRequest(UpdatePeersType.DEL, NODE)
    same_request(AGENT, PEERS, remove, scribe.number(1, 1) + scribe.text(2, A))
    same_request(AGENT, PEERS, UpdatePeersRequest(UpdatePeersType.CLEAR), scribe.number(1, 2))


CAPABILITIES = NodeCapabilities(
    4, "cpu", 62.5, 20, 1024, ("x", "y"), True, True, ("RUST_WASM",), 99, 3, "gpu", 81920
)
HEALTH_NUMBERS = (
    *(20, 21, 23, 30, 31, 32, 40, 41, 42, 50, 51, 52, 60, 61, 62, 71, 72, 73, 80, 81, 90),
)


def samples_bytes(scribe: Any, field: int, *values: float) -> bytes:
    stamp = scribe.number(1, 7) + scribe.number(2, 8)
    samples = (scribe.block(10, stamp, scribe.double(3, value)) for value in values)
    return bytes(scribe.block(field, scribe.text(1, B), *samples))


def node_bytes(scribe: Any) -> bytes:
    capabilities = (
        scribe.number(10, 4)
        + scribe.text(11, "cpu")
        + scribe.single(12, 62.5)
        + scribe.number(13, 20)
        + scribe.number(14, 1024)
        + scribe.text(20, "x")
        + scribe.text(20, "y")
        + scribe.number(30, 1)
        + scribe.number(40, 1)
        + scribe.text(50, "RUST_WASM")
        + scribe.number(70, 99)
        + scribe.number(80, 3)
        + scribe.text(81, "gpu")
        + scribe.number(82, 81920)
    )
    entry = scribe.number(1, 7) + scribe.number(2, 8) + scribe.text(3, "t") + scribe.text(4, "m")
    performance = (
        samples_bytes(scribe, 90, 101, 2.5, 3)
        + samples_bytes(scribe, 95)
        + samples_bytes(scribe, 100, 0.1, 0.2, 999)
        + samples_bytes(scribe, 105, 1)
        + samples_bytes(scribe, 110, 2)
        + scribe.block(200, scribe.text(1, B), scribe.block(10, entry))
    )
    return bytes(
        scribe.text(2, A)
        + scribe.text(3, "http://a:3")
        + scribe.text(4, "http://i:4")
        + scribe.block(6, capabilities)
        + scribe.number(10, DEADLINE_S)
        + scribe.number(11, 1)
        + scribe.block(20, *(scribe.number(n, -n) for n in HEALTH_NUMBERS))
        + scribe.block(30, performance)
    )


def test_a_node_registers(scribe: Any) -> None:
    """C081."""

    def series(*values: float) -> dict[FunctionId, tuple[Sample, ...]]:
        return {PID.function_id: tuple(Sample(7, 8, value) for value in values)}

    logs: dict[FunctionId, tuple[FunctionLogEntry, ...]] = {
        PID.function_id: (FunctionLogEntry(7, 8, "t", "m"),)
    }
    request = UpdateNodeRequest(
        node_id=NODE,
        agent_url="http://a:3",
        invocation_url="http://i:4",
        resource_providers=(),
        capabilities=CAPABILITIES,
        ttl_s=60.0,
        nonce=1,
        health_status=NodeHealthStatus(*(-number for number in HEALTH_NUMBERS)),
        performance_samples=NodePerformanceSamples(
            series(101, 2.5, 3), series(), series(0.1, 0.2, 999), series(1), series(2), logs
        ),
    )
    payload = node_bytes(scribe)
    assert AGENT.encode_request(NODES, request) == payload + scribe.double(1003, 60.0)
    assert AGENT.decode_request(NODES, payload) == request


def test_a_node_is_answered(scribe: Any) -> None:
    """C082."""
    same_reply(AGENT, NODES, UpdateNodeResponse(), b"")
    same_reply(AGENT, NODES, UpdateNodeResponse(2.5), scribe.double(1000, 2.5))
    refused(AGENT, NODES, scribe)


def test_a_workflow_id_is_a_text(scribe: Any) -> None:
    """C083."""
    same_request(AGENT, WORKFLOWS + "Inspect", WORKFLOW, scribe.text(1, C))


def test_a_workflow_starts(scribe: Any) -> None:
    """C084, C085, C086."""
    both = {"a": "1", "b": "2"}
    request = SpawnWorkflowRequest(
        (WorkflowFunction("f1", CLASS, both, both),),
        (WorkflowResource("r1", "file-log", both, both),),
        both,
    )
    pairs = {n: scribe.entry(n, "a", "1") + scribe.entry(n, "b", "2") for n in (3, 4)}
    payload = (
        scribe.block(
            1, scribe.text(1, "f1"), scribe.block(2, class_bytes(scribe)), pairs[3], pairs[4]
        )
        + scribe.block(2, scribe.text(1, "r1"), scribe.text(2, "file-log"), pairs[3], pairs[4])
        + pairs[3]
    )
    same_request(AGENT, WORKFLOWS + "Start", StartWorkflow(request), payload)


def test_a_workflow_is_told_with_its_mappings(scribe: Any) -> None:
    """C087, C088, C089."""
    status = WorkflowStatus(
        WORKFLOW,
        (
            ComponentMapping("f1", LogicalId(UUID(A)), DomainId("d1")),
            ComponentMapping("f2", LogicalId(UUID(B)), DomainId("d2")),
        ),
    )
    payload = scribe.block(
        2,
        scribe.block(1, scribe.text(1, C)),
        scribe.block(2, scribe.text(1, "f1"), scribe.text(2, A), scribe.text(3, "d1")),
        scribe.block(2, scribe.text(1, "f2"), scribe.text(2, B), scribe.text(3, "d2")),
    )
    same_reply(AGENT, WORKFLOWS + "Start", status, payload)
    same_reply(AGENT, WORKFLOWS + "Migrate", status, payload)
    refused(AGENT, WORKFLOWS + "Start", scribe)


def test_a_workflow_migrates(scribe: Any) -> None:
    request = MigrateWorkflow(WORKFLOW, DomainId("d2"), "f1")
    payload = (
        scribe.block(1, scribe.text(1, C)) + scribe.block(2, scribe.text(1, "d2"))
    ) + scribe.text(3, "f1")
    same_request(AGENT, WORKFLOWS + "Migrate", request, payload)


def test_a_list_from_edgeless_has_ids_only(scribe: Any) -> None:
    found = AGENT.decode_reply(WORKFLOWS + "List", scribe.text(1, C) + scribe.text(1, A))
    assert found == (WorkflowStatus(WORKFLOW, ()), WorkflowStatus(WorkflowId(UUID(A)), ()))


def test_domains_are_told_by_their_ids(scribe: Any) -> None:
    payload = scribe.block(1, scribe.text(1, "edge"), scribe.block(2, domain_bytes(scribe)))
    same_reply(AGENT, WORKFLOWS + "Domains", {"edge": DOMAIN}, payload)
    same_request(AGENT, WORKFLOWS + "Domains", DomainId("edge"), scribe.text(1, "edge"))
