"""Identifiers as EDGELESS writes them: text in messages, one variant per role (spec 10.5).

Functions named ``read_...`` raise ValueError, naming the field and never its neighbours. Not here:
which component an identifier belongs to.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.model.ids import (
    FUNCTION_ID_NONE,
    NODE_ID_NONE,
    FunctionId,
    InstanceId,
    NodeId,
)
from edgeless_sim.model.names import quoted

__all__ = [
    "NIL",
    "IdKind",
    "Place",
    "instance_message",
    "read_instance",
    "read_node_id",
    "read_optional_instance",
    "read_uuid",
    "read_variant",
    "variant_message",
]

NIL: Final = NodeId(UUID(int=0))

_HYPHENATED: Final = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
#: The forms that EDGELESS's parser takes: hyphenated, URN, in braces, without hyphens.
_UUID: Final = re.compile(
    rf"(?:urn:uuid:)?({_HYPHENATED})|\{{({_HYPHENATED})\}}|([0-9a-fA-F]{{32}})"
)


class IdKind(Enum):
    """Which identifiers of instances a peer is spoken to with (spec 10.1)."""

    LOGICAL = "domain_managed_instance_id"
    """Between ε-CON and ε-ORC; the node half is all zeroes."""
    PHYSICAL = "instance_id"
    """Between ε-ORC and node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message is read or written, as far as that decides its form.

    ``unix_s`` tells the seconds since 1970: deadlines on this wire are calendar time. ``home``
    completes the half ids of patches that come from EDGELESS's own ε-ORC.
    """

    unix_s: Callable[[], float]
    ids: IdKind = IdKind.PHYSICAL
    home: NodeId = NIL


def read_uuid(where: str, text: str) -> UUID:
    """The UUID in *text*, in any form that EDGELESS takes."""
    found = _UUID.fullmatch(text)
    if found is None:
        raise ValueError(f"{where}: {quoted(text)} is not a UUID")
    return UUID(found[found.lastindex or 0])


def read_node_id(where: str, text: str) -> NodeId:
    """The id of one real node: neither nil nor "none"."""
    node_id = NodeId(read_uuid(where, text))
    if node_id in (NIL, NODE_ID_NONE):
        raise ValueError(f"{where}: {node_id} is not the id of a node")
    return node_id


def instance_message(instance: InstanceId) -> pb.InstanceId:
    """Both halves as text."""
    return pb.InstanceId(node_id=str(instance.node_id), function_id=str(instance.function_id))


def read_instance(where: str, message: pb.InstanceId) -> InstanceId:
    """Both halves; any UUIDs, for "none" and logical ids come in the same message."""
    return InstanceId(
        NodeId(read_uuid(f"{where}.node_id", message.node_id)),
        FunctionId(read_uuid(f"{where}.function_id", message.function_id)),
    )


def read_optional_instance(where: str, present: bool, message: pb.InstanceId) -> InstanceId | None:
    """None where the message is absent."""
    return read_instance(where, message) if present else None


def variant_message(kind: IdKind, instance: InstanceId) -> pb.InstanceIdVariant:
    """*instance* as peers of that *kind* know it; raise ValueError for an id of the other kind."""
    if kind is IdKind.PHYSICAL:
        return pb.InstanceIdVariant(instance_id=instance_message(instance))
    if instance.node_id != NIL:
        raise ValueError(f"{instance} is not a logical id: its node half is not zero")
    return pb.InstanceIdVariant(
        domain_managed_instance_id=pb.DomainManagedInstanceId(instance_id=str(instance.function_id))
    )


def read_variant(kind: IdKind, message: pb.InstanceIdVariant) -> InstanceId:
    """The id in *message*, which must be of that *kind* and belong to something."""
    found = message.WhichOneof("InstanceIdType")
    if found is None:
        raise ValueError("Missing Id")
    if found != kind.value:
        raise ValueError("Wrong Type")
    if kind is IdKind.LOGICAL:
        text = message.domain_managed_instance_id.instance_id
        instance = InstanceId(NIL, FunctionId(read_uuid("instance_id", text)))
    else:
        instance = read_instance("instance_id", message.instance_id)
        read_node_id("instance_id.node_id", message.instance_id.node_id)
    if instance.function_id in (NIL, FUNCTION_ID_NONE):
        raise ValueError(f"instance_id: {instance.function_id} is not the id of an instance")
    return instance
