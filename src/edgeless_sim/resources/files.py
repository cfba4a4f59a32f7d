"""Files that resources write, below one root directory and nowhere else (reliability S01).

Two stores with the same manners: `VirtualFiles` in memory for simulations, `SandboxedFiles` on
disk. Both take the same paths and keep the same quotas. Not here: what is written.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EINVAL
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn, Protocol

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.names import quoted

__all__ = [
    "REJECTED_SUMMARY",
    "FileQuotas",
    "FileStore",
    "SandboxedFiles",
    "VirtualFiles",
    "check_path",
]

#: Summary of every refusal of a resource's configuration (spec 6.0).
REJECTED_SUMMARY: Final = "Invalid resource configuration"

_PARTS_MAX: Final = 8
_PART: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Results are copied to other systems, where these are no files.
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
#: Of so many appends to a full root, one measures it again: somebody may have tidied up.
_REFUSALS_PER_SURVEY: Final = 256
_READ_BYTES: Final = 1 << 20

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a pipe must not make us wait for its reader before we see that it is one.
_FILE_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileStore(Protocol):
    """A root with files in it. Paths have parts separated by ``/``; see `check_path`."""

    def append(self, path: str, text: str) -> None:
        """Add *text* in UTF-8 to the file at *path*; it and its folders are made if need be.

        All of *text* is added, or nothing. Raise `RejectedError` for a bad path and
        `ResourceError` if the world is in the way: a quota, a folder in place of the file.
        """
        ...

    def read(self, path: str) -> bytes:
        """The content of the file at *path*; raise as `append`, also if there is no file."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is a file at *path*; raise `RejectedError` for a bad path."""
        ...

    def close(self) -> None:
        """Give back what the system lent. Idempotent; not used afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class FileQuotas:
    """How much a root may hold (reliability, section 7)."""

    file_bytes_max: int = 100 << 20
    root_bytes_max: int = 1 << 30
    files_max: int = 10_000

    def check(self, path: str, file_bytes: int, root_bytes: int) -> None:
        """Raise `ResourceError` if the file at *path*, or the root, would become too large."""
        if file_bytes > self.file_bytes_max:
            raise ResourceError(f"{path}: the file may have {self.file_bytes_max} bytes at most")
        if root_bytes > self.root_bytes_max:
            raise ResourceError(f"{path}: the root may have {self.root_bytes_max} bytes at most")

    def check_new(self, path: str, files_count: int) -> None:
        """Raise `ResourceError` if *path* would be one file too many."""
        if files_count >= self.files_max:
            raise ResourceError(f"{path}: the root may have {self.files_max} files at most")


_QUOTAS: Final = FileQuotas()


@lru_cache(maxsize=1024)
def check_path(path: str) -> tuple[str, ...]:
    """The parts of *path*.

    Raise `RejectedError` unless it is relative, has at most 8 parts, and each is 1 to 128 of
    ``A-Z a-z 0-9 . _ -``, does not end in a dot and names no device on any system.
    """
    if path.startswith("/"):
        _reject(path, "is not relative")
    parts = tuple(path[: _PARTS_MAX * 129].split("/"))
    if len(parts) > _PARTS_MAX or len(path) >= _PARTS_MAX * 129:
        _reject(path, f"has more than {_PARTS_MAX} parts or is too long")
    for part in parts:
        if part in {".", ".."}:
            _reject(path, f"has the part {part!r}")
        if not _PART.fullmatch(part):
            _reject(path, "may have only A-Z a-z 0-9 . _ - in its parts, 1 to 128 of them in each")
        if part.endswith("."):
            _reject(path, "has a part that ends in a dot")
        if _DEVICES.fullmatch(part):
            _reject(path, f"has the part {part!r}, a device on some systems")
    return parts


def _reject(path: str, fault: str) -> NoReturn:
    raise RejectedError(REJECTED_SUMMARY, f"path {quoted(path)} {fault}")


class VirtualFiles:
    """A root in memory, for one simulated node."""

    def __init__(self, quotas: FileQuotas = _QUOTAS) -> None:
        self._quotas = quotas
        self._files: dict[str, bytearray] = {}
        self._folders: set[str] = set()
        self._bytes_total = 0

    def append(self, path: str, text: str) -> None:
        """See `FileStore.append`."""
        added = _encoded(text)
        content = self._files.get(path)
        folders = self._check_new(path) if content is None else ()
        size = 0 if content is None else len(content)
        self._quotas.check(path, size + len(added), self._bytes_total + len(added))
        if content is None:
            self._folders.update(folders)
            content = self._files[path] = bytearray()
        content += added
        self._bytes_total += len(added)

    def read(self, path: str) -> bytes:
        """See `FileStore.read`."""
        check_path(path)
        content = self._files.get(path)
        if content is None:
            fault = "is a folder" if path in self._folders else "there is no such file"
            raise ResourceError(f"{path}: {fault}")
        return bytes(content)

    def exists(self, path: str) -> bool:
        """See `FileStore.exists`."""
        check_path(path)
        return path in self._files

    def close(self) -> None:
        """See `FileStore.close`. The contents stay."""

    def contents(self) -> dict[str, bytes]:
        """Every file by its path, sorted."""
        return {path: bytes(self._files[path]) for path in sorted(self._files)}

    def export(self, directory: Path) -> None:
        """Write every file below *directory*, in place of those that are there.

        Raise `ResourceError` if the system refuses.
        """
        for path in sorted(self._files):
            target = directory / path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._files[path])
            except OSError as cause:
                raise ResourceError(f"{target}: {cause.strerror}") from cause

    def _check_new(self, path: str) -> list[str]:
        """The folders that a new file at *path* needs; raise if it cannot be there."""
        parts = check_path(path)
        folders = ["/".join(parts[:count]) for count in range(1, len(parts))]
        for folder in folders:
            if folder in self._files:
                raise ResourceError(f"{path}: {folder} is a file")
        if path in self._folders:
            raise ResourceError(f"{path}: is a folder")
        self._quotas.check_new(path, len(self._files))
        return folders


class SandboxedFiles:
    """A root on disk, made if need be. Whatever lies in it, nothing outside is ever touched.

    Each access walks from the root's descriptor, one part at a time, and follows no link; what it
    opened must be a regular file that has no second name. POSIX only. Raise `ResourceError` if
    *root* cannot be made or read.
    """

    def __init__(self, root: Path, quotas: FileQuotas = _QUOTAS) -> None:
        self._quotas = quotas
        self._refusals = 0
        self._files_count = 0
        self._bytes_total = 0
        self._root = -1
        try:
            root.mkdir(parents=True, exist_ok=True)
            # The root itself may be a link: the operator chose it.
            self._root = os.open(root, _FOLDER_FLAGS & ~os.O_NOFOLLOW)
            self._survey()
        except OSError as cause:
            self.close()
            raise ResourceError(f"{root}: {cause.strerror}") from cause

    def append(self, path: str, text: str) -> None:
        """See `FileStore.append`."""
        added = _encoded(text)
        parts = check_path(path)
        try:
            with _worldly(path), self._opened(parts, os.O_WRONLY | os.O_APPEND) as (file, size):
                self._add(path, file, size, added)
                return
        except _AbsentError:
            # Only now may something be made, so that a refusal leaves nothing behind.
            self._quotas.check_new(path, self._files_count)
        with _worldly(path):
            self._check(path, len(added), len(added))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            with self._opened(parts, flags) as (file, size):
                self._files_count += 1
                self._add(path, file, size, added)

    def read(self, path: str) -> bytes:
        """See `FileStore.read`; not more than a file may have."""
        parts = check_path(path)
        with _worldly(path), self._opened(parts, os.O_RDONLY) as (file, _):
            content = bytearray()
            while len(content) < self._quotas.file_bytes_max:
                piece = os.read(file, _READ_BYTES)
                if not piece:
                    break
                content += piece
            return bytes(content[: self._quotas.file_bytes_max])

    def exists(self, path: str) -> bool:
        """See `FileStore.exists`. False also for what is there but may not be opened."""
        parts = check_path(path)
        try:
            with _worldly(path), self._opened(parts, os.O_RDONLY):
                return True
        except ResourceError:
            return False

    def close(self) -> None:
        """See `FileStore.close`."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    @contextmanager
    def _opened(self, parts: tuple[str, ...], flags: int) -> Iterator[tuple[int, int]]:
        """Open the file at *parts*; yield its descriptor and size. Raise OSError."""
        folder = os.dup(self._root)
        try:
            for part in parts[:-1]:
                if flags & os.O_CREAT:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=folder)
                below = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
                os.close(folder)
                folder = below
            file = os.open(parts[-1], flags | _FILE_FLAGS, 0o644, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(EINVAL, "is not a regular file")
            if status.st_nlink != 1:
                raise OSError(EINVAL, f"has {status.st_nlink} names, must have one")
            yield file, status.st_size
        finally:
            os.close(file)

    def _add(self, path: str, file: int, size: int, added: bytes) -> None:
        self._check(path, size + len(added), len(added))
        _write_all(file, added, size)
        self._bytes_total += len(added)

    def _check(self, path: str, file_bytes: int, added_bytes: int) -> None:
        if self._bytes_total + added_bytes > self._quotas.root_bytes_max:
            if self._refusals % _REFUSALS_PER_SURVEY == 0:
                self._survey()
            self._refusals += 1
        self._quotas.check(path, file_bytes, self._bytes_total + added_bytes)

    def _survey(self) -> None:
        """Count the files of the root and their bytes; of too many files, only the first."""
        count = total = 0
        for _, _, names, folder in os.fwalk(dir_fd=self._root):
            for name in names:
                count += 1
                with suppress(FileNotFoundError):
                    total += os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
            if count > self._quotas.files_max:
                break
        self._files_count, self._bytes_total = count, total


class _AbsentError(ResourceError):
    """There is no such file, or a folder on the way is missing."""


@contextmanager
def _worldly(path: str) -> Iterator[None]:
    """Turn what the system raises about *path* into `ResourceError`."""
    try:
        yield
    except FileNotFoundError:
        raise _AbsentError(f"{path}: there is no such file") from None
    except OSError as cause:
        raise ResourceError(f"{path}: {cause.strerror}") from cause


def _write_all(file: int, added: bytes, size: int) -> None:
    """Append *added* to the *size* bytes of *file*; if the disk is full, take back a part."""
    rest = memoryview(added)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, size)
        raise


def _encoded(text: str) -> bytes:
    # Events are valid text already; a stray half of a surrogate pair must not stop a log.
    return text.encode(errors="backslashreplace")
