"""What a module offers stands in its ``__all__``, sorted, complete and true."""

import ast
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
#: Packages of extras that users may leave out.
OPTIONAL: Final = ("aiokafka",)
PACKAGES: Final = ("src/edgeless_sim", "transports/edgeless_transports")


def module_name(path: Path) -> str:
    """The dotted name of a source below ``src`` or ``transports``."""
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def exports(source: str) -> list[str] | None:
    """The literal ``__all__`` of a module; None if it has none."""
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return [str(name) for name in ast.literal_eval(value)]
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                return [str(name) for name in ast.literal_eval(value)]
    return None


def sort_key(name: str) -> tuple[int, list[tuple[int, str]]]:
    """The order that ruff's RUF022 writes: CONSTANTS, Classes, the rest; numbers by value."""
    constant = len(name) > 1 and name.isupper()
    kind = 0 if constant else 1 if name[:1].isupper() else 2
    pieces = (piece for piece in re.split(r"(\d+)", name) if piece)
    return kind, [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]


def unsorted_exports(source: str) -> list[str]:
    """The exports that stand in the wrong place or twice."""
    names = exports(source) or []
    right = sorted(set(names), key=sort_key)
    if names == right:
        return []
    return [name for i, name in enumerate(names) if right[i : i + 1] != [name]]


def forgotten_exports(source: str) -> list[str]:
    """Public classes and functions of a module with ``__all__`` that are not in it."""
    names = exports(source)
    if names is None:
        return []
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    public = [node.name for node in ast.parse(source).body if isinstance(node, definitions)]
    return [name for name in public if not name.startswith("_") and name not in names]


def false_exports(module: str, names: list[str]) -> list[str]:
    """The names that the imported module does not have."""
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name in OPTIONAL:
            pytest.skip(f"{missing.name} comes with an extra")
        raise
    return [name for name in names if not hasattr(imported, name)]


def exporting_sources() -> list[str]:
    """Every source with an ``__all__``, as a path below the root."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if "_generated" not in path.parts and exports(path.read_text("utf-8")) is not None
    ]


def offences(check: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """Path -> names that *check* finds in the source there; the innocent are left out."""
    found = {path: check((ROOT / path).read_text("utf-8")) for path in exporting_sources()}
    return {path: names for path, names in found.items() if names}


def test_there_are_modules_with_exports() -> None:
    assert {"src/edgeless_sim/errors.py", "src/edgeless_sim/model/ids.py"} <= {*exporting_sources()}


def test_exports_are_sorted() -> None:
    found = {
        path: unsorted_exports((ROOT / path).read_text("utf-8")) for path in exporting_sources()
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_every_public_definition_is_exported() -> None:
    found = {
        path: forgotten_exports((ROOT / path).read_text("utf-8")) for path in exporting_sources()
    }
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("path", exporting_sources())
def test_every_export_exists(path: str) -> None:
    names = exports((ROOT / path).read_text("utf-8")) or []
    assert false_exports(module_name(ROOT / path), names) == []


def test_a_planted_wrong_order_is_found() -> None:
    assert unsorted_exports('__all__ = ["LIMIT", "Zebra", "apple", "pear"]') == []
    assert unsorted_exports('__all__ = ["Zebra", "LIMIT"]') == ["Zebra", "LIMIT"]
    assert unsorted_exports('__all__ = ["a10", "a9"]') == ["a10", "a9"]
    assert unsorted_exports('__all__ = ["a", "b", "b"]') == ["b"]
    assert unsorted_exports('__all__: list[str] = ["b", "a"]') == ["b", "a"]


def test_a_planted_forgotten_definition_is_found() -> None:
    module = "class A: ...\nclass _B: ...\ndef c(): ...\nasync def d(): ...\n"
    assert forgotten_exports('__all__ = ["A"]\n' + module) == ["c", "d"]
    assert forgotten_exports(module) == []


def test_a_planted_false_export_is_found() -> None:
    assert false_exports("edgeless_sim.errors", ["EdgelessError", "Atlantis"]) == ["Atlantis"]
