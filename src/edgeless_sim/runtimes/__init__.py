"""Where functions run: the interface, its catalogue, and one module or package per run-time.

Nothing is imported here: `runtimes.wasm` is heavy and is loaded when the first such guest starts.
"""
