"""Guests written as WebAssembly text, and a run-time to run them in."""

from collections.abc import Callable, Iterator
from random import Random
from uuid import UUID

import pytest
import wasmtime

from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.wasm.instance import WasmInstance
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

NODE_ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
FUNCTION_ID = UUID("0f0e0d0c-0b0a-4908-8706-050403020100")

IMPORTS = {
    "cast_asm": "(param i32 i32 i32 i32)",
    "cast_raw_asm": "(param i32 i32 i32 i32)",
    "call_asm": "(param i32 i32 i32 i32 i32 i32) (result i32)",
    "call_raw_asm": "(param i32 i32 i32 i32 i32 i32) (result i32)",
    "delayed_cast_asm": "(param i64 i32 i32 i32 i32)",
    "telemetry_log_asm": "(param i32 i32 i32 i32 i32)",
    "slf_asm": "(param i32 i32)",
    "sync_asm": "(param i32 i32)",
}

# A bump allocator that `clear` resets, as EDGELESS's own has it. Address 4: the alias "out".
# 512 and 516 are free for the results of calls.
TEMPLATE = """(module
 {imports}
 (memory (export "memory") {pages})
 (data (i32.const 0) "selfout")
 (global $top (mut i32) (i32.const 1024))
 (func $alloc (export "edgeless_mem_alloc") (param $n i32) (result i32) {alloc})
 (func (export "edgeless_mem_free") (param $p i32) (param $l i32) {free})
 (func (export "edgeless_mem_clear") {clear})
 (func (export "handle_init_asm")
   (param $p i32) (param $l i32) (param $sp i32) (param $sl i32) {init})
 (func (export "handle_cast_asm")
   (param $n i32) (param $c i32) (param $p i32) (param $l i32) {cast})
 (func (export "handle_call_asm")
   (param $n i32) (param $c i32) (param $p i32) (param $l i32) (param $pp i32) (param $lp i32)
   (result i32) {call})
 (func (export "handle_stop_asm") {stop})
 {more})"""

BUMP = """(global.get $top)
  (global.set $top (i32.and (i32.add (global.get $top) (i32.add (local.get $n) (i32.const 7)))
                            (i32.const -8)))"""
ECHO_CAST = "(call $cast_asm (i32.const 4) (i32.const 3) (local.get $p) (local.get $l))"
ECHO_CALL = """(i32.store (local.get $pp) (local.get $p))
 (i32.store (local.get $lp) (local.get $l)) (i32.const 1)"""


def build_guest(
    *imports: str,
    pages: str = "2",
    alloc: str = BUMP,
    free: str = "",
    clear: str = "(global.set $top (i32.const 1024))",
    init: str = "",
    cast: str = "",
    call: str = "(i32.const 0)",
    stop: str = "",
    more: str = "",
) -> bytes:
    """Assemble a guest; `$name` stands for each of *imports*."""
    text = TEMPLATE.format(
        imports="\n ".join(f'(import "env" "{n}" (func ${n} {IMPORTS[n]}))' for n in imports),
        pages=pages, alloc=alloc, free=free, clear=clear,
        init=init, cast=cast, call=call, stop=stop, more=more,
    )  # fmt: skip
    return bytes(wasmtime.wat2wasm(text))


GuestBuilder = Callable[..., bytes]
Spawn = Callable[[bytes], WasmInstance]


def request_for(code: bytes) -> SpawnFunctionRequest:
    """Make the request for one instance of *code*."""
    return SpawnFunctionRequest(
        FunctionClassSpecification("tested", "RUST_WASM", "1.0", binary=code),
        {},
        StateSpecification(UUID(int=3)),
        WorkflowId(UUID(int=4)),
    )


@pytest.fixture(scope="session")
def guest() -> GuestBuilder:
    return build_guest


@pytest.fixture(scope="session")
def echo_cast() -> str:
    """Body of a cast handler that sends its payload to "out"; needs cast_asm."""
    return ECHO_CAST


@pytest.fixture(scope="session")
def echo_call() -> str:
    """Body of a call handler that replies with its payload."""
    return ECHO_CALL


@pytest.fixture(scope="session")
def assemble() -> Callable[[str], bytes]:
    return lambda text: bytes(wasmtime.wat2wasm(text))


@pytest.fixture(scope="session")
def pid() -> InstanceId:
    return InstanceId(NodeId(NODE_ID), FunctionId(FUNCTION_ID))


@pytest.fixture
def runtime() -> Iterator[WasmRuntime]:
    made = WasmRuntime(RuntimeSettings())
    yield made
    made.close()


@pytest.fixture
def spawn_in(pid: InstanceId) -> Callable[[WasmRuntime, bytes], WasmInstance]:
    return lambda runtime, code: runtime.instantiate(pid, request_for(code), Random(1))


@pytest.fixture
def spawn(runtime: WasmRuntime, pid: InstanceId) -> Spawn:
    return lambda code: runtime.instantiate(pid, request_for(code), Random(1))
