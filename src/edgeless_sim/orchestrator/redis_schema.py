"""Keys and values of the mirror in a Redis, as EDGELESS has them (spec 7.1, 7.2). Pure.

Names of others go into keys: what could end a part of a key, or be a pattern, is written as in a
URL (``%3A``), so that ordinary names look as in EDGELESS and others do no harm (reliability S17).
Not here: the server (`redis_proxy`).
"""

import re
from collections.abc import Callable, Mapping
from struct import error as StructError  # noqa: N812 - it is named like a function
from struct import pack, unpack
from typing import Any, Final, NoReturn
from urllib.parse import unquote

import msgspec

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import (
    FUNCTION_ID_NONE,
    NODE_ID_NONE,
    FunctionId,
    InstanceId,
    LogicalId,
    NodeId,
    parse_uuid,
)
from edgeless_sim.model.intent import Cordon, Intent, Migrate, Uncordon
from edgeless_sim.model.mirror import LAST_UPDATES, MirroredComponent, Point
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus, plain_decimal
from edgeless_sim.model.resource import ResourceProviderSpecification

__all__ = [
    "DOMAIN_KEY",
    "INTENTS_KEY",
    "INTENT_PREFIX",
    "PATTERNS",
    "capabilities_json",
    "capabilities_key",
    "decoded",
    "dependency_json",
    "dependency_key",
    "encoded",
    "health_json",
    "health_key",
    "instance_json",
    "instance_key",
    "is_update_key",
    "parse_intent",
    "point_member",
    "provider_json",
    "provider_key",
    "series_key",
    "stamp",
    "update_key",
]

DOMAIN_KEY: Final = "domain_info:domain_id"
INTENTS_KEY: Final = "intents"
INTENT_PREFIX: Final = "intent:"
#: Which keys a mirror may have; for SCAN.
PATTERNS: Final = (
    "node:capabilities:*",
    "node:health:*",
    "provider:*",
    "instance:*",
    "dependency:*",
    "performance:*",
)

_RISKY: Final = re.compile(r"[%:*?\[\]\\\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UPDATE_KEYS: Final = frozenset(f"{part}:last_update" for part in LAST_UPDATES)
_NOWHERE: Final = InstanceId(NODE_ID_NONE, FUNCTION_ID_NONE)
_JSON: Final = msgspec.json.Encoder()
_INTENT_CHARS_MAX: Final = 64 * 1024
_TARGETS_MAX: Final = 1_024


# Keys.


def encoded(name: str) -> str:
    """*name* as one part of a key."""
    return _RISKY.sub(_percent, name)


def decoded(part: str) -> str:
    """The name that `encoded` made *part* of."""
    return unquote(part)


def capabilities_key(node_id: NodeId) -> str:
    """String: what a node offers."""
    return f"node:capabilities:{node_id}"


def health_key(node_id: NodeId) -> str:
    """Sorted set: how a node fares, by time."""
    return f"node:health:{node_id}"


def provider_key(provider_id: str) -> str:
    """String: a resource provider."""
    return f"provider:{encoded(provider_id)}"


def instance_key(logical_id: LogicalId) -> str:
    """String: a component and where it runs."""
    return f"instance:{logical_id}"


def dependency_key(logical_id: LogicalId) -> str:
    """String: where the outputs of a component lead; absent without any."""
    return f"dependency:{logical_id}"


def series_key(function_id: FunctionId, name: str) -> str:
    """Sorted set: measurements of an instance, or lines of its log, by time."""
    return f"performance:{function_id}:{encoded(name)}"


def update_key(part: str) -> str:
    """String: when that one of `LAST_UPDATES` changed last."""
    return f"{part}:last_update"


def is_update_key(key: str) -> bool:
    """Whether it is one of `update_key`."""
    return key in _UPDATE_KEYS


# Values.


def capabilities_json(capabilities: NodeCapabilities) -> bytes:
    """The value at a `capabilities_key`; the clock is a number of single precision there."""
    shown = msgspec.structs.asdict(capabilities)
    shown["clock_freq_cpu"] = _single(capabilities.clock_freq_cpu)
    return _JSON.encode(shown)


def health_json(health: NodeHealthStatus) -> bytes:
    """A member at a `health_key`."""
    return _JSON.encode(health)


def provider_json(node_id: NodeId, provider: ResourceProviderSpecification) -> bytes:
    """The value at a `provider_key`."""
    return _JSON.encode(
        {
            "class_type": provider.class_type,
            "node_id": str(node_id),
            "outputs": provider.outputs,
        }
    )


def instance_json(component: MirroredComponent) -> bytes:
    """The value at an `instance_key`."""
    shown: dict[str, Any]
    if component.function is not None:
        shown = {"Function": [component.asked(), [str(each) for each in component.instances]]}
    else:
        place = component.instances[0] if component.instances else _NOWHERE
        shown = {"Resource": [component.asked(), str(place)]}
    return _JSON.encode(shown)


def dependency_json(outputs: Mapping[str, LogicalId]) -> bytes:
    """The value at a `dependency_key`."""
    return _JSON.encode({channel: str(target) for channel, target in outputs.items()})


def stamp(time_s: float) -> str:
    """A time as EDGELESS writes it; also the score of a member."""
    return plain_decimal(time_s)


def point_member(point: Point) -> str:
    """A member at a `series_key`; its score is the time."""
    value = point.value if isinstance(point.value, str) else plain_decimal(point.value)
    return f"{stamp(point.time_s)}:{value}"


# Intents.


def parse_intent(
    key: bytes, value: bytes | None, find_node: Callable[[str], NodeId | None]
) -> Intent:
    """What stands at *key* in the form of spec 7.2; nodes may be named instead of their ids.

    Raise `RejectedError` that says what is wrong with it. Targets that nobody knows are passed over
    unless there is no other.
    """
    name = _text(key, "key")
    kind, _, subject = name.removeprefix(INTENT_PREFIX).partition(":")
    if not name.startswith(INTENT_PREFIX) or kind not in ("migrate", "cordon") or not subject:
        _refuse(name, "write intent:migrate:COMPONENT or intent:cordon:NODE")
    if value is None:
        _refuse(name, "there is nothing at this key: SET it before the RPUSH")
    text = _text(value, "value")
    if kind == "cordon":
        node_id = _node(subject, find_node)
        if node_id is None:
            _refuse(name, "unknown node")
        if text not in ("yes", "no"):
            _refuse(name, f"{quoted(text)} is neither yes nor no")
        return Cordon(node_id) if text == "yes" else Uncordon(node_id)
    try:
        component = LogicalId(parse_uuid(subject))
    except ValueError:
        _refuse(name, f"{quoted(subject)} is no id of a component")
    named = [item.strip() for item in text.split(",") if item.strip()]
    if len(named) > _TARGETS_MAX:
        _refuse(name, f"{len(named)} targets, at most {_TARGETS_MAX}")
    targets = tuple(found for item in named if (found := _node(item, find_node)) is not None)
    if named and not targets:
        _refuse(name, f"unknown node: {quoted(named[0])}")
    return Migrate(component, targets)


# Inside.


def _text(raw: bytes, what: str) -> str:
    if len(raw) > _INTENT_CHARS_MAX:
        _refuse("", f"the {what} has {len(raw)} bytes, at most {_INTENT_CHARS_MAX}")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        _refuse("", f"the {what} is no text: {raw[:32]!r}")


def _node(name: str, find_node: Callable[[str], NodeId | None]) -> NodeId | None:
    try:
        return NodeId(parse_uuid(name))
    except ValueError:
        return find_node(name)


def _refuse(key: str, reason: str) -> NoReturn:
    raise RejectedError("malformed intent", clipped(f"{quoted(key)}: {reason}" if key else reason))


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def _single(value: float) -> float:
    """*value* with the fewest digits that are the same number in single precision.

    EDGELESS's nodes send such numbers: 2799.9 arrives as 2799.89990234375.
    """
    try:
        single = unpack("f", pack("f", value))[0]
    except (OverflowError, StructError):
        return value
    if single != value:
        return value
    return next(
        short
        for digits in range(6, 10)
        if unpack("f", pack("f", short := float(f"{value:.{digits}g}")))[0] == single
    )
