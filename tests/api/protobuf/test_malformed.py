"""What no peer should send: refused, quickly, in few words (B56 to B60, U25 to U29)."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeless_sim.api.protobuf import (
    EventWire,
    IdKind,
    MalformedRequestError,
    Place,
    ProtobufWire,
)
from edgeless_sim.api.protobuf.fields import ENTRIES_MAX
from edgeless_sim.api.protobuf.wire import WIRE_METHODS
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_transports import RemoteError

A = "aaaaaaaa-0000-4000-8000-00000000000a"
NIL = "00000000-0000-0000-0000-000000000000"
NODE_NONE = "00000000-0000-0000-0000-fffe00000000"
FUNCTION_NONE = "00000000-0000-0000-0000-fffd00000000"
NOW_S = 1_700_000_000
FUNCTION = "/edgeless_api.FunctionInstance/"
RESOURCE = "/edgeless_api.ResourceConfiguration/"
NODES = "/edgeless_api.NodeRegistration/UpdateNode"
PEERS = "/edgeless_api.NodeManagement/UpdatePeers"
DOMAINS = "/edgeless_api.DomainRegistration/UpdateDomain"
WORKFLOWS = "/edgeless_api.WorkflowInstance/"
AGENT = ProtobufWire(Place(unix_s=lambda: float(NOW_S)))
ORCHESTRATOR = ProtobufWire(Place(ids=IdKind.LOGICAL, unix_s=lambda: float(NOW_S)))


def fault(wire: ProtobufWire, path: str, payload: bytes) -> str:
    with pytest.raises(MalformedRequestError) as caught:
        wire.decode_request(path, payload)
    assert caught.value.detail is not None
    return caught.value.detail


def status(wire: ProtobufWire, path: str, payload: bytes) -> tuple[str, str]:
    """Code and text of the status with which *payload* is answered."""
    with pytest.raises(MalformedRequestError) as caught:
        wire.decode_request(path, payload)
    with pytest.raises(RemoteError) as refused:
        wire.encode_refusal(path, caught.value)
    return refused.value.code, refused.value.message


@pytest.mark.parametrize("path", WIRE_METHODS)
def test_bytes_that_are_no_message_are_an_invalid_argument(path: str) -> None:
    for payload in (b"\xff", b"\x0a\x7f", b"\x0b" * 10_000, b"\x80" * 11):
        assert status(AGENT, path, payload)[0] == "invalid_argument"


@pytest.mark.parametrize("path", WIRE_METHODS)
def test_any_bytes_are_read_or_refused(path: str) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=64))
    def check(payload: bytes) -> None:
        # Anything but a RejectedError escapes and fails the test.
        with suppress(MalformedRequestError):
            AGENT.decode_request(path, payload)
        with suppress(RejectedError):
            AGENT.decode_reply(path, payload)

    check()


@given(st.binary(max_size=64))
def test_any_bytes_are_no_event(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        EventWire().decode(payload)


def test_unknown_fields_are_skipped(scribe: Any) -> None:
    payload = scribe.text(1, A) + scribe.block(999, bytes(1 << 20))
    assert str(AGENT.decode_request(WORKFLOWS + "Stop", payload)) == A


def test_a_million_entries_are_counted_and_refused(scribe: Any) -> None:
    labels = scribe.text(20, "") * 1_000_000
    payload = scribe.text(2, A) + scribe.block(6, labels)
    assert fault(AGENT, NODES, payload) == f"labels: 1000000 entries, at most {ENTRIES_MAX}"


def test_a_message_beyond_16_mib_is_refused_at_both_ends() -> None:
    with pytest.raises(RejectedError, match="message too large"):
        AGENT.decode_request(WORKFLOWS + "Stop", bytes((16 << 20) + 1))
    with pytest.raises(RejectedError, match="message too large"):
        AGENT.encode_request(WORKFLOWS + "Domains", "x" * (16 << 20))


@pytest.mark.parametrize(
    ("node_id", "function_id"),
    [
        (NIL, A),
        (NODE_NONE, A),
        (A, NIL),
        (A, FUNCTION_NONE),
        (NODE_NONE, FUNCTION_NONE),
        ("", A),
        (A, "x"),
        (A + "0", A),
    ],
)
def test_a_node_stops_nothing_that_is_not_an_instance(
    scribe: Any, node_id: str, function_id: str
) -> None:
    code, text = status(AGENT, FUNCTION + "Stop", scribe.instance(1, node_id, function_id))
    assert code == "invalid_argument"
    assert "instance_id" in text


def test_ids_of_the_other_variant_are_told_apart(scribe: Any) -> None:
    logical = scribe.block(2, scribe.text(1, A))
    physical = scribe.instance(1, A, A)
    assert status(AGENT, FUNCTION + "Stop", logical) == (
        "invalid_argument",
        "Bad request: Wrong Type",
    )
    assert status(ORCHESTRATOR, RESOURCE + "Stop", physical)[1].endswith("Wrong Type")
    assert status(AGENT, FUNCTION + "Stop", b"")[1].endswith("Missing Id")


def test_a_physical_id_is_not_sent_as_a_logical_one(scribe: Any) -> None:
    physical: InstanceId = AGENT.decode_request(FUNCTION + "Stop", scribe.instance(1, A, A))
    with pytest.raises(RejectedError, match="not a logical id"):
        ORCHESTRATOR.encode_request(FUNCTION + "Stop", physical)


def test_one_entry_that_cannot_be_read_refuses_a_patch(scribe: Any) -> None:
    """EDGELESS drops it (defect U27)."""
    payload = scribe.text(1, A) + scribe.block(3, scribe.text(1, "out"), scribe.instance(2, A, "x"))
    assert "output_mapping.'out'.function_id" in fault(AGENT, FUNCTION + "Patch", payload)


def test_a_function_of_a_workflow_without_a_class_refuses_the_workflow(scribe: Any) -> None:
    """EDGELESS drops it and starts the rest (defect U27)."""
    assert fault(AGENT, WORKFLOWS + "Start", scribe.block(1, scribe.text(1, "f"))) == (
        "class_spec: missing"
    )


def test_a_start_that_cannot_be_read_is_answered_in_its_reply(scribe: Any) -> None:
    for path, payload, summary in (
        (FUNCTION + "Start", scribe.text(5, A), "Invalid function instance creation request"),
        (RESOURCE + "Start", scribe.text(3, A), "Invalid resource specification"),
        (WORKFLOWS + "Start", scribe.block(1), "Invalid request"),
    ):
        with pytest.raises(MalformedRequestError) as caught:
            AGENT.decode_request(path, payload)
        reply = AGENT.encode_refusal(path, caught.value)
        with pytest.raises(RejectedError) as told:
            AGENT.decode_reply(path, reply)
        assert told.value.summary == summary
        assert told.value.detail


def test_texts_of_statuses_are_those_of_edgeless(scribe: Any) -> None:
    assert status(AGENT, NODES, scribe.text(2, "x"))[1].startswith(
        "Error when parsing an UpdateNodeRequest message: node_id"
    )
    assert status(AGENT, DOMAINS, scribe.text(10, "edge") + scribe.double(1002, -1.0))[1] == (
        "Error when parsing an UpdateDomainRequest message: ttl_s: -1.0 is not a duration"
    )
    assert status(AGENT, WORKFLOWS + "Inspect", b"") == (
        "internal",
        "Internal error when inspecting a workflow: workflow_id: '' is not a UUID",
    )


@pytest.mark.parametrize("provider", [(1, "id"), (2, "class")])
def test_a_provider_without_id_or_class_refuses_the_node(
    scribe: Any, provider: tuple[int, str]
) -> None:
    payload = scribe.text(2, A) + scribe.block(5, scribe.text(*provider))
    assert "empty provider_id or class_type" in fault(AGENT, NODES, payload)


def test_a_node_that_says_nothing_of_itself_offers_nothing(scribe: Any) -> None:
    request = AGENT.decode_request(NODES, scribe.text(2, A))
    assert request.capabilities == NodeCapabilities()
    assert request.inventory is None


@pytest.mark.parametrize("node_id", [NIL, NODE_NONE])
def test_a_node_that_is_none_does_not_register(scribe: Any, node_id: str) -> None:
    assert "is not the id of a node" in fault(AGENT, NODES, scribe.text(2, node_id))


@pytest.mark.parametrize(
    ("deadline_s", "ttl_s"),
    [
        (0, 1.0),
        (NOW_S - 10, 1.0),
        (NOW_S, 1.0),
        (NOW_S + 20, 20.0),
        (NOW_S + 3_153_600_000, 3600.0),
        (2**64 - 1, 3600.0),
    ],
)
def test_a_deadline_of_edgeless_lasts_from_a_second_to_an_hour(
    scribe: Any, deadline_s: int, ttl_s: float
) -> None:
    """B59: 0, past, in 100 years."""
    payload = scribe.text(2, A) + scribe.number(10, deadline_s)
    assert AGENT.decode_request(NODES, payload).ttl_s == ttl_s


@pytest.mark.parametrize("ahead_s", [-3_600, 0, 3_600])
def test_a_duration_is_the_same_whatever_the_two_calendars_say(scribe: Any, ahead_s: int) -> None:
    """Between programs of ours the sender's calendar does not count (defect U06)."""
    deadline = scribe.number(10, NOW_S + ahead_s + 20)
    payload = scribe.text(2, A) + deadline + scribe.double(1003, 20.0)
    assert AGENT.decode_request(NODES, payload).ttl_s == 20.0


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_duration_that_is_none_is_refused(scribe: Any, ttl_s: float) -> None:
    payload = scribe.text(2, A) + scribe.double(1003, ttl_s)
    assert "ttl_s" in fault(AGENT, NODES, payload)


@pytest.mark.parametrize("clock_mhz", [float("nan"), float("inf"), -1.0])
def test_impossible_capabilities_reach_their_judge(scribe: Any, clock_mhz: float) -> None:
    """B60: the wire carries them, registration refuses them."""
    payload = scribe.text(2, A) + scribe.block(6, scribe.single(12, clock_mhz))
    request = AGENT.decode_request(NODES, payload)
    with pytest.raises(RejectedError, match="clock_freq_cpu"):
        request.capabilities.validated()


def test_peers_without_what_they_need_are_refused(scribe: Any) -> None:
    assert fault(AGENT, PEERS, scribe.text(3, "http://n:1")).startswith("node_id")
    assert fault(AGENT, PEERS, scribe.text(2, A)) == "invocation_url: missing"
    assert fault(AGENT, PEERS, scribe.number(1, 3)) == "request_type: 3 is unknown"


def test_an_unknown_state_policy_is_transient(scribe: Any) -> None:
    payload = (
        scribe.block(2)
        + scribe.block(4, scribe.text(1, A), scribe.number(2, 17))
        + scribe.text(5, A)
    )
    request = AGENT.decode_request(FUNCTION + "Start", payload)
    assert request.state_specification.policy == "Transient"


def test_no_refusal_shows_code_or_payload(scribe: Any) -> None:
    """EDGELESS's own text is the whole request (defect U29)."""
    secret = "canary-7f3a"
    code = scribe.text(1, "f") + scribe.text(4, secret) + scribe.text(5, secret)
    payload = (
        scribe.block(2, code)
        + scribe.entry(3, "init-payload", secret)
        + scribe.block(4, scribe.text(1, "x"))
        + scribe.text(5, A)
    )
    assert secret not in fault(AGENT, FUNCTION + "Start", payload)
