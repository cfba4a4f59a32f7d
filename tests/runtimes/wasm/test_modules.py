"""Which modules are accepted, and what is said about the others."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeless_sim.errors import BadCodeError, TrapError
from edgeless_sim.runtimes.base import Done, GuestEvent, GuestEventKind, RuntimeSettings
from edgeless_sim.runtimes.wasm.instance import WasmInstance
from edgeless_sim.runtimes.wasm.prescan import check_module
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

Build = Callable[..., bytes]
Assemble = Callable[[str], bytes]
Spawn = Callable[[bytes], WasmInstance]

GOOD = """(module
 {imports}
 {memory}
 (func (export "edgeless_mem_alloc") (param i32) (result i32) (i32.const 8))
 (func (export "edgeless_mem_free") (param i32 i32))
 (func (export "edgeless_mem_clear"))
 (func (export "handle_init_asm") (param i32 i32 i32 i32))
 (func (export "handle_cast_asm") (param i32 i32 i32 i32))
 (func (export "handle_call_asm") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
 (func (export "handle_stop_asm"))
 {more})"""


def text(imports: str = "", memory: str = '(memory (export "memory") 1)', more: str = "") -> str:
    return GOOD.format(imports=imports, memory=memory, more=more)


def leb(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def section(number: int, content: bytes) -> bytes:
    return bytes((number,)) + leb(len(content)) + content


def refusal(code: bytes) -> str:
    with pytest.raises(BadCodeError) as caught:
        check_module(code)
    return str(caught.value)


def test_a_report_says_what_the_module_declares(assemble: Assemble) -> None:
    code = assemble(
        text(
            imports="""(import "env" "slf_asm" (func (param i32 i32)))
             (import "env" "call_asm" (func (param i32 i32 i32 i32 i32 i32) (result i32)))""",
            memory='(memory (export "memory") 3 7)',
            more='(func $f (export "more")) (start $f)',
        )
    )
    report = check_module(code)
    assert report.size == len(code)
    assert report.functions == 8
    assert report.imports == ("slf_asm", "call_asm")
    assert report.exports[0] == "memory"
    assert report.exports[-1] == "more"
    assert (report.memory_bytes, report.memory_bytes_max) == (3 << 16, 7 << 16)
    assert report.start_function == 9
    assert report.may_block


def test_a_module_that_cannot_call_needs_no_fiber(assemble: Assemble) -> None:
    assert not check_module(assemble(text())).may_block


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (b"", "it is empty"),
        (b"\0as", "begins with 00 61 73"),
        (b"\0asm", "unknown WebAssembly version (missing)"),
        (b"\0asm\2\0\0\0", "unknown WebAssembly version 02 00 00 00"),
        (b"\0asm\x0d\0\1\0", "this is a component"),
        (b"(module)", "not a WebAssembly module"),
        (b"\x7fELF\2\1\1", "not a WebAssembly module"),
        (b"\x1f\x8b\x08\0", "not a WebAssembly module"),
        (b"\0asm\1\0\0\0", "defines 0 memories"),
        (b"\0asm\1\0\0\0" + b"\0" * (64 << 20), "at most 67108864 are allowed"),
    ],
)
def test_what_is_no_module_is_named(code: bytes, expected: str) -> None:
    assert expected in refusal(code)


def test_text_is_not_taken_for_a_module(assemble: Assemble) -> None:
    assert "build it to a .wasm file first" in refusal(text().encode())


def test_every_truncation_is_refused(assemble: Assemble) -> None:
    code = assemble(text())
    check_module(code)
    for size in range(len(code)):
        assert refusal(code[:size])


@pytest.mark.parametrize(
    "name",
    [
        "memory",
        "edgeless_mem_alloc",
        "edgeless_mem_free",
        "edgeless_mem_clear",
        "handle_init_asm",
        "handle_cast_asm",
        "handle_call_asm",
        "handle_stop_asm",
    ],
)
def test_a_missing_export_is_named(assemble: Assemble, name: str) -> None:
    code = assemble(text().replace(f'"{name}"', '"other"'))
    assert refusal(code).startswith(f"{name} not available: ")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            '"handle_stop_asm")',
            '"handle_stop_asm") (param i64)',
            "handle_stop_asm not available: it is (i64) -> (), must be () -> ()",
        ),
        (
            '"edgeless_mem_free") (param i32 i32)',
            '"edgeless_mem_free") (param i32)',
            "edgeless_mem_free not available: it is (i32) -> (), must be (i32, i32) -> ()",
        ),
        (
            '(func (export "handle_stop_asm"))',
            '(global (export "handle_stop_asm") i32 (i32.const 0))',
            "handle_stop_asm not available: it is global, must be () -> ()",
        ),
        (
            '(memory (export "memory") 1)',
            '(memory 1) (func (export "memory"))',
            "memory not available: export the linear memory as 'memory'",
        ),
    ],
)
def test_a_wrong_export_is_named(assemble: Assemble, old: str, new: str, expected: str) -> None:
    assert refusal(assemble(text().replace(old, new))) == expected


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ('(import "env" "fetch_asm" (func))', "import env.fetch_asm: unknown"),
        (
            '(import "host" "cast_asm" (func (param i32 i32 i32 i32)))',
            "import host.cast_asm: unknown",
        ),
        (
            '(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))',
            "import wasi_snapshot_preview1.proc_exit: WASI is not available",
        ),
        (
            '(import "env" "slf_asm" (func (param i32 i64)))',
            "import env.slf_asm: has type (i32, i64) -> (), must be (i32, i32) -> ()",
        ),
        (
            '(import "env" "delayed_cast_asm" (func (param i32 i32 i32 i32 i32)))',
            "import env.delayed_cast_asm: has type",
        ),
        ('(import "env" "memory2" (memory 1))', "import env.memory2: a memory cannot be imported"),
        ('(import "env" "t" (table 1 funcref))', "import env.t: a table cannot be imported"),
        ('(import "env" "g" (global i32))', "import env.g: a global cannot be imported"),
    ],
)
def test_a_wrong_import_is_named(assemble: Assemble, imports: str, expected: str) -> None:
    assert refusal(assemble(text(imports=imports))).startswith(expected)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ('(memory (export "memory") i64 1)', "the memory is 64-bit: build for wasm32"),
        ('(memory (export "memory") 1 2 shared)', "the memory is shared"),
        ('(memory (export "memory") 1) (memory 1)', "2 memories"),
        ("", "0 memories"),
    ],
)
def test_a_wrong_memory_is_named(assemble: Assemble, memory: str, expected: str) -> None:
    assert expected in refusal(assemble(text(memory=memory)))


def test_too_many_functions_are_refused_before_they_are_read(assemble: Assemble) -> None:
    code = b"\0asm\1\0\0\0" + section(1, b"\1\x60\0\0") + section(3, leb(50_001))
    assert refusal(code) == "the module has 50001 functions, at most 50000 are allowed"


def test_too_many_locals_are_refused(assemble: Assemble) -> None:
    body = b"\1" + leb(10_001) + b"\x7f\x0b"
    code = b"\0asm\1\0\0\0" + section(1, b"\1\x60\0\0") + section(3, b"\1\0")
    code += section(10, b"\1" + leb(len(body)) + body)
    assert "more than 10000 locals" in refusal(code)


def test_deeply_nested_blocks_are_refused(assemble: Assemble) -> None:
    shallow = text(more="(func " + "(block " * 9_000 + ")" * 9_000 + ")")
    check_module(assemble(shallow))
    body = b"\0" + b"\x02\x40" * 10_001 + b"\x0b" * 10_002
    code = b"\0asm\1\0\0\0" + section(1, b"\1\x60\0\0") + section(3, b"\1\0")
    code += section(10, b"\1" + leb(len(body)) + body)
    assert "more than 10000 deep" in refusal(code)


def test_many_blocks_side_by_side_are_fine(assemble: Assemble) -> None:
    # Enough openings that the depth has to be found by decoding, with every kind of immediate.
    body = """(block (br_if 0 (i32.const 2)) (drop (i64.const -5)) (drop (f64.const 2))
     (drop (f32.const 2)) (drop (i32.load offset=258 (i32.const 3)))
     (drop (v128.const i64x2 4 2)) (drop (i8x16.shuffle 2 3 4 2 3 4 2 3 4 2 3 4 2 3 4 2
       (v128.const i64x2 4 2) (v128.load (i32.const 2))))
     (drop (i32x4.extract_lane 2 (v128.const i64x2 4 2)))
     (memory.copy (i32.const 2) (i32.const 3) (i32.const 4))
     (drop (select (result i32) (i32.const 2) (i32.const 3) (i32.const 4)))
     (block (block (br_table 0 1 2 (i32.const 2)))) (drop (ref.null func))
     (drop (v128.load8_lane 2 (i32.const 2) (v128.const i64x2 4 2)))
     (if (i32.const 4) (then (loop (br 0)))) (drop (block (result i32) (i32.const 2))))"""
    check_module(assemble(text(more=f"(func {body * 4000})")))


def test_a_large_table_is_refused(assemble: Assemble) -> None:
    check_module(assemble(text(more="(table 10000 funcref)")))
    expected = "a table has 10001 entries, at most 10000 are allowed"
    assert refusal(assemble(text(more="(table 10001 funcref)"))) == expected


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused_with_a_reason(content: bytes) -> None:
    for code in (content, b"\0asm\1\0\0\0" + content):
        assert refusal(code)


# ---- what only the compiler sees --------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("(func (i32.atomic.store (i32.const 0) (i32.const 1)))", "threads"),
        ("(func (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))", "threads"),
        ('(data (i32.const 65535) "xx")', "out-of-bounds memory access"),
        ("(table 1 funcref) (func $f) (elem (i32.const 1) $f)", "out-of-bounds table access"),
    ],
)
def test_what_cannot_be_compiled_or_placed_is_bad_code(
    assemble: Assemble, spawn: Spawn, more: str, expected: str
) -> None:
    with pytest.raises(BadCodeError, match=expected):
        spawn(assemble(text(more=more)))


def test_a_memory_larger_than_its_slot_is_bad_code(
    assemble: Assemble, spawn_in: Callable[[WasmRuntime, bytes], WasmInstance]
) -> None:
    runtime = WasmRuntime(RuntimeSettings(memory_bytes_max=1 << 20))
    try:
        spawn_in(runtime, assemble(text(memory='(memory (export "memory") 16)')))
        for pages in (17, 65536):
            with pytest.raises(BadCodeError, match="memory"):
                spawn_in(runtime, assemble(text(memory=f'(memory (export "memory") {pages})')))
    finally:
        runtime.close()


def test_code_that_does_not_type_check_is_bad_code(assemble: Assemble, spawn: Spawn) -> None:
    code = assemble(text(more="(func $f (drop (i32.const 77)))"))
    # drop becomes i64.eqz: it leaves a value behind.
    broken = code.replace(b"\x41\xcd\x00\x1a", b"\x41\xcd\x00\x50")
    assert broken != code
    check_module(broken)
    with pytest.raises(BadCodeError, match="not valid"):
        spawn(broken)


def test_no_code_is_bad_code(spawn: Spawn) -> None:
    with pytest.raises(BadCodeError, match="has no code"):
        spawn(b"")


def test_check_finds_a_start_function_that_traps(assemble: Assemble, runtime: WasmRuntime) -> None:
    code = assemble(text(more="(func $f unreachable) (start $f)"))
    with pytest.raises(TrapError, match="start function failed: trap: unreachable"):
        runtime.check(code)


def test_check_finds_a_start_function_that_loops(assemble: Assemble) -> None:
    runtime = WasmRuntime(RuntimeSettings(fuel_per_init=10_000))
    try:
        with pytest.raises(TrapError, match="out of fuel: 10000 per init"):
            runtime.check(assemble(text(more="(func $f (loop $x (br $x))) (start $f)")))
    finally:
        runtime.close()


def test_check_accepts_a_start_function_that_calls(guest: Build, runtime: WasmRuntime) -> None:
    call = "(drop (call $call_asm" + " (i32.const 8)" * 6 + "))"
    report = runtime.check(guest("call_asm", more=f"(func $f {call}) (start $f)"))
    assert report.may_block


def test_a_start_function_may_be_an_export_called_start(guest: Build, spawn: Spawn) -> None:
    more = """(global $n (mut i32) (i32.const 0)) (start $f)
     (func $f (export "start") (global.set $n (i32.const 7)))"""
    code = guest(more=more, cast="(if (i32.ne (global.get $n) (i32.const 7)) (then unreachable))")
    step = spawn(code).dispatch(GuestEvent(GuestEventKind.CAST, bytes(32), "x"))
    assert isinstance(step, Done)
