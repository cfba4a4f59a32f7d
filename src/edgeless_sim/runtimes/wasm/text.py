"""WebAssembly as text, to a module."""

import ctypes

from edgeless_sim.errors import BadCodeError
from edgeless_sim.runtimes.wasm.binding import ByteVec, load_binding

__all__ = ["module_of_text"]


def module_of_text(text: bytes) -> bytes:
    """The module that *text* describes; raise `BadCodeError` with line and column if it is none."""
    binding = load_binding()
    vector = ByteVec()
    error = binding.wasmtime_wat2wasm(text, len(text), ctypes.addressof(vector))
    if error:
        raise BadCodeError(f"the source does not compile:\n{binding.take_error(error)}")
    return binding.take_bytes(vector)
