"""Any message as a short text for people, or as JSON for programs.

In the short text ids are eight digits, binaries their size, and what has its default is left out.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final
from uuid import UUID

import msgspec

from edgeless_sim.model.event import UNPLACED, Event, EventType
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.report.logs import printable

__all__ = ["as_json", "brief", "size"]

_ITEMS_SHOWN: Final = 4
_TEXT_CHARS_SHOWN: Final = 40
_ID_DIGITS: Final = 8
#: Deeper values than any message has are not unfolded.
_DEPTH_MAX: Final = 8


def size(count: int) -> str:
    """A number of bytes, three digits: ``8.02 MB``."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            shown = count / factor
            return f"{shown:.0f} {unit}" if shown >= 100 else f"{shown:.3g} {unit}"
    return f"{count} B"


def brief(value: Any, chars_max: int) -> str:
    """*value* on one line of at most *chars_max* characters."""
    inner = _struct(value, 0)[1:-1] if isinstance(value, msgspec.Struct) else _any(value, 0)
    text = printable(_event(value) if isinstance(value, Event) else inner)
    return text if len(text) <= chars_max else f"{text[: chars_max - 1]}…"


def as_json(value: Any) -> Any:
    """*value* as what JSON has; binaries as base64, ids as text."""
    if isinstance(value, Event):
        return {
            "kind": _event_kind(value),
            "target": as_json(_instance(value.target)),
            "source": as_json(_instance(value.source)),
            "stream": value.stream,
            "payload": value.payload,
            "created_ns": value.created_ns,
            "metadata": value.metadata.hex(),
            "serial": value.serial,
        }
    return msgspec.to_builtins(value, str_keys=True)


def _any(value: Any, depth: int) -> str:
    if depth > _DEPTH_MAX:
        return "…"
    for kind, shown in _LEAVES.items():
        if isinstance(value, kind):
            return shown(value)
    if isinstance(value, msgspec.Struct):
        return _struct(value, depth)
    if isinstance(value, Mapping):
        pairs = (f"{_any(key, depth)}: {_any(value[key], depth + 1)}" for key in value)
        return f"{{{_some(pairs, len(value))}}}"
    if isinstance(value, tuple | list):
        return f"[{_some((_any(each, depth + 1) for each in value), len(value))}]"
    return str(value)


def _some(texts: Iterable[str], count: int) -> str:
    """The first of *texts*, and how many more there are."""
    shown = [text for _, text in zip(range(_ITEMS_SHOWN), texts, strict=False)]
    if count > _ITEMS_SHOWN:
        shown.append(f"+{count - _ITEMS_SHOWN}")
    return ", ".join(shown)


def _struct(value: msgspec.Struct, depth: int) -> str:
    parts = []
    for field in msgspec.structs.fields(value):
        found = getattr(value, field.name)
        if field.default is not msgspec.NODEFAULT and found == field.default:
            continue
        if not isinstance(found, bool | int | float | Enum) and not found:
            continue
        parts.append(f"{field.name}={_any(found, depth + 1)}")
    return f"{{{' '.join(parts)}}}"


def _text(value: str) -> str:
    text = value if len(value) <= _TEXT_CHARS_SHOWN else f"{value[: _TEXT_CHARS_SHOWN - 1]}…"
    plain = text and not any(char.isspace() or char in "{}[]=,'\"" for char in text)
    return text if plain else f"'{text}'"


def _id(instance: InstanceId) -> str:
    """Node and function half; a logical id has no node."""
    if instance == UNPLACED:
        return "nowhere"
    function = str(instance.function_id)[:_ID_DIGITS]
    if not instance.node_id.int:
        return function
    return f"{str(instance.node_id)[:_ID_DIGITS]}/{function}"


def _event(event: Event) -> str:
    stream = f" stream={event.stream}" if event.stream else ""
    ends = f"{_any(_instance(event.source), 0)} > {_any(_instance(event.target), 0)}"
    return f"{_event_kind(event)} {ends}{stream} {_text(event.payload)}"


def _event_kind(event: Event) -> str:
    try:
        return EventType(event.kind).name
    except ValueError:
        return str(event.kind)


def _instance(key: bytes) -> InstanceId | str:
    try:
        return InstanceId.from_key(key)
    except ValueError:
        return key.hex()


#: By type; the first that fits counts, and an enumeration may be a text, too.
_LEAVES: Final[dict[type, Callable[[Any], str]]] = {
    type(None): lambda _: "-",
    Enum: lambda value: str(value.value),
    UUID: lambda value: str(value)[:_ID_DIGITS],
    InstanceId: _id,
    bytes: lambda value: f"<{size(len(value))}>",
    str: _text,
    float: lambda value: f"{value:g}",
}
