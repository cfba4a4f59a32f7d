"""The two WebAssembly shims between host and guest, and the memory they talk through.

Per guest there are three module instances in one store:

* **A** supplies the imports ``env.*``; each function only jumps through A's table.
* **the guest**, linked to A.
* **B** imports the guest's exports and memory, A's table (which it fills), and one memory shared
  by the whole process, the *exchange*. B performs the exact call sequences of spec 1.3 and
  records what the guest asks for in the exchange.

So one host call handles an event without any callback, and every pointer the guest gives is
followed by WebAssembly, which checks it: Python follows none.

**Fuel.** B adds up the fuel that A and B themselves burn (`SHARE_OFFSET`), so that it can be
subtracted: what remains is what the guest's own code burns, as if plain host functions had been
called. COST and ARM in the texts below are filled in by pricing.py.

This module holds texts only; it touches neither wasmtime nor memory.
"""

from typing import Final

from edgeless_sim.runtimes.base import ALIAS_BYTES_MAX, LOG_BYTES_MAX, PAYLOAD_BYTES_MAX
from edgeless_sim.runtimes.wasm.exchange import (
    END_OFFSET,
    EXCHANGE_PAGES,
    FAULT_OFFSET,
    INPUT_OFFSET,
    LENGTH_OFFSET,
    OUTPUT_END,
    OUTPUT_OFFSET,
    RECORD_CALL,
    RECORD_CALL_RAW,
    RECORD_CAST,
    RECORD_CAST_RAW,
    RECORD_DELAYED_CAST,
    RECORD_LOG,
    RECORD_REFUSED,
    RECORD_REPLY,
    RECORD_SYNC,
    RECORD_TARGET,
    REPLY_CODE_OFFSET,
    SHARE_OFFSET,
    STATE_LENGTH_OFFSET,
    STATUS_OFFSET,
)
from edgeless_sim.runtimes.wasm.pricing import Pricing

__all__ = [
    "A_EXPORTS",
    "B_ENTRIES",
    "B_GUEST_IMPORTS",
    "DELAY_MS_MAX",
    "FAULTS",
    "IMPORT_TYPES",
    "START_SLOT",
    "WAIT_SLOT",
    "module_a",
    "module_b",
]

# ---- tables ----------------------------------------------------------------------------------
#: Imports of a guest (spec 1.1): name -> (parameters, results). The order is that of the table.
IMPORT_TYPES: Final[dict[str, tuple[str, str]]] = {
    "cast_asm": ("i32 i32 i32 i32", ""),
    "cast_raw_asm": ("i32 i32 i32 i32", ""),
    "call_asm": ("i32 i32 i32 i32 i32 i32", "i32"),
    "call_raw_asm": ("i32 i32 i32 i32 i32 i32", "i32"),
    "delayed_cast_asm": ("i64 i32 i32 i32 i32", ""),
    "telemetry_log_asm": ("i32 i32 i32 i32 i32", ""),
    "slf_asm": ("i32 i32", ""),
    "sync_asm": ("i32 i32", ""),
}
#: The asynchronous host function that suspends a fiber; null for guests that cannot call.
WAIT_SLOT: Final = len(IMPORT_TYPES)
#: The guest's start function; null if it has none.
START_SLOT: Final = WAIT_SLOT + 1
_SLOTS: Final = START_SLOT + 1
#: A's exports, in order.
A_EXPORTS: Final = ("table", *IMPORT_TYPES)
#: B's imports from the guest, in order; they follow the exchange and precede A's table.
B_GUEST_IMPORTS: Final = (
    "memory",
    "edgeless_mem_alloc",
    "edgeless_mem_free",
    "edgeless_mem_clear",
    "handle_cast_asm",
    "handle_call_asm",
    "handle_init_asm",
    "handle_stop_asm",
)
#: B's exports, in order; the first four match `GuestEventKind`.
B_ENTRIES: Final = ("init", "cast", "call", "stop", "start")

#: More than this traps (reliability B50): ten years.
DELAY_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000
#: Why B trapped on purpose.
FAULTS: Final = {
    1: f"the outputs of one event exceed {(OUTPUT_END - OUTPUT_OFFSET) >> 20} MiB",
    2: "edgeless_mem_alloc returned 0",
    3: "delayed_cast_asm: the delay exceeds ten years",
    4: "call_asm: only a handler may call, not edgeless_mem_alloc, _free or _clear",
}


# ---- module A --------------------------------------------------------------------------------
def module_a() -> str:
    """Return the WAT of A."""
    lines = [f'(module (table (export "table") {_SLOTS} {_SLOTS} funcref)']
    for slot, (name, (parameters, results)) in enumerate(IMPORT_TYPES.items()):
        result = f"(result {results})" if results else ""
        arguments = " ".join(f"(local.get {i})" for i in range(len(parameters.split())))
        lines.append(f"(type $t{slot} (func (param {parameters}) {result}))")
        lines.append(
            f'(func (export "{name}") (type $t{slot})'
            f" (call_indirect (type $t{slot}) {arguments} (i32.const {slot})))"
        )
    return "\n".join([*lines, ")"])


def _cost_in_a(name: str) -> int:
    # Entering the function, one local.get per parameter, the slot, the jump.
    return 1 + len(IMPORT_TYPES[name][0].split()) + 2


# ---- module B --------------------------------------------------------------------------------
_HEAD: Final = f"""(module
 (import "io" "memory" (memory $io {EXCHANGE_PAGES} {EXCHANGE_PAGES} shared))
 (import "g" "memory" (memory $g 0))
 (import "g" "alloc" (func $alloc (param i32) (result i32)))
 (import "g" "free" (func $free (param i32 i32)))
 (import "g" "clear" (func $clear))
 (import "g" "cast" (func $hcast (param i32 i32 i32 i32)))
 (import "g" "call" (func $hcall (param i32 i32 i32 i32 i32 i32) (result i32)))
 (import "g" "init" (func $hinit (param i32 i32 i32 i32)))
 (import "g" "stop" (func $hstop))
 (import "a" "table" (table $t {_SLOTS} {_SLOTS} funcref))
 (type $void (func))
 ;; The instance's own ids, for slf.
 (global $id0 (mut i64) (i64.const 0)) (global $id1 (mut i64) (i64.const 0))
 (global $id2 (mut i64) (i64.const 0)) (global $id3 (mut i64) (i64.const 0))
 (global $started (mut i32) (i32.const 0))
 ;; 1 while a handler of the guest runs. Only then may it wait: anywhere else the input in the
 ;; exchange is not used up yet, and other guests would overwrite it.
 (global $in_handler (mut i32) (i32.const 0))
 (func $identify
  (global.set $id0 (i64.load $io (i32.const {INPUT_OFFSET})))
  (global.set $id1 (i64.load $io (i32.const {INPUT_OFFSET + 8})))
  (global.set $id2 (i64.load $io (i32.const {INPUT_OFFSET + 16})))
  (global.set $id3 (i64.load $io (i32.const {INPUT_OFFSET + 24}))))
 (start $identify)
 (elem (table $t) (i32.const 0) func
  $cast $castraw $call $callraw $delayed $log $slf $sync)"""

# Helpers. Addresses and lengths of the guest are checked by the instructions that use them.
_HELPERS: Final = {
    "$fault": f"""(func $fault (param $code i32)
 (i32.store $io (i32.const {FAULT_OFFSET}) (local.get $code)) (unreachable))""",
    "$tally": f"""(func $tally (param $fuel i64)
 (i64.store $io (i32.const {SHARE_OFFSET})
  (i64.add (i64.load $io (i32.const {SHARE_OFFSET})) (local.get $fuel))))""",
    # Compared in 64 bits, so that address + length cannot wrap around. The last byte of 4 GiB is
    # out of bounds in every memory we hand out: a memory is one slot at most.
    "$check": """(func $check (param $at i32) (param $length i32)
 (if (i64.gt_u (i64.add (i64.extend_i32_u (local.get $at)) (i64.extend_i32_u (local.get $length)))
               (i64.shl (i64.extend_i32_u (memory.size $g)) (i64.const 16)))
  (then (drop (i32.load8_u $g (i32.const -1))))))""",
    # An empty text needs no memory: malloc(0) may be 0.
    "$obtain": """(func $obtain (param $length i32) (result i32) (local $at i32)
 (local.set $at (call $alloc (local.get $length)))
 (if (i32.and (i32.eqz (local.get $at)) (i32.ne (local.get $length) (i32.const 0)))
  (then (call $fault (i32.const 2))))
 (local.get $at))""",
    "$handling": """(func $handling
 (if (i32.eqz (global.get $in_handler)) (then (call $fault (i32.const 4)))))""",
    # The end of the records moves last, so that a trap while copying leaves no half record.
    "$record": f"""(func $record (param $kind i32) (param $x i64) (param $a i32) (param $al i32)
   (param $b i32) (param $bl i32) (local $at i32) (local $to i32) (local $end i32)
 (local.set $at (i32.load $io (i32.const {END_OFFSET})))
 (local.set $to (i32.add (local.get $at) (i32.const 24)))
 (local.set $end (i32.add (i32.add (local.get $to) (local.get $al)) (local.get $bl)))
 (if (i32.gt_u (local.get $end) (i32.const {OUTPUT_END - 8}))
  (then (call $fault (i32.const 1))))
 (i32.store $io (local.get $at) (local.get $kind))
 (i32.store $io offset=4 (local.get $at) (local.get $al))
 (i32.store $io offset=8 (local.get $at) (local.get $bl))
 (i64.store $io offset=16 (local.get $at) (local.get $x))
 (memory.copy $io $g (local.get $to) (local.get $a) (local.get $al))
 (memory.copy $io $g (i32.add (local.get $to) (local.get $al)) (local.get $b) (local.get $bl))
 (i32.store $io (i32.const {END_OFFSET})
  (i32.and (i32.add (local.get $end) (i32.const 7)) (i32.const -8)))
 (call $tally (i64.extend_i32_u (i32.add (local.get $al) (local.get $bl)))))""",
    # x = kind | what was too long << 8: 1 the alias, 2 the payload.
    "$refuse": f"""(func $refuse (param $kind i32) (param $a i32) (param $al i32)
   (param $b i32) (param $bl i32)
 (call $check (local.get $a) (local.get $al))
 (call $check (local.get $b) (local.get $bl))
 (call $record (i32.const {RECORD_REFUSED})
  (i64.extend_i32_u (i32.or (local.get $kind) (select (i32.const 256) (i32.const 512)
   (i32.gt_u (local.get $al) (i32.const {ALIAS_BYTES_MAX})))))
  (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))""",
    "$send": f"""(func $send (param $kind i32) (param $x i64) (param $a i32) (param $al i32)
   (param $b i32) (param $bl i32) (result i32)
 (if (result i32)
  (i32.or (i32.gt_u (local.get $al) (i32.const {ALIAS_BYTES_MAX}))
          (i32.gt_u (local.get $bl) (i32.const {PAYLOAD_BYTES_MAX})))
  (then ARM (call $refuse (local.get $kind) (local.get $a) (local.get $al)
                          (local.get $b) (local.get $bl)) (i32.const 0))
  (else ARM (call $record (local.get $kind) (local.get $x) (local.get $a) (local.get $al)
                          (local.get $b) (local.get $bl)) (i32.const 1))))""",
}

# Runs when the fiber goes on. Other guests used the exchange meanwhile; the reply lies in it now.
_ANSWER: Final = f"""(func $answer (param $pp i32) (param $lp i32) (result i32)
  (local $code i32) (local $at i32) (local $n i32)
 (i32.store $io (i32.const {END_OFFSET}) (i32.const {OUTPUT_OFFSET}))
 (i64.store $io (i32.const {SHARE_OFFSET}) (i64.const 0))
 (call $tally (i64.const COST))
 (local.set $code (i32.load $io (i32.const {REPLY_CODE_OFFSET})))
 (if (i32.eq (local.get $code) (i32.const 1)) (then ARM
  (local.set $n (i32.load $io (i32.const {LENGTH_OFFSET})))
  (global.set $in_handler (i32.const 0))
  (local.set $at (call $obtain (local.get $n)))
  (global.set $in_handler (i32.const 1))
  (memory.copy $g $io (local.get $at) (i32.const {INPUT_OFFSET}) (local.get $n))
  (call $tally (i64.extend_i32_u (local.get $n)))
  (i32.store $g (local.get $pp) (local.get $at))
  (i32.store $g (local.get $lp) (local.get $n))))
 (local.get $code))"""

_WAIT: Final = f"""(call_indirect $t (type $void) (i32.const {WAIT_SLOT}))
  (call $answer (local.get $pp) (local.get $lp))"""

# A raw target is a record of its own, which the next record refers to.
_TARGET: Final = f"""(call $record (i32.const {RECORD_TARGET}) (i64.const 0)
  (local.get $node) (i32.const 16) (local.get $component) (i32.const 16))"""

_IMPORTS: Final = {
    "cast_asm": f"""(func $cast (param $a i32) (param $al i32) (param $b i32) (param $bl i32)
 (call $tally (i64.const COST))
 (drop (call $send (i32.const {RECORD_CAST}) (i64.const 0)
  (local.get $a) (local.get $al) (local.get $b) (local.get $bl))))""",
    "cast_raw_asm": f"""(func $castraw (param $node i32) (param $component i32)
   (param $b i32) (param $bl i32)
 (call $tally (i64.const COST))
 {_TARGET}
 (drop (call $send (i32.const {RECORD_CAST_RAW}) (i64.const 0)
  (i32.const 0) (i32.const 0) (local.get $b) (local.get $bl))))""",
    "call_asm": f"""(func $call (param $a i32) (param $al i32) (param $b i32) (param $bl i32)
   (param $pp i32) (param $lp i32) (result i32)
 (call $tally (i64.const COST))
 (call $handling)
 (if (result i32) (call $send (i32.const {RECORD_CALL}) (i64.const 0)
   (local.get $a) (local.get $al) (local.get $b) (local.get $bl))
  (then ARM {_WAIT})
  (else ARM (i32.const 2))))""",
    "call_raw_asm": f"""(func $callraw (param $node i32) (param $component i32)
   (param $b i32) (param $bl i32) (param $pp i32) (param $lp i32) (result i32)
 (call $tally (i64.const COST))
 (call $handling)
 {_TARGET}
 (if (result i32) (call $send (i32.const {RECORD_CALL_RAW}) (i64.const 0)
   (i32.const 0) (i32.const 0) (local.get $b) (local.get $bl))
  (then ARM {_WAIT})
  (else ARM (i32.const 2))))""",
    "delayed_cast_asm": f"""(func $delayed (param $ms i64) (param $a i32) (param $al i32)
   (param $b i32) (param $bl i32)
 (call $tally (i64.const COST))
 (if (i64.gt_u (local.get $ms) (i64.const {DELAY_MS_MAX})) (then (call $fault (i32.const 3))))
 (drop (call $send (i32.const {RECORD_DELAYED_CAST}) (local.get $ms)
  (local.get $a) (local.get $al) (local.get $b) (local.get $bl))))""",
    "telemetry_log_asm": f"""(func $log (param $level i32) (param $a i32) (param $al i32)
   (param $b i32) (param $bl i32)
 (call $tally (i64.const COST))
 (call $check (local.get $a) (local.get $al))
 (call $check (local.get $b) (local.get $bl))
 (call $record (i32.const {RECORD_LOG}) (i64.extend_i32_s (local.get $level))
  (local.get $a) (select (local.get $al) (i32.const {ALIAS_BYTES_MAX})
   (i32.lt_u (local.get $al) (i32.const {ALIAS_BYTES_MAX})))
  (local.get $b) (select (local.get $bl) (i32.const {LOG_BYTES_MAX})
   (i32.lt_u (local.get $bl) (i32.const {LOG_BYTES_MAX})))))""",
    "slf_asm": """(func $slf (param $node i32) (param $component i32)
 (call $tally (i64.const COST))
 (i64.store $g (local.get $node) (global.get $id0))
 (i64.store $g offset=8 (local.get $node) (global.get $id1))
 (i64.store $g (local.get $component) (global.get $id2))
 (i64.store $g offset=8 (local.get $component) (global.get $id3)))""",
    "sync_asm": f"""(func $sync (param $b i32) (param $bl i32)
 (call $tally (i64.const COST))
 (drop (call $send (i32.const {RECORD_SYNC}) (i64.const 0)
  (i32.const 0) (i32.const 0) (local.get $b) (local.get $bl))))""",
}

_OPEN: Final = f"""
 (i32.store $io (i32.const {END_OFFSET}) (i32.const {OUTPUT_OFFSET}))
 (i32.store $io (i32.const {STATUS_OFFSET}) (i32.const 0))
 (i64.store $io (i32.const {SHARE_OFFSET}) (i64.const 0))
 (local.set $n (i32.load $io (i32.const {LENGTH_OFFSET})))
 (call $tally (i64.const COST))"""

# Spec 1.3: component id first, then node id, then payload; freed in the same order.
_EVENT_IN: Final = f"""{_OPEN}
 (call $tally (i64.extend_i32_u (local.get $n)))
 (call $clear)
 (local.set $a (call $obtain (i32.const 16)))
 (memory.copy $g $io (local.get $a) (i32.const {INPUT_OFFSET + 16}) (i32.const 16))
 (local.set $b (call $obtain (i32.const 16)))
 (memory.copy $g $io (local.get $b) (i32.const {INPUT_OFFSET}) (i32.const 16))
 (local.set $c (call $obtain (local.get $n)))
 (memory.copy $g $io (local.get $c) (i32.const {INPUT_OFFSET + 32}) (local.get $n))"""
_EVENT_BYTES: Final = 32  # the two ids
_FREE_IDS: Final = """(call $free (local.get $a) (i32.const 16))
 (call $free (local.get $b) (i32.const 16))"""
_FREE_PAYLOAD: Final = (
    """(if (local.get $n) (then ARM (call $free (local.get $c) (local.get $n))))"""
)

_ENTER: Final = "(global.set $in_handler (i32.const 1))"
_LEAVE: Final = "(global.set $in_handler (i32.const 0))"

_ENTRIES: Final = {
    "init": f"""(func (export "init") (local $n i32) (local $s i32) (local $p i32) (local $q i32)
 {_OPEN}
 (local.set $s (i32.load $io (i32.const {STATE_LENGTH_OFFSET})))
 (if (i32.ne (local.get $n) (i32.const -1))
  (then ARM (call $tally (i64.extend_i32_u (local.get $n)))
   (local.set $p (call $obtain (local.get $n)))
   (memory.copy $g $io (local.get $p) (i32.const {INPUT_OFFSET}) (local.get $n)))
  (else ARM (local.set $n (i32.const 0))))
 (if (i32.ne (local.get $s) (i32.const -1))
  (then ARM (call $tally (i64.extend_i32_u (local.get $s)))
   (local.set $q (call $obtain (local.get $s)))
   (memory.copy $g $io (local.get $q) (i32.add (local.get $n) (i32.const {INPUT_OFFSET}))
    (local.get $s)))
  (else ARM (local.set $s (i32.const 0))))
 {_ENTER}
 (call $hinit (local.get $p) (local.get $n) (local.get $q) (local.get $s))
 {_LEAVE}
 (if (local.get $n) (then ARM (call $free (local.get $p) (local.get $n))))
 (if (local.get $s) (then ARM (call $free (local.get $q) (local.get $s)))))""",
    "cast": f"""(func (export "cast") (local $n i32) (local $a i32) (local $b i32) (local $c i32)
 {_EVENT_IN}
 {_ENTER}
 (call $hcast (local.get $b) (local.get $a) (local.get $c) (local.get $n))
 {_LEAVE}
 {_FREE_IDS}
 {_FREE_PAYLOAD})""",
    # The reply is copied before anything else runs in the guest: its SDK has freed it already
    # (case D31).
    "call": f"""(func (export "call") (local $n i32) (local $a i32) (local $b i32) (local $c i32)
  (local $pp i32) (local $lp i32) (local $r i32) (local $p i32) (local $l i32)
 {_EVENT_IN}
 (local.set $pp (call $obtain (i32.const 4)))
 (local.set $lp (call $obtain (i32.const 4)))
 {_ENTER}
 (local.set $r (call $hcall (local.get $b) (local.get $a) (local.get $c) (local.get $n)
  (local.get $pp) (local.get $lp)))
 {_LEAVE}
 (i32.store $io (i32.const {STATUS_OFFSET}) (local.get $r))
 (if (i32.eq (local.get $r) (i32.const 1)) (then ARM
  (local.set $p (i32.load $g (local.get $pp)))
  (local.set $l (i32.load $g (local.get $lp)))
  (if (call $send (i32.const {RECORD_REPLY}) (i64.const 0) (i32.const 0) (i32.const 0)
    (local.get $p) (local.get $l))
   (then) (else ARM (i32.store $io (i32.const {STATUS_OFFSET}) (i32.const 2))))))
 {_FREE_IDS}
 (call $free (local.get $pp) (i32.const 4))
 (call $free (local.get $lp) (i32.const 4))
 {_FREE_PAYLOAD})""",
    "stop": f"""(func (export "stop") (local $n i32)
 {_OPEN}
 (call $clear)
 {_ENTER} (call $hstop) {_LEAVE})""",
    "start": f"""(func (export "start") (local $n i32)
 {_OPEN}
 {_ENTER} (call_indirect $t (type $void) (i32.const {START_SLOT})) {_LEAVE})""",
}


def module_b() -> str:
    """Return the WAT of B."""
    pricing = Pricing()
    parts = [_HEAD]
    parts += [pricing.function(name, text) for name, text in _HELPERS.items()]
    # Two arguments and the call itself are burnt after the wait.
    parts.append(pricing.deferred("$answer", _ANSWER, call=3))
    parts += [pricing.function(name, text, _cost_in_a(name)) for name, text in _IMPORTS.items()]
    for name, text in _ENTRIES.items():
        parts.append(pricing.function(name, text, _EVENT_BYTES if name in ("cast", "call") else 0))
    return "\n".join([*parts, ")"])
