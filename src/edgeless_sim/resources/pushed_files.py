"""The files of one folder, as file-pusher takes them: regular ones, sorted, listed again and again.

Only the names are kept, for a moment. Links, pipes, devices and folders are passed over. Everything
is bounded, because it happens on the loop. Not here: when which file is sent (`file_pusher`).
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.names import quoted, shown_path

__all__ = ["ENTRIES_MAX", "PushedFiles", "file_names", "shown_name"]

#: Entries of a folder, files or not; to list so many takes some milliseconds.
ENTRIES_MAX: Final = 10_000
#: How old a listing may be.
_LISTED_NS: Final = 1_000_000_000
# O_NONBLOCK: a pipe that took the place of a file must not make us wait for its writer.
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def file_names(folder: Path) -> list[bytes]:
    """The names of the regular files of *folder*, sorted by their bytes.

    Raise `ResourceError` if it cannot be listed or has more than `ENTRIES_MAX` entries.
    """
    names: list[bytes] = []
    shown = shown_path(str(folder))
    try:
        with os.scandir(os.fsencode(folder)) as entries:
            for count, entry in enumerate(entries, 1):
                if count > ENTRIES_MAX:
                    raise ResourceError(f"{shown}: more than {ENTRIES_MAX} entries")
                if entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
    except OSError as cause:
        raise ResourceError(f"{shown}: {cause.strerror}") from None
    return sorted(names)


class PushedFiles:
    """The files of *folder*; *now_ns* says how old a listing is."""

    def __init__(self, folder: Path, now_ns: Callable[[], int]) -> None:
        self._folder = folder
        self._now_ns = now_ns
        self._listed: list[bytes] | str = []
        self._stale_ns = now_ns()

    def names(self) -> list[bytes]:
        """As `file_names`, a second old at most; a failure is as old."""
        if self._now_ns() >= self._stale_ns:
            try:
                self._listed = file_names(self._folder)
            except ResourceError as cause:
                self._listed = str(cause)
            self._stale_ns = self._now_ns() + _LISTED_NS
        if isinstance(self._listed, str):
            raise ResourceError(self._listed)
        return self._listed

    def read(self, name: bytes, bytes_max: int) -> bytes | None:
        """The content of a file; None if there is none by now.

        Raise `ResourceError` if it cannot be read or has more than *bytes_max* bytes.
        """
        shown = shown_name(name)
        try:
            descriptor = os.open(os.path.join(os.fsencode(self._folder), name), _FLAGS)  # noqa: PTH118 - names are bytes
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise ResourceError(f"{shown} is no regular file any more")
                # Looked at first, so that nothing large is read in vain; and it may grow.
                content = b"" if status.st_size > bytes_max else file.read(bytes_max + 1)
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise ResourceError(f"{shown}: {cause.strerror}") from None
        if max(status.st_size, len(content)) > bytes_max:
            raise ResourceError(f"{shown} has more than {bytes_max} bytes")
        return content


def shown_name(name: bytes) -> str:
    """*name* for a message."""
    return quoted(name.decode(errors="replace"))
