"""Deployment requirements: what a component asks of the node that hosts it (spec 2.3).

Read from the annotations of a function or the configuration of a resource. Fails closed: a
requirement that cannot be understood is refused, never dropped, because a dropped one would put
the component on a node that its author ruled out. Not here: whether a node meets them.
"""

import re
from collections.abc import Mapping
from typing import Final, NoReturn

import msgspec

from edgeless_sim.errors import WorkflowSpecError
from edgeless_sim.model.ids import parse_uuid
from edgeless_sim.model.names import clipped, looks_like_node_name, name_fault, quoted

__all__ = [
    "INIT_PAYLOAD",
    "REQUIREMENT_ITEMS_MAX",
    "REQUIREMENT_KEYS",
    "DeploymentRequirements",
    "parse_requirements",
]

#: The annotation whose text a function gets in its ``handle_init``.
INIT_PAYLOAD: Final = "init-payload"
REQUIREMENT_KEYS: Final = (
    "label_match_all",
    "max_instances",
    "node_id_match_any",
    "resource_match_all",
    "tee",
    "tpm",
)
#: Most items of one list.
REQUIREMENT_ITEMS_MAX: Final = 1_024
_MAX_INSTANCES_MAX: Final = (1 << 32) - 1
_UUID_GROUPS: Final = (8, 4, 4, 4, 12)
_ASCII_INTEGER: Final = re.compile(r"[0-9]{1,10}")
_AFFINITIES: Final = {"required": True, "not-required": False}


class DeploymentRequirements(msgspec.Struct, frozen=True):
    """All of these must hold; the default asks for nothing."""

    max_instances: int = 0
    """Most instances of a function, each on a node of its own; 0 = not said, which is one."""
    nodes: tuple[str, ...] = ()
    """Ids (lower case) or names of nodes, one of which it must be; empty = any."""
    labels: tuple[str, ...] = ()
    """Labels that the node must have."""
    providers: tuple[str, ...] = ()
    """Ids of resource providers that the node must host."""
    tee_required: bool = False
    tpm_required: bool = False


def parse_requirements(annotations: Mapping[str, str]) -> DeploymentRequirements:
    """The requirements in *annotations*; other keys are ignored.

    Raise `WorkflowSpecError`, naming the key, for a value that cannot be understood.
    """
    return DeploymentRequirements(
        max_instances=_integer("max_instances", annotations.get("max_instances", "0")),
        nodes=_nodes("node_id_match_any", annotations.get("node_id_match_any")),
        labels=_names("label_match_all", annotations.get("label_match_all", "")),
        providers=_names("resource_match_all", annotations.get("resource_match_all", "")),
        tee_required=_affinity("tee", annotations.get("tee", "not-required")),
        tpm_required=_affinity("tpm", annotations.get("tpm", "not-required")),
    )


def _integer(key: str, value: str) -> int:
    if not _ASCII_INTEGER.fullmatch(value) or int(value) > _MAX_INSTANCES_MAX:
        _refuse(key, f"{quoted(value)} is not an integer from 0 to {_MAX_INSTANCES_MAX}")
    return int(value)


def _nodes(key: str, value: str | None) -> tuple[str, ...]:
    return () if value is None else tuple(_node(key, item) for item in _items(key, value))


def _node(key: str, item: str) -> str:
    if _meant_as_uuid(item):
        try:
            return str(parse_uuid(item))
        except ValueError as cause:
            _refuse(key, str(cause))
    if not looks_like_node_name(item):
        _refuse(key, f"{quoted(item)} is neither the id nor the name of a node")
    return item


def _meant_as_uuid(item: str) -> bool:
    """Whether *item* is a UUID or so near to one that a typing error is likelier than a name."""
    digits = item.replace("-", "")
    if not (28 <= len(digits) <= 36 and digits.isalnum()):
        return False
    lengths = [len(group) for group in item.split("-")]
    like_groups = len(lengths) == len(_UUID_GROUPS) and (
        sum(length == right for length, right in zip(lengths, _UUID_GROUPS, strict=True)) >= 4
    )
    return like_groups or all(c in "0123456789abcdefABCDEF" for c in digits)


def _names(key: str, value: str) -> tuple[str, ...]:
    # Splitting "" gives one empty name, which no node has; nobody who writes "" means that.
    if not value:
        return ()
    items = _items(key, value)
    for item in items:
        fault = name_fault(item)
        if fault:
            _refuse(key, f"the item {quoted(item)}: {fault}")
    return items


def _items(key: str, value: str) -> tuple[str, ...]:
    items = tuple(value.split(","))
    if len(items) > REQUIREMENT_ITEMS_MAX:
        _refuse(key, f"{len(items)} items, at most {REQUIREMENT_ITEMS_MAX}")
    return items


def _affinity(key: str, value: str) -> bool:
    found = _AFFINITIES.get(value.lower())
    if found is None:
        _refuse(key, f"{quoted(value)} is neither 'required' nor 'not-required'")
    return found


def _refuse(key: str, reason: str) -> NoReturn:
    raise WorkflowSpecError(clipped(f"{key}: {reason}")) from None
