"""metrics-collector in virtual time: what is kept, and what becomes of it when Redis is away.

The logic is that of the real class (spec 6.14).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources import metrics_collector, sample_writer
from edgeless_sim.resources.base import ResourceHost, ResourceSettings
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.collector_rules import INSTANCES_MAX, WAITING_MAX
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.resources.simulated import metrics_collector as twin
from edgeless_sim.resources.simulated.backends import Backends, BackendState
from edgeless_sim.resources.simulated.redis import RedisServer

ADDRESS: Final = "redis://store.lab:6379"
OK: Final = CallReturn.reply("")
FUNCTION: Final = "function:00000000-0000-0000-0000-000000000003"


def pid(number: int) -> InstanceId:
    return InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=number)))


class Stage:
    """One provider and its simulated server."""

    def __init__(self, supervisor: Supervisor, url: str = "redis://store.lab") -> None:
        self.clock = LoopClock.running()
        self.backends = Backends(self.clock.scheduler)
        self.warnings: list[str] = []
        host = ResourceHost(
            "edge/0",
            self.clock,
            self.clock.scheduler,
            VirtualFiles(),
            warn=lambda _, text: self.warnings.append(text),
            settings=ResourceSettings(collector_redis_url=url),
            spawn=supervisor.spawn,
            backends=self.backends,
        )
        self.provider: Any = create_provider("metrics-collector", "metrics-collector-1", host)

    @property
    def counters(self) -> dict[str, int]:
        return dict(self.provider.counters)

    @property
    def state(self) -> BackendState:
        return self.backends.state(ADDRESS)

    async def start(self, number: int = 11, /, **configuration: str) -> None:
        specification = ResourceInstanceSpecification(
            "metrics-collector", configuration, WorkflowId(UUID(int=9))
        )
        await self.provider.start(pid(number), specification, None)

    def send(
        self,
        payload: str,
        kind: EventType = EventType.CALL,
        *,
        source: int = 3,
        target: int = 11,
    ) -> CallReturn:
        answers: list[CallReturn] = []
        event = Event(kind, pid(target).key, pid(source).key, 1, payload, 0, bytes(24), 1)
        self.provider.handle(event, answers.append)
        # At once: what is measured does not wait.
        [answer] = answers
        return answer

    async def measure(self, seconds: float, number: int = 1, *, element: str = "function") -> None:
        assert self.send(f"{element}:begin:{number}") == OK
        await self.clock.sleep(seconds)
        assert self.send(f"{element}:end:{number}") == OK
        await self.clock.sleep(0)

    def held(self, key: str, database: int = 0) -> str | None:
        return self.backends.of(RedisServer, ADDRESS).shown(database, key)

    def samples(self, name: str = FUNCTION) -> list[str]:
        return (self.held(f"{name}:samples") or "").splitlines()


def played(body: Callable[[Stage], Coroutine[Any, Any, None]], **settings: str) -> None:
    async def main() -> None:
        async with Supervisor.open() as supervisor:
            stage = Stage(supervisor, **settings)
            await body(stage)
            stage.provider.close()
            await asyncio.sleep(1)
            assert supervisor.tasks_total == 0

    run(main)


def test_a_transaction_becomes_a_sample_with_its_time_and_a_moving_average() -> None:
    async def body(stage: Stage) -> None:
        await stage.start(alpha="0.25")
        await stage.clock.sleep(2)
        for seconds in (0.1, 0.2, 0.0049):
            await stage.measure(seconds)
        await stage.clock.sleep(1)
        assert stage.samples() == ["100,1767225602.100", "200,1767225602.300", "4,1767225602.304"]
        # 100; then 100 + (200 - 100) / 4 = 125; then 125 + (4 - 125) / 4.
        assert stage.held(f"{FUNCTION}:average") == "94.75"
        assert stage.counters == {"samples_written": 3}
        assert stage.warnings == []

    played(body)


def test_the_newest_sample_weighs_nine_tenths_unless_told_otherwise() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        await stage.measure(1.0)
        await stage.measure(2.0)
        await stage.clock.sleep(1)
        assert stage.held(f"{FUNCTION}:average") == "1900.0"

    played(body)


def test_functions_are_told_apart_by_who_sends_and_transactions_by_number() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        stage.send("function:begin:1", source=3)
        await stage.clock.sleep(0.01)
        stage.send("function:begin:1", source=4)
        stage.send("function:begin:2", source=3)
        await stage.clock.sleep(0.01)
        stage.send("function:end:2", EventType.CAST, source=3)
        stage.send("function:end:1", source=3)
        stage.send("function:end:1", source=4)
        await stage.clock.sleep(1)
        assert [text.split(",")[0] for text in stage.samples()] == ["10", "20"]
        [other] = stage.samples("function:00000000-0000-0000-0000-000000000004")
        assert other.startswith("10,")

    played(body)


def test_a_workflow_has_keys_of_its_name_in_the_database_of_the_url() -> None:
    async def body(stage: Stage) -> None:
        await stage.start(wf_name="wf0")
        await stage.measure(0.5, element="workflow")
        await stage.clock.sleep(1)
        assert stage.held("workflow:wf0:samples", 3) == "500,1767225600.500"
        assert stage.held("workflow:wf0:average", 3) == "500.0"
        assert stage.held("workflow:wf0:average") is None

    played(body, url="redis://store.lab/3")


def test_without_wf_name_messages_about_the_workflow_are_skipped_and_answered() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        assert stage.send("workflow:begin:1") == ERR
        assert stage.send("workflow:end:1", EventType.CAST) == ERR
        assert stage.counters == {"messages_skipped": 2}
        assert "no 'wf_name' is configured" in stage.warnings[0]

    played(body)


def test_a_malformed_message_and_an_end_without_a_begin_are_counted_and_harm_nobody() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        assert stage.send("function:begin") == ERR
        assert stage.send("x" * 100_000, EventType.CAST) == ERR
        assert stage.send("function:end:5") == ERR
        await stage.measure(0.1)
        assert stage.send("function:end:1") == ERR
        assert stage.counters | {"samples_written": 1} == {
            "messages_malformed": 2,
            "ends_without_begin": 2,
            "samples_written": 1,
        }
        assert max(map(len, stage.warnings)) < 200
        assert stage.warnings[2:] == [
            f"metrics-collector: the transaction 5 of {FUNCTION} has not begun",
            f"metrics-collector: the transaction 1 of {FUNCTION} has not begun",
        ]

    played(body)


def test_a_transaction_that_begins_again_counts_from_there() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        stage.send("function:begin:1")
        await stage.clock.sleep(1)
        await stage.measure(0.25)
        await stage.clock.sleep(1)
        assert [text.split(",")[0] for text in stage.samples()] == ["250"]

    played(body)


def test_an_instance_remembers_so_many_transactions_and_forgets_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_collector, "TRANSACTIONS_MAX", 3)

    async def body(stage: Stage) -> None:
        await stage.start()
        for number in range(5):
            stage.send(f"function:begin:{number}")
        answers = [stage.send(f"function:end:{number}") for number in range(5)]
        assert answers == [ERR, ERR, OK, OK, OK]
        assert stage.counters["transactions_forgotten"] == 2

    played(body)


def test_a_reset_deletes_what_was_kept_and_nothing_is_kept_for_a_while() -> None:
    async def body(stage: Stage) -> None:
        await stage.start(wf_name="w")
        await stage.start(12)
        await stage.measure(0.1)
        await stage.measure(0.1, element="workflow")
        await stage.clock.sleep(1)
        server = stage.backends.of(RedisServer, ADDRESS)
        server.set(0, "foreign", "stays", at_ns=0)
        assert stage.send("reset:500", EventType.CAST, target=12) == NO_REPLY
        await stage.clock.sleep(0.2)
        assert (server.databases, server.lists) == ({0: {"foreign": "stays"}}, {0: {}})
        await stage.measure(0.1)
        assert stage.samples() == []
        await stage.clock.sleep(0.3)
        await stage.measure(0.3)
        await stage.clock.sleep(1)
        # The average begins anew: those of the last epoch, and of the pause, are not in it.
        assert [text.split(",")[0] for text in stage.samples()] == ["300"]
        assert stage.held(f"{FUNCTION}:average") == "300.0"

    played(body)


def test_a_reset_while_redis_is_away_is_made_up_for() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        await stage.measure(0.1)
        await stage.clock.sleep(1)
        stage.state.down = True
        await stage.measure(0.2)
        stage.send("reset:0")
        await stage.measure(0.3)
        stage.state.down = False
        await stage.clock.sleep(3)
        assert [text.split(",")[0] for text in stage.samples()] == ["300"]

    played(body)


@pytest.mark.parametrize("fault", ["down", "wrong", "slow"])
def test_while_redis_is_away_samples_wait_and_are_written_in_their_order_later(fault: str) -> None:
    async def body(stage: Stage) -> None:
        stage.state.down, stage.state.wrong = fault == "down", fault == "wrong"
        stage.state.delay_ns = 10**13 if fault == "slow" else 0
        # Neither instances nor what they are told wait for it.
        await stage.start()
        for number in range(300):
            await stage.measure(0.01, number)
        assert stage.samples() == []
        assert stage.counters["attempts_failed"] >= 1
        stage.backends.state(ADDRESS).down = stage.state.wrong = False
        stage.state.delay_ns = 0
        await stage.clock.sleep(5)
        times = [text.split(",")[1] for text in stage.samples()]
        assert len(times) == 300
        assert times == sorted(times)
        assert times[0] == "1767225600.010"
        assert stage.counters["samples_written"] == 300
        assert all(text.endswith(" samples wait") for text in stage.warnings)

    played(body)


def test_what_waits_is_given_up_after_about_a_minute_and_the_next_sample_tries_again() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        stage.state.down = True
        await stage.measure(0.1)
        await stage.clock.sleep(90)
        assert stage.counters["samples_lost"] == 1
        assert stage.counters["attempts_failed"] == 30
        assert stage.warnings[-1] == (
            "metrics-collector: given up after 30 attempts; 1 samples are lost"
        )
        stage.state.down = False
        await stage.measure(0.2)
        await stage.clock.sleep(1)
        assert [text.split(",")[0] for text in stage.samples()] == ["200"]

    played(body)


def test_so_many_samples_wait_and_no_more() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        stage.state.down = True
        for number in range(WAITING_MAX + 2):
            stage.send(f"function:begin:{number}")
        answers = [stage.send(f"function:end:{number}") for number in range(2, WAITING_MAX + 2)]
        assert set(answers) == {OK}
        stage.send("function:begin:1")
        assert stage.send("function:end:1") == ERR
        assert stage.counters["samples_lost"] == 1
        assert stage.warnings[-1].endswith("samples wait, the most that can; this one is lost")

    played(body)


def test_so_many_names_have_keys_and_those_of_the_one_longest_without_a_sample_are_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_collector, "NAMES_MAX", 2)

    async def body(stage: Stage) -> None:
        await stage.start()
        for source in (5, 6, 5, 7):
            stage.send("function:begin:1", source=source)
            stage.send("function:end:1", source=source)
            await stage.clock.sleep(0.1)
        server = stage.backends.of(RedisServer, ADDRESS)
        assert sorted(int(key.split("-")[-1].split(":")[0]) for key in server.lists[0]) == [5, 7]
        assert len(server.databases[0]) == 2

    played(body)


def test_names_that_could_not_be_deleted_are_bounded_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample_writer, "NAMES_MAX", 2)

    async def body(stage: Stage) -> None:
        await stage.start()
        for source in (5, 6, 7):
            stage.send("function:begin:1", source=source)
            stage.send("function:end:1", source=source)
        await stage.clock.sleep(0.1)
        stage.state.down = True
        stage.send("reset:0")
        stage.state.down = False
        await stage.clock.sleep(5)
        assert stage.counters["names_left"] == 1
        [left] = stage.backends.of(RedisServer, ADDRESS).lists[0]
        assert left.startswith("function:00000000-0000-0000-0000-000000000005")

    played(body)


def test_a_key_keeps_its_newest_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin, "SAMPLES_MAX", 3)

    async def body(stage: Stage) -> None:
        await stage.start()
        for number in range(5):
            await stage.measure(number / 10)
        await stage.clock.sleep(1)
        assert [text.split(",")[0] for text in stage.samples()] == ["200", "300", "400"]

    played(body)


def test_a_key_that_somebody_else_uses_is_refused_and_counted() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        stage.backends.of(RedisServer, ADDRESS).set(0, f"{FUNCTION}:samples", "mine", at_ns=0)
        await stage.measure(0.1)
        await stage.clock.sleep(1)
        assert stage.counters["writes_refused"] == 1
        assert "has a value and is no list" in stage.warnings[-1]

    played(body)


def test_a_database_that_is_not_there_is_told() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        await stage.measure(0.1)
        await stage.clock.sleep(0.1)
        assert "there is no database 16" in stage.warnings[-1]

    played(body, url="redis://store.lab/16")


def test_an_instance_that_stops_forgets_what_began_and_what_was_measured_is_written() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        stage.send("function:begin:1")
        stage.send("function:begin:2")
        stage.send("function:end:2")
        await stage.provider.stop(pid(11))
        assert stage.send("function:end:1") == ERR
        await stage.start()
        assert stage.send("function:end:1") == ERR
        await stage.clock.sleep(1)
        assert len(stage.samples()) == 1

    played(body)


def test_a_provider_has_so_many_instances() -> None:
    async def body(stage: Stage) -> None:
        for number in range(INSTANCES_MAX):
            await stage.start(number)
        with pytest.raises(RejectedError, match="1000 instances, the most it can"):
            await stage.start(INSTANCES_MAX)
        await stage.start(0)

    played(body)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "write redis://HOST:PORT"),
        ("http://x", "other schemes are not allowed"),
        ("redis://:geheim@x/y", "the number of a database, nothing else"),
        ("redis://:geheim@x:99999", "Port out of range"),
    ],
)
def test_a_provider_whose_redis_cannot_be_meant_is_not_made(url: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        played(_nothing, url=url)
    assert str(refusal.value).startswith("the Redis of metrics-collector: url: ")
    assert reason in str(refusal.value)
    assert "geheim" not in str(refusal.value)


async def _nothing(stage: Stage) -> None:
    """Making the stage is enough."""
