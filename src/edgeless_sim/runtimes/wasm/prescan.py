"""What a module declares, and whether it may be loaded: decided before anything is compiled.

`check_module` is pure: it reads sections, compiles nothing and runs nothing. It refuses what the
platform cannot serve (exports, imports, memories) and what makes a compiler work for seconds or
gigabytes (functions, locals, nesting). It does not type-check code; the library does that next.
"""

from dataclasses import dataclass
from typing import Final

from edgeless_sim.errors import BadCodeError
from edgeless_sim.runtimes.wasm.reader import MalformedError, Reader
from edgeless_sim.runtimes.wasm.sections import (
    KIND_FUNCTION,
    KIND_MEMORY,
    KIND_NAMES,
    Export,
    FunctionType,
    Import,
    Sections,
    read_sections,
)
from edgeless_sim.runtimes.wasm.trampoline import IMPORT_TYPES

__all__ = ["MODULE_BYTES_MAX", "PAGE_BYTES", "ModuleReport", "check_module"]

MODULE_BYTES_MAX: Final = 64 << 20
PAGE_BYTES: Final = 1 << 16
_TABLE_ENTRIES_MAX: Final = 10_000

_I32: Final = "i32"
#: Exports that a guest must have (spec 1.2), beside its memory.
REQUIRED_EXPORTS: Final[dict[str, FunctionType]] = {
    "edgeless_mem_alloc": ((_I32,), (_I32,)),
    "edgeless_mem_free": ((_I32,) * 2, ()),
    "edgeless_mem_clear": ((), ()),
    "handle_init_asm": ((_I32,) * 4, ()),
    "handle_cast_asm": ((_I32,) * 4, ()),
    "handle_call_asm": ((_I32,) * 6, (_I32,)),
    "handle_stop_asm": ((), ()),
}
_IMPORT_SIGNATURES: Final[dict[str, FunctionType]] = {
    name: (tuple(parameters.split()), tuple(results.split()))
    for name, (parameters, results) in IMPORT_TYPES.items()
}


@dataclass(frozen=True, slots=True)
class ModuleReport:
    """What an acceptable module declares."""

    size: int
    """In bytes."""
    functions: int
    """Functions defined, imports not counted."""
    imports: tuple[str, ...]
    """Names imported from ``env``, in the module's order, repetitions included."""
    exports: tuple[str, ...]
    """Names of all exports, in the module's order."""
    memory_bytes: int
    """What the guest has from its start."""
    memory_bytes_max: int | None
    """What the module itself says it may grow to; None if it says nothing."""
    start_function: int | None
    """Index of the start function; None if there is none."""

    @property
    def may_block(self) -> bool:
        """Whether the guest can wait for a call, so that it needs a fiber."""
        return "call_asm" in self.imports or "call_raw_asm" in self.imports


def check_module(code: bytes) -> ModuleReport:
    """Return what *code* declares; raise `BadCodeError` naming what is wrong and the remedy."""
    _check_magic(code)
    try:
        sections = read_sections(Reader(code, 8, len(code)))
    except MalformedError as error:
        raise BadCodeError(f"not a valid WebAssembly module: {error}") from error
    for one in sections.imports:
        _check_import(one)
    low, high = _check_memory(sections)
    _check_tables(sections)
    _check_exports(sections)
    return ModuleReport(
        size=len(code),
        functions=len(sections.functions) - sum(i.kind == KIND_FUNCTION for i in sections.imports),
        imports=tuple(one.name for one in sections.imports),
        exports=tuple(sections.exports),
        memory_bytes=low * PAGE_BYTES,
        memory_bytes_max=None if high is None else high * PAGE_BYTES,
        start_function=sections.start,
    )


def _check_magic(code: bytes) -> None:
    if len(code) > MODULE_BYTES_MAX:
        raise BadCodeError(
            f"the module has {len(code)} bytes, at most {MODULE_BYTES_MAX} are allowed: "
            "build it for release and strip its debug information"
        )
    if code[:4] != b"\0asm":
        found = "it is empty" if not code else f"it begins with {code[:4].hex(' ')}"
        raise BadCodeError(f"not a WebAssembly module ({found}): build it to a .wasm file first")
    if code[4:8] == b"\x0d\0\1\0":
        raise BadCodeError("this is a component, not a module: build for wasm32-unknown-unknown")
    if code[4:8] != b"\1\0\0\0":
        raise BadCodeError(f"unknown WebAssembly version {code[4:8].hex(' ') or '(missing)'}")


def _check_import(one: Import) -> None:
    where = f"import {one.module}.{one.name}"
    if one.kind != KIND_FUNCTION:
        kind = KIND_NAMES.get(one.kind, "thing")
        raise BadCodeError(f"{where}: a {kind} cannot be imported; the function must define it")
    if one.module.startswith("wasi"):
        raise BadCodeError(
            f"{where}: WASI is not available to functions; build for wasm32-unknown-unknown"
        )
    if one.module != "env" or one.name not in _IMPORT_SIGNATURES:
        known = ", ".join(_IMPORT_SIGNATURES)
        raise BadCodeError(f"{where}: unknown; functions may import from env: {known}")
    wanted = _IMPORT_SIGNATURES[one.name]
    if one.type != wanted:
        raise BadCodeError(f"{where}: has type {_text(one.type)}, must be {_text(wanted)}")


def _check_memory(sections: Sections) -> tuple[int, int | None]:
    if len(sections.memories) != 1:
        raise BadCodeError(
            f"the module defines {len(sections.memories)} memories, must define and export one"
        )
    flags, low, high = sections.memories[0]
    if flags & 4:
        raise BadCodeError("the memory is 64-bit: build for wasm32")
    if flags & 2:
        raise BadCodeError("the memory is shared: build without threads and atomics")
    if flags & ~7:
        raise BadCodeError(f"the memory has unknown limits (flags 0x{flags:02x})")
    return low, high


def _check_tables(sections: Sections) -> None:
    for low in sections.tables:
        if low > _TABLE_ENTRIES_MAX:
            raise BadCodeError(
                f"a table has {low} entries, at most {_TABLE_ENTRIES_MAX} are allowed"
            )


def _check_exports(sections: Sections) -> None:
    memory = sections.exports.get("memory")
    if memory is None or memory.kind != KIND_MEMORY:
        raise BadCodeError("memory not available: export the linear memory as 'memory'")
    for name, wanted in REQUIRED_EXPORTS.items():
        export = sections.exports.get(name)
        if export is None:
            raise BadCodeError(f"{name} not available: export a function {_text(wanted)}")
        found = _function_type(sections, export)
        if found != wanted:
            has = KIND_NAMES.get(export.kind, "thing") if found is None else _text(found)
            raise BadCodeError(f"{name} not available: it is {has}, must be {_text(wanted)}")


def _function_type(sections: Sections, export: Export) -> FunctionType | None:
    if export.kind != KIND_FUNCTION or export.number >= len(sections.functions):
        return None
    return sections.functions[export.number]


def _text(signature: FunctionType | None) -> str:
    if signature is None:
        return "unknown"
    parameters, results = signature
    return f"({', '.join(parameters)}) -> ({', '.join(results)})"
