"""Builds a function, if it has to be, and makes sure that the result can run.

A module that is there stays as it is until a better one is complete: whatever goes wrong, the old
one is intact.
"""

import shutil
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from edgeless_sim.errors import BadCodeError, GuestError, ResourceError
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.function_file import load_function_file
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog
from edgeless_sim.toolchain.recipes import Recipe, recipe_for
from edgeless_sim.toolchain.tools import run_tool

__all__ = ["FUNCTION_FILE", "Built", "build_function", "description_of"]

FUNCTION_FILE: Final = "function.json"
_WASM: Final = "RUST_WASM"
_FEATURES: Final = (
    "--enable-bulk-memory",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
)


@dataclass(frozen=True, slots=True)
class Built:
    """A function whose code is there."""

    specification: FunctionClassSpecification
    folder: Path
    module: Path | None
    """The compiled module; None for a function in Python."""
    language: str
    fresh: bool
    """Whether it was built now; False = it was up to date."""
    warnings: tuple[str, ...] = ()


@runtime_checkable
class _Checker(Protocol):
    def check(self, code: bytes) -> object:
        """Raise `GuestError` for code that could not run."""
        ...


def description_of(path: Path) -> Path:
    """The ``function.json`` at *path*, or in the folder *path*."""
    return path / FUNCTION_FILE if path.is_dir() else path


def build_function(path: Path, *, force: bool = False) -> Built:
    """Build the function that ``function.json`` at *path* describes, or in the folder *path*.

    Raise `FunctionSpecError` for a description that is wrong, `BadCodeError` for a source that does
    not compile or a module that could not run, `RejectedError` for a missing tool, `ResourceError`
    if the result cannot be written.
    """
    description = description_of(path)
    specification, warnings = load_function_file(description)
    folder = description.parent
    recipe = recipe_for(folder, specification)
    if recipe is None:
        return Built(specification, folder, None, "python", False, tuple(warnings))
    output = folder / f"{specification.id}.wasm"
    fresh = force or _is_stale(output, description, recipe)
    if fresh:
        _make(recipe, output)
    return Built(specification, folder, output, recipe.language, fresh, tuple(warnings))


def _is_stale(output: Path, description: Path, recipe: Recipe) -> bool:
    try:
        made_ns = output.stat().st_mtime_ns
        return any(
            source.stat().st_mtime_ns >= made_ns for source in (description, *recipe.sources())
        )
    except OSError:
        return True


def _make(recipe: Recipe, output: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix=".build-", dir=output.parent) as place:
            # Absolute: compilers run in the folder of the source.
            draft = Path(place).resolve() / output.name
            recipe.make(draft)
            _check(draft)
            _shrink(draft)
            draft.chmod(0o644)
            draft.replace(output)
    except OSError as error:
        raise ResourceError(f"{output}: {error.strerror or error}") from None


def _check(module: Path) -> None:
    """Raise `BadCodeError` if the module could not run (spec 1.2)."""
    with closing(RuntimeCatalog(RuntimeSettings())) as catalog:
        runtime = catalog.get(_WASM)
        assert isinstance(runtime, _Checker), "the run-time of compiled functions can check them"
        try:
            runtime.check(module.read_bytes())
        except GuestError as error:
            raise BadCodeError(f"the module is built, but cannot run: {error}") from None


def _shrink(module: Path) -> None:
    """Let ``wasm-opt`` make it smaller, if that is here and the result still runs."""
    tool = shutil.which("wasm-opt")
    if tool is None:
        return
    smaller = module.with_suffix(".small")
    with suppress(GuestError):
        run_tool([tool, "-Oz", *_FEATURES, str(module), "-o", str(smaller)], module.parent)
        _check(smaller)
        smaller.replace(module)
