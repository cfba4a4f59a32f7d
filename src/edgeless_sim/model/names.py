"""What a name may look like, and how foreign text is shown in a message.

Everything here answers; nothing raises. Not here: identifiers (`ids`) and what a name refers to.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

__all__ = [
    "ERROR_BYTES_MAX",
    "NAME_BYTES_MAX",
    "clipped",
    "looks_like_node_name",
    "name_fault",
    "nearest",
    "quoted",
    "shown_path",
    "suggestion",
    "text_fault",
]

NAME_BYTES_MAX: Final = 255
#: Longest message of an error.
ERROR_BYTES_MAX: Final = 1024

_QUOTED_CHARS_MAX: Final = 64
_PATH_CHARS_MAX: Final = 200
#: Comparing long names is quadratic; the beginning is enough for a suggestion.
_COMPARED_CHARS_MAX: Final = 48

# C0 and C1 controls, line and paragraph separators, everything that changes the writing
# direction, the byte order mark, lone surrogates.
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NODE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def quoted(text: str) -> str:
    """*text* in quotes, with everything unprintable escaped, and not longer than 64 characters."""
    shown = repr(text[:_QUOTED_CHARS_MAX])
    return shown if len(text) <= _QUOTED_CHARS_MAX else f"{shown}…"


def clipped(message: str) -> str:
    """*message* with at most `ERROR_BYTES_MAX` bytes, on one line and encodable."""
    safe = _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", message[:ERROR_BYTES_MAX])
    encoded = safe.encode()
    if len(encoded) <= ERROR_BYTES_MAX:
        return safe
    return encoded[: ERROR_BYTES_MAX - 3].decode(errors="ignore") + "…"


def shown_path(path: str) -> str:
    """*path* as the beginning of a message: its end, where it is long."""
    return path if len(path) <= _PATH_CHARS_MAX else f"…{path[-_PATH_CHARS_MAX:]}"


def name_fault(text: str, bytes_max: int = NAME_BYTES_MAX) -> str | None:
    """Why *text* cannot be a name, or None: empty, too long, or not what it looks like."""
    if not text:
        return "it is empty"
    if _INVISIBLE.search(text):
        return "it has a control character or one that changes the writing direction"
    if len(text.encode()) > bytes_max:
        return f"it has more than {bytes_max} bytes"
    return None


def text_fault(text: str, bytes_max: int) -> str | None:
    """Why *text* cannot be carried as a value, or None: half a character, or too long."""
    if _SURROGATE.search(text):
        return "it has half of a surrogate pair, which is not text"
    # No character has more than four bytes: most texts need not be encoded to be measured.
    if len(text) * 4 > bytes_max and len(text.encode()) > bytes_max:
        return f"it has more than {bytes_max} bytes"
    return None


def looks_like_node_name(text: str) -> bool:
    """Whether *text* can be the name of a node, such as ``edge/0`` or ``node-3.lab``."""
    return len(text) <= NAME_BYTES_MAX and _NODE_NAME.fullmatch(text) is not None


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """The one of *known* that *wrong* is probably a misspelling of, or None."""
    by_beginning: dict[str, str] = {}
    for name in known:
        by_beginning.setdefault(name[:_COMPARED_CHARS_MAX], name)
    near = get_close_matches(wrong[:_COMPARED_CHARS_MAX], by_beginning, n=1)
    return by_beginning[near[0]] if near else None


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` if there is a `nearest`, else nothing."""
    near = nearest(wrong, known)
    return "" if near is None else f"; did you mean {quoted(near)}?"
