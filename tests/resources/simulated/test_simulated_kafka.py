"""kafka-egress in virtual time: what brokers hold, and how they fail (reliability B28, F25)."""

import asyncio
import subprocess
import sys
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import ResourceHost
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.resources.kafka_rules import PAUSE_MAX_NS, PAUSE_MIN_NS, TIMEOUT_S
from edgeless_sim.resources.simulated.backends import Backends
from edgeless_sim.resources.simulated.kafka import RECORDS_KEPT, KafkaBroker, KafkaRecord

WORKFLOW = WorkflowId(UUID(int=9))
PID = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=10)))
CALLER = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=3)))
FIRST, SECOND = "kafka://one.lab:9092", "kafka://two.lab:9093"


class Stage:
    """One provider and the simulated brokers."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.clock = LoopClock.running()
        self.backends = Backends(self.clock.scheduler)
        self.warnings: list[str] = []
        host = ResourceHost(
            "edge/0",
            self.clock,
            self.clock.scheduler,
            VirtualFiles(),
            warn=lambda _, text: self.warnings.append(text),
            spawn=supervisor.spawn,
            backends=self.backends,
        )
        self.provider: Any = create_provider("kafka-egress", "kafka-1", host)

    def records(self, topic: str = "t", address: str = FIRST) -> list[KafkaRecord]:
        return list(self.backends.of(KafkaBroker, address).topics.get(topic, ()))

    def now_ns(self) -> int:
        return self.clock.now_ns()

    async def start(self, **configuration: str) -> None:
        given = {"brokers": "one.lab,two.lab:9093", "topic": "t"} | configuration
        specification = ResourceInstanceSpecification("kafka-egress", given, WORKFLOW)
        await self.provider.start(PID, specification, None)

    def send(self, payload: str, kind: EventType = EventType.CALL) -> list[CallReturn]:
        answers: list[CallReturn] = []
        event = Event(kind, PID.key, CALLER.key, 1, payload, 0, bytes(24), 1)
        self.provider.handle(event, answers.append)
        return answers

    async def ask(self, payload: str, kind: EventType = EventType.CALL) -> CallReturn:
        answers = self.send(payload, kind)
        while not answers:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.001)
        [answer] = answers
        return answer


def staged(body: Any) -> None:
    async def main() -> None:
        async with Supervisor.open() as supervisor:
            stage = Stage(supervisor)
            await body(stage)
            stage.provider.close()

    run(main)


def test_casts_and_calls_become_records_and_a_call_returns_when_the_broker_has_it() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        stage.backends.state(FIRST).delay_ns = 7_000_000
        begun_ns = stage.now_ns()
        assert await stage.ask("warm", EventType.CAST) == NO_REPLY
        assert await stage.ask("") == CallReturn.reply("")
        assert [record.value for record in stage.records()] == ["warm", ""]
        assert stage.records()[0].at_ns == begun_ns + 7_000_000

    staged(body)


def test_the_first_broker_stands_for_the_cluster_whichever_is_reached() -> None:
    async def body(stage: Stage) -> None:
        stage.backends.state(FIRST).down = True
        await stage.start()
        assert await stage.ask("x") == CallReturn.reply("")
        assert [record.value for record in stage.records()] == ["x"]
        assert stage.records(address=SECOND) == []

    staged(body)


@pytest.mark.parametrize("fault", ["down", "wrong", "slow"])
def test_f25_an_instance_does_not_start_without_a_broker(fault: str) -> None:
    async def body(stage: Stage) -> None:
        for address in (FIRST, SECOND):
            state = stage.backends.state(address)
            state.down, state.wrong = fault == "down", fault == "wrong"
            state.delay_ns = 10**12 if fault == "slow" else 0
        begun_ns = stage.now_ns()
        with pytest.raises(RejectedError) as refusal:
            await stage.start()
        took_ns = stage.now_ns() - begun_ns
        assert took_ns == (round(2 * TIMEOUT_S * 1e9) if fault == "slow" else 0)
        if fault != "slow":
            assert "one.lab:9092: " in str(refusal.value)
            assert "; two.lab:9093: " in str(refusal.value)
        assert stage.send("x") == [ERR]

    staged(body)


def test_s02_a_private_address_is_refused_as_by_the_real_class() -> None:
    async def body(stage: Stage) -> None:
        with pytest.raises(RejectedError, match="kafka_allow"):
            await stage.start(brokers="one.lab,169.254.169.254")

    staged(body)


def test_f25_while_brokers_are_away_there_is_one_attempt_per_pause_and_pauses_grow() -> None:
    async def body(stage: Stage) -> None:
        await stage.start(brokers="one.lab")
        state = stage.backends.state(FIRST)
        state.down = True
        attempts_ns: list[int] = []
        while len(attempts_ns) < 9:
            await asyncio.sleep(0.001)
            before = len(stage.warnings)
            assert await stage.ask("lost", EventType.CAST) == ERR
            if len(stage.warnings) > before:
                attempts_ns.append(stage.now_ns())
        gaps = [later - sooner for sooner, later in pairwise(attempts_ns)]
        wanted = [min(PAUSE_MIN_NS << n, PAUSE_MAX_NS) for n in range(8)]
        assert all(0 <= gap - pause <= 3_000_000 for gap, pause in zip(gaps, wanted, strict=True))
        assert stage.warnings[0] == "kafka-egress: one.lab:9092: nobody listens there"
        state.down = False
        await asyncio.sleep(PAUSE_MAX_NS / 1e9)
        assert await stage.ask("kept", EventType.CAST) == NO_REPLY
        assert [record.value for record in stage.records()] == ["kept"]

    staged(body)


def test_a_broker_remembers_the_newest_records_of_each_topic() -> None:
    broker = KafkaBroker()
    for number in range(RECORDS_KEPT + 2):
        broker.append("t", str(number), at_ns=number)
    broker.append("u", "x", at_ns=1)
    assert len(broker.topics["t"]) == RECORDS_KEPT
    assert broker.topics["t"][0] == KafkaRecord(2, "2")
    assert list(broker.topics["u"]) == [KafkaRecord(1, "x")]


def test_the_twin_does_not_load_aiokafka() -> None:
    code = (
        "import sys, edgeless_sim.resources.simulated.kafka; "
        "sys.exit(any(name.split('.')[0] == 'aiokafka' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
