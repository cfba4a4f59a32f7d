"""WebAssembly guests: the only package that touches wasmtime. See README.md."""

from edgeless_sim.runtimes.wasm.prescan import ModuleReport, check_module
from edgeless_sim.runtimes.wasm.runtime import WasmRuntime

__all__ = ["ModuleReport", "WasmRuntime", "check_module"]
