"""What a new function looks like in each language: an echo that says how it is called.

``@name@`` and ``@Name@`` stand for the function's name, plain and as the name of a type.
"""

from typing import Final

__all__ = [
    "CARGO",
    "C_SOURCE",
    "GUIDE_NOOP",
    "PYTHON_SOURCE",
    "PYTHON_TEST",
    "RUST_SOURCE",
    "WAT_SOURCE",
]

C_SOURCE: Final = """\
/* Casts every message on to "output" with a greeting, and answers calls with it. */
#define EDGELESS_FUNCTION_NAME "@name@"
#include "edgeless_text.h"

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)state;
    edgeless_log(EDGELESS_LOG_INFO, edgeless_join(TEXT("begun with "), payload));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    edgeless_cast(TEXT("output"), edgeless_join(TEXT("hello, "), message));
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    return edgeless_reply(edgeless_join(TEXT("hello, "), message));
}

static void handle_stop(void) { edgeless_log(EDGELESS_LOG_INFO, TEXT("stopped")); }
"""

RUST_SOURCE: Final = """\
//! Casts every message on to "output" with a greeting, and answers calls with it.

use edgeless_function::*;

struct @Name@;

impl Edgefunction for @Name@ {
    fn handle_init(payload: String, _serialized_state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("begun with {}", payload);
    }

    fn handle_cast(_src: InstanceId, message: String) {
        cast("output", &format!("hello, {}", message));
    }

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        CallRet::Reply(format!("hello, {}", message))
    }

    fn handle_stop() {
        log::info!("stopped");
    }
}

edgeless_function::export!(@Name@);
"""

CARGO: Final = """\
[package]
name = "@name@"
version = "0.1.0"
edition = "2021"
publish = false

[lib]
crate-type = ["cdylib"]

[dependencies]
edgeless_function = { path = "edgeless_function" }

# Small: a module is sent to every node that runs it.
[profile.release]
opt-level = "z"
lto = true
codegen-units = 1
panic = "abort"
strip = true

[workspace]
"""

PYTHON_SOURCE: Final = '''\
"""Casts every message on to ``output`` with a greeting, and answers calls with it."""

from edgeless_sim import PythonFunction


class @Name@(PythonFunction):
    """An echo. Override what you need; one that calls somebody is ``async``."""

    #: How long one event takes in a simulation, in ms.
    service = "c(1)"

    def handle_init(self, payload, state):
        """Begin."""
        self.edgeless.log(f"begun with {payload}")

    def handle_cast(self, source, message):
        """Take a message."""
        self.edgeless.cast("output", f"hello, {message}")

    def handle_call(self, source, message):
        """Answer a message."""
        return f"hello, {message}"

    def handle_stop(self):
        """End."""
        self.edgeless.log("stopped")
'''

PYTHON_TEST: Final = '''\
"""Tests of the function by itself: python -m pytest"""

from @name@ import @Name@

from edgeless_sim.runtimes.base import Cast
from edgeless_sim.testing.function import FunctionAlone


def test_a_message_is_cast_on_with_a_greeting():
    function = FunctionAlone(@Name@)
    assert function.cast("world") == [Cast("output", "hello, world")]


def test_a_call_is_answered_with_it():
    assert FunctionAlone(@Name@).call("you").payload == "hello, you"
'''

WAT_SOURCE: Final = """\
;; Casts every message on to "output" as it is, and answers calls with it.
(module
  (import "env" "cast_asm" (func $cast (param i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "output")

  ;; The host puts messages into this arena, and clears it before each event.
  (global $free (mut i32) (i32.const 1024))
  (func (export "edgeless_mem_clear")
    (global.set $free (i32.const 1024)))
  (func (export "edgeless_mem_free") (param $at i32) (param $size i32))
  (func (export "edgeless_mem_alloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    ;; Eight bytes at a time, and more pages when there are too few.
    (global.set $free
      (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (block $enough
      (br_if $enough (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $enough
        (i32.ne (i32.const -1)
          (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1)))))
      (unreachable))
    (local.get $at))

  (func (export "handle_init_asm")
    (param $payload i32) (param $length i32) (param $state i32) (param $state_length i32))

  (func (export "handle_cast_asm")
    (param $node i32) (param $function i32) (param $message i32) (param $length i32)
    (call $cast (i32.const 0) (i32.const 6) (local.get $message) (local.get $length)))

  ;; 1 = there is a reply, where the last two parameters say.
  (func (export "handle_call_asm")
    (param $node i32) (param $function i32) (param $message i32) (param $length i32)
    (param $reply i32) (param $reply_length i32) (result i32)
    (i32.store (local.get $reply) (local.get $message))
    (i32.store (local.get $reply_length) (local.get $length))
    (i32.const 1))

  (func (export "handle_stop_asm")))
"""

GUIDE_NOOP: Final = """\
//! Does nothing but say what it was asked: the function of the step-by-step guide.

use edgeless_function::*;

struct NoopFunction;

impl Edgefunction for NoopFunction {
    fn handle_init(payload: String, _serialized_state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("Noop initialized, payload: {}", payload);
    }

    fn handle_cast(src: InstanceId, message: String) {
        log::info!("Noop casted, node {}, function {}, MSG: {}", src.node, src.function, message);
    }

    fn handle_call(src: InstanceId, message: String) -> CallRet {
        log::info!("Noop called, node {}, function {}, MSG: {}", src.node, src.function, message);
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("Noop stopped");
    }
}

edgeless_function::export!(NoopFunction);
"""
