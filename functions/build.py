"""Compiles the functions of the library to WebAssembly, and checks that what is committed is that.

It is a build script of this folder and no part of the platform: running functions needs no
compiler. C is compiled by the PyPI package ``ziglang``, Rust by the compiler of Debian 12. What
they write depends on their versions alone, which is why the versions are fixed here and a
comparison with any other is refused.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

__all__ = [
    "RUST_VERSION",
    "ZIGLANG_VERSION",
    "Variant",
    "c_problem",
    "compiler_problem",
    "differing",
    "main",
    "rust_compiler",
    "rust_problem",
    "variants",
]

#: The releases the committed modules were made with.
ZIGLANG_VERSION: Final = "0.17.1"
RUST_VERSION: Final = "1.63.0"
RUST_LLVM_VERSION: Final = "14.0.6"

FOLDER: Final = Path(__file__).resolve().parent
COMPILE_SECONDS_MAX: Final = 300

EXIT_OK: Final = 0
EXIT_DIFFERENT: Final = 1
EXIT_NO_COMPILER: Final = 2

#: The features are those every runtime of the last years has; no newer ones creep in by default.
C_FEATURES: Final = "mvp+bulk_memory+mutable_globals+nontrapping_fptoint+sign_ext"
C_FLAGS: Final = (
    "-target",
    "wasm32-freestanding",
    f"-mcpu={C_FEATURES}",
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

RUST_TARGET: Final = "wasm32-unknown-unknown"
RUST_FLAGS: Final = (
    "--edition=2021",
    f"--target={RUST_TARGET}",
    "-Copt-level=z",
    "-Cpanic=abort",
    "-Ccodegen-units=1",
    "-Ctarget-feature=+bulk-memory,+mutable-globals,+nontrapping-fptoint",
    "-Dwarnings",
    # Nothing of the machine enters: where a panic happened is told relative to this folder.
    f"--remap-path-prefix={FOLDER}=",
)
RUST_MODULE_FLAGS: Final = (
    "--crate-type=cdylib",
    "-Clto=fat",
    "-Cstrip=symbols",
    # Below the static data, as in C; the standard library takes more of it than C does.
    "-Clink-arg=-zstack-size=32768",
)
RUST_INSTALL: Final = "Debian 12: apt install rustc libstd-rust-dev-wasm32 lld-14"


@dataclass(frozen=True, slots=True)
class Variant:
    """A function in one language. ``folder`` is relative to the library, e.g. ``noop/rust``."""

    name: str
    language: str
    folder: str

    @property
    def module(self) -> str:
        """The module, relative to the library."""
        return f"{self.folder}/{self.name}.wasm"


def variants(names: Sequence[str] = (), languages: Sequence[str] = ()) -> list[Variant]:
    """What there is to compile, by folder: *names* in *languages*, or all if none is named."""
    found = []
    for description in sorted(FOLDER.glob("**/function.json")):
        folder = description.parent
        name = folder.relative_to(FOLDER).parts[0]
        if (folder / "Cargo.toml").is_file():
            language = "rust"
        elif (folder / f"{name}.c").is_file():
            language = "c"
        else:
            continue
        found.append(Variant(name, language, folder.relative_to(FOLDER).as_posix()))
    return [
        each
        for each in found
        if (not names or each.name in names) and (not languages or each.language in languages)
    ]


def c_problem() -> str | None:
    """Why the C modules cannot be compared with rebuilt ones here; None if they can."""
    try:
        installed = version("ziglang")
    except PackageNotFoundError:
        return f"the compiler is not installed (pip install ziglang=={ZIGLANG_VERSION})"
    if installed != ZIGLANG_VERSION:
        return f"ziglang {installed} is installed, the modules are made with {ZIGLANG_VERSION}"
    return None


def rust_compiler() -> str | None:
    """The ``rustc`` that the committed modules are made with, or None."""
    candidates = (os.environ.get("RUSTC"), shutil.which("rustc"), "/usr/bin/rustc")
    return next((each for each in candidates if each is not None and _is_ours(each)), None)


def rust_problem() -> str | None:
    """Why the Rust modules cannot be compared with rebuilt ones here; None if they can."""
    if rust_compiler() is not None:
        return None
    wanted = f"rustc {RUST_VERSION} with LLVM {RUST_LLVM_VERSION}, {RUST_TARGET} and rust-lld"
    return f"no {wanted} is installed ({RUST_INSTALL})"


def _is_ours(compiler: str) -> bool:
    told = _told(compiler, "--version", "--verbose").splitlines()
    if not {f"release: {RUST_VERSION}", f"LLVM version: {RUST_LLVM_VERSION}"} <= set(told):
        return False
    libraries = _told(compiler, f"--target={RUST_TARGET}", "--print=target-libdir").strip()
    return Path(libraries).is_dir() and shutil.which("rust-lld") is not None


def _told(compiler: str, *question: str) -> str:
    command = [compiler, *question]
    try:
        result = subprocess.run(  # noqa: S603 - a compiler that the user named or installed
            command, capture_output=True, text=True, check=False, timeout=COMPILE_SECONDS_MAX
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout


def _build_c(wanted: Sequence[Variant], place: Path) -> None:
    for variant in wanted:
        command = [sys.executable, "-m", "ziglang", "cc", *C_FLAGS, "-o"]
        command += [str(_output(variant, place)), f"{variant.folder}/{variant.name}.c"]
        _run(command)


def _build_rust(wanted: Sequence[Variant], place: Path) -> None:
    compiler = rust_compiler()
    if compiler is None:
        raise FileNotFoundError("rustc")
    library = place / "libedgeless_function.rlib"
    sdk = ["--crate-name=edgeless_function", "--crate-type=rlib", "-o", str(library)]
    _run([compiler, *RUST_FLAGS, *sdk, "sdk/rust/src/lib.rs"])

    def build_module(variant: Variant) -> None:
        module = [f"--crate-name={variant.name}", f"--extern=edgeless_function={library}"]
        module += ["-o", str(_output(variant, place)), f"{variant.folder}/src/lib.rs"]
        _run([compiler, *RUST_FLAGS, *RUST_MODULE_FLAGS, *module])

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(build_module, wanted):
            pass


def _output(variant: Variant, place: Path) -> Path:
    path = place / variant.module
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _run(command: Sequence[str]) -> None:
    subprocess.run(  # noqa: S603 - made of constants, our own folder names and a compiler
        command, cwd=FOLDER, check=True, timeout=COMPILE_SECONDS_MAX
    )


PROBLEMS: Final[dict[str, Callable[[], str | None]]] = {"c": c_problem, "rust": rust_problem}
BUILDERS: Final[dict[str, Callable[[Sequence[Variant], Path], None]]] = {
    "c": _build_c,
    "rust": _build_rust,
}


def compiler_problem(language: str) -> str | None:
    """Why nothing in *language* can be compared or compiled here; None if it can."""
    return PROBLEMS[language]()


def build(wanted: Sequence[Variant], place: Path) -> None:
    """Compile *wanted* to files of the same names below *place*.

    Raises `subprocess.CalledProcessError` if a compiler finds fault with a source, and
    `subprocess.TimeoutExpired` if it takes more than `COMPILE_SECONDS_MAX`.
    """
    for language, builder in BUILDERS.items():
        chosen = [variant for variant in wanted if variant.language == language]
        if chosen:
            builder(chosen, place)


def differing(wanted: Sequence[Variant]) -> list[Variant]:
    """Those of *wanted* whose committed module is missing or not what the source compiles to."""
    different = []
    with tempfile.TemporaryDirectory() as folder:
        build(wanted, Path(folder))
        for variant in wanted:
            committed = FOLDER / variant.module
            rebuilt = Path(folder) / variant.module
            if not committed.is_file() or committed.read_bytes() != rebuilt.read_bytes():
                different.append(variant)
    return different


def main(arguments: Sequence[str] | None = None) -> int:
    """Build or check the functions named, or all; returns the exit code.

    0 is done or equal, 1 different or not compilable, 2 no (comparable) compiler for something.
    """
    parser = argparse.ArgumentParser(description="Compile the functions of the library.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--language", choices=sorted(BUILDERS), help="only these (default: all)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions (all if none is named)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - {each.name for each in variants()})
    if unknown:
        parser.error(f"no such function: {', '.join(unknown)}")
    wanted = variants(options.names, [options.language] if options.language else ())
    problems = {each.language: compiler_problem(each.language) for each in wanted}
    for language, problem in problems.items():
        if problem is not None:
            verb = "checked" if options.check else "built"
            sys.stderr.write(f"not {verb} ({language}): {problem}\n")
    possible = [each for each in wanted if problems[each.language] is None]
    try:
        done = _check(possible) if options.check else _build(possible)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"not compiled: {error}\n")
        return EXIT_DIFFERENT
    return done or (EXIT_NO_COMPILER if len(possible) < len(wanted) else EXIT_OK)


def _check(wanted: Sequence[Variant]) -> int:
    different = differing(wanted)
    for variant in different:
        sys.stderr.write(f"{variant.module} is not what its source compiles to\n")
    return EXIT_DIFFERENT if different else EXIT_OK


def _build(wanted: Sequence[Variant]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        build(wanted, Path(folder))
        for variant in wanted:
            output = FOLDER / variant.module
            # In one step, so that a module that is in use is the old one or the new one.
            fresh = output.with_name(f".{output.name}.new")
            fresh.write_bytes((Path(folder) / variant.module).read_bytes())
            fresh.replace(output)
            sys.stdout.write(f"{variant.module} {output.stat().st_size} bytes\n")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
