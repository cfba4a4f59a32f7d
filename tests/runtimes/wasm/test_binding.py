"""The binding's structures and numbers are those of the installed wasmtime."""

import ctypes
import subprocess
import sys
from importlib.metadata import version

import pytest
import wasmtime
from wasmtime import _bindings, _ffi

from edgeless_sim.runtimes.wasm import binding


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (binding.Func, _bindings.wasmtime_func),
        (binding.Instance, _bindings.wasmtime_instance),
        (binding.Extern, _bindings.wasmtime_extern),
        (binding.ValUnion, _bindings.wasmtime_valunion_t),
        (binding.Val, _bindings.wasmtime_val),
        (binding.ByteVec, _bindings.wasm_byte_vec_t),
        (binding.Continuation, _bindings.wasmtime_async_continuation_t),
        (binding.LinearMemory, _bindings.wasmtime_linear_memory),
        (binding.MemoryCreator, _bindings.wasmtime_memory_creator),
    ],
)
def test_structures_have_the_sizes_of_wasmtime_py(
    ours: type[ctypes.Structure], theirs: type[ctypes.Structure]
) -> None:
    assert ctypes.sizeof(ours) == ctypes.sizeof(theirs)


def test_fields_lie_where_wasmtime_py_has_them() -> None:
    assert binding.Extern.of.offset == _bindings.wasmtime_extern.of.offset
    assert binding.Val.of.offset == _bindings.wasmtime_val.of.offset
    for ours, theirs in (
        (binding.Continuation, _bindings.wasmtime_async_continuation_t),
        (binding.LinearMemory, _bindings.wasmtime_linear_memory),
        (binding.MemoryCreator, _bindings.wasmtime_memory_creator),
        (binding.ByteVec, _bindings.wasm_byte_vec_t),
    ):
        assert [field[0] for field in ours._fields_] == [field[0] for field in theirs._fields_]


def test_the_kinds_are_those_of_wasmtime_py() -> None:
    assert _ffi.WASMTIME_EXTERN_FUNC.value == binding.EXTERN_FUNC
    assert _ffi.WASMTIME_EXTERN_SHAREDMEMORY.value == binding.EXTERN_SHARED_MEMORY
    assert _ffi.WASMTIME_FUNCREF.value == binding.VAL_FUNCREF
    assert wasmtime.TrapCode.OUT_OF_FUEL.value == binding.TRAP_OUT_OF_FUEL


def test_every_function_has_the_parameters_that_wasmtime_py_gives_it() -> None:
    # Pointers are plain addresses here; what must agree is their number and the sizes of all.
    for name, (result, *parameters) in binding._SIGNATURES.items():
        theirs = getattr(_bindings, f"_{name}")
        sizes = [ctypes.sizeof(parameter) for parameter in theirs.argtypes]
        assert [ctypes.sizeof(parameter) for parameter in parameters] == sizes, name
        assert (result is None) == (theirs.restype is None), name
        if result is not None:
            assert ctypes.sizeof(result) == ctypes.sizeof(theirs.restype), name


def test_the_version_is_the_pinned_one() -> None:
    assert version("wasmtime") == binding.WASMTIME_VERSION


def test_a_function_that_is_not_bound_is_named() -> None:
    with pytest.raises(AttributeError, match="wasmtime_nonsense"):
        binding.load_binding().wasmtime_nonsense()


def test_running_a_guest_imports_no_wasmtime_py() -> None:
    script = """
import sys
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime
runtime = WasmRuntime(RuntimeSettings())
runtime._ready()
runtime.close()
print("wasmtime" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
