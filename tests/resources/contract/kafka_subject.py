"""kafka-egress, as the contract sees it: its twin. Real brokers: ``test_kafka_broker.py``."""

from typing import Any

from tests.resources.contract.subject import Subject, let_fail

from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, EventType
from edgeless_sim.resources.simulated.backends import Backends
from edgeless_sim.resources.simulated.kafka import KafkaBroker

__all__ = ["SimulatedKafkaEgressSubject"]


class SimulatedKafkaEgressSubject(Subject):
    class_type = "kafka-egress"
    announced = ("1.1", ())
    address = "kafka://127.0.0.1:9092"

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.sent = 0
        self.stage.backends = self.backends = Backends(self.stage.clock.scheduler)
        self.good = {"brokers": "127.0.0.1:9092", "topic": "a"}
        places = ["", "127.0.0.1:0", "kafka://x", "u:p@x:9092", "10.0.0.1:9092", "x,,y"]
        self.bad = [{}, {"brokers": "x"}, {"topic": "a"}, {"brokers": "x", "topic": ".."}]
        self.bad += [{"brokers": each, "topic": "a"} for each in places]

    def neighbour(self) -> dict[str, str]:
        return {"brokers": "[::1]", "topic": "b"}

    async def use(self, provider: Any, number: int = 1) -> bool:
        self.sent += 1
        text = f"{number}/{self.sent}"
        kind = EventType.CALL if self.sent % 2 else EventType.CAST
        answer = await self.stage.ask(provider, text, kind, number)
        good = CallReturn.reply("") if kind == EventType.CALL else NO_REPLY
        assert answer in (good, ERR)
        held = [
            record.value
            for broker in self.backends.all(KafkaBroker).values()
            for records in broker.topics.values()
            for record in records
        ]
        assert (answer == good) == (text in held)
        return bool(answer == good)

    async def fail(self, fault: str) -> None:
        let_fail(self.backends, self.address, fault)
