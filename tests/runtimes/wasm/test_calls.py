"""Guests that wait in a call: every entry can, in any order, and all can be thrown away."""

from collections.abc import Callable
from random import Random

import pytest

from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn
from edgeless_sim.runtimes.base import (
    Blocked,
    Call,
    CallRaw,
    Cast,
    Done,
    Failed,
    GuestEvent,
    GuestEventKind,
    Refused,
    Step,
)
from edgeless_sim.runtimes.wasm.instance import WasmInstance

Build = Callable[..., bytes]
Spawn = Callable[[bytes], WasmInstance]

SOURCE = b"node id, 16 byte" + b"function id 16 b"
INIT = GuestEvent(GuestEventKind.INIT, payload="in")
EVENT = GuestEvent(GuestEventKind.CAST, SOURCE, "cast")
CALL = GuestEvent(GuestEventKind.CALL, SOURCE, "call")
STOP = GuestEvent(GuestEventKind.STOP)

OUT = "(i32.const 4) (i32.const 3)"
PAYLOAD = "(local.get $p) (local.get $l)"
RESULTS = "(i32.const 512) (i32.const 516)"
# Calls "out", and casts to "out" the code (as a digit), then the reply.
ASK = f"""
 (i32.store8 (i32.const 600) (i32.add (i32.const 48) (call $call_asm {OUT} {OUT} {RESULTS})))
 (call $cast_asm {OUT} (i32.const 600) (i32.const 1))
 (call $cast_asm {OUT} (i32.load (i32.const 512)) (i32.load (i32.const 516)))"""


def outputs(step: Step) -> list[str]:
    assert isinstance(step, Done), step
    return [output.payload for output in step.outputs if isinstance(output, Cast)]


@pytest.fixture
def asking(guest: Build) -> bytes:
    """A guest that calls in every handler."""
    return guest("cast_asm", "call_asm", init=ASK, cast=ASK, call=ASK + "(i32.const 0)", stop=ASK)


@pytest.mark.parametrize("event", [INIT, EVENT, CALL, STOP])
def test_every_handler_can_wait_for_a_reply(asking: bytes, spawn: Spawn, event: GuestEvent) -> None:
    instance = spawn(asking)
    for reply in ("first", "second, much longer than the first", ""):
        waiting = instance.dispatch(event)
        assert isinstance(waiting, Blocked)
        assert waiting.call == Call("out", "out")
        assert waiting.outputs == []
        assert outputs(instance.resume(CallReturn.reply(reply))) == ["1", reply]


def test_a_start_function_can_wait_and_the_event_follows(guest: Build, spawn: Spawn) -> None:
    start = "(start $begin) (func $begin " + ASK + ")"
    show = f"(call $cast_asm {OUT} {PAYLOAD})"
    instance = spawn(guest("cast_asm", "call_asm", init=show, more=start))

    assert isinstance(instance.dispatch(INIT), Blocked)
    assert outputs(instance.resume(CallReturn.reply("ready"))) == ["1", "ready", "in"]
    assert outputs(instance.dispatch(INIT)) == ["in"]


def test_start_function_and_first_event_may_both_wait(guest: Build, spawn: Spawn) -> None:
    start = "(start $begin) (func $begin " + ASK + ")"
    instance = spawn(guest("cast_asm", "call_asm", cast=ASK, more=start))

    assert isinstance(instance.dispatch(EVENT), Blocked)
    between = instance.resume(CallReturn.reply("one"))
    assert isinstance(between, Blocked)
    assert between.outputs == [Cast("out", "1"), Cast("out", "one")]
    assert outputs(instance.resume(CallReturn.reply("two"))) == ["1", "two"]


@pytest.mark.parametrize("imports", [("cast_asm",), ("cast_asm", "call_asm")])
def test_a_start_function_runs_once_and_may_send(
    guest: Build, spawn: Spawn, imports: tuple[str, ...]
) -> None:
    start = f"(start $begin) (func $begin (call $cast_asm {OUT} {OUT}))"
    show = f"(call $cast_asm {OUT} {PAYLOAD})"
    instance = spawn(guest(*imports, init=show, cast=show, more=start))
    assert outputs(instance.dispatch(INIT)) == ["out", "in"]
    assert outputs(instance.dispatch(EVENT)) == ["cast"]


@pytest.mark.parametrize("imports", [(), ("call_asm",)])
@pytest.mark.parametrize("body", ["(unreachable)", "(drop (i32.load (i32.const -1)))"])
def test_a_start_function_that_traps_fails_the_first_event(
    guest: Build, spawn: Spawn, imports: tuple[str, ...], body: str
) -> None:
    instance = spawn(guest(*imports, more=f"(start $begin) (func $begin {body})"))
    assert isinstance(instance.dispatch(INIT), Failed)


@pytest.mark.parametrize(
    ("reply", "code"), [(NO_REPLY, "0"), (CallReturn.reply("x"), "1"), (ERR, "2")]
)
def test_the_guest_sees_how_its_call_ended(
    asking: bytes, spawn: Spawn, reply: CallReturn, code: str
) -> None:
    instance = spawn(asking)
    instance.dispatch(EVENT)
    assert outputs(instance.resume(reply))[0] == code


def test_only_four_bytes_of_length_are_written(guest: Build, spawn: Spawn) -> None:
    body = f"""(i64.store (i32.const 512) (i64.const -1)) (i64.store (i32.const 520) (i64.const -1))
     (drop (call $call_asm {OUT} {OUT} {RESULTS}))
     (if (i32.ne (i32.load (i32.const 516)) (i32.const 2)) (then (unreachable)))
     (if (i64.ne (i64.load (i32.const 520)) (i64.const -1)) (then (unreachable)))"""
    instance = spawn(guest("call_asm", cast=body))
    instance.dispatch(EVENT)
    assert isinstance(instance.resume(CallReturn.reply("ok")), Done)


def test_a_raw_call_names_node_and_function(guest: Build, spawn: Spawn) -> None:
    body = f"(drop (call $call_raw_asm (local.get $n) (local.get $c) {PAYLOAD} {RESULTS}))"
    waiting = spawn(guest("call_raw_asm", cast=body)).dispatch(EVENT)
    assert isinstance(waiting, Blocked)
    assert waiting.call == CallRaw(SOURCE, "cast")


def test_outputs_before_the_call_leave_with_it(guest: Build, spawn: Spawn) -> None:
    body = f"(call $cast_asm {OUT} {PAYLOAD}) {ASK}"
    instance = spawn(guest("cast_asm", "call_asm", cast=body))
    waiting = instance.dispatch(EVENT)
    assert waiting.outputs == [Cast("out", "cast")]
    assert outputs(instance.resume(NO_REPLY)) == ["0", ""]


def test_the_payload_of_a_handler_survives_its_wait(guest: Build, spawn: Spawn) -> None:
    body = f"(drop (call $call_asm {OUT} {OUT} {RESULTS})) (call $cast_asm {OUT} {PAYLOAD})"
    code = guest("cast_asm", "call_asm", cast=body)
    first, second = spawn(code), spawn(code)
    assert isinstance(first.dispatch(GuestEvent(EVENT.kind, SOURCE, "mine")), Blocked)
    assert isinstance(second.dispatch(GuestEvent(EVENT.kind, SOURCE, "yours!")), Blocked)
    assert outputs(first.resume(CallReturn.reply("zzzzzzzzzzzzzz"))) == ["mine"]
    assert outputs(second.resume(NO_REPLY)) == ["yours!"]


def test_a_call_handler_may_call_before_it_replies(
    guest: Build, spawn: Spawn, echo_call: str
) -> None:
    instance = spawn(guest("cast_asm", "call_asm", call=ASK + echo_call))
    instance.dispatch(CALL)
    step = instance.resume(CallReturn.reply("inner"))
    assert isinstance(step, Done)
    assert step.reply == CallReturn.reply("call")


def test_guests_go_on_in_any_order(asking: bytes, spawn: Spawn, guest: Build) -> None:
    other = spawn(guest("cast_asm", cast=f"(call $cast_asm {OUT} {PAYLOAD})"))
    waiting = [spawn(asking) for _ in range(5)]
    for instance in waiting:
        assert isinstance(instance.dispatch(EVENT), Blocked)
    for number in (2, 0, 4, 1, 3):
        assert outputs(other.dispatch(EVENT)) == ["cast"]
        reply = f"reply {number}"
        assert outputs(waiting[number].resume(CallReturn.reply(reply))) == ["1", reply]
        assert isinstance(waiting[number].dispatch(EVENT), Blocked)


@pytest.mark.parametrize(
    ("arguments", "operation", "cause"),
    [
        (f"(i32.const 800) (i32.const 2) {OUT}", "call", "not UTF-8"),
        (f"{OUT} (i32.const 800) (i32.const 2)", "call", "not UTF-8"),
        (f"(i32.const 4) (i32.const 256) {OUT}", "call", "the alias is longer than 255 bytes"),
        (
            f"{OUT} (i32.const 0) (i32.const 1048577)",
            "call",
            "the payload is larger than 1 MiB",
        ),
    ],
)
def test_a_call_that_cannot_be_made_is_answered_with_an_error_at_once(
    guest: Build, spawn: Spawn, arguments: str, operation: str, cause: str
) -> None:
    body = f"""
     (i32.store8 (i32.const 600) (i32.add (i32.const 48) (call $call_asm {arguments} {RESULTS})))
     (call $cast_asm {OUT} (i32.const 600) (i32.const 1))"""
    no_text = '(data (i32.const 800) "\\ff\\fe")'
    instance = spawn(guest("cast_asm", "call_asm", pages="18", cast=body, more=no_text))
    for _ in range(2):
        assert instance.dispatch(EVENT).outputs == [Refused(operation, cause), Cast("out", "2")]


def test_many_such_calls_in_one_event_need_no_recursion(guest: Build, spawn: Spawn) -> None:
    body = f"""(local.set $l (i32.const 3000))
     (loop $x (drop (call $call_asm (i32.const 800) (i32.const 2) {OUT} {RESULTS}))
      (br_if $x (local.tee $l (i32.sub (local.get $l) (i32.const 1)))))"""
    instance = spawn(guest("call_asm", cast=body, more='(data (i32.const 800) "\\ff\\fe")'))
    step = instance.dispatch(EVENT)
    assert isinstance(step, Done)
    assert len(step.outputs) == 3000


def test_a_raw_call_that_is_not_utf8_is_answered_with_an_error(guest: Build, spawn: Spawn) -> None:
    body = """(if (i32.ne (i32.const 2) (call $call_raw_asm (local.get $n) (local.get $c)
       (i32.const 800) (i32.const 2) (i32.const 512) (i32.const 516))) (then (unreachable)))"""
    instance = spawn(guest("call_raw_asm", cast=body, more='(data (i32.const 800) "\\ff\\fe")'))
    assert instance.dispatch(EVENT).outputs == [Refused("call_raw", "not UTF-8")]


def test_a_reply_that_is_too_large_reaches_the_guest_as_an_error(
    asking: bytes, spawn: Spawn
) -> None:
    instance = spawn(asking)
    instance.dispatch(EVENT)
    assert outputs(instance.resume(CallReturn.reply("x" * ((1 << 20) + 1)))) == ["2", ""]


def test_a_reply_of_one_mebibyte_arrives(guest: Build, spawn: Spawn) -> None:
    instance = spawn(guest("cast_asm", "call_asm", pages="20", cast=ASK))
    instance.dispatch(EVENT)
    reply = "x" * (1 << 20)
    assert outputs(instance.resume(CallReturn.reply(reply))) == ["1", reply]


@pytest.mark.parametrize(("first", "second"), [(131070, 520), (520, 131070), (-1, 520), (520, -4)])
def test_a_reply_that_cannot_be_handed_over_traps(
    guest: Build, spawn: Spawn, first: int, second: int
) -> None:
    results = f"(i32.const {first}) (i32.const {second})"
    instance = spawn(guest("call_asm", cast=f"(drop (call $call_asm {OUT} {OUT} {results}))"))
    instance.dispatch(EVENT)
    step = instance.resume(CallReturn.reply("x"))
    assert isinstance(step, Failed)
    assert step.reason == "trap: out-of-bounds memory access"


def test_a_waiting_guest_that_runs_away_is_stopped(guest: Build, spawn: Spawn) -> None:
    body = f"(drop (call $call_asm {OUT} {OUT} {RESULTS})) (loop $x (br $x))"
    instance = spawn(guest("call_asm", cast=body))
    instance.dispatch(EVENT)
    step = instance.resume(NO_REPLY)
    assert isinstance(step, Failed)
    assert step.reason == "out of fuel: 100000000 per event"
    instance.discard()


def test_a_waiting_guest_takes_no_event(asking: bytes, spawn: Spawn) -> None:
    instance = spawn(asking)
    with pytest.raises(AssertionError):
        instance.resume(NO_REPLY)
    instance.dispatch(EVENT)
    with pytest.raises(AssertionError):
        instance.dispatch(EVENT)
    assert outputs(instance.resume(NO_REPLY))[0] == "0"


def test_a_waiting_guest_can_be_discarded_twice(asking: bytes, spawn: Spawn) -> None:
    kept, dropped = spawn(asking), spawn(asking)
    kept.dispatch(EVENT)
    dropped.dispatch(EVENT)
    dropped.discard()
    dropped.discard()
    with pytest.raises(AssertionError):
        dropped.resume(NO_REPLY)
    assert outputs(kept.resume(CallReturn.reply("here"))) == ["1", "here"]


def test_ten_thousand_guests_wait_at_once(asking: bytes, spawn: Spawn) -> None:
    guests = [spawn(asking) for _ in range(10_000)]
    for instance in guests:
        assert isinstance(instance.dispatch(EVENT), Blocked)
    order = list(range(10_000))
    Random(7).shuffle(order)
    for number in order[:9_000]:
        reply = str(number)
        assert outputs(guests[number].resume(CallReturn.reply(reply))) == ["1", reply]
    # The rest is discarded while it waits, when the run-time closes.
