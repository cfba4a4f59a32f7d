"""How results and refusals are carried, and what is too much."""

import msgspec
import pytest

from edgeless_sim.api.codec import (
    MESSAGE_BYTES_MAX,
    MsgpackCodec,
    decode_reply,
    encode_refusal,
    encode_result,
)
from edgeless_sim.api.messages import StopReply, UpdateNodeResponse
from edgeless_sim.errors import (
    NoFeasibleDomainError,
    NoFeasibleNodeError,
    RejectedError,
    UnknownComponentError,
)

CODEC = MsgpackCodec()


def test_a_result_is_a_zero_and_the_value() -> None:
    assert encode_result(CODEC, StopReply(7)) == b"\x00\x81\xa8revision\x07"
    assert decode_reply(CODEC, b"\x00\x81\xa8revision\x07", StopReply) == StopReply(7)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (RejectedError, 0),
        (NoFeasibleDomainError, 1),
        (NoFeasibleNodeError, 2),
        (UnknownComponentError, 3),
    ],
)
def test_a_refusal_keeps_its_type_summary_and_detail(
    kind: type[RejectedError], number: int
) -> None:
    reply = encode_refusal(CODEC, kind("summary", "detail ε"))
    assert reply == b"\x01" + msgspec.msgpack.encode((number, "summary", "detail ε"))
    with pytest.raises(RejectedError) as caught:
        decode_reply(CODEC, reply, StopReply)
    assert type(caught.value) is kind
    assert (caught.value.summary, caught.value.detail) == ("summary", "detail ε")


def test_a_refusal_without_detail_arrives_without_one() -> None:
    with pytest.raises(RejectedError) as caught:
        decode_reply(CODEC, encode_refusal(CODEC, RejectedError("summary")), StopReply)
    assert caught.value.detail is None


def test_a_kind_of_refusal_of_our_own_arrives_as_a_plain_one() -> None:
    class LocalError(RejectedError):
        pass

    with pytest.raises(RejectedError, match="summary") as caught:
        decode_reply(CODEC, encode_refusal(CODEC, LocalError("summary")), StopReply)
    assert type(caught.value) is RejectedError


@pytest.mark.parametrize("number", [-1, 4, 2**63])
def test_an_unknown_kind_of_refusal_is_a_plain_one(number: int) -> None:
    reply = b"\x01" + msgspec.msgpack.encode((number, "summary", ""))
    with pytest.raises(RejectedError, match="summary") as caught:
        decode_reply(CODEC, reply, StopReply)
    assert type(caught.value) is RejectedError


@pytest.mark.parametrize("reply", [b"", b"\x02", b"\x00", b"\x01", b"\x01\x93\x00\xa1a", b"\xff"])
def test_a_malformed_reply_is_rejected(reply: bytes) -> None:
    with pytest.raises(RejectedError, match="malformed message"):
        decode_reply(CODEC, reply, StopReply)


def test_a_long_detail_is_cut() -> None:
    with pytest.raises(RejectedError) as caught:
        decode_reply(CODEC, encode_refusal(CODEC, RejectedError("s", "x" * 5000)), StopReply)
    assert caught.value.detail == "x" * 1024


def test_the_largest_message_passes_and_a_larger_one_does_not() -> None:
    # Five bytes say how long it is.
    largest = "x" * (MESSAGE_BYTES_MAX - 5)
    payload = CODEC.encode(largest)
    assert len(payload) == MESSAGE_BYTES_MAX == 16 * 1024 * 1024
    assert CODEC.decode(payload, str) == largest
    with pytest.raises(RejectedError, match="message too large"):
        CODEC.encode(largest + "x")
    with pytest.raises(RejectedError, match="message too large"):
        CODEC.decode(payload + b"x", str)


def test_unknown_fields_are_skipped_and_missing_ones_have_defaults() -> None:
    assert CODEC.decode(b"\x81\xa3new\x01", StopReply) == StopReply(0)
    assert CODEC.decode(b"\x80", UpdateNodeResponse) == UpdateNodeResponse(None)


@pytest.mark.parametrize("value", [True, "7", 7.5, None, [7]])
def test_a_value_of_another_type_is_rejected(value: object) -> None:
    payload = msgspec.msgpack.encode({"revision": value})
    with pytest.raises(RejectedError, match="malformed message"):
        CODEC.decode(payload, StopReply)
