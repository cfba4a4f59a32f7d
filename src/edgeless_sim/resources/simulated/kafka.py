"""kafka-egress in virtual time: its records go to simulated brokers.

The first broker that is named stands for its cluster: it holds the records, whichever of the named
ones is reached. A topic is made by its first record. Not here: what the class does (`kafka`).
"""

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.resources.kafka import KafkaEgress
from edgeless_sim.resources.kafka_rules import Broker, BrokerAwayError, KafkaPlace
from edgeless_sim.resources.simulated.backends import Backends, Reach, backend_address

__all__ = ["RECORDS_KEPT", "KafkaBroker", "KafkaRecord", "SimulatedKafkaEgressProvider"]

#: Records that a broker remembers of each topic, the newest ones.
RECORDS_KEPT: Final = 10_000
_FAULTS: Final = {
    Reach.REFUSED: "nobody listens there",
    Reach.LATE: "it did not answer in time",
    Reach.WRONG: "it does not speak Kafka",
}


class KafkaRecord(NamedTuple):
    """What was written."""

    at_ns: int
    value: str


@dataclass(slots=True)
class KafkaBroker:
    """A simulated broker, as `Backends.of` makes it."""

    #: The last `RECORDS_KEPT` of each topic, oldest first.
    topics: dict[str, deque[KafkaRecord]] = field(default_factory=dict)

    def append(self, topic: str, value: str, *, at_ns: int) -> None:
        """Write a record."""
        records = self.topics.get(topic)
        if records is None:
            records = self.topics[topic] = deque(maxlen=RECORDS_KEPT)
        records.append(KafkaRecord(at_ns, value))


class _SimulatedProducer:
    """A `Producer`."""

    def __init__(
        self, backends: Backends, scheduler: Scheduler, place: KafkaPlace, timeout_s: float
    ) -> None:
        self._backends = backends
        self._scheduler = scheduler
        self._place = place
        self._timeout_s = timeout_s

    async def open(self) -> None:
        """See `Producer.open`."""
        faults = []
        for broker in self._place.brokers:
            reach = await self._reached(broker)
            if reach is Reach.REACHED:
                return
            faults.append(f"{broker}: {_FAULTS[reach]}")
        raise BrokerAwayError("; ".join(faults))

    async def send(self, payload: str) -> None:
        """See `Producer.send`."""
        await self.open()
        address = _address(self._place.brokers[0])
        try:
            broker = self._backends.of(KafkaBroker, address)
        except SettingsError as cause:
            raise BrokerAwayError(str(cause)) from None
        broker.append(self._place.topic, payload, at_ns=self._scheduler.now_ns())

    def close(self) -> None:
        """See `Producer.close`; there are no connections."""

    async def _reached(self, broker: Broker) -> Reach:
        try:
            return await self._backends.reached(_address(broker), timeout_s=self._timeout_s)
        except SettingsError as cause:
            raise BrokerAwayError(str(cause)) from None


class SimulatedKafkaEgressProvider(KafkaEgress):
    """kafka-egress in simulation."""

    real_time_only: ClassVar[bool] = False

    def _make_producer(self, place: KafkaPlace) -> _SimulatedProducer:
        backends = self._host.backends
        assert backends is not None, "a twin is for simulation"
        return _SimulatedProducer(backends, self._host.scheduler, place, self._timeout_s)


def _address(broker: Broker) -> str:
    return backend_address(f"kafka://{broker}")
