"""The baseline: guests through wasmtime-py's public interface, in the order of calls of EDGELESS.

Per event: clear, three allocations, three writes into the guest's memory, the handler, three frees.
Whatever the guest asks for is a Python function that reads the guest's memory.
"""

from collections.abc import Callable
from typing import Final

from rigs import guest_code
from wasmtime import Caller, Engine, Func, FuncType, Linker, Memory, Module, Store, ValType

__all__ = ["PublicGuest", "PublicHost"]

_I32: Final = ValType.i32()
_I64: Final = ValType.i64()
#: Parameters and results of the imports; None stands for "answers 0".
_IMPORTS: Final = {
    "cast_raw_asm": ([_I32] * 4, []),
    "call_raw_asm": ([_I32] * 6, [_I32]),
    "delayed_cast_asm": ([_I64] + [_I32] * 4, []),
    "telemetry_log_asm": ([_I32] * 5, []),
    "slf_asm": ([_I32] * 2, []),
    "sync_asm": ([_I32] * 2, []),
}
_NODE: Final = b"n" * 16
_COMPONENT: Final = b"c" * 16


class PublicHost:
    """One engine and one compiled module."""

    def __init__(self, name: str) -> None:
        self.engine = Engine()
        self.module = Module(self.engine, guest_code(name))


class PublicGuest:
    """One guest. ``sent`` collects its casts; *call* answers its calls."""

    def __init__(self, host: PublicHost, call: Callable[[str, str], str] | None = None) -> None:
        self.sent: list[tuple[str, str]] = []
        self._call = call
        self._store = Store(host.engine)
        instance = self._linker(host.engine).instantiate(self._store, host.module)
        exports = instance.exports(self._store)
        self._memory = exports["memory"]
        self._alloc = exports["edgeless_mem_alloc"]
        self._free = exports["edgeless_mem_free"]
        self._clear = exports["edgeless_mem_clear"]
        self._cast = exports["handle_cast_asm"]
        self._answer = exports["handle_call_asm"]
        init = exports["handle_init_asm"]
        assert isinstance(init, Func)
        init(self._store, 0, 0, 0, 0)

    def cast(self, payload: str) -> None:
        """Let the guest handle a cast."""
        self._event(self._cast, payload)

    def call(self, payload: str) -> str:
        """Let the guest answer a call; "" if it does not."""
        store, memory, alloc = self._store, self._memory, self._alloc
        assert isinstance(memory, Memory)
        assert isinstance(alloc, Func)
        places = alloc(store, 4), alloc(store, 4)
        if self._event(self._answer, payload, *places) != 1:
            return ""
        at, size = (
            int.from_bytes(memory.read(store, place, place + 4), "little") for place in places
        )
        return memory.read(store, at, at + size).decode()

    def _event(self, handler: object, payload: str, *more: int) -> object:
        store, memory, alloc, free = self._store, self._memory, self._alloc, self._free
        assert isinstance(memory, Memory)
        assert isinstance(alloc, Func)
        assert isinstance(free, Func)
        assert isinstance(self._clear, Func)
        assert isinstance(handler, Func)
        if not more:
            self._clear(store)
        message = payload.encode()
        component = alloc(store, 16)
        memory.write(store, _COMPONENT, component)
        node = alloc(store, 16)
        memory.write(store, _NODE, node)
        text = alloc(store, len(message))
        memory.write(store, message, text)
        result: object = handler(store, node, component, text, len(message), *more)
        free(store, component, 16)
        free(store, node, 16)
        free(store, text, len(message))
        return result

    def _linker(self, engine: Engine) -> Linker:
        linker = Linker(engine)
        for name, (parameters, results) in _IMPORTS.items():
            kind = FuncType(parameters, results)
            linker.define_func("env", name, kind, _answer_zero if results else _do_nothing)
        kind = FuncType([_I32] * 4, [])
        linker.define_func("env", "cast_asm", kind, self._on_cast, access_caller=True)
        kind = FuncType([_I32] * 6, [_I32])
        linker.define_func("env", "call_asm", kind, self._on_call, access_caller=True)
        return linker

    def _on_cast(self, caller: Caller, alias: int, size: int, text: int, length: int) -> None:
        memory = caller["memory"]
        assert isinstance(memory, Memory)
        channel = memory.read(caller, alias, alias + size).decode()
        self.sent.append((channel, memory.read(caller, text, text + length).decode()))

    def _on_call(
        self, caller: Caller, alias: int, size: int, text: int, length: int, *places: int
    ) -> int:
        memory, alloc = caller["memory"], caller["edgeless_mem_alloc"]
        assert isinstance(memory, Memory)
        assert isinstance(alloc, Func)
        assert self._call is not None
        channel = memory.read(caller, alias, alias + size).decode()
        reply = self._call(channel, memory.read(caller, text, text + length).decode()).encode()
        at = alloc(caller, len(reply))
        memory.write(caller, reply, at)
        for place, value in zip(places, (at, len(reply)), strict=True):
            memory.write(caller, value.to_bytes(4, "little"), place)
        return 1


def _do_nothing(*_: int) -> None:
    """Logs and the like."""


def _answer_zero(*_: int) -> int:
    """Calls that no benchmark makes."""
    return 0
