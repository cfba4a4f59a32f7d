"""The engine: configuration, the exchange, the compiled trampoline. Everything guests share.

Configured so that the same guest does the same in every run: fuel, canonical NaNs, deterministic
relaxed SIMD, no threads, no epochs. Traps do not use signals: with explicit bounds checks the
difference is not measurable, and no other signal handler (faulthandler's) can get in the way.
"""

import ctypes
from collections.abc import Callable
from ctypes import c_void_p
from typing import Final, TypeAlias

from edgeless_sim.runtimes.wasm.binding import (
    EXTERN_SHARED_MEMORY,
    Binding,
    ByteVec,
    Extern,
)
from edgeless_sim.runtimes.wasm.exchange import EXCHANGE_PAGES
from edgeless_sim.runtimes.wasm.memory import Slab
from edgeless_sim.runtimes.wasm.trampoline import module_a, module_b

__all__ = ["STACK_BYTES_MAX", "TABLE_ENTRIES_MAX", "CompileError", "Engine", "Load"]

#: Changes whenever the configuration below does.
CONFIGURATION: Final = 1
STACK_BYTES_MAX: Final = 256 << 10
#: A fiber holds the guest's stack and that of the host's one short callback.
_FIBER_BYTES: Final = 1 << 20
TABLE_ENTRIES_MAX: Final = 10_000

#: Makes a module of code.
Load: TypeAlias = Callable[[bytes], int]


class CompileError(Exception):
    """The library refused a module; the text is its own. Never leaves this package."""


class Engine:
    """One configured engine, the exchange, and the modules A and B."""

    def __init__(
        self,
        binding: Binding,
        slab: Slab,
        loader: Callable[["Engine"], Load],
    ) -> None:
        self.binding = binding
        #: Tells engines of different configurations apart, in the names of cached modules.
        self.identity = f"c{CONFIGURATION}-m{slab.slot_bytes}"
        config = self._config()
        for feature in ("wasm_threads", "wasm_multi_memory", "shared_memory"):
            # For B and the exchange only; guests are validated without them.
            getattr(binding, f"wasmtime_config_{feature}_set")(config, True)
        slab.install(config)
        self.pointer: int = binding.wasm_engine_new_with_config(config)
        self._guests: int = binding.wasm_engine_new_with_config(self._guest_config())
        self._shared = self._make_exchange()
        address: int = binding.wasmtime_sharedmemory_data(self._shared)
        array = (ctypes.c_uint8 * (EXCHANGE_PAGES << 16)).from_address(address)
        self.exchange = memoryview(array).cast("B")
        self.exchange_extern = Extern(EXTERN_SHARED_MEMORY)
        self.exchange_extern.of.sharedmemory = self._shared
        #: Compiles code, or finds it compiled by an earlier run.
        self.load: Load = loader(self)
        self.module_a = self.load(self._assemble(module_a()))
        self.module_b = self.load(self._assemble(module_b()))

    def validate(self, code: bytes) -> None:
        """Raise CompileError if *code* is not valid without threads and further proposals."""
        error = self.binding.wasmtime_module_validate(self._guests, code, len(code))
        if error:
            raise CompileError(self.binding.take_error(error))

    def compile(self, code: bytes) -> int:
        """Compile *code* and return the module; raise CompileError."""
        return self._module(self.binding.wasmtime_module_new, code)

    def deserialize(self, code: bytes) -> int:
        """Load what `serialize` gave. *code* is native code: it must be our own."""
        return self._module(self.binding.wasmtime_module_deserialize, code)

    def serialize(self, module: int) -> bytes:
        """Return *module* in a form that `deserialize` of this version of wasmtime takes."""
        vector = ByteVec()
        error = self.binding.wasmtime_module_serialize(module, ctypes.addressof(vector))
        if error:
            raise CompileError(self.binding.take_error(error))
        return self.binding.take_bytes(vector)

    def close(self) -> None:
        """Free everything. No store is left."""
        binding = self.binding
        self.exchange.release()
        binding.wasmtime_module_delete(self.module_a)
        binding.wasmtime_module_delete(self.module_b)
        binding.wasmtime_sharedmemory_delete(self._shared)
        binding.wasm_engine_delete(self._guests)
        binding.wasm_engine_delete(self.pointer)

    def _config(self) -> int:
        binding = self.binding
        config: int = binding.wasm_config_new()
        for feature, on in (
            ("consume_fuel", True),
            ("cranelift_nan_canonicalization", True),
            ("wasm_relaxed_simd_deterministic", True),
            ("signals_based_traps", False),
            # Compiling uses no thread pool, which a forked child would not have.
            ("parallel_compilation", False),
            ("wasm_memory64", False),
            ("wasm_gc", False),
            ("wasm_exceptions", False),
        ):
            getattr(binding, f"wasmtime_config_{feature}_set")(config, on)
        binding.wasmtime_config_max_wasm_stack_set(config, STACK_BYTES_MAX)
        binding.wasmtime_config_async_stack_size_set(config, _FIBER_BYTES)
        return config

    def _guest_config(self) -> int:
        config = self._config()
        for feature in ("wasm_threads", "wasm_multi_memory"):
            getattr(self.binding, f"wasmtime_config_{feature}_set")(config, False)
        return config

    def _make_exchange(self) -> int:
        binding = self.binding
        memory_type, memory = c_void_p(), c_void_p()
        error = binding.wasmtime_memorytype_new(
            EXCHANGE_PAGES, True, EXCHANGE_PAGES, False, True, 16, ctypes.addressof(memory_type)
        )
        assert not error, binding.take_error(error)
        error = binding.wasmtime_sharedmemory_new(
            self.pointer, memory_type, ctypes.addressof(memory)
        )
        binding.wasm_memorytype_delete(memory_type)
        assert not error, binding.take_error(error)
        assert memory.value is not None
        return memory.value

    def _assemble(self, text: str) -> bytes:
        code = text.encode()
        vector = ByteVec()
        error = self.binding.wasmtime_wat2wasm(code, len(code), ctypes.addressof(vector))
        assert not error, self.binding.take_error(error)
        return self.binding.take_bytes(vector)

    def _module(self, make: Callable[..., int], code: bytes) -> int:
        module = c_void_p()
        error = make(self.pointer, code, len(code), ctypes.addressof(module))
        if error:
            raise CompileError(self.binding.take_error(error))
        assert module.value is not None
        return module.value
