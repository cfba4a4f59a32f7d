"""What all guests of a run-time share, and how one of them is put together.

`Machine` owns slab, engine, fibers and modules in the order in which they may be freed, and the
cells into which the library writes results. `Machine.assemble` makes the store of one guest: the
instances A, guest and B, linked.
"""

import ctypes
from collections.abc import Callable
from ctypes import c_size_t, c_uint64, c_void_p
from typing import Final, NamedTuple

from edgeless_sim.errors import BadCodeError
from edgeless_sim.runtimes.wasm.binding import Binding, Extern, Func, Instance
from edgeless_sim.runtimes.wasm.engine import TABLE_ENTRIES_MAX, Engine, Load
from edgeless_sim.runtimes.wasm.exchange import INPUT_OFFSET
from edgeless_sim.runtimes.wasm.fibers import Fibers, set_slot
from edgeless_sim.runtimes.wasm.memory import Slab
from edgeless_sim.runtimes.wasm.modules import GuestModule, Modules
from edgeless_sim.runtimes.wasm.trampoline import A_EXPORTS, B_ENTRIES, START_SLOT

__all__ = ["FUNC_BYTES", "Machine", "Sandbox"]

_EXTERN_BYTES: Final = ctypes.sizeof(Extern)
FUNC_BYTES: Final = ctypes.sizeof(Func)
#: Enough for B to note the instance's ids, which is all that runs while a guest is assembled.
_ASSEMBLY_FUEL: Final = 1 << 20


class Sandbox(NamedTuple):
    """The store of one guest."""

    store: int
    context: int
    entries: "ctypes.Array[Func]"
    """B's entry functions, in the order of `B_ENTRIES`."""


class Machine:
    """The shared part of all guests of one run-time."""

    def __init__(
        self,
        binding: Binding,
        slot_bytes: int,
        slots_max: int,
        loader: Callable[[Engine], Load],
    ) -> None:
        self.binding = binding
        self.slab = Slab(binding, slot_bytes, slots_max)
        self.engine = Engine(binding, self.slab, loader)
        self.modules = Modules(self.engine)
        self.fibers = Fibers(binding, self.engine.pointer)
        self.exchange = self.engine.exchange
        # The library writes a trap, an error and the fuel left into these.
        self._trap, self._error, self._fuel = c_void_p(), c_void_p(), c_uint64()
        self.trap_address = ctypes.addressof(self._trap)
        self.error_address = ctypes.addressof(self._error)
        self.fuel_address = ctypes.addressof(self._fuel)
        self.trap_view = memoryview(self._trap).cast("B").cast("Q")
        self.error_view = memoryview(self._error).cast("B").cast("Q")
        self.fuel_view = memoryview(self._fuel).cast("B").cast("Q")
        self._stores: dict[int, bool] = {}
        self._name, self._name_length = c_void_p(), c_size_t()
        # One look-up less on the way of every event.
        self.call = binding.wasmtime_func_call_unchecked
        self.call_async = binding.wasmtime_func_call_async
        self.poll = binding.wasmtime_call_future_poll
        self.delete_future = binding.wasmtime_call_future_delete
        self.set_fuel = binding.wasmtime_context_set_fuel
        self.get_fuel = binding.wasmtime_context_get_fuel
        self.shield_up = binding.shield.up
        self.shield_down = binding.shield.down

    def close(self) -> None:
        """Free everything. All instances were discarded."""
        # Left over when a signal's exception fell between making a guest and keeping it.
        for store in list(self._stores):
            self.discard(store, None)
        self.modules.close()
        self.fibers.close()
        self.engine.close()
        self.slab.close()

    def assemble(self, module: GuestModule, key: bytes) -> Sandbox:
        """Make a guest of *module* whose instance has the 32-byte key *key*.

        Raises BadCodeError if its memory, tables or segments do not fit, RejectedError if there
        is no room for one more guest.
        """
        binding = self.binding
        self.slab.reserve()
        try:
            binding.shield.up()
            store: int = binding.wasmtime_store_new(self.engine.pointer, None, None)
            try:
                sandbox = self._link(store, module, key)
            except BadCodeError:
                binding.wasmtime_store_delete(store)
                raise
            self._stores[store] = True
            return sandbox
        finally:
            binding.shield.down()

    def discard(self, store: int, future: int | None) -> None:
        """Free a guest, which may be blocked in *future*; do nothing if that was done before."""
        binding = self.binding
        try:
            binding.shield.up()
            if self._stores.pop(store, False):
                if future is not None:
                    binding.wasmtime_call_future_delete(future)
                binding.wasmtime_store_delete(store)
        finally:
            binding.shield.down()

    def take_failure(self, error: int | None) -> tuple[int | None, str]:
        """Read, free and forget the trap or error of the last call: its code and a reason."""
        error = error or self.error_view[0]
        if error:
            self.error_view[0] = 0
            return None, self.binding.take_error(error)
        trap = self.trap_view[0]
        self.trap_view[0] = 0
        return self.binding.take_trap(trap)

    def _link(self, store: int, module: GuestModule, key: bytes) -> Sandbox:
        binding = self.binding
        binding.wasmtime_store_limiter(store, self.slab.slot_bytes, TABLE_ENTRIES_MAX, -1, -1, -1)
        context: int = binding.wasmtime_store_context(store)
        binding.wasmtime_context_set_fuel(context, _ASSEMBLY_FUEL)

        shim_a = self._instantiate(context, self.engine.module_a, None, 0)
        imports = (Extern * (len(module.imports) or 1))()
        at = ctypes.addressof(imports)
        self._exports(context, shim_a, module.imports, at)
        guest = self._instantiate(context, module.pointer, at, len(module.imports))

        links = (Extern * (len(module.exports) + 2))()
        at = ctypes.addressof(links)
        links[0] = self.engine.exchange_extern
        table = at + (len(links) - 1) * _EXTERN_BYTES
        self._exports(context, guest, module.exports, at + _EXTERN_BYTES)
        self._exports(context, shim_a, (A_EXPORTS.index("table"),), table)
        self.exchange[INPUT_OFFSET : INPUT_OFFSET + 32] = key
        shim_b = self._instantiate(context, self.engine.module_b, at, len(links))

        found = (Extern * len(B_ENTRIES))()
        self._exports(context, shim_b, range(len(B_ENTRIES)), ctypes.addressof(found))
        entries = (Func * len(B_ENTRIES))(*(extern.of.func for extern in found))
        if module.start is not None:
            start = Extern()
            self._exports(context, guest, (module.start,), ctypes.addressof(start))
            set_slot(binding, context, table, START_SLOT, start)
        if module.report.may_block:
            # Last: afterwards the store takes nothing synchronous.
            self.fibers.attach(context, table)
        return Sandbox(store, context, entries)

    def _instantiate(self, context: int, module: int, imports: int | None, count: int) -> Instance:
        instance = Instance()
        error = self.binding.wasmtime_instance_new(
            context, module, imports, count, ctypes.addressof(instance), self.trap_address
        )
        if error or self.trap_view[0]:
            _code, reason = self.take_failure(error)
            raise BadCodeError(f"the module cannot be instantiated: {reason}")
        return instance

    def _exports(
        self, context: int, instance: Instance, numbers: tuple[int, ...] | range, to: int
    ) -> None:
        nth = self.binding.wasmtime_instance_export_nth
        name = ctypes.addressof(self._name)
        length = ctypes.addressof(self._name_length)
        at = ctypes.addressof(instance)
        for place, number in enumerate(numbers):
            ok = nth(context, at, number, name, length, to + place * _EXTERN_BYTES)
            assert ok, f"there is no export {number}"
