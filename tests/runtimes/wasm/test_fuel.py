"""Fuel: what is reported is what the guest's own code burns, in every run the same."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from edgeless_sim.model.event import NO_REPLY, CallReturn
from edgeless_sim.runtimes.base import (
    Blocked,
    Done,
    Failed,
    GuestEvent,
    GuestEventKind,
    RuntimeSettings,
)
from edgeless_sim.runtimes.wasm.instance import WasmInstance
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

SOURCE = bytes(range(32))
INIT, CAST, CALL, STOP = (
    GuestEventKind.INIT,
    GuestEventKind.CAST,
    GuestEventKind.CALL,
    GuestEventKind.STOP,
)
CALL_OUT = """(drop (call $call_asm (i32.const 4) (i32.const 3) (local.get $p) (local.get $l)
 (i32.const 512) (i32.const 516)))"""
CALL_RAW = """(drop (call $call_raw_asm (local.get $n) (local.get $c) (local.get $p) (local.get $l)
 (i32.const 512) (i32.const 516)))"""
SEND_ALL = """
 (call $cast_asm (i32.const 4) (i32.const 3) (local.get $p) (local.get $l))
 (call $cast_raw_asm (local.get $n) (local.get $c) (local.get $p) (local.get $l))
 (call $delayed_cast_asm (i64.const 5) (i32.const 4) (i32.const 3) (local.get $p) (local.get $l))
 (call $telemetry_log_asm (i32.const 3) (i32.const 4) (i32.const 3) (local.get $p) (local.get $l))
 (call $slf_asm (i32.const 640) (i32.const 656))
 (call $sync_asm (local.get $p) (local.get $l))"""
ALL_SENDS = (
    "cast_asm",
    "cast_raw_asm",
    "delayed_cast_asm",
    "telemetry_log_asm",
    "slf_asm",
    "sync_asm",
)
# Casts with an alias of 300 bytes and a payload of over 1 MiB: refused, but paid for.
TOO_LONG = """
 (call $cast_asm (i32.const 0) (i32.const 300) (local.get $p) (local.get $l))
 (call $cast_asm (i32.const 4) (i32.const 3) (i32.const 0) (i32.const 1048577))
 (call $telemetry_log_asm (i32.const 3) (i32.const 0) (i32.const 700)
                          (i32.const 0) (i32.const 70000))"""


class Plain:
    """The same guest through wasmtime-py's public interface: plain host functions, spec 1.3."""

    def __init__(self, code: bytes, reply: bytes | None) -> None:
        config = wasmtime.Config()
        config.consume_fuel = True
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        self.store.set_fuel(1 << 40)
        module = wasmtime.Module(engine, code)
        linker = wasmtime.Linker(engine)
        self.reply = reply
        for one in module.imports:
            assert isinstance(one.type, wasmtime.FuncType)
            assert one.name is not None
            host = self.answer if one.name.startswith("call") else self.ignore
            linker.define_func("env", one.name, one.type, host)
        self.exports: Any = linker.instantiate(self.store, module).exports(self.store)
        self.burnt()

    def ignore(self, *_arguments: int) -> None:
        return None

    def answer(self, *arguments: int) -> int:
        if self.reply is None:
            return 0
        at = self.put(self.reply)
        self.write(arguments[4], at.to_bytes(4, "little"))
        self.write(arguments[5], len(self.reply).to_bytes(4, "little"))
        return 1

    def burnt(self) -> int:
        left = self.store.get_fuel()
        self.store.set_fuel(1 << 40)
        return (1 << 40) - left

    def do(self, name: str, *arguments: int) -> Any:
        return self.exports[name](self.store, *arguments)

    def write(self, at: int, content: bytes) -> None:
        self.exports["memory"].write(self.store, content, at)

    def put(self, content: bytes) -> int:
        at: int = self.do("edgeless_mem_alloc", len(content))
        self.write(at, content)
        return at

    def free(self, at: int, size: int) -> None:
        if size:
            self.do("edgeless_mem_free", at, size)

    def init(self, payload: str | None, state: str | None) -> int:
        pairs = [(0, 0) if t is None else (self.put(t.encode()), len(t)) for t in (payload, state)]
        self.do("handle_init_asm", *pairs[0], *pairs[1])
        for pair in pairs:
            self.free(*pair)
        return self.burnt()

    def event(self, kind: GuestEventKind, payload: str) -> int:
        self.do("edgeless_mem_clear")
        component, node = self.put(SOURCE[16:]), self.put(SOURCE[:16])
        content = self.put(payload.encode())
        arguments = [node, component, content, len(payload)]
        if kind == CAST:
            self.do("handle_cast_asm", *arguments)
        else:
            slots = [self.put(bytes(4)), self.put(bytes(4))]
            self.do("handle_call_asm", *arguments, *slots)
        self.free(component, 16)
        self.free(node, 16)
        if kind == CALL:
            for slot in slots:
                self.free(slot, 4)
        self.free(content, len(payload))
        return self.burnt()

    def stop(self) -> int:
        self.do("edgeless_mem_clear")
        self.do("handle_stop_asm")
        return self.burnt()


def finish(instance: WasmInstance, event: GuestEvent, reply: bytes | None) -> int:
    """Dispatch, answering every call; return the fuel of all segments."""
    answer = NO_REPLY if reply is None else CallReturn.reply(reply.decode())
    step = instance.dispatch(event)
    fuel = step.fuel
    while isinstance(step, Blocked):
        step = instance.resume(answer)
        fuel += step.fuel
    assert isinstance(step, Done), step
    return fuel


@pytest.mark.parametrize("payload", ["", "x", "sixteen bytes...", "y" * 5000])
@pytest.mark.parametrize("reply", [None, b"", b"a reply of some length"])
@pytest.mark.parametrize(
    ("imports", "body"),
    [
        ((), ""),
        (("cast_asm",), SEND_ALL.split(")\n", 1)[0] + ")"),
        (ALL_SENDS, SEND_ALL),
        ((*ALL_SENDS, "call_asm", "call_raw_asm"), SEND_ALL + CALL_OUT + SEND_ALL + CALL_RAW),
        (("cast_asm", "telemetry_log_asm"), TOO_LONG),
    ],
)  # fmt: skip
def test_fuel_is_what_the_guest_burns_with_plain_host_functions(
    guest: Callable[..., bytes],
    spawn: Callable[[bytes], WasmInstance],
    echo_call: str,
    imports: tuple[str, ...],
    body: str,
    reply: bytes | None,
    payload: str,
) -> None:
    code = guest(
        *imports, pages="18", cast=body, call=body + echo_call, free="(drop (i32.const 1))"
    )
    plain, ours = Plain(code, reply), spawn(code)

    for text, state in ((None, None), (payload, None), (None, payload), (payload, payload)):
        event = GuestEvent(INIT, payload=text, state=state)
        assert finish(ours, event, reply) == plain.init(text, state)
    for kind in (CAST, CALL, CAST):
        assert finish(ours, GuestEvent(kind, SOURCE, payload), reply) == plain.event(kind, payload)
    assert finish(ours, GuestEvent(STOP), reply) == plain.stop()


def test_each_segment_of_a_blocked_handler_has_its_own_fuel(
    guest: Callable[..., bytes], spawn: Callable[[bytes], WasmInstance]
) -> None:
    spin = """(local.set $l (i32.const {n}))
     (loop $x (br_if $x (local.tee $l (i32.sub (local.get $l) (i32.const 1)))))"""
    light = spawn(guest("call_asm", cast=CALL_OUT + spin.format(n=1)))
    heavy = spawn(guest("call_asm", cast=CALL_OUT + spin.format(n=101)))
    event = GuestEvent(CAST, SOURCE, "p")

    before = light.dispatch(event).fuel, heavy.dispatch(event).fuel
    after = light.resume(NO_REPLY).fuel, heavy.resume(NO_REPLY).fuel

    assert before[0] == before[1]
    # local.get, const, sub, tee, br_if: 5 per round.
    assert after[1] - after[0] == 100 * 5


def test_a_start_function_costs_what_it_burns(
    guest: Callable[..., bytes], spawn: Callable[[bytes], WasmInstance]
) -> None:
    start = "(start $begin) (func $begin (i32.store (i32.const 640) (i32.const 1)))"
    with_start = spawn(guest(more=start)).dispatch(GuestEvent(INIT))
    without = spawn(guest()).dispatch(GuestEvent(INIT))

    # Entering the function, two constants, the store.
    assert with_start.fuel - without.fuel == 4


def test_an_endless_loop_ends_at_the_limit_of_its_event(
    guest: Callable[..., bytes],
    spawn_in: Callable[[WasmRuntime, bytes], WasmInstance],
) -> None:
    runtime = WasmRuntime(RuntimeSettings(fuel_per_event=20_000, fuel_per_init=50_000))
    loop = "(loop $x (br $x))"
    try:
        in_cast = spawn_in(runtime, guest(cast=loop))
        in_init = spawn_in(runtime, guest(init=loop))
        on_fiber = spawn_in(runtime, guest("call_asm", stop=loop))

        assert in_cast.dispatch(GuestEvent(CAST, SOURCE, "x")) == Failed(
            "out of fuel: 20000 per event", [], 20_000, 0
        )
        assert in_init.dispatch(GuestEvent(INIT)) == Failed(
            "out of fuel: 50000 per init", [], 50_000, 0
        )
        assert on_fiber.dispatch(GuestEvent(STOP)) == Failed(
            "out of fuel: 20000 per event", [], 20_000, 0
        )
    finally:
        runtime.close()


def test_each_event_has_the_whole_limit_to_itself(
    guest: Callable[..., bytes],
    spawn_in: Callable[[WasmRuntime, bytes], WasmInstance],
) -> None:
    runtime = WasmRuntime(RuntimeSettings(fuel_per_event=10_000, fuel_per_init=10_000))
    spin = """(local.set $l (i32.const 1000))
     (loop $x (br_if $x (local.tee $l (i32.sub (local.get $l) (i32.const 1)))))"""
    try:
        instance = spawn_in(runtime, guest(cast=spin))
        steps = [instance.dispatch(GuestEvent(CAST, SOURCE, "x")) for _ in range(10)]
        assert [type(step) for step in steps] == [Done] * 10
        assert {step.fuel for step in steps} == {steps[0].fuel}
    finally:
        runtime.close()


def test_the_limit_of_an_event_spans_its_waits(
    guest: Callable[..., bytes],
    spawn_in: Callable[[WasmRuntime, bytes], WasmInstance],
) -> None:
    runtime = WasmRuntime(RuntimeSettings(fuel_per_event=20_000))
    try:
        instance = spawn_in(runtime, guest("call_asm", cast=f"(loop $x {CALL_OUT} (br $x))"))
        step = instance.dispatch(GuestEvent(CAST, SOURCE, "x"))
        burnt, waits = step.fuel, 0
        while isinstance(step, Blocked):
            waits += 1
            step = instance.resume(NO_REPLY)
            burnt += step.fuel
        assert isinstance(step, Failed)
        assert waits > 10
        # The rest is the trampoline's share, which counts towards the limit but is not reported.
        assert burnt < 20_000
    finally:
        runtime.close()


_TRACE = """
import sys
from random import Random
from uuid import UUID
from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.function import *
from edgeless_sim.model.ids import *
from edgeless_sim.runtimes.base import *
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

runtime = WasmRuntime(RuntimeSettings())
code = bytes.fromhex(sys.stdin.read())
request = SpawnFunctionRequest(
    FunctionClassSpecification("traced", "RUST_WASM", "1", binary=code), {},
    StateSpecification(UUID(int=1)), UUID(int=2))
pid = InstanceId(UUID(int=3), UUID(int=4))
for _ in range(3):
    guest = runtime.instantiate(pid, request, Random(1))
    for kind in GuestEventKind:
        for payload in ("", "abc", "d" * 999):
            step = guest.dispatch(GuestEvent(kind, bytes(32), payload, payload))
            while True:
                print(kind.name, len(payload), step)
                if not isinstance(step, Blocked):
                    break
                step = guest.resume(CallReturn.reply(payload))
runtime.close()
"""


def test_a_trace_is_the_same_in_another_process_with_another_hash_seed(
    guest: Callable[..., bytes], echo_call: str
) -> None:
    body = SEND_ALL + CALL_OUT + CALL_RAW
    code = guest(*ALL_SENDS, "call_asm", "call_raw_asm", cast=body, call=body + echo_call)

    def trace(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(
            [sys.executable, "-c", _TRACE],
            input=code.hex(), env=environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    first = trace("1")
    assert first.count("\n") > 40
    assert trace("2") == first
