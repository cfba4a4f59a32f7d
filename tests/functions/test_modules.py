"""The modules as such: their interface, their size, and what a long life costs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

if TYPE_CHECKING:
    from tests.functions.conftest import Loader, PlatformGuest

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
#: Formatting and reading floating-point numbers is most of what a large one in Rust is.
MODULE_BYTES_MAX = {"c": 20_000, "rust": 80_000}
NOOP_BYTES_MAX = {"c": 1_024, "rust": 20_000}
PAGES_MAX = {"c": 1, "rust": 2}
RESIDENT_BYTES_MAX = 40 << 10
REPETITIONS = 20_000
MIB = 1 << 20

#: What the modules in C import.
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
#: Those that call somebody, which is the only reason to import ``call_asm``: hosts run a function
#: that cannot wait faster.
CALLERS = {
    "bench_mapreduce",
    "check_temperature",
    "http_requestor",
    "http_write_number",
    "messaging_test",
    "ping",
    "relay",
    "sqlx_test",
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
MATRIX_OUTPUTS = [f"out-{number}" for number in range(20)]
OUTPUTS = {
    "bench_mapreduce": ["redis", "err", *MATRIX_OUTPUTS],
    "bench_process": ["out", "err"],
    "check_temperature": ["dda", "move_arm", "log_output"],
    "counter": ["output"],
    "double": ["result"],
    "dup": ["out1", "out2"],
    "filter_in_range": ["output", "error"],
    "http_extractor": ["out"],
    "http_processor": [],
    "http_read_number": ["parsed_value"],
    "http_requestor": ["http_e"],
    "http_write_number": ["external_sink"],
    "incr": ["result"],
    "load_balance": [],
    "matrix_mul": MATRIX_OUTPUTS,
    "message_generator": ["output"],
    "messaging_test": [],
    "moving_avg": ["output", "error"],
    "noop": [],
    "ping": ["ponger"],
    "ping_async": ["ponger"],
    "pong": ["pinger"],
    "pong_async": ["pinger"],
    "relay": ["out"],
    "sensor_simulator": ["output"],
    "single_trigger": ["out"],
    "spin": ["out"],
    "sqlx_test": ["database"],
    "state_test": [],
    "system_test": ["out1", "out2", "err", "log"],
    "trap": ["out"],
    "trigger": ["out", "err"],
    "vector_mul": ["out"],
}
#: Not EDGELESS's: for tests of the platform.
OURS = {"relay", "spin", "trap"}

#: What makes each function do its work: an init-payload, and messages. "" is for all others.
EVENTS = json.loads((FUNCTIONS / "events.json").read_text())
#: Far more than they cost; what costs more is a mistake, or for doing it.
FUEL_MAX = {"c": 10_000, "rust": 40_000}
FUEL_MAX_OF_WORKERS = 150_000
WORKERS = {"bench_mapreduce", "bench_process", "matrix_mul", "trigger", "vector_mul"}

#: Enters a guest again and again, as a host does, without leaving WebAssembly: from Python,
#: thousands of events of every function would take minutes.
DRIVER = """
(module
  (import "guest" "memory" (memory $guest 0))
  (import "guest" "edgeless_mem_alloc" (func $alloc (param i32) (result i32)))
  (import "guest" "edgeless_mem_free" (func $free (param i32 i32)))
  (import "guest" "edgeless_mem_clear" (func $clear))
  (import "guest" "handle_init_asm" (func $init (param i32 i32 i32 i32)))
  (import "guest" "handle_cast_asm" (func $cast (param i32 i32 i32 i32)))
  (import "guest" "handle_call_asm" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory $message (export "message") 16)
  (func (export "init") (param $size i32)
    (local $payload i32)
    (local.set $payload (call $alloc (local.get $size)))
    (memory.copy $guest $message (local.get $payload) (i32.const 0) (local.get $size))
    (call $init (local.get $payload) (local.get $size) (i32.const 0) (i32.const 0))
    (call $free (local.get $payload) (local.get $size)))
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
    if isinstance(kind, wasmtime.GlobalType):
        return "global"
    if not isinstance(kind, wasmtime.FuncType):
        return "memory" if isinstance(kind, wasmtime.MemoryType) else str(kind)
    letters = {"i32": "i", "i64": "I"}
    sides = (kind.params, kind.results)
    return ":".join("".join(letters[str(value)] for value in side) for side in sides)


def described(name: str) -> dict[str, dict[str, object]]:
    """The function.json of each language that *name* is written in, by language."""
    folder = FUNCTIONS / name
    kinds = {"Cargo.toml": "rust", f"{name}.c": "c", f"{name}.py": "python"}
    found = {}
    for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        languages = [kinds[path.name] for path in place.iterdir() if path.name in kinds]
        if languages:
            (language,) = languages
            assert place.name in (name, language)
            found[language] = json.loads((place / "function.json").read_text())
    return found


def test_every_function_is_tested_here() -> None:
    folders = sorted(path.parent.name for path in FUNCTIONS.glob("*/function.json"))
    assert folders == sorted(OUTPUTS)
    assert sorted(IMPORTS) == [name for name in folders if "c" in described(name)]


def test_the_library_is_in_rust_and_parts_of_it_in_c_and_python() -> None:
    languages = {name: described(name).keys() for name in OUTPUTS}
    assert {name for name in languages if "rust" not in languages[name]} == OURS - {"relay"}
    assert sum("c" in each for each in languages.values()) >= 5
    assert sum("python" in each for each in languages.values()) >= 5


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_a_description_has_the_keys_of_a_function_class(name: str) -> None:
    versions = set()
    for language, description in described(name).items():
        versions.add(description.pop("version"))
        is_python = language == "python"
        code = f"{name}.py:{name.title().replace('_', '')}" if is_python else f"./{name}.wasm"
        assert description == {
            "id": name,
            "function_type": "PYTHON" if is_python else "RUST_WASM",
            "code": code,
            "outputs": OUTPUTS[name],
        }
    assert versions in ({"0.1"}, {"0.2"})


def test_a_module_imports_what_it_needs_and_exports_the_abi(
    compiled: Callable[..., wasmtime.Module], variant: tuple[str, str]
) -> None:
    name, language = variant
    module = compiled(name, language)
    imports = {wanted.name: signature(wanted.type) for wanted in module.imports}
    assert {wanted.module for wanted in module.imports} == {"env"}
    assert imports == {wanted: IMPORT_SIGNATURES[str(wanted)] for wanted in imports}
    assert ("call_asm" in imports) == (name in CALLERS)
    if language == "c":
        assert sorted(map(str, imports)) == IMPORTS[name]
    exports = {given.name: signature(given.type) for given in module.exports}
    # The linker of Rust exports two constants about the memory, too.
    for constant in ("__data_end", "__heap_base"):
        assert exports.pop(constant, "") in ("", "global")
    assert exports == EXPORT_SIGNATURES


def test_a_module_is_small_without_names_and_begins_with_one_page(
    engine: wasmtime.Engine, compiled: Callable[..., wasmtime.Module], variant: tuple[str, str]
) -> None:
    name, language = variant
    folder = FUNCTIONS / name
    path = folder / language / f"{name}.wasm"
    binary = (path if path.exists() else folder / f"{name}.wasm").read_bytes()
    assert len(binary) < MODULE_BYTES_MAX[language]
    assert name != "noop" or len(binary) <= NOOP_BYTES_MAX[language]
    assert b"\x04name" not in binary
    (memory,) = [e.type for e in compiled(name, language).exports if e.name == "memory"]
    assert isinstance(memory, wasmtime.MemoryType)
    assert memory.limits.min <= PAGES_MAX[language]


def test_a_module_tells_nothing_of_the_machine_it_was_compiled_on(variant: tuple[str, str]) -> None:
    for path in (FUNCTIONS / variant[0]).rglob("*.wasm"):
        binary = path.read_bytes()
        assert not [mark for mark in (b"/home/", b"/root/", b"/tmp/") if mark in binary]


def test_memory_does_not_grow_with_the_number_of_events(
    engine: wasmtime.Engine, compiled: Callable[..., wasmtime.Module], variant: tuple[str, str]
) -> None:
    name, language = variant
    store = wasmtime.Store(engine)
    store.set_fuel(10**12)
    linker = wasmtime.Linker(engine)
    linker.define_instance(
        store, "env", wasmtime.Instance(store, wasmtime.Module(engine, SILENCE), [])
    )
    guest = linker.instantiate(store, compiled(name, language))
    linker.define_instance(store, "guest", guest)
    driver = linker.instantiate(store, wasmtime.Module(engine, DRIVER)).exports(store)
    message, run, init = driver["message"], driver["run"], driver["init"]
    memory = guest.exports(store)["memory"]
    assert isinstance(message, wasmtime.Memory)
    assert isinstance(run, wasmtime.Func)
    assert isinstance(memory, wasmtime.Memory)
    assert isinstance(init, wasmtime.Func)
    events = EVENTS.get(name, EVENTS[""])
    payload = events["init"].encode()
    message.write(store, payload, 0)
    init(store, len(payload))
    for text in events["messages"]:
        message.write(store, text.encode(), 0)
        run(store, REPETITIONS, len(text))
    assert memory.size(store) <= PAGES_MAX[language]
    assert resident_bytes(bytes(memory.read(store))) <= RESIDENT_BYTES_MAX


def test_an_event_costs_little_fuel_and_the_same_every_time(
    platform: Callable[[str, str], PlatformGuest], variant: tuple[str, str]
) -> None:
    name, language = variant
    events = EVENTS.get(name, EVENTS[""])
    guests = [platform(name, language) for _ in range(2)]
    costs: list[list[int]] = []
    for guest in guests:
        guest.answers.extend([(1, b"7")] * 100)
        guest.init(events["init"])
        costs.append([])
        for text in events["messages"] * 2:
            before = guest.fuel
            getattr(guest, events.get("handler", "cast"))(text)
            costs[-1].append(guest.fuel - before)
    assert costs[0] == costs[1]
    assert 0 < max(costs[0]) <= (FUEL_MAX_OF_WORKERS if name in WORKERS else FUEL_MAX[language])


def resident_bytes(memory: bytes) -> int:
    """How much of *memory* the operating system has to hold: blocks that are not all zeros."""
    blocks = (memory[at : at + 4096] for at in range(0, len(memory), 4096))
    return 4096 * sum(any(block) for block in blocks)


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
