"""metrics-collector in virtual time: limits, and what cannot be kept (spec 6.14)."""

import pytest
from tests.resources.simulated.collector_stage import ADDRESS, FUNCTION, OK, Stage, pid, played

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.model.event import ERR
from edgeless_sim.resources import metrics_collector, sample_writer
from edgeless_sim.resources.collector_rules import INSTANCES_MAX, WAITING_MAX
from edgeless_sim.resources.simulated import metrics_collector as twin
from edgeless_sim.resources.simulated.redis import RedisServer


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
        ("redis://:geheim@x:99999", "no URL: ports are numbers"),
    ],
)
def test_a_provider_whose_redis_cannot_be_meant_is_not_made(url: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        played(_nothing, url=url)
    assert str(refusal.value).startswith("the Redis of metrics-collector: ")
    assert reason in str(refusal.value)
    assert "geheim" not in str(refusal.value)


async def _nothing(stage: Stage) -> None:
    """Making the stage is enough."""
