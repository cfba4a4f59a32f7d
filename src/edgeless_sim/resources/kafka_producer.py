"""Writes records to real brokers (reliability S02, G13).

aiokafka has the connection, the protocol and the format of records. Its producer is not used: it
connects to whatever address a broker names, and writes again what may have been written. Not here:
which addresses may be connected to (`egress_policy`), and what a failure means (`kafka`).
"""

import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import for_code
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from edgeless_sim.errors import ResourceError
from edgeless_sim.kernel.clock import Clock
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.kafka_rules import Broker, BrokerAwayError, KafkaPlace
from edgeless_sim.resources.resolution import checked_address

__all__ = ["LEADERS_MAX", "KafkaProducer"]

#: Brokers of one cluster that a producer is connected to at a time.
LEADERS_MAX: Final = 6
#: A topic that is just being made, or whose leader died, has no leader for a while.
_PAUSE_S: Final = 0.1
_CLIENT: Final = "edgeless-sim"
_ALL_REPLICAS: Final = -1
#: The version of the format that every broker since 0.11 takes.
_MAGIC: Final = 2
_NO_TOPIC: Final = 3
_NO_LEADER: Final = 5
#: What a broker answers that is not, or not any more, the leader: nothing was written.
_STALE: Final = frozenset({_NO_TOPIC, _NO_LEADER, 6})

# What it would say of a broken connection is said as a warning of the instance, without traceback.
logging.getLogger("aiokafka.conn").setLevel(logging.CRITICAL)


class _NoTopicError(BrokerAwayError):
    """The brokers answer, and the topic is not there."""


class _StaleError(BrokerAwayError):
    """Nothing was written, because the leaders are others by now."""


class KafkaProducer:
    """A `Producer`. Partitions take turns; their leaders acknowledge for all replicas in sync."""

    def __init__(
        self,
        place: KafkaPlace,
        policy: EgressPolicy,
        clock: Clock,
        dice: Random,
        timeout_s: float,
    ) -> None:
        """*timeout_s* is for each connection and each request."""
        self._place = place
        self._policy = policy
        self._clock = clock
        self._dice = dice
        self._timeout_s = timeout_s
        self._connections: dict[Broker, AIOKafkaConnection] = {}
        #: Partitions and who leads them; empty = not known.
        self._turns: list[tuple[int, Broker]] = []
        self._turn = 0

    async def open(self) -> None:
        """See `Producer.open`. One of the leaders has been connected to, as well."""
        await self._learn()
        faults = []
        for leader in dict.fromkeys(leader for _, leader in self._turns):
            try:
                await self._connected(leader)
                return
            except BrokerAwayError as cause:
                faults.append(str(cause))
        raise BrokerAwayError("; ".join(faults))

    async def send(self, payload: str) -> None:
        """See `Producer.send`."""
        now_ms = int(self._clock.utc().timestamp() * 1000)
        batch = _batch(payload.encode(), now_ms)
        left_s = self._timeout_s
        while True:
            try:
                await self._write(batch)
                return
            except _StaleError:
                self._turns = []
                left_s -= _PAUSE_S
                if left_s <= 0:
                    raise
            await self._clock.sleep(_PAUSE_S)

    def close(self) -> None:
        """See `Producer.close`."""
        self._turns = []
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    # -- records --------------------------------------------------------------------------------

    async def _write(self, batch: bytes) -> None:
        if not self._turns:
            await self._learn()
        partition, leader = self._turns[self._turn % len(self._turns)]
        self._turn += 1
        try:
            connection = await self._connected(leader)
        except BrokerAwayError as cause:
            raise _StaleError(str(cause)) from cause
        topic = self._place.topic
        request = ProduceRequest(
            transactional_id=None,
            required_acks=_ALL_REPLICAS,
            timeout=round(self._timeout_s * 1000),
            topics=[(topic, [(partition, batch)])],
        )
        code = await self._asked(leader, lambda: connection.send(request), _produced)
        if code in _STALE:
            raise _StaleError(f"topic {quoted(topic)}: {_meaning(code)}")
        if code:
            raise ResourceError(f"topic {quoted(topic)}: {_meaning(code)}")

    # -- who leads ------------------------------------------------------------------------------

    async def _learn(self) -> None:
        """Ask one broker after the other for the leaders, until one has answered."""
        faults = []
        for broker in self._place.brokers:
            try:
                connection = await self._connected(broker)
                await self._find_leaders(broker, connection)
                return
            except _NoTopicError:
                raise
            except BrokerAwayError as cause:
                faults.append(str(cause))
        raise BrokerAwayError("; ".join(faults))

    async def _find_leaders(self, asked: Broker, connection: AIOKafkaConnection) -> None:
        topic = self._place.topic
        # The broker makes a topic that it has not, if it is set up to.
        request = MetadataRequest([topic], allow_auto_topic_creation=True)
        left_s = self._timeout_s
        while True:
            code, turns = await self._asked(asked, lambda: connection.send(request), _leaders)
            if turns:
                break
            left_s -= _PAUSE_S
            if code not in (0, _NO_TOPIC, _NO_LEADER) or left_s <= 0:
                meaning = _meaning(code) if code else "none of its partitions has a leader"
                raise _NoTopicError(f"topic {quoted(topic)}: {meaning}")
            await self._clock.sleep(_PAUSE_S)
        self._dice.shuffle(turns)
        used = list(dict.fromkeys(leader for _, leader in turns))[:LEADERS_MAX]
        self._turns = [turn for turn in turns if turn[1] in used]
        for broker in self._connections.keys() - set(used):
            self._connections.pop(broker).close()

    # -- connections ----------------------------------------------------------------------------

    async def _connected(self, broker: Broker) -> AIOKafkaConnection:
        """A connection to *broker*, whose address is checked whenever one is made."""
        found = self._connections.get(broker)
        if found is not None and found.connected():
            return found
        try:
            with self._clock.fail_after(self._timeout_s):
                address = await checked_address(self._policy, broker.host, broker.port)
        except TimeoutError:
            raise BrokerAwayError(f"{broker}: its name was not resolved in time") from None
        except ResourceError as cause:
            raise BrokerAwayError(str(cause)) from None
        connection = AIOKafkaConnection(
            address, broker.port, client_id=_CLIENT, request_timeout_ms=self._timeout_s * 1000
        )
        try:
            await self._asked(broker, connection.connect, bool)
        except BaseException:
            connection.close()
            raise
        self._connections[broker] = connection
        return connection

    async def _asked(
        self, broker: Broker, ask: Callable[[], Awaitable[Any]], read: Callable[[Any], Any]
    ) -> Any:
        """What *read* makes of the answer to *ask*; raise `BrokerAwayError` if it cannot."""
        try:
            with self._clock.fail_after(self._timeout_s):
                return read(await ask())
        except TimeoutError as cause:
            raise BrokerAwayError(f"{broker} did not answer in time") from cause
        except Exception as cause:
            # The boundary: a stranger may answer anything.
            reason = str(cause) or type(cause).__name__
            raise BrokerAwayError(clipped(f"{broker}: {reason}")) from cause


def _batch(value: bytes, at_ms: int) -> bytes:
    """A record with an empty key, in the form in which brokers keep it."""
    builder = DefaultRecordBatchBuilder(_MAGIC, 0, 0, -1, -1, -1, batch_size=0)
    builder.append(0, at_ms, b"", value, [])
    return bytes(builder.build())


def _produced(response: Any) -> int:
    """The code of the one partition that was written to; 0 = it was."""
    [topic] = response.to_object()["topics"]
    [partition] = topic["partitions"]
    return int(partition["error_code"])


def _leaders(response: Any) -> tuple[int, list[tuple[int, Broker]]]:
    """The code of the one topic that was asked for, and its partitions that have a leader."""
    told = response.to_object()
    brokers = {each["node_id"]: Broker(each["host"], each["port"]) for each in told["brokers"]}
    [topic] = told["topics"]
    turns = [
        (int(each["partition"]), brokers[each["leader"]])
        for each in topic["partitions"]
        if each["leader"] in brokers
    ]
    return int(topic["error_code"]), turns


def _meaning(code: int) -> str:
    known = for_code(code)
    return f"{getattr(known, 'message', 'unknown error')} (error {code} of Kafka)"
