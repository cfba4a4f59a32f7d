"""A guest that does wrong ends alone, with a reason."""

from collections.abc import Callable

import pytest

from edgeless_sim.runtimes.base import (
    Cast,
    Done,
    Failed,
    GuestEvent,
    GuestEventKind,
    RuntimeSettings,
    Step,
)
from edgeless_sim.runtimes.wasm.instance import WasmInstance
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

Build = Callable[..., bytes]
Spawn = Callable[[bytes], WasmInstance]

EVENT = GuestEvent(GuestEventKind.CAST, bytes(32), "payload")
CALL = GuestEvent(GuestEventKind.CALL, bytes(32), "payload")
OUT = "(i32.const 4) (i32.const 3)"
EMPTY = "(i32.const 0) (i32.const 0)"
PAYLOAD = "(local.get $p) (local.get $l)"
TEXT = " (i32.const {at}) (i32.const {size}) "
RESULTS = " (i32.const 8) (i32.const 8)"


def reason(step: Step) -> str:
    assert isinstance(step, Failed), step
    return step.reason


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("(unreachable)", "trap: unreachable"),
        ("(drop (i32.load (i32.const -4)))", "trap: out-of-bounds memory access"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "trap: integer division by zero"),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "trap: integer overflow"),
        (
            "(drop (i32.trunc_f32_s (f32.const nan)))",
            "trap: float cannot be converted to an integer",
        ),
        ("(call $deep)", "trap: stack overflow"),
        ("(call_indirect (i32.const 0))", "trap: call to a null table entry"),
        ("(call_indirect (i32.const 9))", "trap: out-of-bounds table access"),
        (
            "(call_indirect (param i32) (i32.const 0) (i32.const 1))",
            "trap: indirect call with another signature",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("imports", [(), ("call_asm",)])
def test_a_trap_ends_the_guest_and_names_its_reason(
    guest: Build, spawn: Spawn, imports: tuple[str, ...], body: str, expected: str
) -> None:
    more = """(func $deep (call $deep) (call $deep))
     (table 3 funcref) (elem (i32.const 1) $deep)"""
    instance = spawn(guest(*imports, cast=body, more=more))
    assert reason(instance.dispatch(EVENT)) == expected
    with pytest.raises(AssertionError):
        instance.dispatch(EVENT)


@pytest.mark.parametrize("entry", ["init", "cast", "stop"])
@pytest.mark.parametrize("imports", [("cast_asm",), ("cast_asm", "call_asm")])
def test_what_a_guest_sent_before_its_trap_was_sent(
    guest: Build, spawn: Spawn, imports: tuple[str, ...], entry: str
) -> None:
    send = f"(call $cast_asm {OUT} {OUT})"
    kind = GuestEventKind[entry.upper()]
    instance = spawn(guest(*imports, **{entry: send + "(unreachable)" + send}))
    step = instance.dispatch(GuestEvent(kind, bytes(32), "x"))
    assert isinstance(step, Failed)
    assert step.outputs == [Cast("out", "out")]
    assert 0 < step.fuel < 1000


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cast_asm", TEXT + PAYLOAD),
        ("cast_asm", OUT + TEXT),
        ("cast_raw_asm", "(local.get $n) (local.get $c)" + TEXT),
        ("delayed_cast_asm", "(i64.const 1)" + TEXT + PAYLOAD),
        ("delayed_cast_asm", "(i64.const 1) " + OUT + TEXT),
        ("telemetry_log_asm", "(i32.const 1)" + TEXT + PAYLOAD),
        ("telemetry_log_asm", "(i32.const 1) " + OUT + TEXT),
        ("sync_asm", TEXT),
        ("call_asm", TEXT + PAYLOAD + RESULTS),
        ("call_asm", OUT + TEXT + RESULTS),
        ("call_raw_asm", "(local.get $n) (local.get $c)" + TEXT + RESULTS),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("at", "size"),
    [
        (65537, 0),
        (65536, 1),
        (65535, 2),
        (0, 65537),
        (0, -1),
        (0xFFFFFFF0, 16),
        (0xFFFFFFF0, 32),
        (-1, 0),
        (-1, 2),
        (1, 0xFFFFFFFF),
        (0x80000000, 0x80000000),
        (64, 2_000_000),
    ],
)
def test_a_text_outside_memory_traps(
    guest: Build, spawn: Spawn, name: str, arguments: str, at: int, size: int
) -> None:
    body = f"(call ${name} {arguments.format(at=at, size=size)})"
    if "call" in name:
        body = f"(drop {body})"
    instance = spawn(guest(name, pages="1", cast=body))
    step = instance.dispatch(EVENT)
    assert reason(step) == "trap: out-of-bounds memory access"
    assert step.outputs == []


@pytest.mark.parametrize(("at", "size"), [(65536, 0), (65535, 1), (0, 0), (65281, 255)])
def test_a_text_that_ends_where_memory_ends_is_fine(
    guest: Build, spawn: Spawn, at: int, size: int
) -> None:
    text = f"(i32.const {at}) (i32.const {size})"
    instance = spawn(guest("cast_asm", pages="1", cast=f"(call $cast_asm {text} {text})"))
    assert instance.dispatch(EVENT).outputs == [Cast("\0" * size, "\0" * size)]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cast_raw_asm", "(i32.const {at}) (local.get $c) " + PAYLOAD),
        ("cast_raw_asm", "(local.get $n) (i32.const {at}) " + PAYLOAD),
        ("call_raw_asm", "(i32.const {at}) (local.get $c) " + PAYLOAD + RESULTS),
        ("call_raw_asm", "(local.get $n) (i32.const {at}) " + PAYLOAD + RESULTS),
        ("slf_asm", "(i32.const {at}) (i32.const 8)"),
        ("slf_asm", "(i32.const 8) (i32.const {at})"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", [65521, 65536, -1, -16, 0x7FFFFFFF])
def test_ids_outside_memory_trap(
    guest: Build, spawn: Spawn, name: str, arguments: str, at: int
) -> None:
    body = f"(call ${name} {arguments.format(at=at)})"
    if "call" in name:
        body = f"(drop {body})"
    step = spawn(guest(name, pages="1", cast=body)).dispatch(EVENT)
    assert reason(step) == "trap: out-of-bounds memory access"


@pytest.mark.parametrize(("at", "size"), [(0, 65537), (65536, 1), (-1, -1), (0, -1)])
def test_a_reply_outside_memory_traps(guest: Build, spawn: Spawn, at: int, size: int) -> None:
    body = f"""(i32.store (local.get $pp) (i32.const {at}))
     (i32.store (local.get $lp) (i32.const {size})) (i32.const 1)"""
    step = spawn(guest(pages="1", call=body)).dispatch(CALL)
    assert reason(step) == "trap: out-of-bounds memory access"


@pytest.mark.parametrize(
    ("alloc", "expected"),
    [
        ("(i32.const 0)", "trap: edgeless_mem_alloc returned 0"),
        ("(i32.const -1)", "trap: out-of-bounds memory access"),
        ("(i32.const -16)", "trap: out-of-bounds memory access"),
        ("(i32.const 131072)", "trap: out-of-bounds memory access"),
        ("(i32.const 131060)", "trap: out-of-bounds memory access"),
        ("(unreachable)", "trap: unreachable"),
        ("(loop $x (br $x)) (i32.const 0)", "out of fuel: 100000 per event"),
    ],
)
def test_a_broken_allocator_ends_its_guest(
    guest: Build,
    spawn_in: Callable[[WasmRuntime, bytes], WasmInstance],
    alloc: str,
    expected: str,
) -> None:
    runtime = WasmRuntime(RuntimeSettings(fuel_per_event=100_000))
    try:
        assert reason(spawn_in(runtime, guest(alloc=alloc)).dispatch(EVENT)) == expected
    finally:
        runtime.close()


def test_an_odd_allocator_is_its_guests_own_affair(guest: Build, spawn: Spawn) -> None:
    # Misaligned, and always the same place: the ids are overwritten by the payload.
    send = f"(call $cast_asm {OUT} {PAYLOAD})"
    instance = spawn(guest("cast_asm", alloc="(i32.const 1027)", cast=send))
    assert instance.dispatch(EVENT).outputs == [Cast("out", "payload")]


@pytest.mark.parametrize("delay", [315_360_000_001, 1 << 63, -1])
def test_a_delay_of_more_than_ten_years_traps(guest: Build, spawn: Spawn, delay: int) -> None:
    body = f"(call $delayed_cast_asm (i64.const {delay}) {OUT} {PAYLOAD})"
    step = spawn(guest("delayed_cast_asm", cast=body)).dispatch(EVENT)
    assert reason(step) == "trap: delayed_cast_asm: the delay exceeds ten years"


@pytest.mark.parametrize("name", ["alloc", "free", "clear"])
def test_only_a_handler_may_call(guest: Build, spawn: Spawn, name: str) -> None:
    body = f"(drop (call $call_asm {OUT} {OUT} (i32.const 512) (i32.const 516)))"
    if name == "alloc":
        body += "(i32.const 1024)"
    step = spawn(guest("call_asm", **{name: body})).dispatch(EVENT)
    assert reason(step).startswith("trap: call_asm: only a handler may call")


def test_a_deliberate_trap_is_not_blamed_on_the_next_guest(guest: Build, spawn: Spawn) -> None:
    assert "returned 0" in reason(spawn(guest(alloc="(i32.const 0)")).dispatch(EVENT))
    assert reason(spawn(guest(cast="(unreachable)")).dispatch(EVENT)) == "trap: unreachable"


def test_the_outputs_of_one_event_are_bounded(guest: Build, spawn: Spawn) -> None:
    megabyte = f"(call $cast_asm {OUT} (i32.const 0) (i32.const 1048576))"
    step = spawn(guest("cast_asm", pages="18", cast=f"(loop $x {megabyte} (br $x))")).dispatch(
        EVENT
    )
    assert reason(step) == "trap: the outputs of one event exceed 16 MiB"
    assert len(step.outputs) == 15


def test_endless_outputs_end(guest: Build, spawn: Spawn) -> None:
    body = f"(loop $x (call $cast_asm {EMPTY} {EMPTY}) (br $x))"
    step = spawn(guest("cast_asm", cast=body)).dispatch(EVENT)
    assert reason(step) == "trap: the outputs of one event exceed 16 MiB"
    # 24 bytes each.
    assert len(step.outputs) == 699_050


def test_memory_grows_to_its_slot_and_no_further(
    guest: Build, spawn_in: Callable[[WasmRuntime, bytes], WasmInstance]
) -> None:
    runtime = WasmRuntime(RuntimeSettings(memory_bytes_max=4 << 20))
    # Grows page by page until refused; traps unless it stops at 64 pages, all of them usable.
    body = """(loop $x (br_if $x (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
     (if (i32.ne (memory.size) (i32.const 64)) (then (unreachable)))
     (if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1)) (then (unreachable)))
     (i32.store (i32.const 4194300) (i32.const 1))"""
    try:
        instance = spawn_in(runtime, guest(cast=body))
        assert isinstance(instance.dispatch(EVENT), Done)
        assert isinstance(instance.dispatch(EVENT), Done)
    finally:
        runtime.close()


def test_tables_grow_to_ten_thousand_entries(guest: Build, spawn: Spawn) -> None:
    body = """
     (if (i32.ne (table.grow $t (ref.null func) (i32.const 9999)) (i32.const 1))
      (then (unreachable)))
     (if (i32.ne (table.grow $t (ref.null func) (i32.const 1)) (i32.const -1))
      (then (unreachable)))"""
    instance = spawn(guest(cast=body, more="(table $t 1 funcref)"))
    assert isinstance(instance.dispatch(EVENT), Done)


def test_a_failed_guest_leaves_the_others_alone(guest: Build, spawn: Spawn) -> None:
    good = spawn(guest("cast_asm", cast=f"(call $cast_asm {OUT} {PAYLOAD})"))
    for body in ("(unreachable)", "(drop (i32.load (i32.const -1)))", "(call $edge)"):
        bad = spawn(guest("cast_asm", cast=body, more="(func $edge (call $edge))"))
        assert isinstance(bad.dispatch(EVENT), Failed)
        assert good.dispatch(EVENT).outputs == [Cast("out", "payload")]


def test_an_oversized_state_fails_the_init(guest: Build, spawn: Spawn) -> None:
    instance = spawn(guest())
    step = instance.dispatch(
        GuestEvent(GuestEventKind.INIT, payload="x", state="s" * ((1 << 20) + 1))
    )
    assert "larger than 1 MiB" in reason(step)
    assert step.outputs == []
