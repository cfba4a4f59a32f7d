"""What pydantic found wrong with a TOML file, in words for the person who wrote it.

Which keys a table may have is read from the pydantic models themselves, so that a new table needs
no entry here.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.model.toml_places import TomlPath

__all__ = ["shape_faults"]

_EXPECTED: Final = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_type": "an integer",
    "model_attributes_type": "a table",
    "model_type": "a table",
    "string_type": "a text in quotes",
    "tuple_type": "an array",
}


def shape_faults(
    error: ValidationError, document: Mapping[str, Any], root: type[BaseModel]
) -> Iterator[tuple[TomlPath, str]]:
    """Path and reason of everything in *error*; *document* was validated against *root*."""
    for fault in error.errors(include_url=False, include_input=False):
        place = _Place(root, fault["loc"])
        yield (
            place.path,
            _reason(fault["type"], fault["msg"], fault.get("ctx", {}), place, document),
        )


class _Place:
    """Where pydantic's *loc* is in the TOML document, and what may stand there."""

    def __init__(self, root: type[BaseModel], loc: tuple[str | int, ...]) -> None:
        self.path: TomlPath = ()
        #: The table that the last key is in.
        self.table: type[BaseModel] | None = None
        self._shape: object = root
        for step in loc:
            self._enter(step)

    def alternatives(self) -> tuple[str, dict[str, type[BaseModel]]]:
        """The key that tells tables of several kinds apart, and the kinds by its values."""
        key, classes = _kinds(_bare(self._shape))
        return key, {get_args(each.model_fields[key].annotation)[0]: each for each in classes}

    def _enter(self, step: str | int) -> None:
        shape = _bare(self._shape)
        if isinstance(step, int):
            self.path = (*self.path, step)
            self._shape = next((part for part in get_args(shape) if part is not ...), None)
        elif isinstance(shape, type) and issubclass(shape, BaseModel):
            self.path = (*self.path, step)
            self.table = shape
            self._shape = _field(shape, step)
        elif _kinds(shape)[1]:
            # A tag of pydantic's, not a key of the document.
            self._shape = self.alternatives()[1].get(step)
        else:
            self.path = (*self.path, step)
            self.table = self._shape = None


def _bare(shape: object) -> object:
    """*shape* without what is annotated to it, and without None as an alternative."""
    while True:
        if isinstance(shape, FieldInfo):
            discriminated = isinstance(shape.discriminator, str)
            shape = Annotated[shape.annotation, shape] if discriminated else shape.annotation
        if get_origin(shape) is Annotated and not _kinds(shape)[1]:
            shape = get_args(shape)[0]
            continue
        if get_origin(shape) in (Union, UnionType) and type(None) in get_args(shape):
            shape = next(part for part in get_args(shape) if part is not type(None))
            continue
        return shape


def _kinds(shape: object) -> tuple[str, tuple[type[BaseModel], ...]]:
    if get_origin(shape) is Annotated:
        union, *extras = get_args(shape)
        for extra in extras:
            if isinstance(extra, FieldInfo) and isinstance(extra.discriminator, str):
                return extra.discriminator, get_args(union)
    return "", ()


def _field(table: type[BaseModel], key: str) -> FieldInfo | None:
    return next((f for name, f in table.model_fields.items() if (f.alias or name) == key), None)


def _reason(
    kind: str, message: str, context: Mapping[str, Any], place: _Place, document: Mapping[str, Any]
) -> str:
    key = str(place.path[-1]) if place.path else ""
    value = _value_at(document, place.path)
    if kind == "extra_forbidden":
        return f"unknown key {quoted(key)}{_hint(key, _keys(place.table))}"
    if kind == "missing":
        return f"the key {quoted(key)} is missing"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tag, alternatives = place.alternatives()
        if kind == "union_tag_not_found":
            return f"the key {quoted(tag)} is missing; known values: {', '.join(alternatives)}"
        wrong = str(context.get("tag", ""))
        return f"unknown {tag} = {quoted(wrong)}{_hint(wrong, alternatives)}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {_kind_of(value)}"
    words = message.removeprefix("Value error, ").replace("Input should", "it should")
    words = words[:1].lower() + words[1:]
    shown = f"{quoted(value)}: " if isinstance(value, str) else ""
    if isinstance(value, int | float) and abs(value) < 1e18:
        shown = f"{value}: "
    return shown + words


def _keys(table: type[BaseModel] | None) -> list[str]:
    if table is None:
        return []
    return [field.alias or name for name, field in table.model_fields.items()]


def _hint(wrong: str, known: Iterable[str]) -> str:
    names = list(known)
    return suggestion(wrong, names) or f"; known: {', '.join(names)}"


def _value_at(value: object, path: TomlPath) -> object:
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _kind_of(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int():
            return "a number"
        case float():
            # That it is no integer is what may be wrong with it.
            return f"the number {value}"
        case str():
            return f"the text {quoted(value)}"
        case list():
            return "an array"
        case Mapping():
            return "a table"
        case _:
            return "something else"
