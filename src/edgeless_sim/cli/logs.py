"""What daemons say on standard error: lines for people, or JSON for machines.

The level is that of ``RUST_LOG`` or ``EDGELESS_LOG``: ``error`` where neither is set, as with
EDGELESS's programs.
"""

import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

from edgeless_sim.kernel.journal import JournalReader
from edgeless_sim.report.console import ConsoleReader
from edgeless_sim.report.logs import LogEntry, log_line, printable

__all__ = ["console_reader", "json_line", "log_level", "set_up_logs"]

_LEVELS: Final = {
    "off": logging.CRITICAL + 10,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}
#: Of what functions say, the most urgent one first.
_SAID: Final = ("off", "error", "warn", "info", "debug", "trace")
_COLOURS: Final = {"ERROR": "31", "WARN": "33", "INFO": "32", "DEBUG": "34"}
_NAMES: Final = {"WARNING": "WARN", "CRITICAL": "ERROR"}
_PART: Final = re.compile(r"(?:[\w:]+=)?(\w+)")


def log_level(text: str) -> int:
    """The level in the words of ``RUST_LOG``, such as ``info`` or ``warn,edgeless_node=debug``.

    A level for one module counts for all: the most talkative one wins. Words that are no level
    are ignored, as EDGELESS's programs do.
    """
    found = [
        _LEVELS[match[1].lower()]
        for part in text.split(",")
        if (match := _PART.fullmatch(part.strip())) and match[1].lower() in _LEVELS
    ]
    return min(found, default=logging.ERROR)


def set_up_logs(*, as_json: bool) -> None:
    """Write to standard error from now on, warnings of Python and its libraries included."""
    level = log_level(os.environ.get("EDGELESS_LOG") or os.environ.get("RUST_LOG") or "")
    handler = logging.StreamHandler(sys.stderr)
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    handler.setFormatter(_Json() if as_json else _Lines(coloured=coloured))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    logging.getLogger("edgeless_sim").setLevel(level)
    logging.getLogger("edgeless_transports").setLevel(level)


def console_reader(told: logging.Logger, said_level: str = "trace") -> JournalReader:
    """A reader of a component's journal that writes to *told* what happens there.

    What functions say has the level at which they said it, and is left out below *said_level*.
    """
    last = _SAID.index(said_level)

    def say(entry: LogEntry) -> None:
        if _SAID.index(entry.level) <= last:
            told.log(_LEVELS[entry.level], log_line(entry))

    return ConsoleReader(told.info, say).read


class _Lines(logging.Formatter):
    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """``[2026-01-31T12:00:00Z INFO  edgeless_sim.node] text``; always one line."""
        level = _NAMES.get(record.levelname, record.levelname)
        shown = f"{level:<5}"
        if self._coloured:
            shown = f"\x1b[{_COLOURS.get(level, '0')}m{shown}\x1b[0m"
        return f"[{_time(record.created)} {shown} {record.name}] {printable(record.getMessage())}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One object per line: time, level, target, text."""
        level = _NAMES.get(record.levelname, record.levelname).lower()
        return json_line(level, record.name, record.getMessage(), record.created)


def json_line(level: str, target: str, text: str, when_s: float | None = None) -> str:
    """One object: time, level, target, text; *when_s* is Unix time, by default now."""
    if when_s is None:
        when_s = logging.LogRecord(target, 0, "", 0, text, None, None).created
    entry = {"time": _time(when_s), "level": level, "target": target, "text": text}
    return msgspec.json.encode(entry).decode()


def _time(when_s: float) -> str:
    return datetime.fromtimestamp(when_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
