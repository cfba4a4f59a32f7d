"""kafka-egress: each event becomes a record of a topic (spec 6.10).

Each instance has a producer and a bounded queue; records are written one after the other, each
once at most. While no broker can be used, events fail at once but for one attempt per pause; the
pauses grow to two seconds. What writes is a `Producer`. Not here: the one over sockets
(`kafka_producer`), and simulated brokers (`simulated.kafka`).
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import ClassVar, Protocol

import anyio

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import EventSink, ResourceHost
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.kafka_rules import (
    INSTANCES_MAX,
    PAUSE_MAX_NS,
    PAUSE_MIN_NS,
    TIMEOUT_S,
    WAITING_MAX,
    BrokerAwayError,
    KafkaPlace,
    read_place,
)
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["KafkaEgress", "KafkaEgressProvider", "Producer"]

_Answer = Callable[[CallReturn], None]
_LATE = "no broker answered in time"


class Producer(Protocol):
    """Writes into one topic. Nobody asks two things of it at a time."""

    async def open(self) -> None:
        """Find the topic; raise `BrokerAwayError` if that cannot be done."""
        ...

    async def send(self, payload: str) -> None:
        """Write a record and return when it was acknowledged.

        Raise `BrokerAwayError` if no broker can be used, `ResourceError` if one refused the record.
        """
        ...

    def close(self) -> None:
        """Give back connections at once. Idempotent; who sends afterwards makes new ones."""
        ...


@dataclass(slots=True, eq=False)
class _Instance:
    pid: InstanceId
    producer: Producer
    waiting: deque[tuple[Event, _Answer]] = field(default_factory=deque)
    #: Who wants to know about the record that is under way.
    active: _Answer | None = None
    #: There is one while something waits.
    worker: anyio.CancelScope | None = None
    #: Before this time nothing is attempted; the next pause after a failure.
    closed_until_ns: int = 0
    pause_ns: int = PAUSE_MIN_NS


class KafkaEgress(ABC):
    """A `ResourceProvider` whose instances write events into topics.

    Raises `SettingsError` if the node's list of allowed addresses cannot be understood.
    """

    class_type: ClassVar[str] = "kafka-egress"
    version: ClassVar[str] = "1.1"
    outputs: ClassVar[tuple[str, ...]] = ()
    real_time_only: ClassVar[bool]
    description: ClassVar[str] = "Each event is a record of a topic; a call returns when it is kept"
    configurations: ClassVar[Mapping[str, str]] = {
        "brokers": "HOST:PORT of brokers of the cluster, separated by commas; default port 9092",
        "topic": "where records go",
    }

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._policy = EgressPolicy(host.settings.kafka_allow, key="kafka_allow")
        self._timeout_s = min(TIMEOUT_S, host.settings.call_timeout_s)
        self._tasks = ProviderTasks(host.spawn, f"{host.node_name}/{provider_id}")
        self._instances: dict[InstanceKey, _Instance] = {}

    @abstractmethod
    def _make_producer(self, place: KafkaPlace) -> Producer:
        """What writes for one instance; connections are made later."""

    # -- ResourceProvider -----------------------------------------------------------------------

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:  # noqa: B027 - twins have nothing to do
        """See `ResourceProvider.open`. Connections are those of instances."""

    def close(self) -> None:
        """See `ResourceProvider.close`."""
        for instance in self._instances.values():
            instance.waiting.clear()
            instance.active = None
            instance.producer.close()
        self._instances.clear()
        self._tasks.close()

    async def start(
        self,
        pid: InstanceId,
        specification: ResourceInstanceSpecification,
        sink: EventSink,  # noqa: ARG002 - it makes no events
    ) -> None:
        """See `ResourceProvider.start`. The topic has been found by then."""
        place = read_place(specification.configuration)
        for broker in place.brokers:
            fault = self._policy.name_fault(broker.host, broker.port)
            if fault is not None:
                raise RejectedError(REJECTED_SUMMARY, clipped(fault))
        if pid.key not in self._instances and len(self._instances) >= INSTANCES_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {INSTANCES_MAX} instances, the most it can"
            )
        producer = self._make_producer(place)
        try:
            with self._host.clock.fail_after(2 * self._timeout_s):
                await producer.open()
        except (ResourceError, TimeoutError) as cause:
            producer.close()
            raise RejectedError(REJECTED_SUMMARY, clipped(str(cause) or _LATE)) from cause
        except BaseException:
            producer.close()
            raise
        await self.stop(pid)
        self._instances[pid.key] = _Instance(pid, producer)

    def handle(self, event: Event, answer: _Answer) -> None:
        """See `ResourceProvider.handle`."""
        instance = self._instances.get(InstanceKey(event.target))
        if instance is None:
            answer(ERR)
        elif len(instance.waiting) >= WAITING_MAX:
            self._warn(instance, f"{WAITING_MAX} events wait, the most that can; this one is lost")
            answer(ERR)
        elif self._host.scheduler.now_ns() < instance.closed_until_ns:
            answer(ERR)
        else:
            instance.waiting.append((event, answer))
            if instance.worker is None:
                instance.worker = self._tasks.begin(lambda: self._work(instance))

    async def patch(self, request: PatchRequest) -> None:  # noqa: B027 - there is nothing to do
        """See `ResourceProvider.patch`; there are no outputs."""

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. What waits fails, and so does what is under way."""
        instance = self._instances.pop(pid.key, None)
        if instance is None:
            return
        if instance.worker is not None:
            instance.worker.cancel()
        instance.producer.close()
        active, instance.active = instance.active, None
        if active is not None:
            active(ERR)
        _refuse(instance)

    # -- the worker -----------------------------------------------------------------------------

    async def _work(self, instance: _Instance) -> None:
        """Write what waits, one after the other, until nothing does."""
        while instance.waiting:
            event, instance.active = instance.waiting.popleft()
            result = await self._attempt(instance, event)
            answer, instance.active = instance.active, None
            # None: the instance was stopped meanwhile, and has said so.
            if answer is not None:
                answer(result)
        instance.worker = None

    async def _attempt(self, instance: _Instance, event: Event) -> CallReturn:
        try:
            with self._host.clock.fail_after(2 * self._timeout_s):
                await instance.producer.send(event.payload)
        except (BrokerAwayError, TimeoutError) as cause:
            self._failed(instance, str(cause) or _LATE)
            return ERR
        except ResourceError as cause:
            self._warn(instance, str(cause))
            return ERR
        instance.pause_ns = PAUSE_MIN_NS
        return CallReturn.reply("") if event.kind == EventType.CALL else NO_REPLY

    def _failed(self, instance: _Instance, message: str) -> None:
        """The others that wait would fail as slowly."""
        instance.closed_until_ns = self._host.scheduler.now_ns() + instance.pause_ns
        instance.pause_ns = min(2 * instance.pause_ns, PAUSE_MAX_NS)
        # A late answer must not be taken for that to the next record.
        instance.producer.close()
        self._warn(instance, message)
        _refuse(instance)

    def _warn(self, instance: _Instance, message: str) -> None:
        self._host.warn(instance.pid, clipped(f"{self.class_type}: {message}"))


class KafkaEgressProvider(KafkaEgress):
    """kafka-egress beside real brokers; needs the extra ``kafka``."""

    real_time_only: ClassVar[bool] = True

    async def open(self) -> None:
        """See `ResourceProvider.open`; raise `SettingsError` if the extra is not installed."""
        try:
            import_module("aiokafka")
        except ImportError:
            raise SettingsError(
                f"the resource class {self.class_type} needs the extra 'kafka', which is not "
                "installed: pip install 'edgeless-sim[kafka]', or offer no such provider"
            ) from None

    def _make_producer(self, place: KafkaPlace) -> Producer:
        # Imported here, since the class is listed without the extra, too.
        from edgeless_sim.resources.kafka_producer import KafkaProducer

        return KafkaProducer(
            place, self._policy, self._host.clock, self._host.dice, self._timeout_s
        )


def _refuse(instance: _Instance) -> None:
    while instance.waiting:
        instance.waiting.popleft()[1](ERR)
