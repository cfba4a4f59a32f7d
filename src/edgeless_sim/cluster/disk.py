"""The disk of a node in this process: it outlives the node's crash. Virtual, or a folder."""

from pathlib import Path
from typing import Final, Protocol

from edgeless_sim.node.state_store import (
    STATE_FOLDER,
    FileStateStore,
    MemoryStateStore,
    StateStore,
)
from edgeless_sim.resources.files import FileStore, SandboxedFiles, VirtualFiles

__all__ = [
    "DATABASES_FOLDER",
    "FILES_FOLDER",
    "FolderDisk",
    "NodeDisk",
    "VirtualDisk",
    "files_below",
]

#: Of what resources write, in the folder of a node.
FILES_FOLDER: Final = "file-log"
#: The same of databases.
DATABASES_FOLDER: Final = "databases"


class NodeDisk(Protocol):
    """Where a node keeps the states of functions, and what its resources write."""

    @property
    def states(self) -> StateStore:
        """The states."""
        ...

    @property
    def files(self) -> FileStore:
        """The root of what resources write."""
        ...

    @property
    def databases(self) -> Path | None:
        """Where databases are, if they can be anywhere: simulated ones are not on a disk."""
        ...

    def contents(self) -> dict[str, bytes]:
        """What resources wrote, by path."""
        ...

    def close(self) -> None:
        """Give back what the system lent. Idempotent."""
        ...


class VirtualDisk:
    """See `NodeDisk`: in memory."""

    databases = None

    def __init__(self) -> None:
        self.states = MemoryStateStore()
        # Most nodes of a large simulation write none.
        self._files: VirtualFiles | None = None

    @property
    def files(self) -> VirtualFiles:
        """See `NodeDisk.files`."""
        if self._files is None:
            self._files = VirtualFiles()
        return self._files

    def contents(self) -> dict[str, bytes]:
        """See `NodeDisk.contents`."""
        return {} if self._files is None else self._files.contents()

    def close(self) -> None:
        """See `NodeDisk.close`: nothing was lent."""


class FolderDisk:
    """See `NodeDisk`. *folder* is made if need be; raise `ResourceError` if it cannot be."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / FILES_FOLDER
        self.databases = folder / DATABASES_FOLDER
        self.states = FileStateStore(folder / STATE_FOLDER)
        self.files = SandboxedFiles(self._root)

    def contents(self) -> dict[str, bytes]:
        """See `NodeDisk.contents`."""
        return files_below(self._root)

    def close(self) -> None:
        """See `NodeDisk.close`."""
        self.files.close()


def files_below(root: Path) -> dict[str, bytes]:
    """All files below *root*, by path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
