"""Guests that wait in a call: each runs on a fiber, a stack of its own, in the one thread.

The import ``wait`` of module B is an asynchronous host function. Calling it suspends the fiber;
the library then polls a continuation until it is ready. Ours is glibc's ``strlen`` on a buffer of
two bytes, so that polling needs no Python: "" has length 0, pending; one byte has length 1, ready.
One buffer serves all guests, because a continuation is polled only while its own fiber is.

Rules, each of which the library enforces by ending the process: an entry of such a guest never
runs off a fiber; a pending future is deleted before its store; a finished one is never polled
again. The callback below runs on the fiber's stack: it does nothing but fill in a structure.
"""

import ctypes
from ctypes import CFUNCTYPE, c_size_t, c_void_p

from edgeless_sim.runtimes.wasm.binding import (
    EXTERN_FUNC,
    VAL_FUNCREF,
    Binding,
    ByteVec,
    Continuation,
    Extern,
    Val,
)
from edgeless_sim.runtimes.wasm.trampoline import WAIT_SLOT

__all__ = ["Fibers", "set_slot"]

_Wait = CFUNCTYPE(
    None, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p
)


class Fibers:
    """Makes guests able to wait, and knows how to let one go on."""

    def __init__(self, binding: Binding, engine: int) -> None:
        self._binding = binding
        self._flag = ctypes.create_string_buffer(2)
        self.flag = memoryview(self._flag).cast("B")
        """1 to let the fiber that is polled next go on; the wait itself sets it back to 0."""
        self._template = bytes(
            Continuation(binding.strlen_address, ctypes.addressof(self._flag), None)
        )
        # References, as long as the linker lives.
        self._wait = _Wait(self._on_wait)
        self._linker: int = binding.wasmtime_linker_new(engine)
        empty = ByteVec(0, None), ByteVec(0, None)
        kind = binding.wasm_functype_new(*(ctypes.addressof(vector) for vector in empty))
        error = binding.wasmtime_linker_define_async_func(
            self._linker, b"host", 4, b"wait", 4, kind,
            ctypes.cast(self._wait, c_void_p), None, None,
        )  # fmt: skip
        binding.wasm_functype_delete(kind)
        assert not error, binding.take_error(error)

    def attach(self, context: int, table: int) -> None:
        """Put ``wait`` into the table extern at address *table*.

        From then on the store refuses everything synchronous.
        """
        found = Extern()
        item = ctypes.addressof(found)
        ok = self._binding.wasmtime_linker_get(self._linker, context, b"host", 4, b"wait", 4, item)
        assert ok
        assert found.kind == EXTERN_FUNC
        set_slot(self._binding, context, table, WAIT_SLOT, found)

    def close(self) -> None:
        """Free the linker. No store is left."""
        self._binding.wasmtime_linker_delete(self._linker)
        self.flag.release()

    def _on_wait(
        self,
        _env: int | None,
        _caller: int,
        _arguments: int,
        _argument_count: int,
        _results: int,
        _result_count: int,
        _trap: int,
        continuation: int,
    ) -> None:
        self.flag[0] = 0
        ctypes.memmove(continuation, self._template, len(self._template))


def set_slot(binding: Binding, context: int, table: int, slot: int, function: Extern) -> None:
    """Put *function* into *slot* of the table extern at address *table*."""
    value = Val(VAL_FUNCREF)
    value.of.funcref = function.of.func
    error = binding.wasmtime_table_set(
        context, table + Extern.of.offset, slot, ctypes.addressof(value)
    )
    assert not error, binding.take_error(error)
