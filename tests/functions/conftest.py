"""Hosts for the functions: EDGELESS's call sequences over wasmtime's public interface, and the
run-times of the platform.

They record what a guest sends. The tests are about the guests, and about running on any host that
keeps to the ABI; the run-times have tests of their own.
"""

from __future__ import annotations

import json
import re
import struct
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
import pytest
import wasmtime

from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.runtimes.base import (
    CallRaw,
    CastRaw,
    Done,
    Failed,
    FunctionInstance,
    FunctionRuntime,
    GuestEvent,
    GuestEventKind,
    Log,
    RuntimeSettings,
)
from edgeless_sim.runtimes.python import PythonRuntime
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

FUNCTIONS: Final = Path(__file__).resolve().parents[2] / "functions"
FUEL: Final = 10**12
NODE: Final = bytes(range(16))
COMPONENT: Final = bytes(range(16, 32))
OWN_NODE: Final = b"N" * 16
OWN_COMPONENT: Final = b"C" * 16
PID: Final = InstanceId(NodeId(UUID(bytes=OWN_NODE)), FunctionId(UUID(bytes=OWN_COMPONENT)))

Output: TypeAlias = tuple[object, ...]
#: Tests that look into a guest's memory know which of the two they got.
Loader: TypeAlias = Callable[[str], Any]

SEQUENCE: Final = "in EDGELESS's sequence"
PLATFORM: Final = "on the platform"
HOSTS: Final = {"c": (SEQUENCE, PLATFORM), "rust": (SEQUENCE, PLATFORM), "python": (PLATFORM,)}
LANGUAGES: Final = tuple(HOSTS)


class Recorder:
    """``outputs`` is what an instance sent, in order."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        #: Answers to the guest's calls: a code, and the reply if the code is 1.
        self.answers: deque[tuple[int, bytes]] = deque()

    def _taken(self) -> list[Output]:
        taken, self.outputs = self.outputs, []
        return taken


class Guest(Recorder):
    """One instance of a function, entered as EDGELESS's node does it."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self.store = wasmtime.Store(engine)
        self.store.set_fuel(FUEL)
        super().__init__()
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
            "slf_asm": self._slf,
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

    def cast(self, message: str | bytes) -> list[Output]:
        """Enter cast and return what the guest sent."""
        self._enter("edgeless_mem_clear")
        component, node, payload, size = self._arrive(message)
        self._enter("handle_cast_asm", node, component, payload, size)
        self._leave(component, node, payload, size)
        return self._taken()

    def call(self, message: str | bytes) -> tuple[int, str]:
        """Enter call and return the code and the reply; what was sent stays in ``outputs``.

        The reply is read last: EDGELESS's node reads it first, but its guests free it before that.
        """
        self._enter("edgeless_mem_clear")
        component, node, payload, size = self._arrive(message)
        slots = [self._enter("edgeless_mem_alloc", 4) for _ in range(2)]
        code = self._enter("handle_call_asm", node, component, payload, size, *slots)
        reply = [struct.unpack("<I", self.read(slot, 4))[0] for slot in slots]
        for slot in slots:
            self._enter("edgeless_mem_free", slot, 4)
        self._leave(component, node, payload, size)
        return code, self.text(*reply) if code == 1 else ""

    def stop(self) -> list[Output]:
        """Enter stop and return what the guest sent."""
        self._enter("edgeless_mem_clear")
        self._enter("handle_stop_asm")
        return self._taken()

    # ---- Memory and fuel. ----

    @property
    def fuel(self) -> int:
        """What everything cost so far."""
        return FUEL - self.store.get_fuel()

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

    def _arrive(self, message: str | bytes) -> tuple[int, int, int, int]:
        data = message.encode() if isinstance(message, str) else message
        return self._put(COMPONENT), self._put(NODE), self._put(data), len(data)

    def _leave(self, component: int, node: int, payload: int, size: int) -> None:
        self._enter("edgeless_mem_free", component, 16)
        self._enter("edgeless_mem_free", node, 16)
        if size > 0:
            self._enter("edgeless_mem_free", payload, size)

    def _enter(self, name: str, *arguments: int) -> int:
        function = self.exports[name]
        assert isinstance(function, wasmtime.Func)
        # wasmtime takes and gives i32 as signed.
        signed = [value - 2**32 if value >= 2**31 else value for value in arguments]
        result = function(self.store, *signed)
        return 0 if result is None else int(result)

    def _record(self, *output: object) -> None:
        self.outputs.append(output)

    def _cast_raw(self, node: int, component: int, pointer: int, size: int) -> None:
        target = self.read(node, 16), self.read(component, 16)
        self._record("cast_raw", *target, self.text(pointer, size))

    def _slf(self, node: int, component: int) -> None:
        self.memory.write(self.store, OWN_NODE, node)
        self.memory.write(self.store, OWN_COMPONENT, component)

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


class PlatformGuest(Recorder):
    """The same interface to an instance that the platform's own run-time drives."""

    def __init__(self, instance: FunctionInstance, log_targets: dict[str, str]) -> None:
        super().__init__()
        #: What the events cost that were handled so far.
        self.fuel = 0
        self._instance = instance
        self._log_targets = log_targets

    def init(self, payload: str | None = None, state: str | None = None) -> list[Output]:
        self._handled(GuestEvent(GuestEventKind.INIT, payload=payload, state=state))
        return self._taken()

    def cast(self, message: str) -> list[Output]:
        self._handled(GuestEvent(GuestEventKind.CAST, NODE + COMPONENT, message))
        return self._taken()

    def call(self, message: str) -> tuple[int, str]:
        reply = self._handled(GuestEvent(GuestEventKind.CALL, NODE + COMPONENT, message))
        assert reply is not None
        return int(reply.kind), reply.payload or ""

    def stop(self) -> list[Output]:
        self._handled(GuestEvent(GuestEventKind.STOP))
        return self._taken()

    def _handled(self, event: GuestEvent) -> CallReturn | None:
        step = self._instance.dispatch(event)
        while True:
            self.fuel += step.fuel
            self.outputs += [self._recorded(output) for output in step.outputs]
            if isinstance(step, Failed):
                # What the interface promises, whoever drives the guest.
                raise wasmtime.Trap(step.reason)
            if isinstance(step, Done):
                return step.reply
            self.outputs.append(self._recorded(step.call))
            code, reply = self.answers.popleft()
            step = self._instance.resume(
                CallReturn.reply(reply.decode()) if code == 1 else (NO_REPLY if code == 0 else ERR)
            )

    def _recorded(self, output: msgspec.Struct) -> Output:
        fields = msgspec.structs.astuple(output)
        if isinstance(output, Log):
            fields = (int(output.level), self._log_targets.get(output.target, output.target))
            fields += (output.message,)
        elif isinstance(output, CastRaw | CallRaw):
            fields = (output.target[:16], output.target[16:], output.payload)
        # E.g. DelayedCast -> delayed_cast.
        kind = re.sub("(?<!^)(?=[A-Z])", "_", type(output).__name__).lower()
        return (kind, *fields)


# ---- Which functions there are, and in which ways they run. ----


def folder_of(name: str, language: str) -> Path | None:
    """Where *name* is in *language*: beside its function.json, or in a folder of the language."""
    own = FUNCTIONS / name / language
    if (own / "function.json").is_file():
        return own
    source = {"c": f"{name}.c", "rust": "src/lib.rs", "python": f"{name}.py"}[language]
    return FUNCTIONS / name if (FUNCTIONS / name / source).is_file() else None


def ways(*names: str) -> list[str]:
    """The ways to run all of *names*, e.g. ``rust on the platform``."""
    languages = [each for each in LANGUAGES if all(folder_of(name, each) for name in names)]
    return [f"{language} {host}" for language in languages for host in HOSTS[language]]


NAMES: Final = [path.parent.name for path in FUNCTIONS.glob("*/function.json")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a marked test once for every way; others load C, entered as EDGELESS's node does it.

    A test that takes a ``variant`` is run with every compiled one: a name and a language.
    """
    if "variant" in metafunc.fixturenames:
        found = [(name, each) for name in sorted(NAMES) for each in LANGUAGES]
        compiled = [pair for pair in found if pair[1] != "python" and folder_of(*pair)]
        metafunc.parametrize("variant", compiled, ids="-".join)
    if "way" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("function")
        chosen = [f"c {SEQUENCE}"] if mark is None else ways(*mark.args)
        assert chosen, f"{metafunc.definition.name}: no such function"
        metafunc.parametrize("way", chosen)


@pytest.fixture(scope="session")
def engine() -> wasmtime.Engine:
    """One engine with fuel, so that a guest that spins ends."""
    config = wasmtime.Config()
    config.consume_fuel = True
    return wasmtime.Engine(config)


@pytest.fixture(scope="session")
def compiled(engine: wasmtime.Engine) -> Callable[..., wasmtime.Module]:
    """The committed module of a function, compiled once a session."""
    modules: dict[Path, wasmtime.Module] = {}

    def module_of(name: str, language: str = "c") -> wasmtime.Module:
        folder = folder_of(name, language)
        assert folder is not None
        path = folder / f"{name}.wasm"
        if path not in modules:
            modules[path] = wasmtime.Module(engine, path.read_bytes())
        return modules[path]

    return module_of


@pytest.fixture(scope="session")
def platform() -> Iterator[Callable[[str, str], PlatformGuest]]:
    """Makes an instance of a function in a language with the run-times of the platform."""
    folders = tuple(FUNCTIONS.glob("*/python"))
    runtimes: dict[str, FunctionRuntime] = {
        "RUST_WASM": WasmRuntime(RuntimeSettings()),
        "PYTHON": PythonRuntime(RuntimeSettings(python_folders=folders)),
    }

    def spawn(name: str, language: str) -> PlatformGuest:
        folder = folder_of(name, language)
        assert folder is not None
        described = json.loads((folder / "function.json").read_text())
        module = folder / f"{name}.wasm"
        specification = FunctionClassSpecification(
            described["id"],
            described["function_type"],
            described["version"],
            code=described["code"],
            binary=module.read_bytes() if module.is_file() else None,
        )
        request = SpawnFunctionRequest(
            specification, {}, StateSpecification(UUID(int=3)), WorkflowId(UUID(int=4))
        )
        runtime = runtimes[described["function_type"]]
        # The log of a PYTHON function names its class.
        targets = {described["code"].rpartition(":")[2]: name}
        return PlatformGuest(runtime.instantiate(PID, request, Random(1)), targets)

    yield spawn
    for runtime in runtimes.values():
        runtime.close()


@pytest.fixture
def start_module(engine: wasmtime.Engine) -> Callable[[wasmtime.Module], Guest]:
    """Makes an instance of any module, entered as EDGELESS's node does it."""
    return lambda module: Guest(engine, module)


@pytest.fixture
def load(
    way: str,
    engine: wasmtime.Engine,
    compiled: Callable[..., wasmtime.Module],
    platform: Callable[[str, str], PlatformGuest],
) -> Loader:
    """Makes a fresh instance of the function named, in the way that the test is run."""
    language, _, host = way.partition(" ")

    def make(name: str) -> Guest | PlatformGuest:
        if host == PLATFORM:
            return platform(name, language)
        return Guest(engine, compiled(name, language))

    return make
