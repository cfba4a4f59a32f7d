"""The compilers of others: which are here, and running one.

A missing tool is named with the one command that installs it. What a compiler prints is shown as it
is, up to a screenful.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeless_sim.errors import BadCodeError, RejectedError

__all__ = ["BUILD_TIMEOUT_S", "WASM_TARGET", "RustTools", "c_compiler", "run_tool", "rust_tools"]

BUILD_TIMEOUT_S: Final = 300
WASM_TARGET: Final = "wasm32-unknown-unknown"
_OUTPUT_LINES_MAX: Final = 20
_PROBE_TIMEOUT_S: Final = 20


@dataclass(frozen=True, slots=True)
class RustTools:
    """A cargo and a rustc that knows the WebAssembly target."""

    cargo: str
    rustc: str


def c_compiler() -> list[str]:
    """The beginning of a command that compiles C to WebAssembly.

    The compiler of the PyPI package ``ziglang``, else clang with its linker. Raise `RejectedError`
    if there is none.
    """
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding"]
    clang = shutil.which("clang")
    if clang is not None and _links(clang):
        return [clang, "--target=wasm32"]
    raise RejectedError(
        "no compiler from C to WebAssembly",
        'install one with: pip install "edgeless-sim[toolchain]"',
    )


def _links(clang: str) -> bool:
    """Whether *clang* finds a linker for WebAssembly."""
    found = _answer([clang, "--target=wasm32", "--print-prog-name=wasm-ld"])
    return bool(found) and shutil.which(found) is not None


def rust_tools() -> RustTools:
    """The first cargo on the path whose rustc has the standard library for WebAssembly.

    Raise `RejectedError` that says what is missing: Rust, or the target.
    """
    found = False
    for folder in os.get_exec_path():
        cargo, rustc = (shutil.which(name, path=folder) for name in ("cargo", "rustc"))
        # Debian has a rustc without its cargo, and another cargo drives it well.
        rustc = rustc or None
        if rustc is None:
            continue
        found = True
        library = _answer([rustc, "--print", "target-libdir", "--target", WASM_TARGET])
        if library and any(Path(library).glob("libcore-*")):
            driver = cargo or shutil.which("cargo")
            if driver is not None:
                return RustTools(driver, rustc)
    if not found:
        raise RejectedError("Rust is not installed", f"install it with: {_rust_command()}")
    raise RejectedError(
        f"Rust is here, but not its target {WASM_TARGET}", f"install it with: {_target_command()}"
    )


def _rust_command() -> str:
    if shutil.which("apt-get"):
        return "apt-get install cargo libstd-rust-dev-wasm32 lld"
    return "https://rustup.rs, then: " + _target_command()


def _target_command() -> str:
    if shutil.which("rustup"):
        return f"rustup target add {WASM_TARGET}"
    if shutil.which("apt-get"):
        return "apt-get install cargo libstd-rust-dev-wasm32 lld"
    return f"rustup target add {WASM_TARGET}"


def _answer(command: Sequence[str]) -> str:
    """What a question to a tool is answered; empty if it is not."""
    try:
        done = subprocess.run(  # noqa: S603 - a tool found on the path, with constant words
            command, capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def run_tool(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """Run a compiler in *folder*; return what it prints to standard output.

    Raise `BadCodeError` with its complaints if it finds fault with the source, `RejectedError` if
    it cannot be run or takes more than `BUILD_TIMEOUT_S`.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(  # noqa: S603 - a compiler, by its path and without a shell
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=BUILD_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise RejectedError("the compiler takes too long", f"{BUILD_TIMEOUT_S} s: {name}") from None
    except OSError as error:
        raise RejectedError("the compiler cannot be run", f"{name}: {error.strerror}") from None
    if done.returncode != 0:
        raise BadCodeError(f"the source does not compile:\n{_excerpt(done.stderr or done.stdout)}")
    return done.stdout


def _excerpt(text: str) -> str:
    lines = [line[:300] for line in text.strip().splitlines()]
    more = len(lines) - _OUTPUT_LINES_MAX
    return "\n".join(
        [*lines[:_OUTPUT_LINES_MAX], *([f"... {more} more lines"] if more > 0 else [])]
    )
