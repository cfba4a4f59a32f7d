"""sqlx on real files: where they may be, locks, threads (spec 6.11, bug 41).

Reliability B25, B28, F25, S01.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, EventType
from edgeless_sim.resources import database_folder
from edgeless_sim.resources.sqlx_rules import WAITING_MAX

WORKFLOW = "00000000-0000-0000-0000-000000000009"
WRITE = "REPLACE INTO WorkflowState VALUES ($1, '{}')"
READ = "SELECT * FROM WorkflowState WHERE id = $1"


def write(number: int) -> str:
    return WRITE.format(number)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "databases"


@pytest.fixture
async def provider(stage: Any, root: Path) -> Any:
    return await stage.open("sqlx", database_folder=root, call_timeout_s=0.5)


def below(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def rows_of(path: Path) -> list[tuple[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.execute("SELECT * FROM WorkflowState ORDER BY id"))


async def test_events_are_statements_and_the_file_is_an_ordinary_database(
    stage: Any, provider: Any, root: Path
) -> None:
    await stage.start(provider, {"url": "sqlite://state/file.db"})
    assert rows_of(root / "state/file.db") == []
    assert await stage.ask(provider, write(1), EventType.CAST) == NO_REPLY
    assert rows_of(root / "state/file.db") == [(WORKFLOW, 1)]
    expected = f'{{"id":"{WORKFLOW}","metadata":1}}'
    assert await stage.ask(provider, READ) == CallReturn.reply(expected)
    expected = "rows_affected: 1, last_insert_rowid: 0."
    delete = "DELETE FROM WorkflowState WHERE id = $1"
    assert await stage.ask(provider, delete) == CallReturn.reply(expected)
    assert stage.warnings == []


async def test_what_fails_is_err_with_a_warning_and_the_next_one_is_taken(
    stage: Any, provider: Any
) -> None:
    await stage.start(provider, {"url": "sqlite://x.db"})
    for kind in (EventType.CAST, EventType.CALL):
        assert await stage.ask(provider, "DROP TABLE WorkflowState", kind) == ERR
    assert stage.warnings == ["sqlx: statements are SELECT, INSERT, UPDATE and DELETE only"] * 2
    assert await stage.ask(provider, READ) == ERR
    assert stage.warnings[2:] == ["sqlx: there is no such row"]
    assert await stage.ask(provider, write(1), EventType.CAST) == NO_REPLY


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "/etc/x.db", "../x.db", "a/../../x.db", "a//b", "x\0.db", "x" * 4_000,
        "CON", "aux.db", "x.", "x ", ":memory:", "file:x.db", "%2e%2e/x.db", "x.db-journal",
        "X.DB-WAL", "x.db-shm", "x.db?mode=memory", "x.db#a", "a/b/c/d/e/f/g/h/i",
    ],
)  # fmt: skip
async def test_b25_s01_a_path_that_could_lead_elsewhere_is_refused(
    stage: Any, provider: Any, tmp_path: Path, path: str
) -> None:
    with pytest.raises(RejectedError, match="Invalid resource configuration"):
        await stage.start(provider, {"url": f"sqlite://{path}"})
    assert below(tmp_path) == ["databases"]


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:geheim@db.lab/x",
        "sqlite://user:geheim@db.lab/x.db",
        "sqlite:geheim.db",
        "SQLITE://geheim@x",
        "unix:///run/geheim.sock",
        "sqlite://x.db?key=geheim",
    ],
)
async def test_b28_another_scheme_or_a_password_is_refused_and_not_shown(
    stage: Any, provider: Any, url: str
) -> None:
    with pytest.raises(RejectedError) as refusal:
        await stage.start(provider, {"url": url})
    assert "geheim" not in str(refusal.value)
    assert stage.warnings == []


async def test_without_a_url_the_refusal_is_edgelesss(stage: Any, provider: Any) -> None:
    with pytest.raises(RejectedError) as refusal:
        await stage.start(provider, {})
    assert refusal.value.detail == "One of the fields 'url' is missing"


def _link(place: Path) -> None:
    place.symlink_to(place.parent.parent / "outside.db")


def _second_name(place: Path) -> None:
    place.hardlink_to(place.parent.parent / "outside.db")


def _pipe(place: Path) -> None:
    os.mkfifo(place)


def _text(place: Path) -> None:
    place.write_text("What is this? " * 100)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_link, "is not a regular file"),
        (_second_name, "has 2 names"),
        (_pipe, "is not a regular file"),
        (Path.mkdir, "is not a regular file"),
        (_text, "not a database"),
    ],
)
async def test_s01_only_a_regular_file_of_one_name_is_opened(
    stage: Any, provider: Any, root: Path, make: Callable[[Path], None], reason: str
) -> None:
    outside = root.parent / "outside.db"
    with closing(sqlite3.connect(outside)) as connection:
        connection.execute("CREATE TABLE other(x)")
    before = outside.read_bytes()
    make(root / "x.db")
    with pytest.raises(RejectedError, match=reason):
        await stage.start(provider, {"url": "sqlite://x.db"})
    assert outside.read_bytes() == before


async def test_s01_a_folder_that_is_a_link_is_not_followed(
    stage: Any, provider: Any, root: Path
) -> None:
    (root / "a").symlink_to(root.parent)
    with pytest.raises(RejectedError):
        await stage.start(provider, {"url": "sqlite://a/x.db"})
    assert not (root.parent / "x.db").exists()


async def test_a_file_that_was_removed_is_made_anew_and_a_link_in_its_place_is_refused(
    stage: Any, provider: Any, root: Path
) -> None:
    await stage.start(provider, {"url": "sqlite://x.db"})
    assert await stage.ask(provider, write(1), EventType.CAST) == NO_REPLY
    (root / "x.db").unlink()
    assert await stage.ask(provider, write(2), EventType.CAST) == NO_REPLY
    assert rows_of(root / "x.db") == [(WORKFLOW, 2)]
    (root / "x.db").rename(root.parent / "outside.db")
    (root / "x.db").symlink_to(root.parent / "outside.db")
    assert await stage.ask(provider, write(3), EventType.CAST) == ERR
    assert rows_of(root.parent / "outside.db") == [(WORKFLOW, 2)]


async def test_f25_one_that_is_locked_fails_after_the_deadline_and_the_loop_goes_on(
    stage: Any, provider: Any, root: Path
) -> None:
    await stage.start(provider, {"url": "sqlite://x.db"})
    with closing(sqlite3.connect(root / "x.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun_ns = stage.clock.now_ns()
        answers = stage.send(provider, write(1))
        turns = 0
        while not answers:
            await asyncio.sleep(0.001)
            turns += 1
        assert answers == [ERR]
        assert turns > 20
        assert stage.clock.now_ns() - begun_ns >= 500_000_000
        assert stage.warnings == ["sqlx: the database is locked"]
        with pytest.raises(RejectedError, match="locked"):
            await stage.start(provider, {"url": "sqlite://x.db"}, 2)
    assert (await stage.ask(provider, write(2))).payload.startswith("rows_affected: 1")


async def test_a_short_lock_delays_and_fails_nothing(stage: Any, provider: Any, root: Path) -> None:
    await stage.start(provider, {"url": "sqlite://x.db"})
    with closing(sqlite3.connect(root / "x.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = stage.send(provider, write(1), EventType.CAST)
        await asyncio.sleep(0.05)
        assert answers == []
        other.execute("COMMIT")
        await stage.until(lambda: bool(answers))
    assert answers == [NO_REPLY]


async def test_many_instances_write_one_database_and_none_fails(stage: Any, root: Path) -> None:
    provider = await stage.open("sqlx", database_folder=root)
    for number in range(1, 9):
        await stage.start(provider, {"url": "sqlite://x.db"}, number)
    answers = [
        stage.send(
            provider, f"INSERT INTO WorkflowState VALUES ('{n}/{i}', '1')", EventType.CAST, n
        )
        for i in range(10)
        for n in range(1, 9)
    ]
    await stage.until(lambda: all(answers))
    assert [each for each in answers if each != [NO_REPLY]] == []
    assert len(rows_of(root / "x.db")) == 80


async def test_events_of_one_instance_are_dealt_with_in_their_order_and_their_queue_is_bounded(
    stage: Any, provider: Any
) -> None:
    await stage.start(provider, {"url": "sqlite://x.db"})
    await stage.ask(provider, write(0), EventType.CAST)
    casts = [stage.send(provider, write(n), EventType.CAST) for n in range(1, 20)]
    reads = [stage.send(provider, READ) for _ in range(WAITING_MAX - 19)]
    assert stage.send(provider, READ) == [ERR]
    await stage.until(lambda: all([*casts, *reads]))
    assert casts == [[NO_REPLY]] * 19
    assert {each[0].payload for each in reads} == {f'{{"id":"{WORKFLOW}","metadata":19}}'}


async def test_a_node_has_a_largest_number_of_databases(
    stage: Any, provider: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_folder, "DATABASES_MAX", 3)
    for number in range(1, 4):
        await stage.start(provider, {"url": f"sqlite://{number}/x.db"}, number)
    (root / "1/x.db-journal").touch()
    with pytest.raises(RejectedError, match=r"4/x\.db: the node has"):
        await stage.start(provider, {"url": "sqlite://4/x.db"}, 4)
    await stage.start(provider, {"url": "sqlite://3/x.db"}, 4)


async def test_no_descriptor_is_left_open_when_instances_come_and_go(
    stage: Any, provider: Any
) -> None:
    async def come_and_go() -> int:
        for number in range(1, 20):
            await stage.start(provider, {"url": f"sqlite://{number}.db"}, number)
            stage.send(provider, write(number), EventType.CAST, number)
            await provider.stop(stage.pid(number))
        await stage.until(lambda: stage.supervisor.tasks_total == 0)
        return len(below(Path("/proc/self/fd")))

    await come_and_go()
    assert await come_and_go() == await come_and_go()


async def test_a_folder_that_cannot_be_made_is_an_error_of_the_nodes_start(
    stage: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"database_folder: .*file"):
        await stage.open("sqlx", database_folder=tmp_path / "file" / "x")


async def test_without_a_folder_there_is_a_temporary_one_that_goes_with_the_provider(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    provider = await stage.open("sqlx")
    await stage.start(provider, {"url": "sqlite://x.db"})
    [folder] = below(tmp_path)
    assert below(tmp_path / folder) == ["x.db"]
    provider.close()
    assert below(tmp_path) == []


async def test_thousands_of_statements_leave_no_growth(
    stage: Any, provider: Any, no_growth: Any
) -> None:
    await stage.start(provider, {"url": "sqlite://x.db"})
    await stage.ask(provider, write(1))

    async def use() -> None:
        answers = [stage.send(provider, READ if n % 50 else write(n)) for n in range(500)]
        await stage.until(lambda: all(answers))
        assert not any(each[0] == ERR for each in answers)

    await use()
    with no_growth():
        for _ in range(5):
            await use()
