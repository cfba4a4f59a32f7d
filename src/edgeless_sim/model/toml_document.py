"""TOML as people write it, read strictly: what is wrong is refused, with line and remedy.

Bytes -> tables -> a pydantic model, or one error of the caller's class that lists what is wrong.
Not here: what a file may say, which is the model's, and whether it makes sense, which whoever asks
checks and has refused by `TomlDocument.refuse`.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from edgeless_sim.errors import SpecError
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.json_text import path_text
from edgeless_sim.model.names import ERROR_BYTES_MAX, clipped
from edgeless_sim.model.shape_errors import shape_faults
from edgeless_sim.model.toml_places import TomlPath, TomlPlaces

__all__ = ["PROBLEMS_MAX", "TOML_BYTES_MAX", "TomlDocument", "read_toml", "read_toml_file"]

TOML_BYTES_MAX: Final = 1 << 20
#: Most problems that one error lists.
PROBLEMS_MAX: Final = 10

_PROBLEM_CHARS_MAX: Final = 500
_MORE_BYTES: Final = len("\nand many more")
_TOML_PLACE: Final = re.compile(
    r"(.*) \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)", re.DOTALL
)
_ModelT = TypeVar("_ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class TomlDocument:
    """A file that is TOML: its tables, and where everything stands in its text."""

    value: dict[str, Any]
    places: TomlPlaces
    source: str
    """How the document is called in messages, e.g. its path as the user typed it."""
    error: type[SpecError]

    def validated(self, root: type[_ModelT]) -> _ModelT:
        """The document as a *root*; raise the document's error if it has not that shape."""
        try:
            return root.model_validate(self.value)
        except ValidationError as error:
            self.refuse(shape_faults(error, self.value, root))

    def refuse(self, faults: Iterable[tuple[TomlPath, str]]) -> NoReturn:
        """Raise the document's error: a line for each of *faults*, ten and 1 KiB at most."""
        problems = []
        for path, reason in faults:
            where = f" {path_text(path)}:" if path else ""
            problems.append((self.places.line_of(path), f"{where} {reason}"))
        problems.sort(key=lambda problem: problem[0])
        lines = [f"{self.source}:{line}:{text}" for line, text in problems]
        raise self.error("\n".join(_listed(lines))) from None


def read_toml_file(path: Path, *, error: type[SpecError]) -> TomlDocument:
    """The document in the regular file at *path*; raise *error* if it cannot be read."""
    try:
        content = read_regular_file(path, TOML_BYTES_MAX)
    except FileNotFoundError:
        raise error(clipped(f"{path}: no such file")) from None
    except ValueError as cause:
        raise error(clipped(f"{path}: {cause}")) from None
    return read_toml(content, error=error, source=str(path))


def read_toml(content: bytes, *, error: type[SpecError], source: str) -> TomlDocument:
    """Read *content* as TOML in UTF-8, with or without a byte order mark.

    Raise *error* if it is not TOML, is larger than 1 MiB, nests too deep, or has a NUL character.
    """
    text = _decoded(content, error, source)
    try:
        places = TomlPlaces(text)
    except ValueError as cause:
        raise error(clipped(f"{source}: {cause}")) from None
    return TomlDocument(_parsed(text, error, source), places, source, error)


def _decoded(content: bytes, error: type[SpecError], source: str) -> str:
    if len(content) > TOML_BYTES_MAX:
        raise error(clipped(f"{source}: has more than {TOML_BYTES_MAX} bytes"))
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as cause:
        line = content[: cause.start].count(b"\n") + 1
        reason = f"line {line}: not UTF-8 (byte {cause.start})"
        raise error(clipped(f"{source}: {reason}")) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise error(clipped(f"{source}: line {line}: a NUL character is not text"))
    return text


def _parsed(text: str, error: type[SpecError], source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        found = _TOML_PLACE.fullmatch(str(cause))
        reason = str(cause) if found is None else found[1]
        line = text.count("\n") + 1 if found is None or found[2] is None else int(found[2])
        column = f":{found[3]}" if found is not None and found[3] is not None else ""
        raise error(clipped(f"{source}:{line}{column}: not TOML: {reason}")) from None
    except ValueError as cause:
        # An integer of thousands of digits.
        raise error(clipped(f"{source}: not TOML: {cause}")) from None


def _listed(problems: list[str]) -> list[str]:
    if len(problems) == 1:
        return [clipped(problems[0])]
    lines: list[str] = []
    left = ERROR_BYTES_MAX - _MORE_BYTES
    for problem in problems[:PROBLEMS_MAX]:
        line = clipped(problem[:_PROBLEM_CHARS_MAX])
        left -= len(line.encode()) + 1
        if lines and left < 0:
            break
        lines.append(line)
    more = len(problems) - len(lines)
    if more:
        lines.append(f"and {more if more < 100 else 'many'} more")
    return lines
