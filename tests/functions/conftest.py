"""A host for the example functions: EDGELESS's call sequences over wasmtime's public interface.

It records what a guest sends. It is not the platform's run-time, which has tests of its own: these
are about the guests, and about running on any host that keeps to the ABI.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import pytest
import wasmtime

FUNCTIONS: Final = Path(__file__).resolve().parents[2] / "functions"
FUEL: Final = 10**12
NODE: Final = bytes(range(16))
COMPONENT: Final = bytes(range(16, 32))
OWN_NODE: Final = b"N" * 16
OWN_COMPONENT: Final = b"C" * 16

Output: TypeAlias = tuple[object, ...]
Loader: TypeAlias = Callable[[str], "Guest"]


class Guest:
    """One instance of a function. ``outputs`` is what it sent, in order."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self.store = wasmtime.Store(engine)
        self.store.set_fuel(FUEL)
        self.outputs: list[Output] = []
        #: Answers to the guest's calls: a code, and the reply if the code is 1.
        self.answers: deque[tuple[int, bytes]] = deque()
        linker = wasmtime.Linker(engine)
        imports: dict[str, Callable[..., int | None]] = {
            "cast_asm": lambda *a: self._record("cast", self.text(*a[:2]), self.text(*a[2:])),
            "cast_raw_asm": self._cast_raw,
            "call_asm": self._call,
            "call_raw_asm": self._call_raw,
            "delayed_cast_asm": lambda delay_ms, *a: self._record(
                "delayed_cast", delay_ms, self.text(*a[:2]), self.text(*a[2:])
            ),
            "telemetry_log_asm": lambda level, *a: self._record(
                "log", level, self.text(*a[:2]), self.text(*a[2:])
            ),
            "sync_asm": lambda *a: self._record("sync", self.text(*a)),
        }
        for wanted in module.imports:
            assert wanted.module == "env"
            assert isinstance(wanted.type, wasmtime.FuncType)
            name = wanted.name or ""
            linker.define_func("env", name, wanted.type, imports[name])
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        memory = self.exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self.memory = memory

    # ---- What the host does (the sequences of an EDGELESS node). ----

    def init(self, payload: str | None = None, state: str | None = None) -> list[Output]:
        """Enter init; an absent text is 0, 0, an empty one is not."""
        texts = [None if text is None else text.encode() for text in (payload, state)]
        places = [(0, 0) if text is None else (self._put(text), len(text)) for text in texts]
        self._enter("handle_init_asm", *places[0], *places[1])
        for pointer, size in places:
            if size > 0:
                self._enter("edgeless_mem_free", pointer, size)
        return self._taken()

    def cast(self, message: str) -> list[Output]:
        """Enter cast and return what the guest sent."""
        self._enter("edgeless_mem_clear")
        component, node, payload = self._arrive(message)
        self._enter("handle_cast_asm", node, component, payload, len(message.encode()))
        self._leave(component, node, payload, message)
        return self._taken()

    def call(self, message: str) -> tuple[int, str]:
        """Enter call and return the code and the reply; what was sent stays in ``outputs``."""
        self._enter("edgeless_mem_clear")
        component, node, payload = self._arrive(message)
        slots = [self._enter("edgeless_mem_alloc", 4) for _ in range(2)]
        code = self._enter(
            "handle_call_asm", node, component, payload, len(message.encode()), *slots
        )
        reply = ""
        if code == 1:
            pointer, size = (struct.unpack("<I", self.read(slot, 4))[0] for slot in slots)
            reply = self.text(pointer, size)
        for slot in slots:
            self._enter("edgeless_mem_free", slot, 4)
        self._leave(component, node, payload, message)
        return code, reply

    def stop(self) -> list[Output]:
        """Enter stop and return what the guest sent."""
        self._enter("edgeless_mem_clear")
        self._enter("handle_stop_asm")
        return self._taken()

    # ---- Memory. ----

    @property
    def pages(self) -> int:
        """How many pages of 64 KiB the guest has."""
        return self.memory.size(self.store)

    def read(self, pointer: int, size: int) -> bytes:
        """Bytes of the guest's memory. Raises IndexError, which traps, outside of it."""
        begin = pointer % 2**32
        if begin + size > self.memory.data_len(self.store):
            raise IndexError(f"{begin} + {size} is outside the guest's memory")
        return bytes(self.memory.read(self.store, begin, begin + size))

    def text(self, pointer: int, size: int) -> str:
        """The UTF-8 text at *pointer*."""
        return self.read(pointer, size).decode()

    def _put(self, data: bytes) -> int:
        pointer = self._enter("edgeless_mem_alloc", len(data))
        self.memory.write(self.store, data, pointer)
        return pointer

    # ---- Pieces. ----

    def _arrive(self, message: str) -> tuple[int, int, int]:
        return self._put(COMPONENT), self._put(NODE), self._put(message.encode())

    def _leave(self, component: int, node: int, payload: int, message: str) -> None:
        self._enter("edgeless_mem_free", component, 16)
        self._enter("edgeless_mem_free", node, 16)
        if message:
            self._enter("edgeless_mem_free", payload, len(message.encode()))

    def _enter(self, name: str, *arguments: int) -> int:
        function = self.exports[name]
        assert isinstance(function, wasmtime.Func)
        # wasmtime takes and gives i32 as signed.
        signed = [value - 2**32 if value >= 2**31 else value for value in arguments]
        result = function(self.store, *signed)
        return 0 if result is None else int(result)

    def _taken(self) -> list[Output]:
        taken, self.outputs = self.outputs, []
        return taken

    def _record(self, *output: object) -> None:
        self.outputs.append(output)

    def _cast_raw(self, node: int, component: int, pointer: int, size: int) -> None:
        target = self.read(node, 16), self.read(component, 16)
        self._record("cast_raw", *target, self.text(pointer, size))

    def _call(self, alias: int, alias_size: int, pointer: int, size: int, *out: int) -> int:
        self._record("call", self.text(alias, alias_size), self.text(pointer, size))
        return self._answer(*out)

    def _call_raw(self, node: int, component: int, pointer: int, size: int, *out: int) -> int:
        target = self.read(node, 16), self.read(component, 16)
        self._record("call_raw", *target, self.text(pointer, size))
        return self._answer(*out)

    def _answer(self, pointer_slot: int, size_slot: int) -> int:
        code, reply = self.answers.popleft()
        if code == 1:
            pointer = self._put(reply)
            self.memory.write(self.store, struct.pack("<I", pointer), pointer_slot)
            # EDGELESS's Rust node writes eight bytes here; a guest has to survive that.
            self.memory.write(self.store, struct.pack("<Q", len(reply)), size_slot)
        return code


@pytest.fixture(scope="session")
def engine() -> wasmtime.Engine:
    """One engine with fuel, so that a guest that spins ends."""
    config = wasmtime.Config()
    config.consume_fuel = True
    return wasmtime.Engine(config)


@pytest.fixture(scope="session")
def compiled(engine: wasmtime.Engine) -> Callable[[str], wasmtime.Module]:
    """The committed module of a function, compiled once a session."""
    modules: dict[str, wasmtime.Module] = {}

    def module_of(name: str) -> wasmtime.Module:
        if name not in modules:
            binary = (FUNCTIONS / name / f"{name}.wasm").read_bytes()
            modules[name] = wasmtime.Module(engine, binary)
        return modules[name]

    return module_of


@pytest.fixture
def load(engine: wasmtime.Engine, compiled: Callable[[str], wasmtime.Module]) -> Loader:
    """Makes a fresh instance of the function named."""
    return lambda name: Guest(engine, compiled(name))
