"""The thin ctypes binding on the library that wasmtime-py bundles.

It is: the C functions this package needs, the layouts of the structures it reads or writes, and
the texts of traps and errors. It is not a safe interface: pointers are plain integers, and who
calls must keep alive what they point to.

The library is opened directly, because ``import wasmtime`` builds bindings of 2,000 functions
(80 ms) of which we need fifty. The price is that layouts are ours to get right: the wasmtime
version is pinned exactly, and a test compares every layout with wasmtime-py's own.
"""

import ctypes
import importlib.util
import platform
import signal
import sys
from collections.abc import Callable
from ctypes import c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = [
    "EXTERN_FUNC",
    "EXTERN_SHARED_MEMORY",
    "TRAP_OUT_OF_FUEL",
    "VAL_FUNCREF",
    "WASMTIME_VERSION",
    "Binding",
    "ByteVec",
    "Continuation",
    "Extern",
    "Func",
    "Instance",
    "LinearMemory",
    "MemoryCreator",
    "SignalShield",
    "Val",
    "ValUnion",
    "load_binding",
]

#: Fuel, structure layouts and the format of serialised modules belong to this version alone.
WASMTIME_VERSION: Final = "50.0.1"

EXTERN_FUNC: Final = 0
EXTERN_SHARED_MEMORY: Final = 4
VAL_FUNCREF: Final = 5
TRAP_OUT_OF_FUEL: Final = 11

_TRAP_REASONS: Final = {
    0: "stack overflow",
    1: "out-of-bounds memory access",
    2: "misaligned atomic access",
    3: "out-of-bounds table access",
    4: "call to a null table entry",
    5: "indirect call with another signature",
    6: "integer overflow",
    7: "integer division by zero",
    8: "float cannot be converted to an integer",
    9: "unreachable",
    TRAP_OUT_OF_FUEL: "out of fuel",
}
_REASON_LENGTH_MAX: Final = 300


class Func(ctypes.Structure):
    """``wasmtime_func_t``."""

    _fields_ = (("store_id", c_uint64), ("private", c_void_p))


class Instance(ctypes.Structure):
    """``wasmtime_instance_t``."""

    _fields_ = (("store_id", c_uint64), ("private", c_size_t))


class _Global(ctypes.Structure):
    _fields_ = (("store_id", c_uint64), ("a", c_uint32), ("b", c_uint32), ("c", c_uint32))


class _ExternUnion(ctypes.Union):
    # Tables and memories are opaque here; the global is the largest of the kinds.
    _fields_ = (("func", Func), ("largest", _Global), ("sharedmemory", c_void_p))


class Extern(ctypes.Structure):
    """``wasmtime_extern_t``: what is imported and exported."""

    _fields_ = (("kind", c_uint8), ("of", _ExternUnion))


class ValUnion(ctypes.Union):
    """``wasmtime_valunion_t``, as far as we use it."""

    _fields_ = (("funcref", Func), ("v128", c_uint8 * 16), ("words", c_uint64 * 3))


class Val(ctypes.Structure):
    """``wasmtime_val_t``."""

    _fields_ = (("kind", c_uint8), ("of", ValUnion))


class ByteVec(ctypes.Structure):
    """``wasm_byte_vec_t``: bytes that the library owns."""

    _fields_ = (("size", c_size_t), ("data", c_void_p))


class Continuation(ctypes.Structure):
    """``wasmtime_async_continuation_t``: what a suspended host call is polled with."""

    _fields_ = (("callback", c_void_p), ("env", c_void_p), ("finalizer", c_void_p))


class LinearMemory(ctypes.Structure):
    """``wasmtime_linear_memory_t``: one memory made by a host memory creator."""

    _fields_ = (
        ("env", c_void_p),
        ("get_memory", c_void_p),
        ("grow_memory", c_void_p),
        ("finalizer", c_void_p),
    )


class MemoryCreator(ctypes.Structure):
    """``wasmtime_memory_creator_t``."""

    _fields_ = (("env", c_void_p), ("new_memory", c_void_p), ("finalizer", c_void_p))


_P: Final = c_void_p
_N: Final = c_size_t

#: Name -> (result, parameters). All are called with the GIL held: they are shorter than giving it
#: away, and fuel, not a thread, bounds the guest.
_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "wasm_byte_vec_delete": (None, _P),
    "wasm_config_new": (_P,),
    "wasm_engine_delete": (None, _P),
    "wasm_engine_new_with_config": (_P, _P),
    "wasm_functype_delete": (None, _P),
    "wasm_functype_new": (_P, _P, _P),
    "wasm_memorytype_delete": (None, _P),
    "wasm_trap_delete": (None, _P),
    "wasm_trap_message": (None, _P, _P),
    "wasmtime_call_future_delete": (None, _P),
    "wasmtime_call_future_poll": (c_bool, _P),
    "wasmtime_config_async_stack_size_set": (None, _P, _N),
    "wasmtime_config_consume_fuel_set": (None, _P, c_bool),
    "wasmtime_config_cranelift_nan_canonicalization_set": (None, _P, c_bool),
    "wasmtime_config_host_memory_creator_set": (None, _P, _P),
    "wasmtime_config_max_wasm_stack_set": (None, _P, _N),
    "wasmtime_config_memory_guard_size_set": (None, _P, c_uint64),
    "wasmtime_config_memory_init_cow_set": (None, _P, c_bool),
    "wasmtime_config_memory_reservation_for_growth_set": (None, _P, c_uint64),
    "wasmtime_config_memory_reservation_set": (None, _P, c_uint64),
    "wasmtime_config_parallel_compilation_set": (None, _P, c_bool),
    "wasmtime_config_shared_memory_set": (None, _P, c_bool),
    "wasmtime_config_signals_based_traps_set": (None, _P, c_bool),
    "wasmtime_config_wasm_exceptions_set": (None, _P, c_bool),
    "wasmtime_config_wasm_gc_set": (None, _P, c_bool),
    "wasmtime_config_wasm_memory64_set": (None, _P, c_bool),
    "wasmtime_config_wasm_multi_memory_set": (None, _P, c_bool),
    "wasmtime_config_wasm_relaxed_simd_deterministic_set": (None, _P, c_bool),
    "wasmtime_config_wasm_threads_set": (None, _P, c_bool),
    "wasmtime_context_get_fuel": (_P, _P, _P),
    "wasmtime_context_set_fuel": (_P, _P, c_uint64),
    "wasmtime_error_delete": (None, _P),
    "wasmtime_error_message": (None, _P, _P),
    "wasmtime_error_new": (_P, c_char_p),
    "wasmtime_func_call_async": (_P, _P, _P, _P, _N, _P, _N, _P, _P),
    "wasmtime_func_call_unchecked": (_P, _P, _P, _P, _N, _P),
    "wasmtime_instance_export_nth": (c_bool, _P, _P, _N, _P, _P, _P),
    "wasmtime_instance_new": (_P, _P, _P, _P, _N, _P, _P),
    "wasmtime_linker_define_async_func": (_P, _P, c_char_p, _N, c_char_p, _N, _P, _P, _P, _P),
    "wasmtime_linker_delete": (None, _P),
    "wasmtime_linker_get": (c_bool, _P, _P, c_char_p, _N, c_char_p, _N, _P),
    "wasmtime_linker_new": (_P, _P),
    "wasmtime_memorytype_new": (_P, c_uint64, c_bool, c_uint64, c_bool, c_bool, c_uint8, _P),
    "wasmtime_module_delete": (None, _P),
    "wasmtime_module_deserialize": (_P, _P, c_char_p, _N, _P),
    "wasmtime_module_new": (_P, _P, c_char_p, _N, _P),
    "wasmtime_module_serialize": (_P, _P, _P),
    "wasmtime_module_validate": (_P, _P, c_char_p, _N),
    "wasmtime_sharedmemory_data": (_P, _P),
    "wasmtime_sharedmemory_delete": (None, _P),
    "wasmtime_sharedmemory_new": (_P, _P, _P, _P),
    "wasmtime_store_context": (_P, _P),
    "wasmtime_store_delete": (None, _P),
    "wasmtime_store_limiter": (None, _P, c_int64, c_int64, c_int64, c_int64, c_int64),
    "wasmtime_store_new": (_P, _P, _P, _P),
    "wasmtime_table_set": (_P, _P, _P, c_uint64, _P),
    "wasmtime_trap_code": (c_bool, _P, _P),
    "wasmtime_wat2wasm": (_P, c_char_p, _N, _P),
}


class SignalShield:
    """Keeps signals from raising Python exceptions inside a callback from native code.

    Python runs signal handlers at the first instruction of a callback, before any ``try`` of its
    own; KeyboardInterrupt there would leave a structure that the library reads unwritten, and end
    the process. Signals wait while the shield is up and are delivered right after.

    `up` stands inside the ``try`` whose ``finally`` takes it `down`: a signal that came just
    before raises its exception in `up` itself, when the shield is up already.
    """

    def __init__(self) -> None:
        libc = ctypes.PyDLL(None)
        mask = libc.pthread_sigmask
        mask.argtypes = (c_int, c_void_p, c_void_p)
        mask.restype = c_int
        faults = {
            signal.SIGSEGV,
            signal.SIGBUS,
            signal.SIGFPE,
            signal.SIGILL,
            signal.SIGABRT,
            signal.SIGTRAP,
        }
        bits = sum(1 << (number - 1) for number in range(1, 65) if number not in faults)
        self._blocked = ctypes.create_string_buffer(bits.to_bytes(8, sys.byteorder), 128)
        self._previous = ctypes.create_string_buffer(128)
        self._mask = mask
        self._raise_arguments = (
            int(signal.SIG_BLOCK),
            ctypes.addressof(self._blocked),
            ctypes.addressof(self._previous),
        )
        self._drop_arguments = (int(signal.SIG_SETMASK), ctypes.addressof(self._previous), None)
        # So that `down` is right also after an `up` that was interrupted before it did anything.
        mask(int(signal.SIG_BLOCK), None, ctypes.addressof(self._previous))

    def up(self) -> None:
        """Hold signals back. Not nestable."""
        self._mask(*self._raise_arguments)

    def down(self) -> None:
        """Let signals through again."""
        self._mask(*self._drop_arguments)


class Binding:
    """The opened library. Each C function is an attribute of the same name."""

    def __init__(self, path: Path) -> None:
        library = ctypes.PyDLL(str(path))
        for name, (result, *parameters) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = tuple(parameters)
            setattr(self, name, function)
        self.shield = SignalShield()
        self._library = library
        # glibc's strlen on a two-byte buffer: 0 says "pending", 1 says "ready" (see fibers.py).
        self.strlen_address = _address(ctypes.PyDLL(None).strlen)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Only reached for a function that the table above does not name."""
        raise AttributeError(f"wasmtime function {name} is not bound")

    def take_error(self, error: int) -> str:
        """Return an error's text, at most 300 characters, and free it."""
        return self._take(error, self.wasmtime_error_message, self.wasmtime_error_delete)

    def take_trap(self, trap: int) -> tuple[int | None, str]:
        """Return a trap's code (None for an error of the host) and short reason, and free it."""
        code = c_uint8()
        known = self.wasmtime_trap_code(trap, ctypes.addressof(code))
        if known and code.value in _TRAP_REASONS:
            self.wasm_trap_delete(trap)
            return code.value, f"trap: {_TRAP_REASONS[code.value]}"
        text = self._take(trap, self.wasm_trap_message, self.wasm_trap_delete)
        return (code.value if known else None), f"trap: {text}"

    def take_bytes(self, vector: ByteVec) -> bytes:
        """Copy a byte vector's content and free it."""
        content = ctypes.string_at(vector.data, vector.size) if vector.size else b""
        self.wasm_byte_vec_delete(ctypes.addressof(vector))
        return content

    def _take(self, thing: int, message: Callable[..., None], delete: Callable[..., None]) -> str:
        vector = ByteVec()
        message(thing, ctypes.addressof(vector))
        delete(thing)
        text = self.take_bytes(vector).decode("utf-8", "replace").strip("\0 \n")
        return " ".join(text.split())[:_REASON_LENGTH_MAX]


def _address(function: Any) -> int:
    address = ctypes.cast(function, c_void_p).value
    assert address is not None
    return address


def _library_path() -> Path:
    found = importlib.util.find_spec("wasmtime")
    if found is None or not found.submodule_search_locations:
        raise ImportError("wasmtime is not installed: pip install 'wasmtime==50.0.1'")
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    names = {"linux": "_libwasmtime.so", "darwin": "_libwasmtime.dylib"}
    if sys.platform not in names:
        raise ImportError(f"WebAssembly guests are not supported on {sys.platform}")
    root = Path(found.submodule_search_locations[0])
    return root / f"{sys.platform}-{machine}" / names[sys.platform]


def _check_version(root: Path) -> None:
    if (root.parent / f"wasmtime-{WASMTIME_VERSION}.dist-info").is_dir():
        return
    # Imported here: it costs 25 ms, and is needed only where packages lie in unusual places.
    from importlib.metadata import version

    if (found := version("wasmtime")) != WASMTIME_VERSION:
        raise ImportError(f"wasmtime {WASMTIME_VERSION} is needed, {found} is installed")


@cache
def load_binding() -> Binding:
    """Open the library, once per process.

    Raises ImportError if wasmtime is absent, has another version than `WASMTIME_VERSION`, or does
    not exist for this machine.
    """
    path = _library_path()
    _check_version(path.parent.parent)
    return Binding(path)
