"""The sections of a WebAssembly module, read as far as loading needs them, with their limits.

Counts are checked before what they count is read, so that a hostile module costs no more than
its size. Bodies are looked through for locals and nesting only.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from edgeless_sim.errors import BadCodeError
from edgeless_sim.runtimes.wasm.nesting import nesting_depth
from edgeless_sim.runtimes.wasm.reader import MalformedError, Reader

__all__ = [
    "KIND_FUNCTION",
    "KIND_MEMORY",
    "KIND_NAMES",
    "Export",
    "FunctionType",
    "Import",
    "Sections",
    "read_sections",
]

FUNCTIONS_MAX: Final = 50_000
_TYPES_MAX: Final = 10_000
_TYPE_VALUES_MAX: Final = 1_000
_IMPORTS_MAX: Final = 1_000
_TABLES_MAX: Final = 16
_GLOBALS_MAX: Final = 10_000
_EXPORTS_MAX: Final = 10_000
_SEGMENTS_MAX: Final = 100_000
LOCALS_MAX: Final = 10_000
NESTING_MAX: Final = 10_000

KIND_FUNCTION: Final = 0
_KIND_TABLE: Final = 1
KIND_MEMORY: Final = 2
_KIND_GLOBAL: Final = 3
_KIND_TAG: Final = 4
KIND_NAMES: Final = {0: "function", 1: "table", 2: "memory", 3: "global", 4: "tag"}

_CUSTOM: Final = 0
#: Position of each section in a module, by id: tags stand before globals, data count before code.
_ORDER: Final = {
    id_: place for place, id_ in enumerate((1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11), 1)
}

#: Parameters and results.
FunctionType: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]


class Import(NamedTuple):
    """One import; ``type`` is set for functions."""

    module: str
    name: str
    kind: int
    type: FunctionType | None


class Export(NamedTuple):
    """What is exported: its kind, and its number among those of the kind."""

    kind: int
    number: int


@dataclass(slots=True)
class Sections:
    """What was read."""

    types: list[FunctionType | None] = field(default_factory=list)
    """None for a type that is no function type."""
    imports: list[Import] = field(default_factory=list)
    functions: list[FunctionType | None] = field(default_factory=list)
    """Of all functions, imported ones first."""
    tables: list[int] = field(default_factory=list)
    """Initial number of entries."""
    memories: list[tuple[int, int, int | None]] = field(default_factory=list)
    """Flags, minimum, maximum; in pages."""
    exports: dict[str, Export] = field(default_factory=dict)
    start: int | None = None
    bodies: int = 0
    defined: int = 0


def read_sections(reader: Reader) -> Sections:
    """Read a module from its first section to its end.

    Raises MalformedError, or BadCodeError for what is well-formed but over a limit.
    """
    sections = Sections()
    last = 0
    while reader.at < reader.end:
        begin = reader.at
        section = reader.byte()
        size = reader.number()
        body = Reader(reader.data, reader.at, reader.at + size)
        reader.skip(size)
        if section == _CUSTOM:
            continue
        place = _ORDER.get(section)
        if place is None:
            raise MalformedError(f"unknown section {section}", begin)
        if place <= last:
            raise MalformedError(f"section {section} is repeated or out of order", begin)
        last = place
        read = _READERS.get(section)
        if read is not None:
            read(body, sections)
            if section not in _PARTLY_READ and body.at != body.end:
                raise MalformedError(f"section {section} is longer than its content", body.at)
    if sections.bodies != sections.defined:
        raise MalformedError(
            f"{sections.defined} functions are declared, {sections.bodies} have code", reader.end
        )
    return sections


def _count(reader: Reader, what: str, most: int) -> int:
    count = reader.number()
    if count > most:
        raise BadCodeError(f"the module has {count} {what}, at most {most} are allowed")
    return count


def _read_types(reader: Reader, sections: Sections) -> None:
    for _ in range(_count(reader, "types", _TYPES_MAX)):
        at = reader.at
        form = reader.byte()
        if form != 0x60:
            raise MalformedError(f"type form 0x{form:02x}, only functions are supported", at)
        parameters = _values(reader)
        sections.types.append((parameters, _values(reader)))


def _values(reader: Reader) -> tuple[str, ...]:
    count = _count(reader, "values in one function type", _TYPE_VALUES_MAX)
    return tuple(reader.value_type() for _ in range(count))


def _type(reader: Reader, sections: Sections) -> FunctionType | None:
    at = reader.at
    index = reader.number()
    if index >= len(sections.types):
        raise MalformedError(f"there is no type {index}", at)
    return sections.types[index]


def _read_imports(reader: Reader, sections: Sections) -> None:
    for _ in range(_count(reader, "imports", _IMPORTS_MAX)):
        module, name, at = reader.name(), reader.name(), reader.at
        kind = reader.byte()
        signature = None
        if kind == KIND_FUNCTION:
            signature = _type(reader, sections)
            sections.functions.append(signature)
        elif kind == _KIND_TABLE:
            reader.value_type()
            reader.limits()
        elif kind == KIND_MEMORY:
            reader.limits()
        elif kind == _KIND_GLOBAL:
            reader.value_type()
            reader.byte()
        elif kind == _KIND_TAG:
            reader.byte()
            reader.number()
        else:
            raise MalformedError(f"unknown kind of import {kind}", at)
        sections.imports.append(Import(module, name, kind, signature))


def _read_functions(reader: Reader, sections: Sections) -> None:
    sections.defined = _count(reader, "functions", FUNCTIONS_MAX)
    for _ in range(sections.defined):
        sections.functions.append(_type(reader, sections))


def _read_tables(reader: Reader, sections: Sections) -> None:
    for _ in range(_count(reader, "tables", _TABLES_MAX)):
        at = reader.at
        if reader.byte() == 0x40:
            raise MalformedError("a table with an initial value is not supported", at)
        reader.at = at
        reader.value_type()
        _flags, low, _high = reader.limits()
        sections.tables.append(low)


def _read_memories(reader: Reader, sections: Sections) -> None:
    for _ in range(_count(reader, "memories", 1)):
        sections.memories.append(reader.limits())


def _read_count(what: str, most: int) -> Callable[[Reader, Sections], None]:
    def read(reader: Reader, _sections: Sections) -> None:
        _count(reader, what, most)

    return read


def _read_exports(reader: Reader, sections: Sections) -> None:
    for _ in range(_count(reader, "exports", _EXPORTS_MAX)):
        at = reader.at
        name = reader.name()
        if name in sections.exports:
            raise MalformedError(f"export {name!r} is repeated", at)
        sections.exports[name] = Export(reader.byte(), reader.number())


def _read_start(reader: Reader, sections: Sections) -> None:
    at = reader.at
    sections.start = reader.number()
    if sections.start >= len(sections.functions):
        raise MalformedError(f"there is no function {sections.start} to start with", at)


def _read_code(reader: Reader, sections: Sections) -> None:
    sections.bodies = _count(reader, "functions with code", FUNCTIONS_MAX)
    for number in range(sections.bodies):
        size = reader.number()
        body = Reader(reader.data, reader.at, reader.at + size)
        reader.skip(size)
        _check_locals(body, number)
        depth = nesting_depth(body, NESTING_MAX)
        if depth > NESTING_MAX:
            raise BadCodeError(
                f"function {number} nests blocks more than {NESTING_MAX} deep: split it"
            )


def _check_locals(body: Reader, number: int) -> None:
    total = 0
    for _ in range(body.number()):
        total += body.number()
        body.value_type()
        if total > LOCALS_MAX:
            raise BadCodeError(
                f"function {number} has more than {LOCALS_MAX} locals: build it for release"
            )


_READERS: Final[dict[int, Callable[[Reader, Sections], None]]] = {
    1: _read_types,
    2: _read_imports,
    3: _read_functions,
    4: _read_tables,
    5: _read_memories,
    6: _read_count("globals", _GLOBALS_MAX),
    7: _read_exports,
    8: _read_start,
    9: _read_count("element segments", _SEGMENTS_MAX),
    10: _read_code,
    11: _read_count("data segments", _SEGMENTS_MAX),
}
_PARTLY_READ: Final = frozenset({6, 9, 11})
