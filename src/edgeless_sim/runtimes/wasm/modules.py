"""Guest modules: checked, compiled once per content, kept in memory and, if wanted, on disk.

A start section runs while a module is instantiated, before the trampoline exists, and could not
wait for a call there. It is therefore taken out of the module before compiling, and its function
exported under a name of ours: the first event runs it.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from edgeless_sim.errors import BadCodeError
from edgeless_sim.runtimes.wasm.engine import CompileError, Engine
from edgeless_sim.runtimes.wasm.prescan import ModuleReport, check_module
from edgeless_sim.runtimes.wasm.reader import Reader
from edgeless_sim.runtimes.wasm.trampoline import A_EXPORTS, B_GUEST_IMPORTS

__all__ = ["GuestModule", "Modules"]

#: Modules kept compiled; more than this, and the oldest is compiled again when it is needed.
_MODULES_MAX: Final = 1_024
_SECTION_EXPORT: Final = 7
_SECTION_START: Final = 8


@dataclass(frozen=True, slots=True)
class GuestModule:
    """A compiled guest and how to link it."""

    pointer: int
    report: ModuleReport
    imports: tuple[int, ...]
    """For each import, the index among A's exports."""
    exports: tuple[int, ...]
    """For each import of B from the guest, the index among the guest's exports."""
    start: int | None
    """Index among the guest's exports of its start function; None if it has none."""


class Modules:
    """The modules of one engine, by content."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._modules: dict[bytes, GuestModule] = {}

    def load(self, code: bytes) -> GuestModule:
        """Return the compiled form of *code*; raise `BadCodeError`."""
        key = sha256(code).digest()
        module = self._modules.get(key)
        if module is None:
            module = self._compile(code)
            if len(self._modules) >= _MODULES_MAX:
                oldest = next(iter(self._modules))
                self._delete(self._modules.pop(oldest))
            self._modules[key] = module
        return module

    def close(self) -> None:
        """Free all modules. Instances keep what they need of them alive."""
        for module in self._modules.values():
            self._delete(module)
        self._modules.clear()

    def _compile(self, code: bytes) -> GuestModule:
        report = check_module(code)
        try:
            self._engine.validate(code)
            pointer = self._engine.load(_without_start(code, report))
        except CompileError as error:
            raise BadCodeError(f"the module is not valid: {error}") from error
        return GuestModule(
            pointer=pointer,
            report=report,
            imports=tuple(A_EXPORTS.index(name) for name in report.imports),
            exports=tuple(report.exports.index(name) for name in B_GUEST_IMPORTS),
            start=None if report.start_function is None else len(report.exports),
        )

    def _delete(self, module: GuestModule) -> None:
        self._engine.binding.wasmtime_module_delete(module.pointer)


def _without_start(code: bytes, report: ModuleReport) -> bytes:
    """Return *code* with its start function, if any, as one more export instead."""
    if report.start_function is None:
        return code
    parts = [code[:8]]
    reader = Reader(code, 8, len(code))
    while reader.at < reader.end:
        begin = reader.at
        section = reader.byte()
        size = reader.number()
        content = reader.at
        reader.skip(size)
        if section == _SECTION_EXPORT:
            parts.append(_with_export(code[content : reader.at], report))
        elif section != _SECTION_START:
            parts.append(code[begin : reader.at])
    return b"".join(parts)


def _with_export(content: bytes, report: ModuleReport) -> bytes:
    assert report.start_function is not None
    name = "start"
    while name in report.exports:
        name += "_"
    reader = Reader(content, 0, len(content))
    count = reader.number()
    body = _leb(count + 1) + content[reader.at :]
    body += _leb(len(name)) + name.encode() + b"\0" + _leb(report.start_function)
    return bytes((_SECTION_EXPORT,)) + _leb(len(body)) + body


def _leb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
