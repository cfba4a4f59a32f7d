"""JSON as people write it, read strictly: what is doubtful is refused, with line and column.

`json` of the standard library takes duplicate keys, ``NaN``, numbers of any length and halves of
surrogate pairs, and fails with RecursionError or a bare ValueError where nesting or a number is
too big. A document here either has one meaning or is refused with an error of the caller's class
and at most 1 KiB of text. Not here: which keys a document must have (`documents`).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Final, NoReturn, TypeAlias

from edgeless_sim.errors import SpecError
from edgeless_sim.model.names import clipped, quoted

__all__ = ["DEPTH_MAX", "JSON_BYTES_MAX", "JsonDocument", "JsonPath", "path_text", "read_json"]

#: A workflow may carry its byte code, as an array of numbers.
JSON_BYTES_MAX: Final = 16 << 20
DEPTH_MAX: Final = 32

#: Keys and indices from the top of a document to a place in it.
JsonPath: TypeAlias = tuple[str | int, ...]

_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 64) - 1
_INT_DIGITS_MAX: Final = 20
# Strings first, so that brackets inside them are skipped. Possessive, and with the closing quote
# optional: a string that never ends is one token, not a new attempt at each of its characters.
_STRING: Final = r'"(?:[^"\\]++|\\.)*+"?'
_BRACKETS: Final = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_TOKENS: Final = re.compile(rf'{_STRING}|[\[\]{{}},:]|[^\s"\[\]{{}},:]++', re.DOTALL)
_MAYBE_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class _RefusedLiteralError(ValueError):
    """A number or key that `json` reads but a document must not have."""

    def __init__(self, reason: str, literal: str | None) -> None:
        self.reason = reason
        #: The number as written; None stands for a key that occurs twice.
        self.literal = literal
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """A document that has been read: its value, and where everything stands in its text."""

    value: object
    text: str
    source: str
    """How the document is called in messages, e.g. its path as the user typed it."""
    error: type[SpecError]

    def refuse(self, path: JsonPath, reason: str) -> NoReturn:
        """Raise the document's error for the value at *path*; message: place, path, *reason*."""
        found = (at for where, at in _places(self.text) if where == path)
        place = next(found, 0) if path else 0
        where = f"{path_text(path)}: " if path else ""
        _refuse(self.error, self.source, self.text, place, f"{where}{reason}")


def path_text(path: JsonPath) -> str:
    """*path* as people write it: ``functions[2].output_mapping.out1``."""
    shown = ""
    for step in path:
        if isinstance(step, int):
            shown += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            shown += f".{step}" if shown else step
        else:
            shown += f"[{quoted(step)}]"
    return shown


def read_json(data: bytes, *, error: type[SpecError], source: str) -> JsonDocument:
    """Read *data* as one JSON document in UTF-8, with or without a byte order mark.

    Raise *error* if it is not JSON, is larger than 16 MiB, is nested deeper than 32, has a key
    twice in one object, a number that is not finite, not in 64 bits or ``-0``, or half a surrogate
    pair. *source* names the document in messages.
    """
    if len(data) > JSON_BYTES_MAX:
        raise error(clipped(f"{source}: larger than {JSON_BYTES_MAX} bytes"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        before = data[: cause.start].decode(errors="replace")
        _refuse(error, source, before, len(before), f"not UTF-8 (byte {cause.start})")
    _check_depth(text, error, source)
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_float,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as cause:
        reason = "the document is empty" if not text.strip() else f"not JSON: {cause.msg}"
        _refuse(error, source, text, cause.pos, reason)
    except _RefusedLiteralError as cause:
        _refuse(error, source, text, _place_of_literal(text, cause.literal), cause.reason)
    _check_surrogates(text, error, source)
    return JsonDocument(value, text, source, error)


def _refuse(error: type[SpecError], source: str, text: str, at: int, reason: str) -> NoReturn:
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    raise error(clipped(f"{source}:{line}:{column}: {reason}")) from None


def _check_depth(text: str, error: type[SpecError], source: str) -> None:
    # Before the parser, which would end with RecursionError at a depth that varies.
    depth = 0
    for token in _BRACKETS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                _refuse(error, source, text, token.start(), f"nested deeper than {DEPTH_MAX}")
        elif token[0] in "]}":
            depth -= 1


def _check_surrogates(text: str, error: type[SpecError], source: str) -> None:
    if _MAYBE_SURROGATE.search(text) is None:
        return
    for token in _TOKENS.finditer(text):
        if token[0][0] != '"' or "\\u" not in token[0]:
            continue
        try:
            json.loads(token[0]).encode()
        except UnicodeEncodeError:
            _refuse(error, source, text, token.start(), "half of a surrogate pair is not text")


def _refuse_constant(literal: str) -> NoReturn:
    raise _RefusedLiteralError(f"{literal} is not a JSON number", literal)


def _integer(literal: str) -> int:
    if literal == "-0":
        raise _RefusedLiteralError("-0 is not an integer", literal)
    # The length first: a long number is slow to convert, and very long ones are a ValueError.
    if len(literal) > _INT_DIGITS_MAX or not _INT_MIN <= int(literal) <= _INT_MAX:
        raise _RefusedLiteralError(f"the number {quoted(literal)} does not fit 64 bits", literal)
    return int(literal)


def _float(literal: str) -> float:
    value = float(literal)
    if not isfinite(value):
        raise _RefusedLiteralError(f"the number {quoted(literal)} is too large", literal)
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RefusedLiteralError(f"the key {quoted(key)} occurs twice", None)
            seen.add(key)
    return found


def _place_of_literal(text: str, literal: str | None) -> int:
    if literal is None:
        return _place_of_repeated_key(text)
    # json reads the sign of -Infinity as part of it; so do our tokens.
    return next((token.start() for token in _TOKENS.finditer(text) if token[0] == literal), 0)


def _place_of_repeated_key(text: str) -> int:
    seen: set[JsonPath] = set()
    for path, at in _places(text):
        if path in seen:
            return at
        seen.add(path)
    return 0


def _places(text: str) -> Iterator[tuple[JsonPath, int]]:
    """Each key and each element with its path and offset; *text* is JSON up to where we look."""
    frames: list[str | int] = []
    awaited = False  # The next token begins a key or an element.
    for token in _TOKENS.finditer(text):
        mark = token[0][0]
        if mark == "," and frames:
            top = frames[-1]
            if isinstance(top, int):
                frames[-1] = top + 1
            awaited = True
            continue
        if mark in "]}":
            if frames:
                frames.pop()
            awaited = False
            continue
        if mark != ":" and awaited and frames:
            if isinstance(frames[-1], str):
                frames[-1] = json.loads(token[0])
            yield tuple(frames), token.start()
            awaited = False
        if mark in "[{":
            frames.append(0 if mark == "[" else "")
            awaited = True
