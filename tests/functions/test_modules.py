"""The modules as such: their interface, their size, and what a long life costs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

if TYPE_CHECKING:
    from tests.functions.conftest import Loader

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
MODULE_BYTES_MAX = 20_000
EVENTS = 100_000
MIB = 1 << 20

IMPORTS = {
    "counter": ["cast_asm", "delayed_cast_asm", "sync_asm", "telemetry_log_asm"],
    "double": ["cast_asm", "telemetry_log_asm"],
    "incr": ["cast_asm", "telemetry_log_asm"],
    "message_generator": ["cast_asm", "delayed_cast_asm"],
    "messaging_test": [
        "call_asm",
        "call_raw_asm",
        "cast_asm",
        "cast_raw_asm",
        "delayed_cast_asm",
        "telemetry_log_asm",
    ],
    "noop": ["telemetry_log_asm"],
    "ping": ["call_asm", "cast_asm", "delayed_cast_asm", "sync_asm", "telemetry_log_asm"],
    "pong": ["telemetry_log_asm"],
    "relay": ["call_asm", "cast_asm"],
    "single_trigger": ["cast_asm", "delayed_cast_asm"],
    "spin": ["cast_asm"],
    "state_test": ["sync_asm", "telemetry_log_asm"],
    "system_test": ["cast_asm", "delayed_cast_asm", "telemetry_log_asm"],
    "trap": ["cast_asm"],
    "vector_mul": ["cast_asm", "delayed_cast_asm", "telemetry_log_asm"],
}
#: Parameters and results, in the letters of `signature`.
IMPORT_SIGNATURES = {
    "cast_asm": "iiii:",
    "cast_raw_asm": "iiii:",
    "call_asm": "iiiiii:i",
    "call_raw_asm": "iiiiii:i",
    "delayed_cast_asm": "Iiiii:",
    "telemetry_log_asm": "iiiii:",
    "sync_asm": "ii:",
}
EXPORT_SIGNATURES = {
    "edgeless_mem_alloc": "i:i",
    "edgeless_mem_clear": ":",
    "edgeless_mem_free": "ii:",
    "handle_call_asm": "iiiiii:i",
    "handle_cast_asm": "iiii:",
    "handle_init_asm": "iiii:",
    "handle_stop_asm": ":",
    "memory": "memory",
}
OUTPUTS = {
    "counter": ["output"],
    "double": ["result"],
    "incr": ["result"],
    "message_generator": ["output"],
    "messaging_test": [],
    "noop": [],
    "ping": ["ponger"],
    "pong": ["pinger"],
    "relay": ["out"],
    "single_trigger": ["out"],
    "spin": ["out"],
    "state_test": [],
    "system_test": ["out1", "out2", "err", "log"],
    "trap": ["out"],
    "vector_mul": ["out"],
}

#: Enters a guest again and again, as a host does, without leaving WebAssembly: from Python,
#: EVENTS events of every function would take minutes.
DRIVER = """
(module
  (import "guest" "memory" (memory $guest 0))
  (import "guest" "edgeless_mem_alloc" (func $alloc (param i32) (result i32)))
  (import "guest" "edgeless_mem_free" (func $free (param i32 i32)))
  (import "guest" "edgeless_mem_clear" (func $clear))
  (import "guest" "handle_cast_asm" (func $cast (param i32 i32 i32 i32)))
  (import "guest" "handle_call_asm" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory $message (export "message") 16)
  (func (export "run") (param $count i32) (param $size i32)
    (local $component i32) (local $node i32) (local $payload i32)
    (local $reply i32) (local $reply_size i32)
    (loop $again
      (call $clear)
      (local.set $component (call $alloc (i32.const 16)))
      (local.set $node (call $alloc (i32.const 16)))
      (local.set $payload (call $alloc (local.get $size)))
      (memory.copy $guest $message (local.get $payload) (i32.const 0) (local.get $size))
      (if (i32.and (local.get $count) (i32.const 1))
        (then
          (call $cast (local.get $node) (local.get $component)
                      (local.get $payload) (local.get $size)))
        (else
          (local.set $reply (call $alloc (i32.const 4)))
          (local.set $reply_size (call $alloc (i32.const 4)))
          (drop (call $call (local.get $node) (local.get $component) (local.get $payload)
                            (local.get $size) (local.get $reply) (local.get $reply_size)))
          (call $free (local.get $reply) (i32.const 4))
          (call $free (local.get $reply_size) (i32.const 4))))
      (call $free (local.get $component) (i32.const 16))
      (call $free (local.get $node) (i32.const 16))
      (call $free (local.get $payload) (local.get $size))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br_if $again (local.get $count)))))
"""
#: Imports that do nothing; a call gets no reply.
SILENCE = """
(module
  (func (export "cast_asm") (param i32 i32 i32 i32))
  (func (export "cast_raw_asm") (param i32 i32 i32 i32))
  (func (export "call_asm") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "call_raw_asm") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "delayed_cast_asm") (param i64 i32 i32 i32 i32))
  (func (export "telemetry_log_asm") (param i32 i32 i32 i32 i32))
  (func (export "sync_asm") (param i32 i32)))
"""


def signature(kind: object) -> str:
    """`II:i` for two i64 parameters and an i32 result."""
    if not isinstance(kind, wasmtime.FuncType):
        return "memory" if isinstance(kind, wasmtime.MemoryType) else str(kind)
    letters = {"i32": "i", "i64": "I"}
    sides = (kind.params, kind.results)
    return ":".join("".join(letters[str(value)] for value in side) for side in sides)


def test_every_function_is_tested_here() -> None:
    folders = sorted(path.parent.name for path in FUNCTIONS.glob("*/function.json"))
    sources = sorted(path.stem for path in FUNCTIONS.glob("*/*.c"))
    assert folders == sources == sorted(IMPORTS) == sorted(OUTPUTS)


@pytest.mark.parametrize("name", sorted(IMPORTS))
def test_a_module_imports_what_it_needs_and_exports_the_abi(
    compiled: Callable[[str], wasmtime.Module], name: str
) -> None:
    module = compiled(name)
    imports = {wanted.name: signature(wanted.type) for wanted in module.imports}
    assert {wanted.module for wanted in module.imports} == {"env"}
    assert imports == {wanted: IMPORT_SIGNATURES[wanted] for wanted in IMPORTS[name]}
    exports = {given.name: signature(given.type) for given in module.exports}
    assert exports == EXPORT_SIGNATURES


@pytest.mark.parametrize("name", sorted(IMPORTS))
def test_a_module_is_small_without_names_and_begins_with_one_page(load: Loader, name: str) -> None:
    binary = (FUNCTIONS / name / f"{name}.wasm").read_bytes()
    assert len(binary) < MODULE_BYTES_MAX
    assert b"\x04name" not in binary
    assert load(name).pages == 1


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_a_description_has_the_keys_of_a_function_class(name: str) -> None:
    description = json.loads((FUNCTIONS / name / "function.json").read_text())
    assert description.pop("version") in {"0.1", "0.2"}
    assert description == {
        "id": name,
        "function_type": "RUST_WASM",
        "code": f"./{name}.wasm",
        "outputs": OUTPUTS[name],
    }


@pytest.mark.parametrize("name", sorted(IMPORTS))
def test_memory_does_not_grow_with_the_number_of_events(
    engine: wasmtime.Engine, compiled: Callable[[str], wasmtime.Module], name: str
) -> None:
    store = wasmtime.Store(engine)
    store.set_fuel(10**12)
    linker = wasmtime.Linker(engine)
    linker.define_instance(
        store, "env", wasmtime.Instance(store, wasmtime.Module(engine, SILENCE), [])
    )
    guest = linker.instantiate(store, compiled(name))
    linker.define_instance(store, "guest", guest)
    driver = linker.instantiate(store, wasmtime.Module(engine, DRIVER)).exports(store)
    message, run = driver["message"], driver["run"]
    memory = guest.exports(store)["memory"]
    init = guest.exports(store)["handle_init_asm"]
    assert isinstance(message, wasmtime.Memory)
    assert isinstance(run, wasmtime.Func)
    assert isinstance(memory, wasmtime.Memory)
    assert isinstance(init, wasmtime.Func)
    init(store, 0, 0, 0, 0)
    # vector_mul takes one hundred elements; the others do most with a number, ping with "wakeup".
    vector = ",".join(["7"] * 101)
    for text in [vector] if name == "vector_mul" else [vector, "7", "wakeup"]:
        message.write(store, text.encode(), 0)
        run(store, EVENTS, len(text))
    assert memory.size(store) == 1


@pytest.mark.parametrize("name", ["noop", "relay", "spin", "system_test"])
def test_a_payload_of_one_mebibyte_is_handled_again_in_the_same_memory(
    load: Loader, name: str
) -> None:
    guest = load(name)
    guest.init()
    payload = "x" * MIB
    outputs = guest.cast(payload)
    assert any(str(output[-1]).endswith(payload) for output in outputs)
    pages = guest.pages
    for _ in range(20):
        assert guest.cast(payload) == outputs
    assert guest.pages == pages <= 34


def test_replies_to_a_guest_do_not_add_up(load: Loader) -> None:
    guest = load("relay")
    guest.init()
    reply = b"r" * MIB
    for _ in range(20):
        guest.answers.append((1, reply))
        assert guest.call("again") == (1, reply.decode())
    assert guest.pages == 17


def test_what_is_kept_from_init_survives_large_events(load: Loader) -> None:
    guest = load("single_trigger")
    guest.init("message=kept,delay_ms=1")
    guest.cast("x" * MIB)
    assert guest.cast("") == [("cast", "out", "kept")]


def test_only_the_last_allocation_can_be_freed(load: Loader) -> None:
    guest = load("noop")
    first, second = (guest._enter("edgeless_mem_alloc", 13) for _ in range(2))
    assert (first % 8, second) == (0, first + 16)
    guest._enter("edgeless_mem_free", first, 13)
    assert guest._enter("edgeless_mem_alloc", 1) == second + 16
    guest._enter("edgeless_mem_free", second + 16, 1)
    guest._enter("edgeless_mem_free", second, 13)
    assert guest._enter("edgeless_mem_alloc", 1) == second
    guest._enter("edgeless_mem_clear")
    assert guest._enter("edgeless_mem_alloc", 0) == first
