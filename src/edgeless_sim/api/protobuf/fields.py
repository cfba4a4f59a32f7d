"""Fields that have the same names on both sides, and lists and maps that are not too long.

Not here: anything that knows what a message means.
"""

from collections.abc import Iterable, Mapping, Sized
from typing import Any, Final, TypeVar

import msgspec
from google.protobuf.message import Message

__all__ = [
    "ENTRIES_MAX",
    "flat_message",
    "flat_value",
    "read_list",
    "read_map",
    "require",
]

T = TypeVar("T")
MessageT = TypeVar("MessageT", bound=Message)
StructT = TypeVar("StructT", bound=msgspec.Struct)

#: Most entries of one repeated field: what must be copied one by one is counted first.
ENTRIES_MAX: Final = 100_000


def flat_message(kind: type[MessageT], value: msgspec.Struct) -> MessageT:
    """A message of that *kind* with the fields of *value*, which have the same names."""
    return kind(**msgspec.structs.asdict(value))


def flat_value(kind: type[StructT], message: Message) -> StructT:
    """A value of that *kind* with the fields of *message*, which have the same names."""
    fields: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        found = getattr(message, name)
        scalar = isinstance(found, int | float | str)
        fields[name] = found if scalar else read_list(name, found)
    return kind(**fields)


def read_list(where: str, found: Iterable[T]) -> tuple[T, ...]:
    """The entries of a repeated field; raise ValueError if they are too many."""
    _check_count(where, found)
    return tuple(found)


def read_map(where: str, found: Mapping[str, T]) -> dict[str, T]:
    """The entries of a map, sorted: on the wire they have no order."""
    _check_count(where, found)
    return dict(sorted(found.items()))


def require(message: Message, *names: str) -> None:
    """Raise ValueError unless the messages called *names* are all present in *message*."""
    for name in names:
        if not message.HasField(name):
            raise ValueError(f"{name}: missing")


def _check_count(where: str, found: object) -> None:
    assert isinstance(found, Sized)
    if len(found) > ENTRIES_MAX:
        raise ValueError(f"{where}: {len(found)} entries, at most {ENTRIES_MAX}")
