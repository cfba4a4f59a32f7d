"""Identifiers: distinct types for distinct things, so that one cannot slip in for another.

Inside the data plane an instance is its 32-byte key (node id, then function id); everywhere else
it is an `InstanceId`. The "none" constants are EDGELESS's (spec 0.2).
"""

import re
from dataclasses import dataclass
from typing import Final, NewType
from uuid import UUID

__all__ = [
    "FUNCTION_ID_NONE",
    "NODE_ID_NONE",
    "WORKFLOW_ID_NONE",
    "DomainId",
    "FunctionId",
    "InstanceId",
    "InstanceKey",
    "LogicalId",
    "NodeId",
    "WorkflowId",
    "parse_uuid",
]

NodeId = NewType("NodeId", UUID)
#: The second half of a physical id.
FunctionId = NewType("FunctionId", UUID)
#: A component within its domain; stays when the instance moves (spec 0.2, LID).
LogicalId = NewType("LogicalId", UUID)
WorkflowId = NewType("WorkflowId", UUID)
#: A free, non-empty text.
DomainId = NewType("DomainId", str)
#: 16 bytes of node id, then 16 bytes of function id: the data plane's form of an `InstanceId`.
InstanceKey = NewType("InstanceKey", bytes)

NODE_ID_NONE: Final = NodeId(UUID("00000000-0000-0000-0000-fffe00000000"))
FUNCTION_ID_NONE: Final = FunctionId(UUID("00000000-0000-0000-0000-fffd00000000"))
WORKFLOW_ID_NONE: Final = WorkflowId(UUID("00000000-0000-0000-0000-ffff00000000"))

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True, order=True)
class InstanceId:
    """A physical id (PID): which node, and which instance on it."""

    node_id: NodeId
    function_id: FunctionId

    @property
    def key(self) -> InstanceKey:
        """The 32-byte form used inside the data plane."""
        return InstanceKey(self.node_id.bytes + self.function_id.bytes)

    @classmethod
    def from_key(cls, key: bytes) -> "InstanceId":
        """Read the 32-byte form; raise ValueError for another length."""
        if len(key) != 32:
            raise ValueError(f"an instance key has 32 bytes, not {len(key)}")
        return cls(NodeId(UUID(bytes=key[:16])), FunctionId(UUID(bytes=key[16:])))

    def __str__(self) -> str:
        """EDGELESS's text form, as it stands in Redis and file-log lines (spec 0.2)."""
        return f"InstanceId(node_id: {self.node_id}, function_id: {self.function_id})"


def parse_uuid(text: str) -> UUID:
    """Read a UUID written 8-4-4-4-12 in ASCII hexadecimal; raise ValueError for any other form.

    `uuid.UUID` also takes braces, ``urn:uuid:`` and full-width digits, which a typing error in a
    requirement must not become (reliability B18).
    """
    if _UUID.fullmatch(text) is None:
        raise ValueError(f"not a UUID (8-4-4-4-12 hexadecimal digits): {text[:64]!r}")
    return UUID(text)
