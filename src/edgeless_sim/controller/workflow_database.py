"""DatabaseWorkflowStore: the workflows of an ε-CON in a file of SQLite.

A file that is damaged, or not ours, is refused and left as it is: who runs the ε-CON decides.
Each row carries a digest, since SQLite does not notice a bit that has flipped in a value.
"""

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NoReturn

import msgspec

from edgeless_sim.controller.workflow_import import (
    IMPORT_BYTES_MAX,
    imported_workflows,
    looks_imported,
)
from edgeless_sim.controller.workflow_store import StoredWorkflow
from edgeless_sim.errors import ResourceError
from edgeless_sim.model.ids import WorkflowId
from edgeless_sim.model.names import clipped
from edgeless_sim.model.workflow import WorkflowFunction

__all__ = ["IMPORTED_SUFFIX", "STORE_BYTES_MAX", "STORE_VERSION", "DatabaseWorkflowStore"]

#: Largest file; a start that would make it larger is refused.
STORE_BYTES_MAX: Final = 1 << 30
STORE_VERSION: Final = 1
#: Added to the name of a file of EDGELESS's whose workflows were taken over.
IMPORTED_SUFFIX: Final = ".imported"

#: "EDGS": tells this file from other programs' files of SQLite.
_APPLICATION_ID: Final = 0x45444753
_PAGE_BYTES: Final = 4_096
#: How long a predecessor that is about to end has to let go of the file.
_LOCK_WAIT_S: Final = 2.0
_SCHEMA: Final = f"""
PRAGMA page_size = {_PAGE_BYTES};
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {STORE_VERSION};
CREATE TABLE workflows (
    place INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, body BLOB NOT NULL, digest BLOB NOT NULL
);
CREATE TABLE binaries (digest BLOB PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE uses (
    id BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (id, digest)
) WITHOUT ROWID;
CREATE INDEX users ON uses (digest);
"""

_DELETE_UNUSED: Final = (
    "DELETE FROM binaries WHERE digest = ?1 AND NOT EXISTS (SELECT * FROM uses WHERE digest = ?1)"
)


class _Body(msgspec.Struct, frozen=True):
    """What stands in a row: the workflow without byte code, and the digest of each function's."""

    workflow: StoredWorkflow
    binaries: tuple[bytes | None, ...]


class DatabaseWorkflowStore:
    """A `WorkflowStore` in one file, which no other process can use meanwhile."""

    def __init__(self, path: Path, *, bytes_max: int = STORE_BYTES_MAX) -> None:
        """Open the file, or make it. Raise `ResourceError` if it is not sound."""
        self._path = path
        self._bytes_max = bytes_max
        try:
            if not os.path.lexists(path):
                _create(path)
            self._check_file()
            with path.open("rb") as file:
                if looks_imported(file.read(64)):
                    self._import()
        except OSError as error:
            self._fail(error.strerror or str(error))
        with self._explained():
            # As a URI, so that SQLite never makes the file itself.
            self._database = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=_LOCK_WAIT_S,
                isolation_level=None,
            )
        try:
            with self._explained():
                self._prepare()
        except ResourceError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file; idempotent."""
        self._database.close()

    def load(self) -> tuple[StoredWorkflow, ...]:
        """See `WorkflowStore.load`."""
        with self._explained():
            binaries: dict[bytes, bytes] = {}
            for digest, content in self._all("SELECT digest, content FROM binaries"):
                if not isinstance(content, bytes) or sha256(content).digest() != digest:
                    self._damaged("byte code differs from its digest")
                binaries[digest] = content
            rows = self._all("SELECT id, body, digest FROM workflows ORDER BY place")
            return tuple(self._restored(row, binaries) for row in rows)

    def put(self, workflow: StoredWorkflow) -> None:
        """See `WorkflowStore.put`."""
        contents: dict[bytes, bytes] = {}
        digests: list[bytes | None] = []
        for function in workflow.request.functions:
            content = function.class_specification.binary
            digests.append(None if content is None else sha256(content).digest())
            if content is not None and digests[-1] is not None:
                contents[digests[-1]] = content
        key = workflow.workflow_id.bytes
        bare = _with_binaries(workflow, [None] * len(digests))
        body = msgspec.msgpack.encode(_Body(bare, tuple(digests)))
        with self._transaction() as run:
            run("INSERT INTO workflows (id, body, digest) VALUES (?, ?, ?)", *_row(key, body))
            for digest, content in contents.items():
                run("INSERT OR IGNORE INTO binaries VALUES (?, ?)", digest, content)
                run("INSERT INTO uses VALUES (?, ?)", key, digest)

    def remove(self, workflow_id: WorkflowId) -> None:
        """See `WorkflowStore.remove`."""
        key = workflow_id.bytes
        with self._transaction() as run:
            used = run("SELECT digest FROM uses WHERE id = ?", key).fetchall()
            run("DELETE FROM uses WHERE id = ?", key)
            for (digest,) in used:
                run(_DELETE_UNUSED, digest)
            run("DELETE FROM workflows WHERE id = ?", key)

    def _import(self) -> None:
        """Put a store with the same workflows in the place of EDGELESS's file, which is kept."""
        path = self._path
        if path.stat().st_size > IMPORT_BYTES_MAX:
            self._fail(f"a file of EDGELESS's with more than {IMPORT_BYTES_MAX} bytes")
        try:
            workflows = imported_workflows(path.read_bytes())
        except ResourceError as error:
            self._damaged(str(error))
        kept = path.with_name(path.name + IMPORTED_SUFFIX)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as own:
            draft = Path(own) / path.name
            store = DatabaseWorkflowStore(draft, bytes_max=self._bytes_max)
            try:
                for workflow in workflows:
                    store.put(workflow)
            finally:
                store.close()
            if not (kept.exists() and kept.samefile(path)):
                # Else an import was interrupted here.
                os.link(path, kept)
            draft.replace(path)
        _flush_folder(path.parent)

    def _check_file(self) -> None:
        if not self._path.is_file():
            self._fail("it is not a regular file")
        size = self._path.stat().st_size
        if size == 0:
            self._damaged("it is empty")
        if size > self._bytes_max:
            self._fail(f"it has {size} bytes, at most {self._bytes_max}")

    def _prepare(self) -> None:
        # Held until it is closed: two ε-CONs would each miss what the other promises.
        self._all("PRAGMA locking_mode = EXCLUSIVE")
        ((application,),) = self._all("PRAGMA application_id")
        if application != _APPLICATION_ID:
            self._damaged("it is a database of another program")
        ((version,),) = self._all("PRAGMA user_version")
        if version != STORE_VERSION:
            self._fail(f"it is of version {version}, and this program reads {STORE_VERSION}")
        findings = self._all("PRAGMA integrity_check(1)")
        if findings != [("ok",)]:
            self._damaged(str(findings[0][0]))
        self._all("PRAGMA journal_mode = WAL")
        self._all("PRAGMA synchronous = FULL")
        # A damaged log would end without a word where the damage is: keep it short.
        self._all("PRAGMA wal_autocheckpoint = 1")
        self._all(f"PRAGMA max_page_count = {self._bytes_max // _PAGE_BYTES}")
        # A lock that only reads keeps no other from reading.
        self._all("BEGIN IMMEDIATE")
        self._all("COMMIT")

    def _restored(
        self, row: tuple[object, object, object], binaries: dict[bytes, bytes]
    ) -> StoredWorkflow:
        key, body, digest = row
        # A flipped bit can make another type of a value.
        if not isinstance(key, bytes) or not isinstance(body, bytes):
            self._damaged("a workflow is not complete")
        if _row(key, body)[2] != digest:
            self._damaged("a workflow differs from its digest")
        try:
            found = msgspec.msgpack.decode(body, type=_Body)
            contents = [None if each is None else binaries[each] for each in found.binaries]
            return _with_binaries(found.workflow, contents)
        except (msgspec.MsgspecError, KeyError, ValueError):
            self._damaged("a workflow is not complete")

    def _all(self, statement: str) -> list[Any]:
        return self._database.execute(statement).fetchall()

    @contextmanager
    def _transaction(self) -> Generator[Any]:
        def run(statement: str, *values: object) -> sqlite3.Cursor:
            return self._database.execute(statement, values)

        with self._explained():
            run("BEGIN IMMEDIATE")
            try:
                yield run
                run("COMMIT")
            finally:
                if self._database.in_transaction:
                    run("ROLLBACK")

    @contextmanager
    def _explained(self) -> Generator[None]:
        """SQLite's errors in our words."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                self._fail("another process uses it; an ε-CON needs a store of its own")
            if code == sqlite3.SQLITE_FULL:
                self._fail(f"the disk is full, or it has {self._bytes_max} bytes already")
            if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                self._damaged(str(error))
            self._fail(str(error))
        except UnicodeDecodeError:
            # The text of a finding may quote what is damaged.
            self._damaged("a text in it is not UTF-8")

    def _damaged(self, reason: str) -> NoReturn:
        remedy = "put a copy in its place, or move it away to begin without workflows"
        self._fail(f"{reason}; it was left as it is: {remedy}")

    def _fail(self, reason: str) -> NoReturn:
        raise ResourceError(clipped(f"store of workflows {self._path}: {reason}")) from None


def _create(path: Path) -> None:
    """Make an empty store, whole or not at all; one that was made meanwhile stays."""
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as own:
        draft = Path(own) / path.name
        database = sqlite3.connect(draft)
        try:
            database.executescript(_SCHEMA)
        finally:
            database.close()
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _row(key: bytes, body: bytes) -> tuple[bytes, bytes, bytes]:
    return key, body, sha256(key + body).digest()


def _with_binaries(workflow: StoredWorkflow, contents: list[bytes | None]) -> StoredWorkflow:
    functions = tuple(
        _with_binary(function, content)
        for function, content in zip(workflow.request.functions, contents, strict=True)
    )
    replace = msgspec.structs.replace
    return replace(workflow, request=replace(workflow.request, functions=functions))


def _with_binary(function: WorkflowFunction, content: bytes | None) -> WorkflowFunction:
    replace = msgspec.structs.replace
    specification = replace(function.class_specification, binary=content)
    return replace(function, class_specification=specification)
