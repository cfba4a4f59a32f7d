"""kafka-egress beside a real broker: records, leaders, topics, and a broker that dies.

``nox -s kafka`` fetches Apache Kafka and runs this. Without it: ``EDGELESS_KAFKA_JARS`` names a
folder with Kafka's jars, or ``EDGELESS_KAFKA`` a broker (HOST:PORT) that runs already and that may
make topics; what needs to kill a broker is skipped then.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, run
from typing import Any, Final
from uuid import uuid4

import pytest

from edgeless_sim.cluster.ports import free_ports
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, EventType
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX

aiokafka = pytest.importorskip("aiokafka", reason="aiokafka comes with the extra `kafka`")

JARS: Final = os.environ.get("EDGELESS_KAFKA_JARS")
RUNNING: Final = os.environ.get("EDGELESS_KAFKA")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (JARS or RUNNING), reason="wants EDGELESS_KAFKA_JARS or EDGELESS_KAFKA; nox -s kafka"
    ),
]
needs_own = pytest.mark.skipif(not JARS, reason="wants a broker of its own: EDGELESS_KAFKA_JARS")
#: A JVM on a busy machine.
PATIENCE_S: Final = 60.0
SETTINGS: Final = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
num.partitions={partitions}
auto.create.topics.enable=true
"""


class OwnBroker:
    """Apache Kafka on loopback, which can be killed and started again.

    It tells clients to come to *advertised*, so that a proxy there sees every connection.
    """

    def __init__(self, jars: str, folder: Path, *, partitions: int = 1) -> None:
        self.port, self._controller = free_ports(2)
        self.advertised = self.port
        self._java = ["java", "-Xmx512m", "-cp", f"{jars}/*"]
        self._folder = folder
        self._partitions = partitions
        self._settings = folder / "server.properties"
        self._process: Popen[bytes] | None = None

    def start(self) -> None:
        text = SETTINGS.format(
            port=self.port,
            controller=self._controller,
            advertised=self.advertised,
            folder=self._folder,
            partitions=self._partitions,
        )
        self._settings.write_text(text)
        if not (self._folder / "data").exists():
            tool = ["kafka.tools.StorageTool", "format", "-t", "A" * 21 + "Q", "-c"]
            command = [*self._java, *tool, str(self._settings)]
            run(command, check=True, stdout=DEVNULL, stderr=DEVNULL)
        with (self._folder / "broker.log").open("ab") as log:
            command = [*self._java, "kafka.Kafka", str(self._settings)]
            self._process = Popen(command, stdout=log, stderr=STDOUT)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self._folder / "broker.log").read_text()
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the broker does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a broker that nobody kills."""
    if RUNNING:
        yield RUNNING
        return
    assert JARS
    broker = OwnBroker(JARS, tmp_path_factory.mktemp("kafka"), partitions=3)
    broker.start()
    yield f"127.0.0.1:{broker.port}"
    broker.kill()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[OwnBroker]:
    assert JARS
    broker = OwnBroker(JARS, tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def topic() -> str:
    return f"edgeless-{uuid4()}"


@pytest.fixture
async def provider(stage: Any) -> Any:
    return await stage.open("kafka-egress", kafka_allow=("127.0.0.1", "[::1]"))


#: Brokers, topic, and whether that is all; keys and values.
Read = Callable[[str, str, Callable[[list[str]], bool]], Any]


@pytest.fixture
async def read() -> Read:
    """Read a topic with the library's own consumer, until *done* with its values."""

    async def take(
        brokers: str, topic: str, done: Callable[[list[str]], bool]
    ) -> list[tuple[bytes | None, str]]:
        consumer = aiokafka.AIOKafkaConsumer(
            topic, bootstrap_servers=brokers, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[tuple[bytes | None, str]] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not done([value for _, value in found]):
                    record = await consumer.getone()
                    found.append((record.key, record.value.decode()))
                more = await consumer.getmany(timeout_ms=200)
        finally:
            await consumer.stop()
        assert not more
        return found

    return take


def so_many(count: int) -> Callable[[list[str]], bool]:
    return lambda values: len(values) >= count


async def started(stage: Any, provider: Any, brokers: str, topic: str, number: int = 1) -> None:
    """Start an instance; a broker that has just begun to listen may not serve yet."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await stage.start(provider, {"brokers": brokers, "topic": topic}, number)
            except RejectedError:
                await asyncio.sleep(0.1)
            else:
                return


async def asked_until_kept(stage: Any, provider: Any, payload: str) -> str:
    """Write *payload*, with a number that changes, until it is acknowledged; what it was then."""
    async with asyncio.timeout(PATIENCE_S):
        for number in count():
            if await stage.ask(provider, f"{payload} {number}") != ERR:
                return f"{payload} {number}"
            await asyncio.sleep(0.05)
    raise AssertionError("unreachable")


async def test_casts_and_calls_are_records_with_an_empty_key(
    stage: Any, provider: Any, shared_broker: str, topic: str, read: Read
) -> None:
    await started(stage, provider, shared_broker, topic)
    assert await stage.ask(provider, "21 °C", EventType.CAST) == NO_REPLY
    assert await stage.ask(provider, "") == CallReturn.reply("")
    assert sorted(await read(shared_broker, topic, so_many(2))) == [(b"", ""), (b"", "21 °C")]


async def test_partitions_take_turns_and_each_keeps_the_order(
    stage: Any, provider: Any, shared_broker: str, topic: str, read: Read
) -> None:
    await started(stage, provider, shared_broker, topic)
    for number in range(300):
        stage.send(provider, f"{number}", EventType.CAST)
    assert await stage.ask(provider, "300") == CallReturn.reply("")
    values = [int(value) for _, value in await read(shared_broker, topic, so_many(301))]
    assert sorted(values) == list(range(301))
    assert stage.warnings == []


async def test_the_largest_payload_is_too_large_for_a_broker_as_it_comes_and_says_so(
    stage: Any, provider: Any, shared_broker: str, topic: str, read: Read
) -> None:
    await started(stage, provider, shared_broker, topic)
    assert await stage.ask(provider, "x" * PAYLOAD_BYTES_MAX) == ERR
    assert "MESSAGE_SIZE_TOO_LARGE" in stage.warnings[0]
    large = "x" * (PAYLOAD_BYTES_MAX - 1000)
    assert await stage.ask(provider, large) == CallReturn.reply("")
    assert await read(shared_broker, topic, so_many(1)) == [(b"", large)]


async def test_the_next_of_the_brokers_is_asked_if_one_is_away(
    stage: Any, provider: Any, shared_broker: str, topic: str
) -> None:
    [nobody] = free_ports(1)
    await started(stage, provider, shared_broker, topic)
    await stage.start(
        provider, {"brokers": f"127.0.0.1:{nobody},{shared_broker}", "topic": topic}, 2
    )
    assert await stage.ask(provider, "x", number=2) == CallReturn.reply("")


async def test_a_topic_that_is_made_anew_is_found_again(
    stage: Any, provider: Any, shared_broker: str, topic: str, read: Read
) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    await started(stage, provider, shared_broker, topic)
    assert await stage.ask(provider, "before") == CallReturn.reply("")
    admin = AIOKafkaAdminClient(bootstrap_servers=shared_broker)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        async with asyncio.timeout(PATIENCE_S):
            # Until then the old one is still there, and nobody tells when it is gone.
            while (await admin.create_topics([NewTopic(topic, 1, 1)])).topic_errors[0][1]:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.05)
    finally:
        await admin.close()
    after = await asked_until_kept(stage, provider, "after")
    assert await read(shared_broker, topic, lambda values: after in values)


@needs_own
async def test_s02_an_address_that_a_broker_names_is_checked_too(
    stage: Any, own_broker: OwnBroker, topic: str
) -> None:
    [own_broker.advertised] = free_ports(1)
    own_broker.start()
    place = f"127.0.0.1:{own_broker.port}"
    provider = await stage.open("kafka-egress", kafka_allow=(place,))
    wanted = f'kafka_allow = ["127.0.0.1:{own_broker.advertised}"]'
    refusal = ""
    async with asyncio.timeout(PATIENCE_S):
        while wanted not in refusal:
            with pytest.raises(RejectedError) as found:
                await stage.start(provider, {"brokers": place, "topic": topic})
            refusal = str(found.value)


@needs_own
@pytest.mark.parametrize("fault", ["down", "slow", "wrong"])
async def test_f25_a_broker_that_fails_is_err_within_seconds_and_nothing_is_written_twice(
    stage: Any,
    provider: Any,
    own_broker: OwnBroker,
    make_gate: Callable[[int], Any],
    topic: str,
    read: Read,
    fault: str,
) -> None:
    gate = await make_gate(own_broker.port)
    own_broker.advertised = gate.port
    own_broker.start()
    place = f"127.0.0.1:{gate.port}"
    await started(stage, provider, place, topic)
    before = await asked_until_kept(stage, provider, "before")
    await (gate.shut() if fault == "down" else gate.open(fault))
    async with asyncio.timeout(6):
        assert await stage.ask(provider, "lost") == ERR
    await gate.open()
    after = await asked_until_kept(stage, provider, "after")
    values = [value for _, value in await read(place, topic, lambda values: after in values)]
    assert before in values
    assert "lost" not in values
    assert len(values) == len(set(values))


@needs_own
async def test_f25_a_broker_that_is_killed_is_used_again_when_it_is_back(
    stage: Any, provider: Any, own_broker: OwnBroker, topic: str, read: Read
) -> None:
    own_broker.start()
    place = f"127.0.0.1:{own_broker.port}"
    await started(stage, provider, place, topic)
    kept = [await asked_until_kept(stage, provider, f"{n}") for n in range(50)]
    own_broker.kill()
    for n in range(50):
        assert await stage.ask(provider, f"lost {n}") == ERR
    await asyncio.to_thread(own_broker.start)
    kept += [await asked_until_kept(stage, provider, f"{n}") for n in range(50, 70)]
    values = [value for _, value in await read(place, topic, lambda values: kept[-1] in values)]
    assert [value for value in values if value in kept] == kept
    assert not any(value.startswith("lost") for value in values)
