"""Where the databases of a node are: below one folder and nowhere else (reliability S01).

SQLite opens files by their names, so that all of a path is checked just before. Not here: what is
in a database (`sql_session`).
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from edgeless_sim.errors import ResourceError
from edgeless_sim.resources.files import check_path
from edgeless_sim.resources.sqlx_rules import COMPANIONS, DATABASES_MAX, too_many_databases

__all__ = ["DatabaseFolder"]

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class DatabaseFolder:
    """The folder *root*, made if need be. Raises `ResourceError` if it cannot be."""

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            # The root itself may be a link: the operator chose it.
            self._root = root.resolve()
        except OSError as cause:
            raise ResourceError(f"{root}: {cause.strerror}") from cause

    def place(self, path: str) -> Path:
        """The absolute name of the file at *path*, which may be made there; its folders are there.

        Raise `RejectedError` for a bad path, and `ResourceError` if there is a link on the way,
        if anything but a regular file of one name is at its end, or if it would be one too many.
        No descriptor of the file is used: closing it would let go of SQLite's locks.
        """
        parts = check_path(path)
        try:
            folder = os.open(self._root, _FOLDER_FLAGS)
            try:
                for part in parts[:-1]:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=folder)
                    below = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
                    os.close(folder)
                    folder = below
                self._check(path, parts[-1], folder)
            finally:
                os.close(folder)
        except OSError as cause:
            raise ResourceError(f"{path}: {cause.strerror}") from cause
        return self._root.joinpath(*parts)

    def _check(self, path: str, name: str, folder: int) -> None:
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            if self._count() >= DATABASES_MAX:
                raise ResourceError(too_many_databases(path)) from None
            return
        if not stat.S_ISREG(status.st_mode):
            raise ResourceError(f"{path}: is not a regular file")
        if status.st_nlink != 1:
            raise ResourceError(f"{path}: has {status.st_nlink} names, must have one")

    def _count(self) -> int:
        """The files below the root, up to the most there may be."""
        count = 0
        for _, _, names in os.walk(self._root):
            count += sum(not name.lower().endswith(COMPANIONS) for name in names)
            if count >= DATABASES_MAX:
                break
        return count
