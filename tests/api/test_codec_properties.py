"""Every message survives the wire, and no bytes do harm."""

import dataclasses
import enum
import types
import typing
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeless_sim.api import messages
from edgeless_sim.api.codec import (
    MsgpackCodec,
    decode_event,
    decode_reply,
    encode_event,
    encode_result,
)
from edgeless_sim.api.methods import METHODS
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.event import Event
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.mirror import MirroredComponent
from edgeless_sim.model.resource import ResourceInstanceSpecification

CODEC = MsgpackCodec()

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=10),
    bytes: st.binary(max_size=10),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    UUID: st.uuids(),
    types.NoneType: st.none(),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type that a message may be made of."""
    if kind in PLAIN:
        return PLAIN[kind]
    if isinstance(kind, typing.NewType):
        return values_of(kind.__supertype__)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        assert args[1:] == (...,), kind
        return st.lists(values_of(args[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(values_of(args[0]), values_of(args[1]), max_size=3)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([values_of(arg) for arg in args])
    if issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    assert issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind), kind
    fields = {name: values_of(hint) for name, hint in typing.get_type_hints(kind).items()}
    if kind is MirroredComponent:
        return a_function_or_a_resource(fields)
    return st.builds(kind, **fields)


def a_function_or_a_resource(fields: dict[str, Any]) -> st.SearchStrategy[MirroredComponent]:
    function = {**fields, "function": values_of(SpawnFunctionRequest), "resource": st.none()}
    resource = {
        **fields,
        "function": st.none(),
        "resource": values_of(ResourceInstanceSpecification),
    }
    return st.builds(MirroredComponent, **function) | st.builds(MirroredComponent, **resource)


def message_types() -> dict[str, Any]:
    """All types that travel alone, by name."""
    kinds: dict[str, Any] = {
        f"{service}.{name} request": method.request
        for service, methods in METHODS.items()
        for name, method in methods.items()
    }
    for name in messages.__all__:
        kinds[name] = getattr(messages, name)
    kinds["list of workflows"] = tuple[messages.WorkflowStatus, ...]
    kinds["domains"] = dict[str, DomainCapabilities]
    return {name: kind if kind is not None else types.NoneType for name, kind in kinds.items()}


KINDS = message_types()
each_kind = pytest.mark.parametrize("kind", list(KINDS.values()), ids=list(KINDS))


@each_kind
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_message_reads_back_as_it_was_written(kind: Any, data: st.DataObject) -> None:
    message = data.draw(values_of(kind))
    payload = CODEC.encode(message)
    assert CODEC.decode(payload, kind) == message
    assert decode_reply(CODEC, encode_result(CODEC, message), kind) == message
    # The same value, the same bytes: journals and digests may depend on it.
    assert CODEC.encode(CODEC.decode(payload, kind)) == payload


@each_kind
@given(data=st.data())
@settings(max_examples=3, deadline=None)
def test_a_message_cut_at_any_byte_is_rejected(kind: Any, data: st.DataObject) -> None:
    payload = CODEC.encode(data.draw(values_of(kind)))
    for length in range(len(payload)):
        with pytest.raises(RejectedError, match="malformed message"):
            CODEC.decode(payload[:length], kind)


def decoded(payload: bytes, kind: Any) -> Any:
    """The message, or its rejection; any other exception fails the test."""
    try:
        return CODEC.decode(payload, kind)
    except RejectedError as error:
        return error


def is_message_or_rejection(result: Any, kind: Any) -> bool:
    if isinstance(result, RejectedError):
        return result.summary == "malformed message" and len(result.detail or "") <= 512
    # As bytes, since not a number does not even equal itself.
    payload = CODEC.encode(result)
    return CODEC.encode(CODEC.decode(payload, kind)) == payload


@each_kind
@given(payload=st.binary(max_size=60))
@settings(max_examples=20, deadline=None)
def test_of_any_bytes_come_a_message_or_a_rejection(kind: Any, payload: bytes) -> None:
    assert is_message_or_rejection(decoded(payload, kind), kind)


@each_kind
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_of_a_damaged_message_come_a_message_or_a_rejection(kind: Any, data: st.DataObject) -> None:
    payload = bytearray(CODEC.encode(data.draw(values_of(kind))))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    assert is_message_or_rejection(decoded(bytes(payload), kind), kind)


@given(payload=st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_of_any_reply_come_a_result_or_a_refusal(payload: bytes) -> None:
    try:
        reply = decode_reply(CODEC, payload, messages.StopReply)
    except RejectedError:
        return
    assert isinstance(reply, messages.StopReply)


def test_deep_nesting_in_an_unknown_field_is_rejected() -> None:
    nested = b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(RejectedError, match="malformed message"):
        CODEC.decode(b"\x81\xa7unknown" + nested, messages.StopReply)


EVENT = Event(1, b"t" * 32, b"s" * 32, 0, "payload ε", 1_500_000_000, bytes(24), 17)


def test_an_event_reads_back_as_it_was_written() -> None:
    assert decode_event(encode_event(EVENT)) == EVENT


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_any_event_reads_back_as_it_was_written(data: st.DataObject) -> None:
    event = data.draw(values_of(Event))
    assert decode_event(encode_event(event)) == event


def test_an_event_cut_at_any_byte_is_an_error_that_the_data_plane_counts() -> None:
    payload = encode_event(EVENT)
    for length in range(len(payload)):
        with pytest.raises(msgspec.DecodeError):
            decode_event(payload[:length])


def test_deep_nesting_behind_an_event_is_an_error_that_the_data_plane_counts() -> None:
    payload = encode_event(EVENT)
    with pytest.raises(msgspec.DecodeError):
        decode_event(b"\x99" + payload[1:] + b"\x91" * 100_000 + b"\xc0")


@given(payload=st.binary(max_size=150))
@settings(max_examples=200, deadline=None)
def test_of_any_bytes_come_an_event_or_an_error_that_the_data_plane_counts(payload: bytes) -> None:
    try:
        event = decode_event(payload)
    except (msgspec.DecodeError, ValueError):
        return
    assert isinstance(event, Event)
