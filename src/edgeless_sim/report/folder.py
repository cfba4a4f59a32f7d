"""A run kept in a folder: ``journal.jsonl``, ``logs.jsonl``, ``summary.json``, ``files/``.

The journal's bytes are what the digest is of. Not here: what the numbers mean (`summary`).
"""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Final

import msgspec

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.names import clipped
from edgeless_sim.report.logs import LogEntry
from edgeless_sim.report.summary import Summary

__all__ = ["RunFolder"]

_JOURNAL: Final = "journal.jsonl"
_LOGS: Final = "logs.jsonl"
_SUMMARY: Final = "summary.json"
_FILES: Final = "files"
#: All that a run leaves; a folder with anything else in it is somebody's.
_OURS: Final = frozenset({_JOURNAL, _LOGS, _SUMMARY, _FILES})


class RunFolder:
    """Use as a context; what was written stays when the run fails, except that it has no summary.

    Entering raises `RejectedError` if the folder holds something else, or an earlier run and not
    *force*; and `ResourceError` if it cannot be written.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self._force = force
        self._stack = ExitStack()
        self._encoder = msgspec.json.Encoder()
        self.journal: BinaryIO
        self._logs: BinaryIO

    def __enter__(self) -> "RunFolder":
        try:
            self._prepare()
            self.journal = self._stack.enter_context((self.path / _JOURNAL).open("wb"))
            self._logs = self._stack.enter_context((self.path / _LOGS).open("wb"))
        except OSError as cause:
            self._stack.close()
            raise self._unwritable(cause) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def log(self, entry: LogEntry) -> None:
        """Keep an entry."""
        self._logs.write(self._encoder.encode(entry) + b"\n")

    def finish(self, summary: Summary, files: Mapping[str, bytes]) -> None:
        """Write the summary, and the files that resources wrote; raise `ResourceError`."""
        try:
            for name, content in files.items():
                path = self.path / _FILES / _relative(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            text = msgspec.json.format(msgspec.json.encode(summary), indent=2)
            (self.path / _SUMMARY).write_bytes(text + b"\n")
        except OSError as cause:
            raise self._unwritable(cause) from None

    def _prepare(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise RejectedError("the output folder is a file", str(self.path))
        self.path.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in self.path.iterdir()}
        foreign = sorted(present - _OURS)
        if foreign:
            raise RejectedError(
                "the output folder holds other things",
                clipped(f"{self.path} has {foreign[0]!r}; name a new or empty folder"),
            )
        if present and not self._force:
            raise RejectedError(
                "the output folder holds an earlier run",
                f"{self.path}; --force replaces it",
            )
        for name in sorted(present):
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _unwritable(self, cause: OSError) -> ResourceError:
        return ResourceError(clipped(f"{self.path}: cannot be written: {cause.strerror}"))


def _relative(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    assert not path.is_absolute(), name
    assert ".." not in path.parts, name
    return path
