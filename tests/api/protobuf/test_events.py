"""Events on EDGELESS's wire, and the messages of functions in containers, which have no codec."""

from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.api.protobuf import EVENT_BYTES_MAX, EventWire
from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.model.event import METADATA_ROOT, Event, EventType

A = "aaaaaaaa-0000-4000-8000-00000000000a"
B = "bbbbbbbb-0000-4000-8000-00000000000b"
KEY = UUID(A).bytes + UUID(B).bytes
NODE_NONE = "00000000-0000-0000-0000-fffe00000000"
FUNCTION_NONE = "00000000-0000-0000-0000-fffd00000000"
EPOCH_NS = 1_700_000_000_000_000_000

#: The fields of an event, by number; a test leaves one out or replaces it.
Fields = dict[int, bytes]


@pytest.fixture
def fields(scribe: Any) -> Fields:
    return {
        1: scribe.instance(1, A, B),
        2: scribe.instance(2, A, B),
        3: scribe.number(3, 9),
        4: scribe.block(4, scribe.number(1, 1), scribe.text(2, "hällo")),
        5: scribe.block(5, scribe.number(1, 1_700_000_000), scribe.number(2, 5)),
        6: scribe.block(6, scribe.block(1, bytes(16)), scribe.block(2, bytes(8))),
    }


def joined(fields: Fields) -> bytes:
    return b"".join(fields.values())


def event(**changes: Any) -> Event:
    values: dict[str, Any] = {
        "kind": 1,
        "target": KEY,
        "source": KEY,
        "stream": 9,
        "payload": "hällo",
        "created_ns": 5,
        "metadata": METADATA_ROOT,
        "serial": 0,
    }
    return Event(**values | changes)


def test_an_event_is_six_fields(fields: Fields) -> None:
    wire = EventWire(EPOCH_NS)
    assert wire.encode(event()) == joined(fields)
    assert wire.decode(joined(fields)) == event()


def test_the_number_in_the_journal_is_ours(scribe: Any, fields: Fields) -> None:
    payload = joined(fields) + scribe.number(1000, 77)
    assert EventWire(EPOCH_NS).encode(event(serial=77)) == payload
    assert EventWire(EPOCH_NS).decode(payload) == event(serial=77)


def test_returns_are_created_at_0(scribe: Any, fields: Fields) -> None:
    """D41."""
    fields[5] = scribe.block(5)
    assert EventWire(EPOCH_NS).encode(event(created_ns=0)) == joined(fields)
    assert EventWire(EPOCH_NS).decode(joined(fields)).created_ns == 0


@pytest.mark.parametrize(
    ("trace", "span"),
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 2),
        (0x42A42BDECAF00005, 0x42A42BDECAF00006),
        (2**128 - 1, 2**64 - 1),
    ],
)
def test_trace_and_span_are_bytes_in_the_order_of_the_network(
    scribe: Any, fields: Fields, trace: int, span: int
) -> None:
    """C066."""
    both = trace.to_bytes(16, "big"), span.to_bytes(8, "big")
    fields[6] = scribe.block(6, scribe.block(1, both[0]), scribe.block(2, both[1]))
    assert EventWire(EPOCH_NS).encode(event(metadata=b"".join(both))) == joined(fields)
    assert EventWire(EPOCH_NS).decode(joined(fields)).metadata == b"".join(both)


def test_an_unknown_type_is_an_error_event(scribe: Any, fields: Fields) -> None:
    """D40."""
    for number in (4, 5, 1_000_000, -1):
        fields[4] = scribe.block(4, scribe.number(1, number))
        assert EventWire().decode(joined(fields)).kind == EventType.ERR


def test_ids_may_be_none_and_written_in_other_ways(scribe: Any, fields: Fields) -> None:
    fields[2] = scribe.instance(2, NODE_NONE, FUNCTION_NONE)
    source = EventWire().decode(joined(fields)).source
    assert source == UUID(NODE_NONE).bytes + UUID(FUNCTION_NONE).bytes
    for form in (A.upper(), A.replace("-", ""), "{" + A + "}", "urn:uuid:" + A):
        fields[2] = scribe.instance(2, form, B)
        assert EventWire().decode(joined(fields)).source == KEY


@pytest.mark.parametrize("missing", [1, 2, 4, 5, 6])
def test_an_event_without_one_of_its_parts_is_refused(fields: Fields, missing: int) -> None:
    """B56; EDGELESS's own server panics (defect U25)."""
    del fields[missing]
    with pytest.raises(ValueError, match="missing"):
        EventWire().decode(joined(fields))


@pytest.mark.parametrize(("trace", "span"), [(15, 8), (17, 8), (16, 7), (16, 9), (0, 0)])
def test_metadata_of_another_length_is_refused(
    scribe: Any, fields: Fields, trace: int, span: int
) -> None:
    fields[6] = scribe.block(6, scribe.block(1, bytes(trace)), scribe.block(2, bytes(span)))
    with pytest.raises(ValueError, match="metadata"):
        EventWire().decode(joined(fields))


@pytest.mark.parametrize(
    ("secs", "nsecs"), [(0, 1_000_000_000), (-1, 0), (253_402_300_800, 0), (2**63 - 1, 0)]
)
def test_times_that_are_none_are_refused(
    scribe: Any, fields: Fields, secs: int, nsecs: int
) -> None:
    """B59: nanoseconds of a second and more, before 1970, in the year 10,000."""
    fields[5] = scribe.block(5, scribe.number(1, secs), scribe.number(2, nsecs))
    with pytest.raises(ValueError, match="created"):
        EventWire().decode(joined(fields))


@pytest.mark.parametrize("text", ["", "x", A[:-1], A + "0", A.replace("a", "ａ"), A + "\n"])
def test_ids_that_are_none_are_refused(scribe: Any, fields: Fields, text: str) -> None:
    """B58."""
    fields[1] = scribe.instance(1, text, B)
    with pytest.raises(ValueError, match="target"):
        EventWire().decode(joined(fields))


def test_a_payload_that_is_not_utf_8_is_refused(scribe: Any, fields: Fields) -> None:
    fields[4] = scribe.block(4, scribe.block(2, b"\xff"))
    # What the message says differs between versions of protobuf.
    with pytest.raises(ValueError):  # noqa: PT011 - see above
        EventWire().decode(joined(fields))


def test_an_event_beyond_4_mib_is_refused_at_both_ends(scribe: Any, fields: Fields) -> None:
    with pytest.raises(ValueError, match="at most 4194304"):
        EventWire(EPOCH_NS).encode(event(payload="x" * EVENT_BYTES_MAX))
    fields[4] = scribe.block(4, scribe.text(2, "x" * EVENT_BYTES_MAX))
    with pytest.raises(ValueError, match="at most 4194304"):
        EventWire().decode(joined(fields))


def test_numbers_that_the_wire_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="out of range"):
        EventWire().encode(event(stream=1 << 64))


def guest_messages(scribe: Any) -> dict[str, tuple[Any, bytes]]:
    ids = pb.InstanceId(node_id=A, function_id=B)
    none = pb.InstanceId(node_id=NODE_NONE, function_id=FUNCTION_NONE)
    metadata = pb.EventSerializedMetadata(trace_id=bytes(16), span_id=bytes(8))
    first = scribe.instance(1, A, B)
    second = scribe.instance(2, NODE_NONE, FUNCTION_NONE)
    meta = scribe.block(5, scribe.block(1, bytes(16)), scribe.block(2, bytes(8)))
    state = bytes([0, 42, 0, 42, 99])
    return {
        "C071": (
            pb.BootData(guest_api_host_endpoint="localhost:12345", instance_id=none),
            scribe.text(1, "localhost:12345") + second,
        ),
        "C072": (
            pb.FunctionInstanceInit(init_payload="p", serialized_state=state),
            scribe.text(1, "p") + scribe.block(10, state),
        ),
        "C073": (pb.InputEventData(src=ids, msg=b"m"), first + scribe.text(2, "m")),
        "C074": (
            pb.CallReturn(type=pb.CALL_RET_ERR, msg=b"m"),
            scribe.number(1, 2) + scribe.text(2, "m"),
        ),
        "C075": (
            pb.OutputEventData(originator=ids, alias="my-fun", msg=b"m"),
            first + scribe.text(2, "my-fun") + scribe.text(3, "m"),
        ),
        "C076": (
            pb.OutputEventDataRaw(originator=ids, dst=none, msg=b"m"),
            first + second + scribe.text(3, "m"),
        ),
        "C077": (
            pb.TelemetryLogEvent(originator=ids, log_level=pb.LOG_TRACE, target="t", msg="m"),
            first + scribe.number(2, 4) + scribe.text(3, "t") + scribe.text(4, "m"),
        ),
        "C078": (
            pb.DelayedEventData(originator=ids, alias="a", msg=b"m", delay=42, metadata=metadata),
            first + scribe.text(2, "a") + scribe.text(3, "m") + scribe.number(4, 42) + meta,
        ),
        "C079": (
            pb.SyncData(originator=ids, serialized_state=b"s"),
            first + scribe.text(2, "s"),
        ),
    }


@pytest.mark.parametrize("case", [f"C{number:03}" for number in range(71, 80)])
def test_messages_of_containers_have_their_bytes(scribe: Any, case: str) -> None:
    message, payload = guest_messages(scribe)[case]
    assert message.SerializeToString() == payload
    assert type(message).FromString(payload) == message
