"""Which statements a database takes, and what they are answered (spec 6.11, bug 41)."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import repeat
from pathlib import Path

import pytest

from edgeless_sim.errors import ResourceError
from edgeless_sim.resources import sql_session
from edgeless_sim.resources.sql_session import (
    DATABASE_BYTES_MAX,
    STATEMENT_BYTES_MAX,
    VALUE_BYTES_MAX,
    DatabaseBusyError,
    SqlSession,
)

INSERT = 'INSERT INTO WorkflowState (id, metadata) VALUES ($1, \'{"foo": 1.5, "bar": "ε"}\')'
SELECT = "SELECT id, metadata FROM WorkflowState WHERE id=$1"


@pytest.fixture(params=["memory", "file"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlSession]:
    target = ":memory:" if request.param == "memory" else str(tmp_path / "x.db")
    with closing(SqlSession(target)) as made:
        yield made


def test_a_row_is_written_read_changed_and_deleted_as_in_edgeless(session: SqlSession) -> None:
    assert session.execute(INSERT, "w") == "rows_affected: 1, last_insert_rowid: 1."
    assert session.execute(SELECT, "w") == '{"id":"w","metadata":{"foo":1.5,"bar":"ε"}}'
    changed = session.execute("UPDATE WorkflowState SET metadata='[1, 2]' WHERE id=$1;", "w")
    assert changed == "rows_affected: 1, last_insert_rowid: 0."
    assert session.rows() == [("w", "[1, 2]")]
    deleted = session.execute("DELETE FROM WorkflowState WHERE id=$1", "w")
    assert deleted == "rows_affected: 1, last_insert_rowid: 0."
    with pytest.raises(ResourceError, match="there is no such row"):
        session.execute(SELECT, "w")


@pytest.mark.parametrize(
    ("statement", "reply"),
    [
        ("select metadata, id from workflowstate", '{"id":"w","metadata":1}'),
        ("  /* a ; b */ -- c\n SELECT * FROM WorkflowState;", '{"id":"w","metadata":1}'),
        ("SELECT id, metadata, 7 FROM main.WorkflowState", '{"id":"w","metadata":1}'),
        ("WITH a AS (SELECT * FROM WorkflowState) SELECT * FROM a", '{"id":"w","metadata":1}'),
        ("SELECT ?1 AS id, '\"DELETE\"' AS metadata", '{"id":"w","metadata":"DELETE"}'),
        ("SELECT :1 id, json_object('a', 9007199254740993) metadata",
         '{"id":"w","metadata":{"a":9007199254740993}}'),
        ("SELECT upper($1) id, metadata->'$[0]' metadata FROM "
         "(SELECT '[true]' metadata)", '{"id":"W","metadata":true}'),
        ("INSERT INTO WorkflowState VALUES ('SELECT', '2') RETURNING id",
         "rows_affected: 1, last_insert_rowid: 2."),
        ("INSERT OR IGNORE INTO WorkflowState VALUES ('w', '2')",
         "rows_affected: 0, last_insert_rowid: 0."),
        ("INSERT INTO WorkflowState VALUES ('w', '2') ON CONFLICT(id) DO UPDATE SET metadata='3'",
         "rows_affected: 1, last_insert_rowid: 0."),
        ("REPLACE INTO WorkflowState VALUES ('x', '2')", "rows_affected: 1, last_insert_rowid: 2."),
        ("DELETE FROM WorkflowState WHERE id='none'", "rows_affected: 0, last_insert_rowid: 0."),
    ],
)  # fmt: skip
def test_the_kind_of_a_statement_is_what_it_does_not_which_words_it_has(
    session: SqlSession, statement: str, reply: str
) -> None:
    session.execute("INSERT INTO WorkflowState VALUES ($1, '1')", "w")
    assert session.execute(statement, "w") == reply


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("", "statements are SELECT, INSERT, UPDATE and DELETE only"),
        ("-- SELECT", "statements are"),
        ("/* SELECT", "statements are"),
        ("VALUES ('a', 1)", "statements are"),
        ("EXPLAIN DELETE FROM WorkflowState", "statements are"),
        ("ATTACH '/etc/x' AS x", "statements are"),
        ("PRAGMA journal_mode=OFF", "statements are"),
        ("VACUUM INTO '/tmp/x'", "statements are"),
        ("BEGIN", "statements are"),
        ("DROP TABLE WorkflowState", "statements are"),
        ("CREATE TABLE x(y)", "statements are"),
        ("ALTER TABLE WorkflowState ADD x", "statements are"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        (f"{INSERT}; DROP TABLE WorkflowState", "one statement at a time"),
        ("SELECT name id, sql metadata FROM sqlite_master", "'sqlite_master' is not the table"),
        ("SELECT name id, sql metadata FROM sqlite_schema", "is not the table WorkflowState"),
        ("SELECT count(*) id, 1 metadata FROM sqlite_temp_master", "is not the table"),
        ("SELECT x id, x metadata FROM forgotten", "'forgotten' is not the table"),
        ("SELECT x id, x metadata FROM temp.forgotten", "'forgotten' is not the table"),
        ("DELETE FROM forgotten", "'forgotten' is not the table"),
        ("INSERT INTO sqlite_master VALUES (1, 2, 3, 4, 5)", "is not the table|modified"),
        ("SELECT file id, 1 metadata FROM pragma_database_list", "is not the table"),
        ("SELECT value id, 1 metadata FROM json_each('[1]')", "is not the table"),
        ("DELETE FROM WorkflowState WHERE id IN (SELECT name FROM sqlite_master)", "is not the"),
        ("WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x FROM a) "
         "SELECT x id, x metadata FROM a", "statements are"),
        ("SELECT load_extension('x') id, 1 metadata", "the function 'load_extension' is denied"),
        ("SELECT LOAD_EXTENSION('x') id, 1 metadata", "the function 'load_extension' is denied"),
        ("SELECT readfile('/etc/passwd') id, 1 metadata", "no such function"),
        ("SELECT fts3_tokenizer('x') id, 1 metadata", "is denied"),
        ("SELECT random() id, 1 metadata", "the function 'random' is denied"),
        ("SELECT datetime('now') id, 1 metadata", "the function 'datetime' is denied"),
        ("SELECT current_timestamp id, 1 metadata", "the function 'current_timestamp' is denied"),
        ("SELECT instr($1, 'x') id, 1 metadata", "the function 'instr' is denied"),
        ("SELECT $2 id, 1 metadata", "binding parameter :2"),
        ("SELECT ?99 id, 1 metadata", "variable number must be between"),
        ("SELECT id FROM WorkflowState", "no column 'metadata'"),
        ("SELECT 1 id, 1 metadata", "the id of the row is no text"),
        ("SELECT $1 id, '{' metadata", "the metadata of the row is no JSON"),
        ("SELECT $1 id, 'NaN' metadata", "the metadata of the row is no JSON"),
        ("SELECT $1 id, 1e999 metadata", "the metadata of the row is no JSON"),
        ("SELECT $1 id, x'00' metadata", "the metadata of the row is no JSON"),
        ("SELECT $1 id, NULL metadata", "the metadata of the row is no JSON"),
        ("INSERT INTO WorkflowState VALUES ($1, NULL)", "NOT NULL constraint failed"),
        ("INSERT INTO WorkflowState VALUES ('there', '1')", "UNIQUE constraint failed"),
        ("SELECT id, metadata FROM\0WorkflowState", "NUL"),
        ("SELECT '\ud800' id, 1 metadata", "is not UTF-8"),
        ("SELECT " + "(" * 200 + "1" + ")" * 200 + " id, 1 metadata", "overflow|depth"),
        ("SELECT $1 id, '" + "[" * 100_000 + "' metadata", "no JSON"),
    ],
)  # fmt: skip
def test_whatever_else_a_statement_wants_is_refused_and_changes_nothing(
    session: SqlSession, statement: str, reason: str
) -> None:
    session.execute("INSERT INTO WorkflowState VALUES ('there', '1')", "w")
    with pytest.raises(ResourceError, match=reason):
        session.execute(statement, "w")
    assert session.rows() == [("there", "1")]
    assert session.execute("SELECT * FROM WorkflowState", "w") == '{"id":"there","metadata":1}'


@pytest.mark.parametrize("letter", ["x", "ε"])
def test_a_statement_and_a_value_have_a_largest_size(session: SqlSession, letter: str) -> None:
    empty = "INSERT INTO WorkflowState VALUES ('a', '\"\"')"
    room = (STATEMENT_BYTES_MAX - len(empty)) // len(letter.encode())
    large = empty.replace('""', f'"{letter * room}"')
    assert session.execute(large, "w").startswith("rows_affected: 1")
    assert len(session.execute("SELECT * FROM WorkflowState", "w")) > room
    with pytest.raises(ResourceError, match="more than 262144 bytes"):
        session.execute(f"{large}  ", "w")
    with pytest.raises(ResourceError, match="too big"):
        session.execute("UPDATE WorkflowState SET metadata = metadata || metadata", "w")
    with pytest.raises(ResourceError, match="too big"):
        session.execute(f"SELECT $1 id, substr(hex('{'x' * (VALUE_BYTES_MAX // 2)}'), 1) || 'x'"
                        " metadata", "w")  # fmt: skip


def fill(session: SqlSession, count: int, metadata: str) -> None:
    for number in range(count):
        session.execute(f"INSERT INTO WorkflowState VALUES ('{number:03}', '{metadata}')", "w")


def test_a_database_has_a_largest_size_and_takes_statements_beyond_it(tmp_path: Path) -> None:
    with closing(SqlSession(str(tmp_path / "x.db"))) as session:
        with pytest.raises(ResourceError, match="full"):
            fill(session, 100, "x" * 200_000)
        assert (tmp_path / "x.db").stat().st_size <= DATABASE_BYTES_MAX
        assert len(session.rows()) > 50
        session.execute("DELETE FROM WorkflowState", "w")
        fill(session, 1, "x" * 200_000)


def test_a_statement_has_a_largest_number_of_steps_and_undoes_what_it_did(
    session: SqlSession,
) -> None:
    fill(session, 120, "1")
    endless = "FROM WorkflowState a, WorkflowState b, WorkflowState c"
    with pytest.raises(ResourceError, match="more than 1000000 steps"):
        session.execute(f"SELECT hex(count(*)) id, 1 metadata {endless}", "w")
    with pytest.raises(ResourceError, match="more than 1000000 steps"):
        session.execute(
            f"INSERT INTO WorkflowState SELECT a.id || b.id || c.id, '1' {endless}", "w"
        )
    assert len(session.rows()) == 120


def test_a_statement_is_given_up_when_nobody_waits_any_more(session: SqlSession) -> None:
    fill(session, 60, "1")
    looks = iter([False, False, True])
    with pytest.raises(ResourceError, match="takes too long"):
        session.execute(
            "UPDATE WorkflowState SET metadata = '2' WHERE (SELECT count(*) FROM WorkflowState)",
            "w",
            lambda: next(looks),
        )
    assert set(session.rows()) == {(f"{number:03}", "1") for number in range(60)}


def test_sorting_has_no_more_memory_than_all_databases_together(session: SqlSession) -> None:
    fill(session, 90, "1")
    session.execute(f"UPDATE WorkflowState SET metadata = '{'x' * 250_000}' WHERE id = '000'", "w")
    with pytest.raises(ResourceError, match="too much memory"):
        session.execute(
            "SELECT a.id, m.metadata || b.id metadata FROM WorkflowState m, WorkflowState a, "
            "WorkflowState b WHERE m.id = '000' ORDER BY 2",
            "w",
        )
    assert session.execute("SELECT id, 1 metadata FROM WorkflowState LIMIT 1", "w")


def test_one_that_somebody_else_has_locked_is_busy_and_takes_statements_afterwards(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.db"
    with closing(SqlSession(str(path))) as session:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(DatabaseBusyError):
                session.execute(INSERT, "w")
            with pytest.raises(DatabaseBusyError):
                SqlSession(str(path))
        assert session.execute(INSERT, "w") == "rows_affected: 1, last_insert_rowid: 1."


def test_what_another_program_left_there_is_out_of_reach(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE secret(id, metadata)")
        other.execute("CREATE VIEW shown AS SELECT * FROM secret")
        other.execute("CREATE TABLE WorkflowState(id TEXT PRIMARY KEY, metadata TEXT)")
        other.execute(
            "CREATE TRIGGER log AFTER INSERT ON WorkflowState BEGIN "
            "INSERT INTO secret VALUES (new.id, new.metadata); END"
        )
    with closing(SqlSession(str(path))) as session:
        for statement in ("SELECT * FROM secret", "SELECT * FROM shown", INSERT):
            with pytest.raises(ResourceError, match="not the table WorkflowState"):
                session.execute(statement, "w")


def test_what_is_no_database_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("What is this? " * 100)
    with pytest.raises(ResourceError, match="not a database"):
        SqlSession(str(tmp_path / "x.db"))
    with pytest.raises(ResourceError, match="unable to open"):
        SqlSession(str(tmp_path / "none" / "x.db"))


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH ':memory:' AS x",
        "PRAGMA journal_mode=OFF",
        "VACUUM",
        "BEGIN",
        "SAVEPOINT x",
        "CREATE TABLE x(y)",
        "CREATE TEMP TABLE x(y)",
        "DROP TABLE WorkflowState",
        "ALTER TABLE WorkflowState ADD x",
        "ANALYZE",
    ],
)
def test_the_gate_needs_no_look_at_the_first_word(
    session: SqlSession, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_session, "_BEGINNING", re.compile(""))
    with pytest.raises(ResourceError, match=r"statements are|is not the table"):
        session.execute(statement, "w")


def test_the_gate_is_what_refuses(session: SqlSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the same statement goes through."""
    session.execute("INSERT INTO WorkflowState VALUES ('a', '1')", "w")
    statement = "SELECT name id, 1 metadata FROM sqlite_master WHERE type = 'table'"
    with pytest.raises(ResourceError):
        session.execute(statement, "w")
    faults = repeat(None)
    monkeypatch.setattr(sql_session, "_action_fault", lambda *_: next(faults))
    assert session.execute(statement, "w") == '{"id":"WorkflowState","metadata":1}'
