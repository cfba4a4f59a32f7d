"""kafka-egress without a broker: what waits, pauses, refusals, and servers that are none.

Reliability B28, F25, S02, G13. Beside real brokers: ``test_kafka_broker.py``.
"""

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, EventType
from edgeless_sim.resources import resolution
from edgeless_sim.resources.base import ResourceSettings
from edgeless_sim.resources.catalog import known_classes, provider_class
from edgeless_sim.resources.kafka import KafkaEgress
from edgeless_sim.resources.kafka_rules import (
    BROKERS_MAX,
    INSTANCES_MAX,
    WAITING_MAX,
    Broker,
    BrokerAwayError,
    KafkaPlace,
    read_place,
)

GOOD = {"brokers": "127.0.0.1:9092", "topic": "readings"}


class OwnProducer:
    """A `Producer` that does as it is told."""

    def __init__(self, place: KafkaPlace) -> None:
        self.place = place
        self.written: list[str] = []
        self.fault: Exception | None = None
        self.permits = asyncio.Semaphore(0)
        self.attempts = 0
        self.closed = 0

    async def open(self) -> None:
        if self.fault is not None:
            raise self.fault

    async def send(self, payload: str) -> None:
        self.attempts += 1
        await self.permits.acquire()
        if self.fault is not None:
            raise self.fault
        self.written.append(payload)

    def close(self) -> None:
        self.closed += 1

    def permit(self, count: int) -> None:
        for _ in range(count):
            self.permits.release()


class OwnKafka(KafkaEgress):
    real_time_only: ClassVar[bool] = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.producers: list[OwnProducer] = []

    def _make_producer(self, place: KafkaPlace) -> OwnProducer:
        self.producers.append(OwnProducer(place))
        return self.producers[-1]


needs_aiokafka = pytest.mark.skipif(
    importlib.util.find_spec("aiokafka") is None, reason="needs the extra kafka"
)


@pytest.fixture
async def provider(stage: Any) -> OwnKafka:
    made = OwnKafka("kafka-1", stage.host())
    stage._providers.append(made)
    return made


# -- what waits -----------------------------------------------------------------------------------


async def test_records_are_written_in_order_and_a_call_is_answered_after_the_acknowledgement(
    stage: Any, provider: OwnKafka
) -> None:
    await stage.start(provider, GOOD)
    [producer] = provider.producers
    answers = [
        stage.send(provider, f"{n}", EventType.CALL if n % 2 else EventType.CAST) for n in range(6)
    ]
    await stage.until(lambda: producer.attempts == 1)
    assert answers == [[]] * 6
    producer.permit(2)
    await stage.until(lambda: producer.attempts == 3)
    assert answers == [[NO_REPLY], [CallReturn.reply("")], [], [], [], []]
    producer.permit(4)
    await stage.until(lambda: all(answers))
    assert producer.written == [f"{n}" for n in range(6)]


async def test_what_waits_is_bounded_and_fails_with_the_stop(
    stage: Any, provider: OwnKafka
) -> None:
    pid = await stage.start(provider, GOOD)
    [producer] = provider.producers
    first = stage.send(provider, "first")
    await stage.until(lambda: producer.attempts == 1)
    waiting = [stage.send(provider, f"{n}") for n in range(WAITING_MAX)]
    assert stage.send(provider, "too many") == [ERR]
    assert "1024 events wait" in stage.warnings[-1]
    await provider.stop(pid)
    assert [first, *waiting] == [[ERR]] * (WAITING_MAX + 1)
    producer.permit(WAITING_MAX + 1)
    await stage.until(lambda: len(provider._tasks) == 0)
    assert producer.written == []
    assert producer.closed
    assert stage.send(provider, "after") == [ERR]


async def test_a_provider_that_closes_answers_nobody(stage: Any, provider: OwnKafka) -> None:
    await stage.start(provider, GOOD)
    answers = [stage.send(provider, f"{n}") for n in range(3)]
    await stage.until(lambda: provider.producers[0].attempts == 1)
    provider.close()
    provider.close()
    await stage.until(lambda: len(provider._tasks) == 0)
    assert answers == [[], [], []]
    assert provider.producers[0].closed


async def test_an_instance_that_is_configured_anew_writes_elsewhere(
    stage: Any, provider: OwnKafka
) -> None:
    await stage.start(provider, GOOD)
    await stage.start(provider, GOOD | {"topic": "others"})
    before, after = provider.producers
    after.permit(1)
    assert await stage.ask(provider, "x") == CallReturn.reply("")
    assert (before.written, after.written) == ([], ["x"])
    assert before.closed


async def test_a_new_configuration_that_is_refused_leaves_the_instance_as_it_was(
    stage: Any, provider: OwnKafka
) -> None:
    await stage.start(provider, GOOD)
    with pytest.raises(RejectedError):
        await stage.start(provider, GOOD | {"topic": "a b"})
    provider.producers[0].permit(1)
    assert await stage.ask(provider, "x") == CallReturn.reply("")


async def test_instances_are_bounded(stage: Any, provider: OwnKafka) -> None:
    for number in range(1, INSTANCES_MAX + 1):
        await stage.start(provider, GOOD, number)
    with pytest.raises(RejectedError, match="1000 instances"):
        await stage.start(provider, GOOD, INSTANCES_MAX + 1)
    await stage.start(provider, GOOD, 1)


# -- brokers that are away ------------------------------------------------------------------------


async def test_f25_what_waits_behind_a_failure_fails_with_it(
    stage: Any, provider: OwnKafka
) -> None:
    await stage.start(provider, GOOD)
    [producer] = provider.producers
    answers = [stage.send(provider, f"{n}") for n in range(3)]
    producer.fault = BrokerAwayError("away")
    producer.permit(1)
    await stage.until(lambda: all(answers))
    assert answers == [[ERR]] * 3
    assert producer.attempts == 1
    assert producer.closed == 1


async def test_f25_a_broker_that_says_nothing_is_given_up(stage: Any) -> None:
    provider = OwnKafka("kafka-1", stage.host(call_timeout_s=0.05))
    stage._providers.append(provider)
    await stage.start(provider, GOOD)
    assert await stage.ask(provider, "x") == ERR
    assert stage.warnings == ["kafka-egress: no broker answered in time"]


async def test_a_record_that_is_refused_does_not_hold_up_the_next(
    stage: Any, provider: OwnKafka
) -> None:
    await stage.start(provider, GOOD)
    [producer] = provider.producers
    producer.permit(2)
    producer.fault = ResourceError("too large")
    assert await stage.ask(provider, "x") == ERR
    assert stage.warnings == ["kafka-egress: too large"]
    producer.fault = None
    assert await stage.ask(provider, "y") == CallReturn.reply("")


# -- configurations -------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["brokers", "topic"])
def test_both_keys_are_needed(missing: str) -> None:
    with pytest.raises(RejectedError) as refusal:
        read_place({key: value for key, value in GOOD.items() if key != missing})
    assert refusal.value.summary == "Invalid resource configuration"
    assert refusal.value.detail == "One of the fields 'brokers' or 'topic' is missing"


@pytest.mark.parametrize(
    ("text", "brokers"),
    [
        ("a", [Broker("a", 9092)]),
        ("A.lab:1, b:65535", [Broker("a.lab", 1), Broker("b", 65535)]),
        ("a,a:9092", [Broker("a", 9092)]),
        ("[::1],[fd00::2]:9093", [Broker("::1", 9092), Broker("fd00::2", 9093)]),
    ],
)
def test_brokers_are_separated_by_commas(text: str, brokers: list[Broker]) -> None:
    assert list(read_place(GOOD | {"brokers": text}).brokers) == brokers


def test_a_broker_is_written_as_it_is_read() -> None:
    assert [str(Broker("::1", 9092)), str(Broker("a", 1))] == ["[::1]:9092", "a:1"]


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "a,", "a:", "a:0", "a:65536", "a:x", "a b", "::1", "a/b", "a?x=1", "é", "a\nb"),
        *("a" * 254, "unix:///tmp/x", ",".join(f"b{n}" for n in range(BROKERS_MAX + 1))),
    ],
)
def test_b28_other_brokers_are_refused(text: str) -> None:
    with pytest.raises(RejectedError, match="brokers: "):
        read_place(GOOD | {"brokers": text})


@pytest.mark.parametrize("text", ["u:geheim@a:9092", "kafka://u:geheim@a", "a,:geheim@b"])
def test_b28_no_refusal_shows_a_password(text: str) -> None:
    with pytest.raises(RejectedError, match="HOST:PORT") as refusal:
        read_place(GOOD | {"brokers": text})
    assert "geheim" not in str(refusal.value)


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "a/b", "é", "a\n", "x" * 250])
def test_b28_a_name_that_no_topic_can_have_is_refused(topic: str) -> None:
    with pytest.raises(RejectedError, match="topic: "):
        read_place(GOOD | {"topic": topic})


@pytest.mark.parametrize("topic", ["a", "A.b_c-1", "...", "x" * 249])
def test_names_that_kafka_takes_are_taken(topic: str) -> None:
    assert read_place(GOOD | {"topic": topic}).topic == topic


# -- addresses ------------------------------------------------------------------------------------


@needs_aiokafka
@pytest.mark.parametrize(
    ("brokers", "kind"),
    [
        ("169.254.169.254", "a link-local address"),
        ("0xa9fea9fe:9092", "a link-local address"),
        ("10.0.0.7", "a private or reserved address"),
        ("[::ffff:10.0.0.7]:9092", "a private or reserved address"),
        ("127.0.0.1:7001", "a loopback address"),
        ("localhost:7001", "a loopback address"),
        ("127.0.0.1,10.0.0.7", "a private or reserved address"),
    ],
)
async def test_s02_a_private_address_is_refused_by_default_with_the_key_that_allows_it(
    stage: Any, brokers: str, kind: str
) -> None:
    provider = await stage.open("kafka-egress")
    with pytest.raises(RejectedError) as refusal:
        await stage.start(provider, GOOD | {"brokers": brokers})
    assert kind in str(refusal.value)
    assert "the node would allow it with [resources] kafka_allow = [" in str(refusal.value)


@needs_aiokafka
async def test_s02_a_name_is_checked_when_it_has_been_resolved(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(name: str, port: int) -> list[str]:
        assert (name, port) == ("db.example", 9092)
        return ["169.254.169.254"]

    monkeypatch.setattr(resolution, "_resolved", resolve)
    provider = await stage.open("kafka-egress")
    with pytest.raises(RejectedError, match=r"to which 'db\.example' leads, is a link-local"):
        await stage.start(provider, GOOD | {"brokers": "db.example"})


def test_s02_the_usual_broker_on_the_node_is_allowed_by_default() -> None:
    assert ResourceSettings().kafka_allow == ("127.0.0.1:9092", "[::1]:9092")


async def test_an_entry_of_the_list_that_means_nothing_is_refused_by_its_key(stage: Any) -> None:
    with pytest.raises(SettingsError, match="kafka_allow: 'a b' is neither"):
        await stage.open("kafka-egress", kafka_allow=("a b",))


# -- servers that are no brokers ------------------------------------------------------------------


@needs_aiokafka
@pytest.mark.parametrize("mode", ["shut", "slow", "wrong"])
async def test_b28_an_instance_does_not_start_without_a_broker(
    stage: Any, make_gate: Callable[[int], Any], mode: str
) -> None:
    gate = await make_gate(1)
    await (gate.shut() if mode == "shut" else gate.open(mode))
    provider = await stage.open("kafka-egress", kafka_allow=("127.0.0.1",), call_timeout_s=0.3)
    async with asyncio.timeout(5):
        with pytest.raises(RejectedError, match=f"127.0.0.1:{gate.port}"):
            await stage.start(provider, GOOD | {"brokers": f"127.0.0.1:{gate.port}"})
    assert stage.send(provider, "x") == [ERR]


@needs_aiokafka
@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x04\x00\x00\x00\x01",
        b"\x00\x00\x00\x04\x00\x00\x00\x07",
        b"\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x23\x7f\xff\xff\xff",
        b"\x7f\xff\xff\xffHTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_f31_a_server_that_answers_anything_is_refused_without_a_traceback(
    stage: Any, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = await stage.open("kafka-egress", kafka_allow=("127.0.0.1",), call_timeout_s=0.3)
    with pytest.raises(RejectedError, match=f"127.0.0.1:{port}"):
        await stage.start(provider, GOOD | {"brokers": f"127.0.0.1:{port}"})
    server.close()
    await asyncio.sleep(0)
    assert caplog.records == []


# -- the extra ------------------------------------------------------------------------------------


async def test_without_the_extra_the_class_is_listed_and_opening_it_says_what_to_install(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    assert "kafka-egress" in known_classes()
    assert provider_class("kafka-egress").version == "1.1"
    with pytest.raises(SettingsError, match=r"pip install 'edgeless-sim\[kafka\]'"):
        await stage.open("kafka-egress")
