"""The guest ABI of spec 1, call by call."""

from collections.abc import Callable

import pytest

from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.runtimes.base import (
    Cast,
    CastRaw,
    DelayedCast,
    Done,
    GuestEvent,
    GuestEventKind,
    Log,
    Output,
    Refused,
    Sync,
)
from edgeless_sim.runtimes.wasm.instance import WasmInstance

Build = Callable[..., bytes]
Spawn = Callable[[bytes], WasmInstance]

SOURCE = b"node id, 16 byte" + b"function id 16 b"
INIT = GuestEventKind.INIT
STOP = GuestEvent(GuestEventKind.STOP)
MIB = 1 << 20
TEN_YEARS_MS = 315_360_000_000

# Arguments of the imports.
OUT = "(i32.const 4) (i32.const 3)"
SELF = "(i32.const 0) (i32.const 4)"
EMPTY = "(i32.const 0) (i32.const 0)"
PAYLOAD = "(local.get $p) (local.get $l)"


def cast(payload: str) -> GuestEvent:
    return GuestEvent(GuestEventKind.CAST, SOURCE, payload)


def call(payload: str) -> GuestEvent:
    return GuestEvent(GuestEventKind.CALL, SOURCE, payload)


def outputs(step: object) -> list[Output]:
    assert isinstance(step, Done), step
    return step.outputs


# A guest that notes what is done to it: a letter, and the address or length as a character. The
# notes are cast to "out" at the end of every stop.
NOTE = """(func $note (param $what i32) (param $value i32)
  (i32.store8 (global.get $notes) (local.get $what))
  (i32.store8 offset=1 (global.get $notes) (i32.add (local.get $value) (i32.const 48)))
  (global.set $notes (i32.add (global.get $notes) (i32.const 2))))
 (global $notes (mut i32) (i32.const 70000))
 (global $next (mut i32) (i32.const 1024))"""


@pytest.fixture
def noting(guest: Build, spawn: Spawn) -> WasmInstance:
    """Allocate 64 bytes at 1024, 1088, ...; note addresses as their number from 1."""

    def note(letter: str, value: str) -> str:
        return f"(call $note (i32.const {ord(letter)}) {value})"

    def number(name: str) -> str:
        return f"(i32.shr_u (i32.sub (local.get {name}) (i32.const 960)) (i32.const 6))"

    code = guest(
        "cast_asm",
        alloc=note("a", "(local.get $n)")
        + "(global.get $next) (global.set $next (i32.add (global.get $next) (i32.const 64)))",
        free=note("f", number("$p")) + note(",", "(local.get $l)"),
        clear=note("c", "(i32.const 0)") + "(global.set $next (i32.const 1024))",
        init=note("I", "(local.get $l)") + note(",", "(local.get $sl)")
        + note("@", "(i32.ne (local.get $p) (i32.const 0))")
        + note("@", "(i32.ne (local.get $sp) (i32.const 0))"),
        cast=note("n", number("$n")) + note("c", number("$c"))
        + note("p", number("$p")) + note("l", "(local.get $l)"),
        call=note("n", number("$n")) + note("c", number("$c")) + note("p", number("$p"))
        + note("l", "(local.get $l)") + note("o", number("$pp")) + note("o", number("$lp"))
        + "(i32.const 0)",
        stop="""(call $cast_asm (i32.const 4) (i32.const 3) (i32.const 70000)
          (i32.sub (global.get $notes) (i32.const 70000)))""",
        more=NOTE,
    )  # fmt: skip
    return spawn(code)


@pytest.mark.parametrize(
    ("event", "notes"),
    [
        (GuestEvent(INIT), "I0,0@0@0"),
        (GuestEvent(INIT, payload=""), "a0I0,0@1@0"),
        (GuestEvent(INIT, payload="abc"), "a3I3,0@1@0f1,3"),
        (GuestEvent(INIT, state="s"), "a1I0,1@0@1f1,1"),
        (GuestEvent(INIT, payload="abc", state="st"), "a3a2I3,2@1@1f1,3f2,2"),
        # clear; component, node, payload; the handler; component, node, payload freed.
        (cast("abc"), "c0a@a@a3n2c1p3l3f1,@f2,@f3,3"),
        (cast(""), "c0a@a@a0n2c1p3l0f1,@f2,@"),
        (call("abc"), "c0a@a@a3a4a4n2c1p3l3o4o5f1,@f2,@f4,4f5,4f3,3"),
        (call(""), "c0a@a@a0a4a4n2c1p3l0o4o5f1,@f2,@f4,4f5,4"),
    ],
)
def test_the_host_calls_the_guest_in_the_order_of_edgeless(
    noting: WasmInstance, event: GuestEvent, notes: str
) -> None:
    # "@" stands for 16 (48 + 16 is its code), "0" for 0. A stop clears once more.
    noting.dispatch(event)
    assert outputs(noting.dispatch(STOP)) == [Cast("out", notes + "c0")]


def test_a_handler_sees_source_ids_and_payload(guest: Build, spawn: Spawn) -> None:
    show = "".join(
        f"(call $cast_asm (i32.const 4) (i32.const 3) (local.get {at}) {size})"
        for at, size in (
            ("$n", "(i32.const 16)"),
            ("$c", "(i32.const 16)"),
            ("$p", "(local.get $l)"),
        )
    )
    instance = spawn(guest("cast_asm", cast=show, call=show + "(i32.const 0)"))
    expected = [
        Cast("out", "node id, 16 byte"),
        Cast("out", "function id 16 b"),
        Cast("out", "grüße"),
    ]
    assert outputs(instance.dispatch(cast("grüße"))) == expected
    assert outputs(instance.dispatch(call("grüße"))) == expected


def test_init_sees_payload_and_state(guest: Build, spawn: Spawn) -> None:
    show = """(call $cast_asm (i32.const 4) (i32.const 3) (local.get $p) (local.get $l))
      (call $cast_asm (i32.const 4) (i32.const 3) (local.get $sp) (local.get $sl))"""
    instance = spawn(guest("cast_asm", init=show))
    step = instance.dispatch(GuestEvent(INIT, payload="payload", state="the state"))
    assert outputs(step) == [Cast("out", "payload"), Cast("out", "the state")]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("cast_asm", OUT + PAYLOAD, Cast("out", "pay")),
        ("cast_asm", f"{SELF} (local.get $p) (i32.const 0)", Cast("self", "")),
        ("cast_asm", f"{EMPTY} (local.get $p) (i32.const 1)", Cast("", "p")),
        # The two ids are read where they are, not one after the other.
        ("cast_raw_asm", "(local.get $n) (local.get $c)" + PAYLOAD, CastRaw(SOURCE, "pay")),
        ("delayed_cast_asm", "(i64.const 0)" + OUT + PAYLOAD, DelayedCast(0, "out", "pay")),
        (
            "delayed_cast_asm",
            f"(i64.const {TEN_YEARS_MS})" + OUT + PAYLOAD,
            DelayedCast(TEN_YEARS_MS, "out", "pay"),
        ),
        ("telemetry_log_asm", "(i32.const 1)" + SELF + PAYLOAD, Log(1, "self", "pay")),
        ("telemetry_log_asm", "(i32.const 77)" + SELF + PAYLOAD, Log(77, "self", "pay")),
        ("telemetry_log_asm", "(i32.const -1)" + EMPTY + EMPTY, Log(-1, "", "")),
        ("sync_asm", PAYLOAD, Sync("pay")),
    ],
)
def test_an_import_becomes_an_output(
    guest: Build, spawn: Spawn, name: str, body: str, expected: Output
) -> None:
    instance = spawn(guest(name, cast=f"(call ${name} {body})"))
    assert outputs(instance.dispatch(cast("pay"))) == [expected]


def test_outputs_keep_their_order(guest: Build, spawn: Spawn) -> None:
    body = f"""
     (call $telemetry_log_asm (i32.const 3) {SELF} {PAYLOAD})
     (call $cast_asm {OUT} {PAYLOAD})
     (call $sync_asm {PAYLOAD})
     (call $cast_asm {SELF} {PAYLOAD})"""
    instance = spawn(guest("cast_asm", "telemetry_log_asm", "sync_asm", cast=body))
    assert outputs(instance.dispatch(cast("x"))) == [
        Log(3, "self", "x"),
        Cast("out", "x"),
        Sync("x"),
        Cast("self", "x"),
    ]


def test_slf_gives_the_guest_its_own_ids(guest: Build, spawn: Spawn, pid: InstanceId) -> None:
    # cast_raw to oneself shows both ids.
    body = """(call $slf_asm (i32.const 640) (i32.const 700))
     (call $cast_raw_asm (i32.const 640) (i32.const 700) (local.get $p) (local.get $l))"""
    instance = spawn(guest("slf_asm", "cast_raw_asm", cast=body))
    other = spawn(guest("slf_asm", "cast_raw_asm", cast=body))
    other.dispatch(cast("x"))
    assert outputs(instance.dispatch(cast("x"))) == [CastRaw(pid.key, "x")]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (0, NO_REPLY),
        (1, CallReturn.reply("question")),
        (2, ERR),
        (3, ERR),
        (-1, ERR),
    ],
)
def test_the_result_of_a_call_handler(
    guest: Build, spawn: Spawn, echo_call: str, result: int, expected: CallReturn
) -> None:
    body = echo_call.replace("(i32.const 1)", f"(i32.const {result})")
    step = spawn(guest(call=body)).dispatch(call("question"))
    assert isinstance(step, Done)
    assert step.reply == expected


def test_casts_have_no_reply(guest: Build, spawn: Spawn) -> None:
    step = spawn(guest()).dispatch(cast("x"))
    assert isinstance(step, Done)
    assert step.reply is None
    assert step.service_ns == 0


def test_a_reply_is_read_before_the_guest_frees_anything(
    guest: Build, spawn: Spawn, echo_call: str
) -> None:
    # This guest overwrites the first bytes of its payload, which is its reply, when it frees.
    wipe = "(memory.fill (i32.const 1024) (i32.const 33) (i32.const 128))"
    step = spawn(guest(call=echo_call, free=wipe)).dispatch(call("precious"))
    assert isinstance(step, Done)
    assert step.reply == CallReturn.reply("precious")


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB])
def test_payloads_of_up_to_one_mebibyte_pass(
    guest: Build, spawn: Spawn, echo_cast: str, echo_call: str, size: int
) -> None:
    instance = spawn(guest("cast_asm", pages="40", cast=echo_cast, call=echo_call))
    payload = "z" * size
    assert outputs(instance.dispatch(cast(payload))) == [Cast("out", payload)]
    step = instance.dispatch(call(payload))
    assert isinstance(step, Done)
    assert step.reply == CallReturn.reply(payload)


def test_a_larger_payload_does_not_reach_the_guest(
    guest: Build, spawn: Spawn, echo_cast: str
) -> None:
    instance = spawn(guest("cast_asm", cast=echo_cast))
    refused = Refused("event", "the payload is larger than 1 MiB")
    assert instance.dispatch(cast("z" * (MIB + 1))) == Done([refused], None, 0, 0)
    assert instance.dispatch(call("z" * (MIB + 1))) == Done([refused], ERR, 0, 0)
    assert outputs(instance.dispatch(cast("fits"))) == [Cast("out", "fits")]


TOO_LARGE = "the payload is larger than 1 MiB"
LONG_ALIAS = "the alias is longer than 255 bytes"
HUGE = "(i32.const 0) (i32.const 1048577)"


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("cast_asm", OUT + HUGE, Refused("cast", TOO_LARGE)),
        ("cast_asm", "(i32.const 4) (i32.const 256)" + PAYLOAD, Refused("cast", LONG_ALIAS)),
        ("cast_raw_asm", f"(local.get $n) (local.get $c) {HUGE}", Refused("cast_raw", TOO_LARGE)),
        ("delayed_cast_asm", f"(i64.const 1) {OUT} {HUGE}", Refused("delayed_cast", TOO_LARGE)),
        (
            "delayed_cast_asm",
            "(i64.const 1) (i32.const 4) (i32.const 999)" + PAYLOAD,
            Refused("delayed_cast", LONG_ALIAS),
        ),
        ("sync_asm", HUGE, Refused("sync", TOO_LARGE)),
    ],
)
def test_what_is_too_long_is_refused_and_the_guest_lives(
    guest: Build, spawn: Spawn, name: str, body: str, expected: Refused
) -> None:
    instance = spawn(guest(name, pages="18", cast=f"(call ${name} {body})"))
    assert outputs(instance.dispatch(cast("x"))) == [expected]
    assert outputs(instance.dispatch(cast("x"))) == [expected]


def test_an_alias_of_255_bytes_passes(guest: Build, spawn: Spawn) -> None:
    body = """(memory.fill (i32.const 2000) (i32.const 97) (i32.const 255))
     (call $cast_asm (i32.const 2000) (i32.const 255) (local.get $p) (local.get $l))"""
    instance = spawn(guest("cast_asm", cast=body))
    assert outputs(instance.dispatch(cast("x"))) == [Cast("a" * 255, "x")]


def test_a_reply_that_is_too_large_is_an_error(guest: Build, spawn: Spawn) -> None:
    body = """(i32.store (local.get $pp) (i32.const 0))
     (i32.store (local.get $lp) (i32.const 1048577)) (i32.const 1)"""
    step = spawn(guest(pages="18", call=body)).dispatch(call("x"))
    assert isinstance(step, Done)
    assert (step.outputs, step.reply) == ([Refused("reply", TOO_LARGE)], ERR)


def test_a_log_line_is_cut_at_eight_kibibytes(guest: Build, spawn: Spawn) -> None:
    body = """(memory.fill (i32.const 2000) (i32.const 97) (i32.const 60000))
     (call $telemetry_log_asm (i32.const 3) (i32.const 2000) (i32.const 60000)
                              (i32.const 2000) (i32.const 60000))"""
    instance = spawn(guest("telemetry_log_asm", cast=body))
    assert outputs(instance.dispatch(cast("x"))) == [Log(3, "a" * 255, "a" * 8192)]


#: A guest that holds "\xff\xfe" at 800.
NO_TEXT = '(data (i32.const 800) "\\ff\\fe")'
BAD = "(i32.const 800) (i32.const 2)"


@pytest.mark.parametrize(
    ("name", "body", "operation"),
    [
        ("cast_asm", f"{OUT} {BAD}", "cast"),
        ("cast_asm", f"{BAD} {OUT}", "cast"),
        ("cast_raw_asm", f"(local.get $n) (local.get $c) {BAD}", "cast_raw"),
        ("delayed_cast_asm", f"(i64.const 1) {OUT} {BAD}", "delayed_cast"),
        ("delayed_cast_asm", f"(i64.const 1) {BAD} {OUT}", "delayed_cast"),
        ("sync_asm", BAD, "sync"),
    ],
)
def test_what_is_not_utf8_is_refused_and_the_guest_lives(
    guest: Build, spawn: Spawn, name: str, body: str, operation: str
) -> None:
    instance = spawn(guest(name, cast=f"(call ${name} {body})", more=NO_TEXT))
    assert outputs(instance.dispatch(cast("x"))) == [Refused(operation, "not UTF-8")]
    assert outputs(instance.dispatch(cast("x"))) == [Refused(operation, "not UTF-8")]


def test_a_log_line_that_is_not_utf8_is_repaired(guest: Build, spawn: Spawn) -> None:
    body = f"(call $telemetry_log_asm (i32.const 3) {BAD} {BAD})"
    instance = spawn(guest("telemetry_log_asm", cast=body, more=NO_TEXT))
    assert outputs(instance.dispatch(cast("x"))) == [Log(3, "\ufffd\ufffd", "\ufffd\ufffd")]


def test_a_reply_that_is_not_utf8_is_an_error(guest: Build, spawn: Spawn) -> None:
    body = """(i32.store (local.get $pp) (i32.const 800))
     (i32.store (local.get $lp) (i32.const 2)) (i32.const 1)"""
    instance = spawn(guest(call=body, more=NO_TEXT))
    step = instance.dispatch(call("x"))
    assert isinstance(step, Done)
    assert (step.outputs, step.reply) == ([Refused("reply", "not UTF-8")], ERR)


def test_a_nul_character_is_text(guest: Build, spawn: Spawn, echo_cast: str) -> None:
    instance = spawn(guest("cast_asm", cast=echo_cast))
    assert outputs(instance.dispatch(cast("a\0b"))) == [Cast("out", "a\0b")]


def test_an_allocator_may_give_0_for_an_empty_payload(guest: Build, spawn: Spawn) -> None:
    alloc = "(if (i32.eqz (local.get $n)) (then (return (i32.const 0)))) (i32.const 1024)"
    assert outputs(spawn(guest(alloc=alloc)).dispatch(cast(""))) == []


def test_casts_from_the_allocator_are_outputs_too(guest: Build, spawn: Spawn) -> None:
    send = "(call $cast_asm (i32.const 4) (i32.const 3) (i32.const 4) (i32.const 1))"
    instance = spawn(guest("cast_asm", free=send, clear=send))
    assert outputs(instance.dispatch(cast("x"))) == [Cast("out", "o")] * 4
