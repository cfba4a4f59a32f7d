"""Compiles the example functions from C to WebAssembly, and checks that what is committed is that.

It is a build script of this folder and no part of the platform: running functions needs no
compiler. The compiler is the one of the PyPI package ``ziglang``. Its output depends on its version
alone, which is why the version is fixed here and a comparison with any other is refused.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

__all__ = ["ZIGLANG_VERSION", "compiler_problem", "differing", "function_names", "main"]

#: The release the committed modules were made with.
ZIGLANG_VERSION: Final = "0.17.1"

FOLDER: Final = Path(__file__).resolve().parent
COMPILE_SECONDS_MAX: Final = 300

EXIT_OK: Final = 0
EXIT_DIFFERENT: Final = 1
EXIT_NO_COMPILER: Final = 2

#: The features are those every runtime of the last years has; no newer ones creep in by default.
CPU: Final = "mvp+bulk_memory+mutable_globals+nontrapping_fptoint+sign_ext"
FLAGS: Final = (
    "-target",
    "wasm32-freestanding",
    f"-mcpu={CPU}",
    "-std=c11",
    "-O2",
    "-ffreestanding",
    "-nostdlib",
    "-fno-sanitize=undefined",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Isdk/c",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
    # Below the static data, so that a stack that overflows traps instead of overwriting them.
    "-Wl,-z,stack-size=16384",
)


def function_names() -> list[str]:
    """The functions there are, sorted: every folder with a ``function.json`` and a C source."""
    descriptions = sorted(FOLDER.glob("*/function.json"))
    names = [path.parent.name for path in descriptions]
    return [name for name in names if (FOLDER / name / f"{name}.c").is_file()]


def compiler_problem() -> str | None:
    """Why committed modules cannot be compared with rebuilt ones here; None if they can."""
    try:
        installed = version("ziglang")
    except PackageNotFoundError:
        return f"the compiler is not installed (pip install ziglang=={ZIGLANG_VERSION})"
    if installed != ZIGLANG_VERSION:
        return f"ziglang {installed} is installed, the modules are made with {ZIGLANG_VERSION}"
    return None


def build(name: str, output: Path) -> None:
    """Compile the function *name* to the file *output*.

    Raises `subprocess.CalledProcessError` if the compiler finds fault with the source, and
    `subprocess.TimeoutExpired` if it takes more than `COMPILE_SECONDS_MAX`.
    """
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS]
    command += ["-o", str(output), f"{name}/{name}.c"]
    subprocess.run(  # noqa: S603 - the command line is made of constants and our own folder names
        command, cwd=FOLDER, check=True, timeout=COMPILE_SECONDS_MAX
    )


def differing(names: Sequence[str]) -> list[str]:
    """Those of *names* whose committed module is missing or is not what the source compiles to."""
    different = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rebuilt = Path(folder) / f"{name}.wasm"
            build(name, rebuilt)
            committed = FOLDER / name / f"{name}.wasm"
            if not committed.is_file() or committed.read_bytes() != rebuilt.read_bytes():
                different.append(name)
    return different


def main(arguments: Sequence[str] | None = None) -> int:
    """Build or check the functions named, or all; returns the exit code.

    0 is done or equal, 1 different or not compilable, 2 no (comparable) compiler.
    """
    parser = argparse.ArgumentParser(description="Compile the example functions.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions (all if none is named)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(function_names()))
    if unknown:
        parser.error(f"no such function: {', '.join(unknown)}")
    names = options.names or function_names()
    problem = compiler_problem()
    if problem is not None:
        sys.stderr.write(f"not {'checked' if options.check else 'built'}: {problem}\n")
        return EXIT_NO_COMPILER
    try:
        return _check(names) if options.check else _build(names)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"not compiled: {error}\n")
        return EXIT_DIFFERENT


def _check(names: Sequence[str]) -> int:
    different = differing(names)
    for name in different:
        sys.stderr.write(f"{name}/{name}.wasm is not what its source compiles to\n")
    return EXIT_DIFFERENT if different else EXIT_OK


def _build(names: Sequence[str]) -> int:
    for name in names:
        output = FOLDER / name / f"{name}.wasm"
        build(name, output)
        output.chmod(0o644)
        sys.stdout.write(f"{name}/{name}.wasm {output.stat().st_size} bytes\n")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
