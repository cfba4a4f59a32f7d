"""Resources, intents, the table of differences, and identifiers."""

from dataclasses import fields
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.compat import COMPAT, STRICT, Profile, compatibility
from edgeless_sim.model.event import Target
from edgeless_sim.model.ids import (
    FunctionId,
    InstanceId,
    LogicalId,
    NodeId,
    WorkflowId,
    parse_uuid,
)
from edgeless_sim.model.intent import Cordon, Intent, Migrate, Uncordon
from edgeless_sim.model.resource import (
    ResourceInstanceSpecification,
    ResourceProviderSpecification,
    validated_providers,
)

A = UUID("fda6ce79-46df-4f96-a0d2-456f720f606c")
B = UUID("0d1a0ce3-7d2a-4b9e-8f5c-3a2b1c0d9e8f")


def test_a_resource_request_survives_the_wire() -> None:
    pid = InstanceId(NodeId(A), FunctionId(B))
    request = ResourceInstanceSpecification(
        class_type="file-log",
        configuration={"filename": "a.log"},
        workflow_id=WorkflowId(A),
        name="log",
        instance_id=pid,
        output_mapping={"out": Target(pid, "memory://node/edge/0")},
        generation=3,
        provider_id="file-log-1",
    )
    wire = msgspec.msgpack.encode(request)
    assert msgspec.msgpack.decode(wire, type=ResourceInstanceSpecification) == request


def test_intents_are_told_apart_on_the_wire() -> None:
    intents: list[Intent] = [
        Migrate(LogicalId(A), (NodeId(B),)),
        Cordon(NodeId(A)),
        Uncordon(NodeId(A)),
    ]
    wire = msgspec.msgpack.encode(intents)
    assert msgspec.msgpack.decode(wire, type=list[Intent]) == intents


def test_providers_with_distinct_ids_are_accepted() -> None:
    providers = [
        ResourceProviderSpecification("a", "file-log"),
        ResourceProviderSpecification("b", "file-log", ("out",)),
    ]
    assert validated_providers(providers) == tuple(providers)


@pytest.mark.parametrize(
    ("providers", "detail"),
    [
        ([("a", "x", ()), ("a", "y", ())], "provider 'a' occurs twice"),
        ([("", "x", ())], "provider id '': it is empty"),
        ([("a", "", ())], "class type '': it is empty"),
        ([("a", "x", ("",))], "output '': it is empty"),
        ([("a", "x", ("o",) * 1001)], "provider 'a' has too many outputs"),
        ([(f"p{n}", "x", ()) for n in range(1001)], "1001 providers, at most 1000"),
    ],
)
def test_providers_that_nobody_can_have_are_rejected(
    providers: list[tuple[str, str, tuple[str, ...]]], detail: str
) -> None:
    with pytest.raises(RejectedError) as caught:
        validated_providers([ResourceProviderSpecification(*fields) for fields in providers])
    assert caught.value.summary == "invalid resource providers"
    assert caught.value.detail == detail


def test_the_profiles_differ_in_every_row_of_the_table() -> None:
    for field in fields(STRICT):
        assert getattr(STRICT, field.name) != getattr(COMPAT, field.name)


def test_a_profile_is_found_by_the_name_in_a_file() -> None:
    assert compatibility(Profile("strict")) is STRICT
    assert compatibility(Profile("compat")) is COMPAT


@pytest.mark.parametrize("text", [str(A), str(A).upper()])
def test_a_uuid_in_its_one_form_is_read(text: str) -> None:
    assert parse_uuid(text) == A


@pytest.mark.parametrize(
    "text", ["", f"urn:uuid:{A}", f"{{{A}}}", A.hex, f" {A}", str(A)[:-1] + "\uff11"]
)
def test_a_uuid_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a UUID"):
        parse_uuid(text)


def test_an_instance_key_is_read_back() -> None:
    pid = InstanceId(NodeId(A), FunctionId(B))
    assert InstanceId.from_key(pid.key) == pid
    assert pid.key == A.bytes + B.bytes
    with pytest.raises(ValueError, match="32 bytes"):
        InstanceId.from_key(pid.key[:-1])
