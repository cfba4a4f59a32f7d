"""How a function is built: by what lies beside its ``function.json``.

``Cargo.toml``: cargo. ``*.c``: a C compiler. ``*.wat``: wasmtime. ``*.py``: nothing to build, but
to check. Not here: whether it has to be built, and whether the result is any good (`building`).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from edgeless_sim.errors import BadCodeError, FunctionSpecError
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.runtimes.wasm.text import module_of_text
from edgeless_sim.toolchain.sdk import c_headers
from edgeless_sim.toolchain.tools import WASM_TARGET, c_compiler, run_tool, rust_tools

__all__ = ["Recipe", "recipe_for"]

_SOURCE_BYTES_MAX: Final = 16 << 20
#: For both compilers. Below the static data, so that a stack that overflows traps.
_C_FLAGS: Final = (
    "-std=c11",
    "-O2",
    "-ffreestanding",
    "-nostdlib",
    "-Wall",
    "-Wextra",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
    "-Wl,-z,stack-size=16384",
)
#: Features that every run-time of the last years has.
_C_FEATURES: Final = ("-mbulk-memory", "-mmutable-globals", "-mnontrapping-fptoint", "-msign-ext")


class Recipe(Protocol):
    """One way of building."""

    language: str

    def sources(self) -> Iterator[Path]:
        """The files that the result depends on."""
        ...

    def make(self, output: Path) -> None:
        """Write the module to *output*; raise `BadCodeError` or `RejectedError`."""
        ...


def recipe_for(folder: Path, specification: FunctionClassSpecification) -> Recipe | None:
    """How the function in *folder* is built; None for one in Python, which is not.

    Raise `FunctionSpecError` if there is no source.
    """
    if specification.function_type == "PYTHON":
        return None
    if (folder / "Cargo.toml").is_file():
        return _Cargo(folder)
    for pattern, recipe in (("*.c", _C), ("*.wat", _Wat)):
        files = sorted(folder.glob(pattern))
        if files:
            return recipe(folder, files)
    raise FunctionSpecError(
        f"{folder}: nothing to build: there is no Cargo.toml, *.c or *.wat beside function.json"
    )


@dataclass(frozen=True, slots=True)
class _Cargo:
    """A crate whose library is a ``cdylib``."""

    folder: Path
    language = "rust"

    def sources(self) -> Iterator[Path]:
        """See `Recipe.sources`: everything but what cargo writes."""
        for path in sorted(self.folder.rglob("*")):
            if (
                path.suffix in (".rs", ".toml")
                and "target" not in path.relative_to(self.folder).parts
            ):
                yield path

    def make(self, output: Path) -> None:
        """See `Recipe.make`."""
        tools = rust_tools()
        command = [tools.cargo, "build", "--release", "--target", WASM_TARGET]
        printed = run_tool(
            [*command, "--message-format", "json-render-diagnostics"],
            self.folder,
            {"RUSTC": tools.rustc},
        )
        output.write_bytes(_artifact(printed).read_bytes())


@dataclass(frozen=True, slots=True)
class _C:
    """One or more C files and the SDK's headers."""

    folder: Path
    files: list[Path]
    language = "c"

    def sources(self) -> Iterator[Path]:
        """See `Recipe.sources`."""
        yield from self.files
        yield from sorted(self.folder.glob("*.h"))

    def make(self, output: Path) -> None:
        """See `Recipe.make`."""
        includes = ["-I.", f"-I{c_headers()[0].parent}"]
        names = [path.name for path in self.files]
        command = [*c_compiler(), *_C_FLAGS, *_C_FEATURES, *includes, "-o", str(output), *names]
        run_tool(command, self.folder)


@dataclass(frozen=True, slots=True)
class _Wat:
    """WebAssembly as text."""

    folder: Path
    files: list[Path]
    language = "wat"

    def sources(self) -> Iterator[Path]:
        """See `Recipe.sources`."""
        yield from self.files

    def make(self, output: Path) -> None:
        """See `Recipe.make`."""
        if len(self.files) > 1:
            names = ", ".join(path.name for path in self.files)
            raise BadCodeError(f"one module has one text: {names}")
        if self.files[0].stat().st_size > _SOURCE_BYTES_MAX:
            raise BadCodeError(f"{self.files[0].name}: more than {_SOURCE_BYTES_MAX} bytes")
        output.write_bytes(module_of_text(self.files[0].read_bytes()))


def _artifact(printed: str) -> Path:
    """The module among what cargo says that it has made."""
    found: Path | None = None
    for line in printed.splitlines():
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact":
            modules = [name for name in message["filenames"] if name.endswith(".wasm")]
            found = Path(modules[-1]) if modules else found
    if found is None:
        raise BadCodeError('cargo made no module: does Cargo.toml say crate-type = ["cdylib"]?')
    return found
