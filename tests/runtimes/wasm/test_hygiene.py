"""What guests leave behind: nothing."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeless_sim.errors import BadCodeError, RejectedError
from edgeless_sim.model.event import NO_REPLY
from edgeless_sim.runtimes.base import (
    Blocked,
    Cast,
    Done,
    Failed,
    GuestEvent,
    GuestEventKind,
    RuntimeSettings,
)
from edgeless_sim.runtimes.wasm.instance import WasmInstance
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

Build = Callable[..., bytes]
Spawn = Callable[[bytes], WasmInstance]
SpawnIn = Callable[[WasmRuntime, bytes], WasmInstance]

EVENT = GuestEvent(GuestEventKind.CAST, bytes(32), "payload")
OUT = "(i32.const 4) (i32.const 3)"
CALL = f"(drop (call $call_asm {OUT} {OUT} (i32.const 512) (i32.const 516)))"

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") // 1024


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("\n")


@linux_only
@pytest.mark.parametrize("imports", [("cast_asm",), ("cast_asm", "call_asm")])
def test_twenty_thousand_traps_leave_nothing(
    guest: Build, spawn: Spawn, imports: tuple[str, ...]
) -> None:
    code = guest(*imports, cast="(unreachable)")

    def trap(times: int) -> None:
        for _ in range(times):
            instance = spawn(code)
            assert isinstance(instance.dispatch(EVENT), Failed)
            instance.discard()

    trap(1000)
    gc.collect()
    before, mapped = resident_kib(), mappings()
    trap(20_000)
    gc.collect()
    # Unfreed, they are 32,000 KiB, and as many stores far more.
    assert resident_kib() - before < 4_000
    assert mappings() - mapped < 10


@linux_only
def test_guests_need_no_mapping_of_their_own(guest: Build, spawn: Spawn, echo_cast: str) -> None:
    code = guest("cast_asm", cast=echo_cast)
    first = spawn(code)
    first.dispatch(EVENT)
    before = mappings()
    guests = [spawn(code) for _ in range(2_000)]
    for instance in guests:
        assert isinstance(instance.dispatch(EVENT), Done)
    # A few mappings of the slab and of the allocator, not one per guest.
    assert mappings() - before < 40


@linux_only
def test_discarded_guests_give_their_memory_back(guest: Build, spawn: Spawn) -> None:
    # Each guest writes to one MiB.
    touch = "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 1048576))"
    code = guest("call_asm", pages="18", cast=touch + CALL)

    def round_of(count: int) -> None:
        guests = [spawn(code) for _ in range(count)]
        for instance in guests:
            assert isinstance(instance.dispatch(EVENT), Blocked)
        for number, instance in enumerate(guests):
            if number % 2:
                assert isinstance(instance.resume(NO_REPLY), Done)
            instance.discard()

    round_of(100)
    before, mapped = resident_kib(), mappings()
    for _ in range(5):
        round_of(100)
    assert resident_kib() - before < 20_000
    assert mappings() - mapped < 20


def test_a_new_guest_does_not_see_what_another_left(guest: Build, spawn: Spawn) -> None:
    grow = "(drop (memory.grow (i32.const 4)))"
    write = grow + "(memory.fill (i32.const 1000) (i32.const 83) (i32.const 300000))"
    read = (
        grow
        + """
     (local.set $l (i32.const 1000))
     (loop $x
      (if (i32.load8_u (local.get $l)) (then (unreachable)))
      (br_if $x (i32.lt_u (local.tee $l (i32.add (local.get $l) (i32.const 997)))
                          (i32.const 390000))))"""
    )
    # An empty payload, and an allocator that writes nothing.
    event = GuestEvent(GuestEventKind.CAST, bytes(32), "")
    for _ in range(3):
        writer = spawn(guest(cast=write))
        assert isinstance(writer.dispatch(event), Done)
        writer.discard()
        reader = spawn(guest(cast=read))
        assert isinstance(reader.dispatch(event), Done)
        reader.discard()


def test_a_record_does_not_show_what_another_guest_sent(
    guest: Build, spawn: Spawn, echo_cast: str
) -> None:
    spawn(guest("cast_asm", cast=echo_cast)).dispatch(
        GuestEvent(GuestEventKind.CAST, bytes(32), "secret" * 50)
    )
    # The second copy of the record traps, after the first.
    bad = f"(call $cast_asm {OUT} (i32.const 131000) (i32.const 300))"
    step = spawn(guest("cast_asm", cast=bad)).dispatch(EVENT)
    assert isinstance(step, Failed)
    assert step.outputs == []


def test_closing_discards_everybody_and_may_be_repeated(guest: Build, spawn_in: SpawnIn) -> None:
    runtime = WasmRuntime(RuntimeSettings())
    code = guest("call_asm", cast=CALL)
    guests = [spawn_in(runtime, code) for _ in range(10)]
    assert isinstance(guests[3].dispatch(EVENT), Blocked)
    slab = runtime._ready().slab
    assert slab.slots_in_use == 10
    runtime.close()
    runtime.close()
    assert slab.slots_in_use == 0
    for instance in guests:
        instance.discard()
        with pytest.raises(AssertionError):
            instance.dispatch(EVENT)
    with pytest.raises(AssertionError, match="closed"):
        spawn_in(runtime, code)


def test_a_run_time_that_was_not_used_has_nothing_to_close() -> None:
    WasmRuntime(RuntimeSettings()).close()


def test_a_refused_guest_leaves_its_slot(guest: Build, spawn_in: SpawnIn) -> None:
    runtime = WasmRuntime(RuntimeSettings(instances_max=3))
    bad = guest(more='(data (i32.const 131072) "x")')
    good = guest()
    try:
        for _ in range(10):
            with pytest.raises(BadCodeError):
                spawn_in(runtime, bad)
        guests = [spawn_in(runtime, good) for _ in range(3)]
        with pytest.raises(RejectedError, match="too many guests"):
            spawn_in(runtime, good)
        guests[1].discard()
        spawn_in(runtime, good)
    finally:
        runtime.close()


def test_two_run_times_live_side_by_side(guest: Build, spawn_in: SpawnIn, echo_cast: str) -> None:
    code = guest("cast_asm", cast=echo_cast)
    first, second = WasmRuntime(RuntimeSettings()), WasmRuntime(RuntimeSettings())
    try:
        one, two = spawn_in(first, code), spawn_in(second, code)
        assert one.dispatch(EVENT) == two.dispatch(EVENT)
        first.close()
        assert two.dispatch(EVENT).outputs == [Cast("out", "payload")]
    finally:
        first.close()
        second.close()


_INTERRUPTED = """
import signal, sys, time
from random import Random
from uuid import UUID
from edgeless_sim.model.event import NO_REPLY
from edgeless_sim.model.function import *
from edgeless_sim.model.ids import *
from edgeless_sim.runtimes.base import *
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

runtime = WasmRuntime(RuntimeSettings())
request = SpawnFunctionRequest(
    FunctionClassSpecification("f", "RUST_WASM", "1", binary=bytes.fromhex(sys.stdin.read())), {},
    StateSpecification(UUID(int=1)), UUID(int=2))
pid = InstanceId(UUID(int=3), UUID(int=4))
event = GuestEvent(GuestEventKind.CAST, bytes(32), "x")

class Stop(Exception): pass
def raise_it(*_): raise Stop
signal.signal(signal.SIGALRM, raise_it)
caught = 0
for _ in range(20):  # The signal comes while the guest runs, and waits until it calls.
    guest = runtime.instantiate(pid, request, Random(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        guest.dispatch(event)
    except Stop:
        caught += 1
for _ in range(200):  # It comes while guests are made and thrown away.
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
        while True:
            runtime.instantiate(pid, request, Random(1)).discard()
    except Stop:
        caught += 1
runtime.close()
print("survived", caught, flush=True)
"""


def test_an_exception_from_a_signal_never_lands_in_a_callback(guest: Build) -> None:
    spin = """(local.set $l (i32.const 10000000))
     (loop $x (br_if $x (local.tee $l (i32.sub (local.get $l) (i32.const 1)))))"""
    code = guest("call_asm", cast=spin + CALL)
    ran = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED],
        input=code.hex(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode != -signal.SIGABRT, ran.stderr[-2000:]
    assert "Exception ignored" not in ran.stderr
    assert ran.stdout == "survived 220\n", ran.stderr[-2000:]


def test_a_late_fault_handler_does_no_harm(guest: Build, spawn_in: SpawnIn) -> None:
    script = """
import faulthandler, sys
from random import Random
from uuid import UUID
from edgeless_sim.model.function import *
from edgeless_sim.model.ids import *
from edgeless_sim.runtimes.base import *
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime
runtime = WasmRuntime(RuntimeSettings())
request = SpawnFunctionRequest(
    FunctionClassSpecification("f", "RUST_WASM", "1", binary=bytes.fromhex(sys.stdin.read())), {},
    StateSpecification(UUID(int=1)), UUID(int=2))
pid = InstanceId(UUID(int=3), UUID(int=4))
guest = runtime.instantiate(pid, request, Random(1))
faulthandler.enable()
print(guest.dispatch(GuestEvent(GuestEventKind.CAST, bytes(32), "x")).reason)
runtime.close()
"""
    code = guest(cast="(drop (i32.load (i32.const -4)))")
    ran = subprocess.run(
        [sys.executable, "-c", script],
        input=code.hex(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout == "trap: out-of-bounds memory access\n", ran.stderr
