"""WebAssembly guests: the only package that touches wasmtime."""
