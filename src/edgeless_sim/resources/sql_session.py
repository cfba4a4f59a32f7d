"""One connection to an SQLite database that takes statements from workflows (spec 6.11).

SQLite's authorizer is the gate: it is asked for whatever a statement would do, after SQLite has
parsed it, so that no spelling gets round it. Only the table `WorkflowState` may be touched, by
functions that need nothing but their arguments; everything else is bounded. The same for real
files and in simulation. Not here: threads, deadlines, and which file.
"""

import re
import sqlite3
import weakref
from collections.abc import Callable
from math import isfinite
from typing import Any, Final

import msgspec

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.names import quoted
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX

__all__ = [
    "DATABASE_BYTES_MAX",
    "STATEMENT_BYTES_MAX",
    "STEPS_MAX",
    "VALUE_BYTES_MAX",
    "DatabaseBusyError",
    "SqlSession",
]

#: Of one database, the newest file included.
DATABASE_BYTES_MAX: Final = 16 << 20
STATEMENT_BYTES_MAX: Final = 256 << 10
#: Of a text in a row, or on its way there.
VALUE_BYTES_MAX: Final = 256 << 10
#: Of SQLite's virtual machine, for one statement; a row costs some ten.
STEPS_MAX: Final = 1_000_000
#: How many of them between two looks at the limits.
_STEPS: Final = 100
#: Of all databases of the process together: sorting has no other limit.
_HEAP_BYTES_MAX: Final = 512 << 20
_TABLE: Final = "WorkflowState"
_CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS {_TABLE}(id VARCHAR(255) PRIMARY KEY, metadata JSONB NOT NULL)"
)
# Neither time nor dice, which would differ from run to run, nor what takes more than a glance
# at its arguments: one call is one step, however long it takes.
# fmt: off
_FUNCTIONS: Final = frozenset(
    [
        "->", "->>", "abs", "avg", "coalesce", "count", "group_concat", "hex", "ifnull", "iif",
        "json", "json_array", "json_array_length", "json_extract", "json_group_array",
        "json_group_object", "json_insert", "json_object", "json_patch", "json_quote",
        "json_remove", "json_replace", "json_set", "json_type", "json_valid", "length", "like",
        "lower", "max", "min", "nullif", "quote", "round", "sign", "substr", "substring", "sum",
        "total", "typeof", "unicode", "upper",
    ]
)
# fmt: on
_WRITES: Final = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_KINDS: Final = "SELECT, INSERT, UPDATE and DELETE"
#: What a statement may begin with, after comments; EXPLAIN would say that it wrote.
_BEGINNING: Final = re.compile(
    r"(?:\s|--[^\n]*+(?:\n|$)|/\*.*?\*/)*+(?:select|insert|replace|update|delete|with)\b",
    re.DOTALL | re.IGNORECASE | re.ASCII,
)
_LIMITS: Final = {
    sqlite3.SQLITE_LIMIT_LENGTH: VALUE_BYTES_MAX,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: STATEMENT_BYTES_MAX,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 16,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 64,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 4,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 16,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 50_000,
}
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
#: The lower half of an extended code is the code.
_CODE_MASK: Final = 0xFF


class DatabaseBusyError(ResourceError):
    """Somebody else has locked the database; nothing was done, and trying again may help."""


class _Gate:
    """What the statement at hand may do and has done."""

    def __init__(self) -> None:
        self.open_wide()

    def open_wide(self) -> None:
        """Let everything pass: a statement of our own comes next."""
        self._guards = False
        self.fault = ""
        self.actions: set[int] = set()
        self._steps_left = 0
        self._is_late: Callable[[], bool] = bool

    def guard(self, is_late: Callable[[], bool]) -> None:
        """A statement of somebody else comes next."""
        self.open_wide()
        self._guards = True
        self._steps_left = STEPS_MAX
        self._is_late = is_late

    def authorize(
        self, action: int, first: str | None, second: str | None, schema: str | None, _: str | None
    ) -> int:
        """SQLite's question before it compiles an action."""
        if not self._guards:
            return sqlite3.SQLITE_OK
        fault = _action_fault(action, first or "", second or "", schema)
        if fault is None:
            self.actions.add(action)
            return sqlite3.SQLITE_OK
        self.fault = self.fault or fault
        return sqlite3.SQLITE_DENY

    def progress(self) -> bool:
        """SQLite's question while it works: whether to stop."""
        if not self._guards:
            return False
        self._steps_left -= _STEPS
        if self._steps_left < 0:
            self.fault = f"the statement takes more than {STEPS_MAX} steps"
        elif self._is_late():
            self.fault = "the statement takes too long"
        return bool(self.fault)


def _action_fault(action: int, first: str, second: str, schema: str | None) -> str | None:
    """Why a statement may not do *action*; None if it may."""
    if action == sqlite3.SQLITE_SELECT:
        return None
    if action == sqlite3.SQLITE_FUNCTION:
        return None if second.lower() in _FUNCTIONS else f"the function {quoted(second)} is denied"
    if action != sqlite3.SQLITE_READ and action not in _WRITES:
        return f"statements are {_KINDS} only"
    if first.casefold() != _TABLE.casefold() or schema not in (None, "main"):
        return f"{quoted(first)} is not the table {_TABLE}, the only one there is"
    return None


class SqlSession:
    """A connection to the database at *target*, a file or ``:memory:``, with its table.

    Raises `DatabaseBusyError` if it is locked, and `ResourceError` if it cannot be opened. For one
    thread at a time.
    """

    def __init__(self, target: str) -> None:
        self._gate = _Gate()
        try:
            # No cache of statements: one that is found there is not shown to the authorizer.
            self._connection = sqlite3.connect(
                target,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=0,
            )
        except sqlite3.Error as cause:
            raise ResourceError(str(cause)) from cause
        # Simulated databases end with their world, which nobody closes.
        self._closing = weakref.finalize(self, self._connection.close)
        try:
            self._prepare()
        except (sqlite3.Error, MemoryError) as cause:
            self.close()
            raise self._described(cause) from cause

    def _prepare(self) -> None:
        connection = self._connection
        for category, limit in _LIMITS.items():
            connection.setlimit(category, limit)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -512")
        connection.execute(f"PRAGMA hard_heap_limit = {_HEAP_BYTES_MAX}")
        [page_bytes] = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count = {DATABASE_BYTES_MAX // page_bytes}")
        connection.execute(_CREATE)
        connection.execute("CREATE TEMP TABLE forgotten(x)")
        connection.set_authorizer(self._gate.authorize)
        connection.set_progress_handler(self._gate.progress, _STEPS)

    def execute(self, statement: str, workflow_id: str, is_late: Callable[[], bool] = bool) -> str:
        """Run *statement* with *workflow_id* for ``$1``; the reply to it.

        All of it is done, or nothing. It is given up when *is_late* says so, which is asked often.
        Raise `ResourceError`, and `DatabaseBusyError` if the database is locked.
        """
        _check(statement)
        cursor = None
        try:
            self._forget_rowid()
            self._gate.guard(is_late)
            cursor = self._connection.execute(statement, {"1": workflow_id})
            if not self._gate.actions & _WRITES:
                return _row_text(cursor)
            for _ in cursor:  # what RETURNING returns; only now is the statement at its end
                pass
            return self._written_text(cursor)
        except (sqlite3.Error, sqlite3.Warning, MemoryError, OverflowError) as cause:
            raise self._described(cause) from cause
        finally:
            if cursor is not None:
                cursor.close()
            self._gate.open_wide()

    def rows(self) -> list[tuple[str, str]]:
        """Id and metadata of each row, as texts, by id."""
        self._gate.open_wide()
        select = f"SELECT id, metadata FROM {_TABLE} ORDER BY id"  # noqa: S608 - our own name
        return [(str(row), str(metadata)) for row, metadata in self._connection.execute(select)]

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._closing()

    def _forget_rowid(self) -> None:
        """Let an insert be the first of its connection, as it is in EDGELESS."""
        self._gate.open_wide()
        self._connection.execute("REPLACE INTO temp.forgotten(rowid, x) VALUES (0, 0)")

    def _written_text(self, cursor: sqlite3.Cursor) -> str:
        rowid = cursor.lastrowid if sqlite3.SQLITE_INSERT in self._gate.actions else 0
        return f"rows_affected: {max(cursor.rowcount, 0)}, last_insert_rowid: {rowid or 0}."

    def _described(self, cause: BaseException) -> ResourceError:
        code = getattr(cause, "sqlite_errorcode", 0) & _CODE_MASK
        if code in _BUSY:
            return DatabaseBusyError("the database is locked")
        if isinstance(cause, MemoryError):
            return ResourceError("the statement needs too much memory")
        return ResourceError(self._gate.fault or str(cause))


def _check(statement: str) -> None:
    """Raise `ResourceError` for what SQLite need not see."""
    if not statement.isascii():
        try:
            size = len(statement.encode())
        except UnicodeEncodeError:
            raise ResourceError("the statement is not UTF-8") from None
    else:
        size = len(statement)
    if size > STATEMENT_BYTES_MAX:
        raise ResourceError(f"the statement has more than {STATEMENT_BYTES_MAX} bytes")
    if "\0" in statement:
        raise ResourceError("the statement has a NUL in it")
    if not _BEGINNING.match(statement):
        raise ResourceError(f"statements are {_KINDS} only")


def _row_text(cursor: sqlite3.Cursor) -> str:
    """The first row of *cursor* as JSON."""
    columns: list[str] = [column[0] for column in cursor.description]
    lacking = [name for name in ("id", "metadata") if name not in columns]
    if lacking:
        raise ResourceError(f"the statement has no column {quoted(lacking[0])}")
    row: tuple[Any, ...] | None = cursor.fetchone()
    if row is None:
        raise ResourceError("there is no such row")
    identity, metadata = row[columns.index("id")], row[columns.index("metadata")]
    if not isinstance(identity, str):
        raise ResourceError("the id of the row is no text")
    head = msgspec.json.encode(identity).decode()
    text = f'{{"id":{head},"metadata":{_json_text(metadata)}}}'
    if len(text.encode()) > PAYLOAD_BYTES_MAX:
        raise ResourceError(f"the row has more than {PAYLOAD_BYTES_MAX} bytes")
    return text


def _json_text(value: object) -> str:
    """*value* as JSON without blanks: the column turns numbers in texts into numbers."""
    if isinstance(value, (int, str)) or (isinstance(value, float) and isfinite(value)):
        try:
            text = value if isinstance(value, str) else msgspec.json.encode(value)
            msgspec.json.decode(text)
            return msgspec.json.format(text if isinstance(text, str) else text.decode(), indent=-1)
        except (msgspec.DecodeError, RecursionError):
            pass
    raise ResourceError("the metadata of the row is no JSON")
