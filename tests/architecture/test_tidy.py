"""Rules of the house that no linter knows: sizes, names, places, reasons.

Each checker is a pure function from a path or a text to a list of offences; a second test plants
offences and sees them found, so that a checker that finds nothing is not simply blind.
"""

import ast
import io
import os
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 50
BANNED_NAMES: Final = frozenset({"common", "helper", "helpers", "misc", "util", "utils"})
HOMES: Final = (
    "benchmarks/",
    "functions/",
    "scenarios/",
    "src/edgeless_sim/",
    "tests/",
    "transports/edgeless_transports/",
)
#: Files of these kinds are searched for marks and for paths of somebody's machine.
TEXTS: Final = frozenset(
    {".c", ".h", ".json", ".md", ".py", ".rs", ".toml", ".txt", ".yaml", ".yml", ""}
)
#: Folders that tools write and .gitignore names.
NOT_OURS: Final = frozenset(
    {"__pycache__", "build", "dist", "file-log", "function_state", "out", "target"}
)
#: Spelt in two halves, or this file would offend.
MARKS: Final = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
HOME_PATHS: Final = re.compile(r"(?<![\w.])(?:/(?:home|root|Users)/|[A-Z]:\\+Users\\+)\w")
SUPPRESSION: Final = re.compile(
    r"#\s*(?:ruff:\s*|flake8:\s*)?(?:(noqa)|type:\s*ignore|pyright:\s*ignore)"
    r"(?P<codes>:\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*|\[[\w-]+(?:,\s*[\w-]+)*\])?",
    re.IGNORECASE,
)
WORD: Final = re.compile(r"[^\W\d_]{2,}")


def files_below(root: Path) -> Iterator[Path]:
    """Yield every file of ours, in a fixed order; hidden folders and what tools write excluded."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            f for f in folders if f not in NOT_OURS and (f == ".ci" or not f.startswith("."))
        )
        yield from (Path(folder, name) for name in sorted(names))


def python_files(root: Path) -> list[Path]:
    return [path for path in files_below(root) if path.suffix == ".py"]


def long_files(root: Path) -> list[str]:
    sizes = (
        (path.relative_to(root).as_posix(), len(path.read_text("utf-8").splitlines()))
        for path in python_files(root)
        if "_generated" not in path.parts
    )
    return [f"{path}: {lines} lines" for path, lines in sizes if lines > FILE_LINES_MAX]


def badly_named_files(root: Path) -> list[str]:
    paths = (path.relative_to(root) for path in files_below(root))
    return [
        path.as_posix()
        for path in paths
        if BANNED_NAMES & {*path.parts[:-1], path.name.partition(".")[0]}
    ]


def homeless_modules(root: Path) -> list[str]:
    paths = (path.relative_to(root).as_posix() for path in python_files(root))
    return [path for path in paths if path != "noxfile.py" and not path.startswith(HOMES)]


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def long_functions(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            total = (node.end_lineno or node.lineno) - node.lineno + 1
            if (lines := total - docstring_lines(node)) > FUNCTION_LINES_MAX:
                found.append(f"line {node.lineno}: {node.name} has {lines} lines")
    return found


def undocumented(source: str) -> list[str]:
    """The module and the public classes that say nothing; one or two words are nothing."""
    module = ast.parse(source)
    found = ["module"] if len((ast.get_docstring(module) or "").split()) < 3 else []
    classes = (node for node in ast.walk(module) if isinstance(node, ast.ClassDef))
    found += [c.name for c in classes if not c.name.startswith("_") and not ast.get_docstring(c)]
    return found


def bare_suppressions(source: str) -> list[str]:
    """Suppressions without a code, or without at least two words that say why."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or not SUPPRESSION.search(token.string):
            continue
        coded = all(match["codes"] for match in SUPPRESSION.finditer(token.string))
        reason = WORD.findall(SUPPRESSION.sub("", token.string))
        if not coded or len(reason) < 2:
            found.append(f"line {token.start[0]}: {token.string}")
    return found


def lines_matching(pattern: re.Pattern[str], text: str) -> list[str]:
    lines = enumerate(text.splitlines(), start=1)
    return [f"line {number}: {line.strip()[:80]}" for number, line in lines if pattern.search(line)]


def strays_in_transports(root: Path) -> list[str]:
    """What lies beside the one package: all of it would be importable in an editable install."""
    names = sorted(p.name for p in (root / "transports").iterdir() if p.name != "__pycache__")
    return [name for name in names if name not in {"README.md", "edgeless_transports"}]


def sources() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in python_files(ROOT)]


def shipped_sources() -> list[str]:
    """All but the tests, whose names are sentences already."""
    return [path for path in sources() if not path.startswith("tests/")]


def texts() -> list[str]:
    # Hidden files are settings of ours or the data of a tool, e.g. of coverage.
    visible = (path for path in files_below(ROOT) if not path.name.startswith("."))
    paths = (path for path in visible if path.suffix in TEXTS)
    return [path.relative_to(ROOT).as_posix() for path in paths]


def offences(check: Callable[[str], list[str]], paths: list[str]) -> dict[str, list[str]]:
    """Path -> what *check* finds in the text there; the innocent are left out."""
    found = {path: check((ROOT / path).read_text("utf-8")) for path in paths}
    return {path: faults for path, faults in found.items() if faults}


def test_the_walk_finds_this_file_and_the_packages() -> None:
    assert {
        "noxfile.py",
        "src/edgeless_sim/errors.py",
        "tests/architecture/test_tidy.py",
        "transports/edgeless_transports/__init__.py",
    } <= set(sources())


def test_a_file_fits_the_head() -> None:
    assert long_files(ROOT) == []


def test_names_say_what_is_inside() -> None:
    assert badly_named_files(ROOT) == []


def test_every_module_is_where_modules_live() -> None:
    assert homeless_modules(ROOT) == []


def test_transports_holds_one_package_and_a_readme() -> None:
    assert strays_in_transports(ROOT) == []
    assert (ROOT / "transports" / "README.md").is_file()


def test_a_function_fits_the_screen() -> None:
    assert offences(long_functions, sources()) == {}


def test_modules_and_public_classes_say_what_they_are() -> None:
    assert offences(undocumented, shipped_sources()) == {}


def test_a_suppression_names_its_rule_and_its_reason() -> None:
    assert offences(bare_suppressions, sources()) == {}


def test_nothing_is_left_for_later_by_a_mark() -> None:
    assert offences(partial(lines_matching, MARKS), texts()) == {}


def test_no_text_names_a_folder_of_somebodys_machine() -> None:
    assert offences(partial(lines_matching, HOME_PATHS), texts()) == {}


def plant(root: Path, path: str, text: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def test_planted_files_in_the_wrong_form_or_place_are_found(tmp_path: Path) -> None:
    plant(tmp_path, "noxfile.py")
    plant(tmp_path, "src/edgeless_sim/just_right.py", "pass\n" * 400)
    plant(tmp_path, "src/edgeless_sim/long.py", "pass\n" * 401)
    plant(tmp_path, "src/edgeless_sim/api/_generated/stubs.py", "pass\n" * 401)
    plant(tmp_path, "src/edgeless_sim/node/utils.py")
    plant(tmp_path, "src/edgeless_sim/helpers/clock.py")
    plant(tmp_path, "src/edgeless_sim/commonplace.py")
    plant(tmp_path, "src/other/module.py")
    plant(tmp_path, "setup.py")
    plant(tmp_path, ".nox/tests/junk.py", "pass\n" * 401)
    plant(tmp_path, "transports/README.md")
    plant(tmp_path, "transports/__init__.py")
    plant(tmp_path, "transports/tests/test_it.py")
    plant(tmp_path, "transports/edgeless_transports/base.py")

    assert long_files(tmp_path) == ["src/edgeless_sim/long.py: 401 lines"]
    assert badly_named_files(tmp_path) == [
        "src/edgeless_sim/helpers/clock.py",
        "src/edgeless_sim/node/utils.py",
    ]
    assert homeless_modules(tmp_path) == [
        "setup.py",
        "src/other/module.py",
        "transports/__init__.py",
        "transports/tests/test_it.py",
    ]
    assert strays_in_transports(tmp_path) == ["__init__.py", "tests"]


def test_a_planted_long_function_is_found_and_its_docstring_is_not_counted() -> None:
    docstring = '    """Say it.\n\n    At length.\n    """\n'
    fits = "async def fits():\n" + docstring + "    pass\n" * 49
    long = "class A:\n    def long(self):\n" + "        pass\n" * 50
    assert long_functions(fits + long) == ["line 56: long has 51 lines"]


def test_planted_silence_is_found() -> None:
    assert undocumented("class Loud:\n    '''I say something.'''\nclass _Quiet: ...\n") == [
        "module"
    ]
    assert undocumented("'''placeholder'''\n") == ["module"]
    assert undocumented("'''Says what it is.'''\nclass Mute:\n    class Inner: ...\n") == [
        "Mute",
        "Inner",
    ]


@pytest.mark.parametrize(
    "comment",
    [
        "# no" + "qa",
        "# no" + "qa because I say so",
        "# no" + "qa: S101",
        "# no" + "qa: S101, E501 - sorry",
        "# ruff: no" + "qa",
        "# type: " + "ignore",
        "# type: " + "ignore the messenger please",
        "# type: " + "ignore[arg-type]",
        "# type: " + "ignore[arg-type]  # no" + "qa: S101",
    ],
)
def test_a_planted_suppression_without_code_or_reason_is_found(comment: str) -> None:
    assert bare_suppressions(f"x = 1  {comment}\n") == [f"line 1: {comment}"]


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # no" + "qa: S101, E501 - the table reads better",
        "x = 1  # type: " + "ignore[arg-type, misc]  # the stubs are wrong",
        "x = 1  # type: " + "ignore[misc]  # no" + "qa: S101 - a checked invariant",
        "x = '# no" + "qa'",
    ],
)
def test_a_suppression_with_code_and_reason_is_let_pass(line: str) -> None:
    assert bare_suppressions(f"{line}\n") == []


def test_planted_marks_and_home_paths_are_found() -> None:
    marks = "fine\n# TO" + "DO later\nmastodon\n/* FIX" + "ME */\n"
    assert lines_matching(MARKS, marks) == ["line 2: # TO" + "DO later", "line 4: /* FIX" + "ME */"]
    paths = "cd /ho" + "me/ada/src\nC:\\Us" + "ers\\ada\n../home/ada\nhttp://x.y/home/ada\n/home\n"
    assert lines_matching(HOME_PATHS, paths) == [
        "line 1: cd /ho" + "me/ada/src",
        "line 2: C:\\Us" + "ers\\ada",
    ]
