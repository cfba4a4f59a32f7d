"""Where the keys of a TOML text stand, which `tomllib` does not tell.

Goes through the text once and notes the line of each table and key. It also refuses what would
cost `tomllib` too much: nesting and dotted keys that no person writes. It does not check syntax:
where the text is not TOML it stops, and `tomllib` says why.
"""

import re
from collections.abc import Iterator
from typing import Final, NoReturn, TypeAlias

__all__ = ["DEPTH_MAX", "TomlPath", "TomlPlaces"]

#: Keys and indices from the top of a document.
TomlPath: TypeAlias = tuple[str | int, ...]

#: Deepest nesting of brackets, and most parts of a dotted key.
DEPTH_MAX: Final = 16

# Possessive, and a closing quote is optional: a string that never ends is one token.
_TOKEN: Final = re.compile(
    r'"""(?:[^\\"]++|\\.|"(?!""))*+(?:"{3,5})?'
    r"|'''(?:[^']++|'(?!''))*+(?:'{3,5})?"
    r'|"(?:[^"\\\n]++|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+"
    r"|[ \t\r]++"
    r"|[\[\]{}=.,\n]"
    r"|[^\s\[\]{}=.,\"'#]++",
    re.DOTALL,
)


class _StoppedError(Exception):
    """The text is not TOML from here on."""


class TomlPlaces:
    """Line numbers by path, counted from 1."""

    def __init__(self, text: str) -> None:
        """Raise ValueError, with the line, if *text* nests deeper than `DEPTH_MAX`."""
        self._lines: dict[TomlPath, int] = {}
        self._counts: dict[TomlPath, int] = {}
        self._words = _tokens(text)
        self._line = 1
        self._word = ""
        try:
            self._step()
            self._document()
        except _StoppedError:
            pass

    def line_of(self, path: TomlPath) -> int:
        """The line of *path*, or of the innermost place around it that is known; at least 1."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _step(self) -> str:
        """Go to the next token; "" is the end."""
        self._word, self._line = next(self._words, ("", self._line))
        return self._word

    def _document(self) -> None:
        table: TomlPath = ()
        while self._word:
            if self._word == "\n":
                self._step()
            elif self._word == "[":
                table = self._header()
            else:
                self._pair(table, 0)

    def _header(self) -> TomlPath:
        line = self._line
        array = self._step() == "["
        if array:
            self._step()
        *outer, last = self._key()
        for _ in range(1 + array):
            self._expect("]")
        path: TomlPath = ()
        for part in outer:
            path = self._inside((*path, part))
        path = (*path, last)
        if array:
            count = self._counts[path] = self._counts.get(path, 0) + 1
            self._lines.setdefault(path, line)
            path = (*path, count - 1)
        self._lines.setdefault(path, line)
        return path

    def _inside(self, path: TomlPath) -> TomlPath:
        count = self._counts.get(path)
        return path if count is None else (*path, count - 1)

    def _pair(self, table: TomlPath, depth: int) -> None:
        line = self._line
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._expect("=")
        self._value(path, depth)

    def _key(self) -> list[str]:
        parts = [self._part()]
        while self._word == ".":
            self._step()
            parts.append(self._part())
            if len(parts) > DEPTH_MAX:
                self._too_deep(f"a key of more than {DEPTH_MAX} parts")
        return parts

    def _part(self) -> str:
        token = self._word
        if token in ("", "\n", "[", "]", "{", "}", "=", ".", ","):
            raise _StoppedError
        self._step()
        quote = token[0]
        return token[1:-1] if quote in "\"'" and len(token) > 1 else token

    def _value(self, path: TomlPath, depth: int) -> None:
        if depth > DEPTH_MAX:
            self._too_deep(f"more than {DEPTH_MAX} brackets around a value")
        if self._word == "[":
            self._array(path, depth)
        elif self._word == "{":
            self._step()
            while self._word != "}":
                if self._word in (",", "\n"):
                    self._step()
                else:
                    self._pair(path, depth + 1)
            self._step()
        else:
            self._scalar()

    def _array(self, path: TomlPath, depth: int) -> None:
        self._step()
        index = 0
        while self._word != "]":
            if self._word in (",", "\n"):
                self._step()
            else:
                self._lines[*path, index] = self._line
                self._value((*path, index), depth + 1)
                index += 1
        self._step()

    def _scalar(self) -> None:
        # Numbers and dates have dots in them.
        if self._word in ("", "\n", "]", "}", "=", ","):
            raise _StoppedError
        while self._word not in ("", "\n", "[", "]", "{", "}", "=", ","):
            self._step()

    def _expect(self, token: str) -> None:
        if self._word != token:
            raise _StoppedError
        self._step()

    def _too_deep(self, what: str) -> NoReturn:
        raise ValueError(f"line {self._line}: {what}")


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line = 1
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token[0] not in " \t\r#":
            yield token, line
        line += token.count("\n")
