"""sqlx in virtual time: whose a database is, how it fails, and that a real file holds the same.

Reliability B28, F25.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import ResourceHost, ResourceSettings
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.resources.simulated import sqlx
from edgeless_sim.resources.simulated.backends import BACKENDS_MAX, Backends, backend_address
from edgeless_sim.resources.simulated.sqlx import SqlDatabase, databases_at, node_database
from edgeless_sim.resources.sql_session import SqlSession
from edgeless_sim.resources.sqlx_rules import TIMEOUT_S, WAITING_MAX

WORKFLOW: Final = WorkflowId(UUID(int=9))
CALLER: Final = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=3)))
URL: Final = "sqlite://Kept/state.db"
WRITE: Final = "REPLACE INTO WorkflowState VALUES ($1, '{\"a\": 1}')"
READ: Final = "SELECT * FROM WorkflowState WHERE id = $1"


def pid(number: int) -> InstanceId:
    return InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=10 + number)))


class Stage:
    """One provider, with simulated databases or, given a folder and tasks, with real ones."""

    def __init__(self, node: str = "edge/0", backends: Backends | None = None, **real: Any) -> None:
        self.clock = LoopClock.running()
        self.backends = backends or Backends(self.clock.scheduler)
        self.warnings: list[str] = []
        given = real or {"backends": self.backends}
        host = ResourceHost(
            node,
            self.clock,
            self.clock.scheduler,
            VirtualFiles(),
            warn=lambda _, text: self.warnings.append(text),
            **given,
        )
        self.provider: Any = create_provider("sqlx", "sqlx-1", host)

    @property
    def database(self) -> SqlDatabase:
        return node_database(self.backends, URL, "edge/0")

    async def start(self, number: int = 1, url: str = URL, workflow: WorkflowId = WORKFLOW) -> None:
        specification = ResourceInstanceSpecification("sqlx", {"url": url}, workflow)
        await self.provider.start(pid(number), specification, None)

    def send(
        self, payload: str, kind: EventType = EventType.CALL, number: int = 1
    ) -> list[CallReturn]:
        answers: list[CallReturn] = []
        event = Event(kind, pid(number).key, CALLER.key, 1, payload, 0, bytes(24), 1)
        self.provider.handle(event, answers.append)
        return answers

    async def ask(
        self, payload: str, kind: EventType = EventType.CALL, number: int = 1
    ) -> CallReturn:
        answers = self.send(payload, kind, number)
        while not answers:  # noqa: ASYNC110 - a provider has no event
            await asyncio.sleep(0.001)
        [answer] = answers
        return answer


def test_statements_change_what_the_database_holds() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.start()
        assert stage.database.rows() == []
        assert await stage.ask(WRITE, EventType.CAST) == NO_REPLY
        assert stage.database.rows() == [(str(WORKFLOW), '{"a": 1}')]
        expected = f'{{"id":"{WORKFLOW}","metadata":{{"a":1}}}}'
        assert await stage.ask(READ) == CallReturn.reply(expected)
        assert await stage.ask("DROP TABLE WorkflowState", EventType.CAST) == ERR
        assert stage.warnings == ["sqlx: statements are SELECT, INSERT, UPDATE and DELETE only"]

    run(body)


def test_a_database_is_its_nodes_and_outlives_the_provider() -> None:
    async def body() -> None:
        one = Stage()
        other = Stage("edge/1", one.backends)
        for stage in (one, other):
            await stage.start()
        await one.ask(WRITE)
        assert await other.ask(READ) == ERR
        one.provider.close()
        again = Stage("edge/0", one.backends)
        await again.start()
        assert (await again.ask(READ)).payload.endswith('"metadata":{"a":1}}')
        held = {node: len(each.rows()) for node, each in databases_at(one.backends, URL).items()}
        assert held == {"edge/0": 1, "edge/1": 0}
        assert databases_at(one.backends, "sqlite://state.db") == {}

    run(body)


def test_b28_a_url_is_refused_as_by_the_real_class() -> None:
    async def body() -> None:
        stage = Stage()
        for url in ("http://a/x.db", "sqlite://u:hunter2@a/x.db", "sqlite://../x", "sqlite:///x"):
            with pytest.raises(RejectedError) as refusal:
                await stage.start(url=url)
            assert "hunter2" not in str(refusal.value)
        assert stage.send(READ) == [ERR]

    run(body)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("down", "unable to open database file"),
        ("wrong", "file is not a database"),
        ("slow", "the database is locked"),
    ],
)
def test_f25_what_fails_is_err_with_the_reason_until_the_database_is_well(
    fault: str, reason: str
) -> None:
    async def body() -> None:
        stage = Stage()
        await stage.start()
        state = stage.backends.state(backend_address(URL))
        begun_ns = stage.clock.now_ns()
        state.down, state.wrong = fault == "down", fault == "wrong"
        state.delay_ns = 10**12 if fault == "slow" else 0
        assert await stage.ask(WRITE) == ERR
        assert stage.warnings == [f"sqlx: {reason}"]
        took_ns = stage.clock.now_ns() - begun_ns
        assert (took_ns >= TIMEOUT_S * 1e9) == (fault == "slow")
        with pytest.raises(RejectedError, match=reason):
            await stage.start(2)
        state.down, state.wrong, state.delay_ns = False, False, 0
        assert (await stage.ask(WRITE)).payload.startswith("rows_affected: 1")

    run(body)


def test_stopping_and_closing_answer_or_forget_what_waits() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.start()
        stage.backends.state(backend_address(URL)).delay_ns = 1_000_000
        waiting = [stage.send(WRITE) for _ in range(3)]
        await stage.provider.stop(pid(1))
        assert waiting == [[ERR]] * 3
        await stage.start()
        waiting = [stage.send(WRITE) for _ in range(3)]
        stage.provider.close()
        await asyncio.sleep(1)
        assert waiting == [[]] * 3
        assert stage.database.rows() == []

    run(body)


def test_a_queue_and_the_databases_of_a_node_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        stage = Stage()
        await stage.start()
        answers = [stage.send(READ) for _ in range(WAITING_MAX + 3)]
        assert [each for each in answers if each] == [[ERR]] * 2
        monkeypatch.setattr(sqlx, "DATABASES_MAX", 2)
        await stage.start(2, "sqlite://b.db")
        with pytest.raises(RejectedError, match=r"c\.db: the node has"):
            await stage.start(3, "sqlite://c.db")
        await stage.start(3, "sqlite://b.db")

    run(body)


def story(seed: int, count: int = 250) -> list[tuple[int, EventType, str]]:
    """Statements of three instances, good ones and others: instance, kind, text."""
    dice = Random(seed)

    def metadata() -> str:
        return dice.choice(
            ["1", "-2.5", "1e3", '"text ε"', "[1, 2, {}]", '{"foo": 1.0,\n "bar": null}', "no JSON"]
        )

    def statement() -> str:
        key = dice.choice(["$1", "'a'", "'b'", "'c' || $1"])
        return dice.choice(
            [
                f"INSERT INTO WorkflowState(id, metadata) VALUES ({key}, '{metadata()}')",
                f"INSERT INTO WorkflowState VALUES ({key}, '{metadata()}') "
                "ON CONFLICT(id) DO UPDATE SET metadata = excluded.metadata",
                f"REPLACE INTO WorkflowState VALUES ({key}, '{metadata()}') RETURNING id",
                f"UPDATE WorkflowState SET metadata = '{metadata()}' WHERE id >= {key}",
                f"DELETE FROM WorkflowState WHERE id = {key}",
                f"SELECT id, metadata FROM WorkflowState WHERE id = {key}",
                "SELECT * FROM WorkflowState ORDER BY id DESC",
                f"SELECT $1 id, json_array(count(*), {key}) metadata FROM WorkflowState",
                f"SELECT * FROM WorkflowState a, WorkflowState b WHERE a.id = {key}",
                "SELECT * FROM sqlite_master",
                "UPDATE WorkflowState SET metadata = NULL",
                "nonsense",
            ]
        )

    return [
        (dice.randint(1, 3), dice.choice([EventType.CAST, EventType.CALL]), statement())
        for _ in range(count)
    ]


async def told(stage: Stage, seed: int) -> list[CallReturn]:
    for number in (1, 2, 3):
        # 1 and 2 have a database in common.
        url = URL if number < 3 else "sqlite://other.db"
        await stage.start(number, url, WorkflowId(UUID(int=number)))
    return [await stage.ask(text, kind, number) for number, kind, text in story(seed)]


@pytest.mark.parametrize("seed", range(3))
def test_the_same_statements_have_the_same_answers_warnings_and_rows_on_real_files(
    tmp_path: Path, seed: int
) -> None:
    found: list[Any] = []

    async def simulated() -> None:
        stage = Stage()
        answers = await told(stage, seed)
        rows = [
            node_database(stage.backends, url, "edge/0").rows()
            for url in (URL, "sqlite://other.db")
        ]
        found.append((answers, stage.warnings, rows))

    async def real() -> None:
        settings = ResourceSettings(database_folder=tmp_path)
        async with Supervisor.open() as supervisor:
            stage = Stage(settings=settings, spawn=supervisor.spawn)
            await stage.provider.open()
            answers = await told(stage, seed)
            stage.provider.close()
        rows = []
        for name in ("Kept/state.db", "other.db"):
            session = SqlSession(str(tmp_path / name))
            rows.append(session.rows())
            session.close()
        found.append((answers, stage.warnings, rows))

    bodies: list[tuple[Callable[[], Coroutine[Any, Any, None]], str]] = [
        (simulated, "sim"), (simulated, "sim"), (real, "real"),
    ]  # fmt: skip
    for body, world in bodies:
        run(body, world=world)
    assert found[0] == found[1] == found[2]
    answers, warnings, rows = found[0]
    assert len(warnings) == answers.count(ERR) > 50
    assert len({each.payload for each in answers}) > 20
    assert all(rows)


def test_an_instance_is_refused_if_the_world_has_no_room_for_its_database() -> None:
    async def body() -> None:
        stage = Stage()
        for number in range(BACKENDS_MAX):
            stage.backends.state(f"sqlite://{number}")
        with pytest.raises(RejectedError, match=f"more than {BACKENDS_MAX} back-ends"):
            await stage.start()

    run(body)
