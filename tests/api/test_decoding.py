"""Frames of a capture are read by the name of their wire, and no bytes raise anything."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_sim.api.decoding import EVENT_FRAME, MSGPACK, PROTOBUF, FrameDecoder, wire_name
from edgeless_sim.api.messages import StopReply
from edgeless_sim.api.methods import BY_PATH
from edgeless_sim.api.protobuf import IdKind, Place, ProtobufWire
from edgeless_sim.api.services import HANDLE
from edgeless_sim.api.wire import OUR_WIRE
from edgeless_sim.errors import NoFeasibleNodeError, RejectedError
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId

STOP = "/edgeless_api.FunctionInstance/Stop"
DOMAIN = "/edgeless_api.DomainRegistration/UpdateDomain"
LOGICAL = InstanceId(NodeId(UUID(int=0)), FunctionId(UUID(int=5)))
PHYSICAL = InstanceId(NodeId(UUID(int=4)), FunctionId(UUID(int=5)))


@pytest.mark.parametrize(
    ("url", "method", "name"),
    [
        ("memory://con", STOP, MSGPACK),
        ("memory://node/edge/0", HANDLE, MSGPACK),
        ("node/edge/0", HANDLE, MSGPACK),
        ("tcp://h:1", STOP, MSGPACK),
        ("tcp://h:1", HANDLE, EVENT_FRAME),
        ("tls+tcp://h:1", HANDLE, EVENT_FRAME),
        ("http://h:1", STOP, PROTOBUF),
        ("https://h:1", HANDLE, PROTOBUF),
    ],
)
def test_the_wire_follows_from_url_and_method(url: str, method: str, name: str) -> None:
    assert wire_name(url, method) == name


@pytest.mark.parametrize(
    ("kind", "instance"), [(IdKind.LOGICAL, LOGICAL), (IdKind.PHYSICAL, PHYSICAL)]
)
def test_ids_are_read_whoever_spoke_to_whom(kind: IdKind, instance: InstanceId) -> None:
    payload = ProtobufWire(Place(unix_s=lambda: 0, ids=kind)).encode_request(STOP, instance)

    assert FrameDecoder().request(PROTOBUF, STOP, payload, 0).value == instance


def test_a_refusal_is_told_from_a_reply_that_cannot_be_read() -> None:
    decoder = FrameDecoder()
    refused = OUR_WIRE.encode_refusal(STOP, NoFeasibleNodeError("full", "all of them"))
    about_us = OUR_WIRE.encode_refusal(STOP, RejectedError("malformed message", "yours"))
    done = OUR_WIRE.encode_result(STOP, StopReply(3))

    assert decoder.reply(MSGPACK, STOP, done, 0).value == StopReply(3)
    said = decoder.reply(MSGPACK, STOP, refused, 0)
    assert (type(said.refusal), str(said.refusal)) == (
        NoFeasibleNodeError,
        "full [detail: all of them]",
    )
    assert str(decoder.reply(MSGPACK, STOP, about_us, 0).refusal) == (
        "malformed message [detail: yours]"
    )
    assert decoder.reply(MSGPACK, STOP, b"\x07", 0).fault
    assert decoder.reply(MSGPACK, STOP, b"", 0).fault


def test_a_calendar_deadline_counts_from_when_the_frame_was_sent() -> None:
    sent_s, epoch_s = 50, 1_700_000_000
    place = Place(unix_s=lambda: epoch_s + sent_s, ids=IdKind.LOGICAL)
    wire = ProtobufWire(place)
    request = msgspec.convert(
        {
            "domain_id": "edge",
            "orchestrator_url": "http://h:1",
            "capabilities": {},
            "ttl_s": 30.0,
            "counter": 1,
            "nonce": 2,
        },
        BY_PATH[DOMAIN].request,
    )
    from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb

    message = pb.UpdateDomainRequest.FromString(wire.encode_request(DOMAIN, request))
    # As EDGELESS's own ε-ORC sends it: no duration.
    message.ClearField("ttl_s")
    said = FrameDecoder(epoch_s * 10**9).request(
        PROTOBUF, DOMAIN, message.SerializeToString(), sent_s * 10**9
    )

    assert said.value.ttl_s == 30.0


@given(
    wire=st.sampled_from([MSGPACK, EVENT_FRAME, PROTOBUF, "", "smoke"]),
    method=st.sampled_from([HANDLE, "", "/a.B/C", *BY_PATH]),
    payload=st.binary(max_size=300),
    at_ns=st.integers(),
)
def test_no_bytes_raise_anything(wire: str, method: str, payload: bytes, at_ns: int) -> None:
    decoder = FrameDecoder()

    decoder.request(wire, method, payload, at_ns)
    decoder.reply(wire, method, payload, at_ns)
    assert decoder.refusal(wire, method, payload.hex(), "text").refusal is not None
