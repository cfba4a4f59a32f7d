"""What pydantic found wrong with a scenario, in words for the person who wrote it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.scenario.expectations import Expectation
from edgeless_sim.scenario.model import Domain, Link, Network, NodeTable, Scenario
from edgeless_sim.scenario.steps import Step
from edgeless_sim.scenario.toml_places import TomlPath

__all__ = ["shape_faults"]


def _by_tag(union: object, key: str) -> dict[str, type[BaseModel]]:
    classes: tuple[type[BaseModel], ...] = get_args(get_args(union)[0])
    return {get_args(each.model_fields[key].annotation)[0]: each for each in classes}


#: The discriminator and the alternatives of each array of alternatives.
_TAGGED: Final = {
    "step": ("do", _by_tag(Step, "do")),
    "expect": ("what", _by_tag(Expectation, "what")),
}
_TABLES: Final[dict[TomlPath, type[BaseModel]]] = {
    (): Scenario,
    ("domain",): Domain,
    ("domain", "nodes"): NodeTable,
    ("network",): Network,
    ("network", "link"): Link,
}
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
    error: ValidationError, document: Mapping[str, Any]
) -> Iterator[tuple[TomlPath, str]]:
    """Path and reason of everything in *error*; *document* is what was validated."""
    for fault in error.errors(include_url=False, include_input=False):
        path, table = _resolved(fault["loc"])
        yield (
            path,
            _reason(fault["type"], fault["msg"], fault.get("ctx", {}), path, table, document),
        )


def _resolved(loc: tuple[str | int, ...]) -> tuple[TomlPath, type[BaseModel] | None]:
    """The TOML path of *loc*, without the tags of unions, and the table that its last key is in."""
    path: TomlPath = loc
    table: type[BaseModel] | None = None
    if len(loc) >= 3 and loc[0] in _TAGGED and isinstance(loc[2], str):
        table = _TAGGED[str(loc[0])][1].get(loc[2])
        path = (*loc[:2], *loc[3:])
        # Deeper keys of a step are not those of a table.
        return path, table if len(path) == 3 else None
    names = tuple(step for step in loc[:-1] if isinstance(step, str))
    return path, _TABLES.get(names)


def _reason(
    kind: str,
    message: str,
    context: Mapping[str, Any],
    path: TomlPath,
    table: type[BaseModel] | None,
    document: Mapping[str, Any],
) -> str:
    key = str(path[-1]) if path else ""
    value = _value_at(document, path)
    if kind == "extra_forbidden":
        return f"unknown key {quoted(key)}{_hint(key, _keys(table))}"
    if kind == "missing":
        return f"the key {quoted(key)} is missing"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tag, alternatives = _TAGGED[str(path[0])]
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
        case int() | float():
            return "a number"
        case str():
            return f"the text {quoted(value)}"
        case list():
            return "an array"
        case Mapping():
            return "a table"
        case _:
            return "something else"
