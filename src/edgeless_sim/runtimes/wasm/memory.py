"""The slab: all guest memories are slots of a few large mappings.

A mapping of its own per guest would cost two entries of the kernel's table of mappings, of which
a process has 65,530. A slot costs none: it is address space without memory behind it
(``MAP_NORESERVE``) until the guest touches it, and is given back, zeroed, when the guest ends.
There are no guard pages: the engine is configured for explicit bounds checks.

wasmtime calls into this module while a memory is made, grows and ends. An exception must not
leave such a callback (`binding.SignalShield` keeps signals out where memories are made); a full
slab is reported as an error of the library.
"""

import ctypes
import mmap
from ctypes import CFUNCTYPE, c_size_t, c_void_p
from typing import Final

from edgeless_sim.errors import RejectedError
from edgeless_sim.runtimes.wasm.binding import Binding, LinearMemory, MemoryCreator

__all__ = ["Slab"]

_PAGE: Final = 4096
#: Slots of the first mapping; each further one has twice as many, up to the second figure.
_FIRST_SLOTS: Final = 64
_SLOTS_MAX: Final = 1024
# The mmap module names it from 3.13 on; the value is that of all Linux machines we support.
_MAP_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)

_New = CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_size_t, c_size_t, c_size_t, c_size_t, c_void_p)
_Get = CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p)
_Grow = CFUNCTYPE(c_size_t, c_void_p, c_size_t)
_End = CFUNCTYPE(None, c_void_p)


class _Slot:
    """One guest memory at *address*; *size* bytes of it are in use."""

    __slots__ = ("address", "mapping", "offset", "size")

    def __init__(self, mapping: mmap.mmap, base: int, offset: int) -> None:
        self.mapping = mapping
        self.address = base + offset
        self.offset = offset
        self.size = 0

    def clear(self) -> None:
        """Give the pages back; they read as zero when they are touched again."""
        if self.size:
            length = -(-self.size // _PAGE) * _PAGE
            self.mapping.madvise(mmap.MADV_DONTNEED, self.offset, length)
        self.size = 0


class Slab:
    """Makes memories of at most *slot_bytes* for at most *slots_max* guests at once."""

    def __init__(self, binding: Binding, slot_bytes: int, slots_max: int) -> None:
        self.slot_bytes = slot_bytes
        self._binding = binding
        self._slots_max = slots_max
        self._slots: list[_Slot] = []
        self._free: list[int] = []
        self._mappings: list[mmap.mmap] = []
        self._new = _New(self._on_new)
        self._get = _Get(self._on_get)
        self._grow = _Grow(self._on_grow)
        self._end = _End(self._on_end)
        # The structures themselves must live as long as the engine.
        self._creator = MemoryCreator(None, _address(self._new), None)
        self._template = (_address(self._get), _address(self._grow), _address(self._end))

    @property
    def slots_in_use(self) -> int:
        """How many memories there are now."""
        return len(self._slots) - len(self._free)

    def install(self, config: int) -> None:
        """Make engines of *config* take their memories from here."""
        binding = self._binding
        binding.wasmtime_config_memory_reservation_set(config, self.slot_bytes)
        binding.wasmtime_config_memory_reservation_for_growth_set(config, 0)
        binding.wasmtime_config_memory_guard_size_set(config, 0)
        binding.wasmtime_config_memory_init_cow_set(config, False)
        creator = ctypes.addressof(self._creator)
        binding.wasmtime_config_host_memory_creator_set(config, creator)

    def reserve(self) -> None:
        """Make sure that there is a free slot.

        Raises RejectedError if all are taken or the system gives no more address space.
        """
        if self._free:
            return
        count = min(
            _FIRST_SLOTS << len(self._mappings), _SLOTS_MAX, self._slots_max - len(self._slots)
        )
        if count <= 0:
            raise RejectedError("too many guests", f"{self._slots_max} are running already")
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        try:
            mapping = mmap.mmap(-1, count * self.slot_bytes, flags=flags)
        except OSError as error:
            detail = f"{count} guests of {self.slot_bytes >> 20} MiB: {error}"
            raise RejectedError("no address space for guest memories", detail) from error
        mapping.madvise(mmap.MADV_NOHUGEPAGE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        first = len(self._slots)
        self._mappings.append(mapping)
        self._slots += [_Slot(mapping, base, index * self.slot_bytes) for index in range(count)]
        self._free += range(first + count - 1, first - 1, -1)

    def close(self) -> None:
        """Unmap everything. No memory is in use any more."""
        assert not self.slots_in_use, f"{self.slots_in_use} guest memories are still in use"
        self._slots.clear()
        self._free.clear()
        for mapping in self._mappings:
            mapping.close()
        self._mappings.clear()

    # The env of a memory is its slot's number plus one, because ctypes gives 0 as None.

    def _on_new(
        self,
        _env: int | None,
        _type: int,
        minimum: int,
        _maximum: int,
        _reserved: int,
        _guard: int,
        result: int,
    ) -> int:
        if minimum > self.slot_bytes or not self._free:
            error: int = self._binding.wasmtime_error_new(b"no slot for a memory of this size")
            return error
        number = self._free.pop()
        self._slots[number].size = minimum
        memory = LinearMemory.from_address(result)
        memory.env = number + 1
        memory.get_memory, memory.grow_memory, memory.finalizer = self._template
        return 0

    def _on_get(self, env: int, size: int, capacity: int) -> int:
        slot = self._slots[env - 1]
        c_size_t.from_address(size).value = slot.size
        c_size_t.from_address(capacity).value = self.slot_bytes
        return slot.address

    def _on_grow(self, env: int, size: int) -> int:
        # The store's limit refuses it before; this is the second lock.
        if size > self.slot_bytes:
            error: int = self._binding.wasmtime_error_new(b"the memory is full")
            return error
        self._slots[env - 1].size = size
        return 0

    def _on_end(self, env: int) -> None:
        self._slots[env - 1].clear()
        self._free.append(env - 1)


def _address(callback: object) -> int:
    address = ctypes.cast(callback, c_void_p).value  # type: ignore[arg-type]  # stub says pointers
    assert address is not None
    return address
