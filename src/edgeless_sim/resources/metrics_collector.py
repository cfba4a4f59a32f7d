"""metrics-collector: how long transactions take, kept as samples and averages (spec 6.14).

A function says when a transaction of its own, or of its workflow, begins and ends. What is
measured does not wait for that: a message is answered when it was understood, and what comes of it
is written behind (`sample_writer`). Not here: the messages (`collector_rules`), the real store
(`redis_samples`) and the simulated one (`simulated.metrics_collector`).
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import UUID

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import EventSink, ResourceHost
from edgeless_sim.resources.collector_rules import (
    INSTANCES_MAX,
    NAMES_MAX,
    TIMEOUT_S,
    TRANSACTIONS_MAX,
    WAITING_MAX,
    CollectorConfiguration,
    Report,
    Sample,
    Verb,
    read_configuration,
    read_report,
    stamp,
)
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.redis_rules import RedisPlace, read_place, url_fault
from edgeless_sim.resources.sample_writer import SampleStore, SampleWriter
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["MetricsCollector", "MetricsCollectorProvider"]

_REPLY = CallReturn.reply("")


@dataclass(slots=True, eq=False)
class _Instance:
    pid: InstanceId
    told: CollectorConfiguration
    #: Name and number of what has begun -> when, in ns; the oldest first.
    begun: dict[tuple[str, int], int] = field(default_factory=dict)


class MetricsCollector(ABC):
    """A `ResourceProvider` whose instances share one store.

    Raises `SettingsError` if the node's `collector_redis_url` cannot be understood.
    """

    class_type: ClassVar[str] = "metrics-collector"
    version: ClassVar[str] = "1.0"
    outputs: ClassVar[tuple[str, ...]] = ()
    real_time_only: ClassVar[bool]
    description: ClassVar[str] = (
        "How long transactions take, from function:begin:N to function:end:N, or the same with "
        "workflow; reset:MS forgets all"
    )
    configurations: ClassVar[Mapping[str, str]] = {
        "alpha": "weight of the newest sample in the moving average, above 0 and up to 1; "
        "default 0.9",
        "wf_name": "what the workflow's own metrics are kept under; without it they are not",
    }

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        #: What was not as it should be, by kind: see `SampleWriter`, and ``messages_malformed``,
        #: ``messages_skipped``, ``ends_without_begin``, ``transactions_forgotten``.
        self.counters: Counter[str] = Counter()
        self._tasks = ProviderTasks(host.spawn, f"{host.node_name}/{provider_id}")
        self._instances: dict[InstanceKey, _Instance] = {}
        #: Moving averages by name, of all that have keys; the one longest without a sample first.
        self._averages: dict[str, float] = {}
        #: Before this time samples are not kept.
        self._quiet_until_ns = 0
        #: Whose log gets what is nobody's own matter.
        self._last: InstanceId | None = None
        self._writer = SampleWriter(
            self._make_store(_place(host), min(TIMEOUT_S, host.settings.call_timeout_s)),
            host.clock,
            self._tasks,
            warn=self._warn,
            counters=self.counters,
        )

    @abstractmethod
    def _make_store(self, place: RedisPlace, timeout_s: float) -> SampleStore:
        """What keeps samples; connections are made later."""

    # -- ResourceProvider -----------------------------------------------------------------------

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:  # noqa: B027 - there is nothing to do
        """See `ResourceProvider.open`. The store may be away: what is measured works without."""

    def close(self) -> None:
        """See `ResourceProvider.close`. What waits to be written is lost."""
        self._instances.clear()
        self._tasks.close()

    async def start(
        self,
        pid: InstanceId,
        specification: ResourceInstanceSpecification,
        sink: EventSink,  # noqa: ARG002 - it makes no events
    ) -> None:
        """See `ResourceProvider.start`. An instance that is configured anew forgets what began."""
        told = read_configuration(specification.configuration)
        if pid.key not in self._instances and len(self._instances) >= INSTANCES_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {INSTANCES_MAX} instances, the most it can"
            )
        self._instances[pid.key] = _Instance(pid, told)

    def handle(self, event: Event, answer: Callable[[CallReturn], None]) -> None:
        """See `ResourceProvider.handle`; *answer* is called at once."""
        instance = self._instances.get(InstanceKey(event.target))
        if instance is None:
            answer(ERR)
            return
        self._last = instance.pid
        fault = self._fault(instance, event)
        if fault is not None:
            self._warn(fault)
            answer(ERR)
        else:
            answer(_REPLY if event.kind == EventType.CALL else NO_REPLY)

    async def patch(self, request: PatchRequest) -> None:  # noqa: B027 - there is nothing to do
        """See `ResourceProvider.patch`; there are no outputs."""

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. What was measured until then is written."""
        self._instances.pop(pid.key, None)

    # -- transactions ---------------------------------------------------------------------------

    def _fault(self, instance: _Instance, event: Event) -> str | None:
        """Do what *event* says; why nothing came of it, or None."""
        report = read_report(event.payload)
        if report is None:
            self.counters["messages_malformed"] += 1
            return f"{quoted(event.payload)} is no message of this class"
        if report.verb is not Verb.RESET:
            return self._take(instance, report, event.source)
        self._reset(report.number)
        return None

    def _take(self, instance: _Instance, report: Report, source: bytes) -> str | None:
        """Why nothing came of *report*; None if something did."""
        if not report.of_workflow:
            name = f"function:{UUID(bytes=source[16:])}"
        elif instance.told.workflow:
            name = f"workflow:{instance.told.workflow}"
        else:
            self.counters["messages_skipped"] += 1
            return "a message about the workflow was skipped, since no 'wf_name' is configured"
        key = (name, report.number)
        begun_ns = instance.begun.pop(key, None)
        now_ns = self._host.scheduler.now_ns()
        if report.verb is Verb.END:
            if begun_ns is None:
                self.counters["ends_without_begin"] += 1
                return f"the transaction {report.number} of {name} has not begun"
            return self._measure(instance, name, (now_ns - begun_ns) // 1_000_000)
        instance.begun[key] = now_ns
        if len(instance.begun) > TRANSACTIONS_MAX:
            del instance.begun[next(iter(instance.begun))]
            self.counters["transactions_forgotten"] += 1
            self._warn(f"more than {TRANSACTIONS_MAX} transactions; the oldest one is forgotten")
        return None

    def _measure(self, instance: _Instance, name: str, elapsed_ms: int) -> str | None:
        if self._host.scheduler.now_ns() < self._quiet_until_ns:
            return None
        if self._writer.full:
            self.counters["samples_lost"] += 1
            return f"{WAITING_MAX} samples wait, the most that can; this one is lost"
        before = self._averages.pop(name, None)
        alpha = instance.told.alpha
        average = elapsed_ms if before is None else alpha * elapsed_ms + (1 - alpha) * before
        self._averages[name] = float(average)
        self._writer.append(Sample(name, elapsed_ms, stamp(self._host.clock.utc()), float(average)))
        if len(self._averages) > NAMES_MAX:
            oldest = next(iter(self._averages))
            del self._averages[oldest]
            self._writer.forget([oldest])
        return None

    def _reset(self, warm_up_ms: int) -> None:
        """Begin a new epoch: of all instances, as they share the store."""
        self._writer.reset(self._averages)
        self._averages = {}
        self._quiet_until_ns = self._host.scheduler.now_ns() + warm_up_ms * 1_000_000

    def _warn(self, message: str) -> None:
        assert self._last is not None, "nothing happens before the first message"
        self._host.warn(self._last, clipped(f"{self.class_type}: {message}"))


class MetricsCollectorProvider(MetricsCollector):
    """metrics-collector beside a real Redis."""

    real_time_only: ClassVar[bool] = True

    def _make_store(self, place: RedisPlace, timeout_s: float) -> SampleStore:
        # Imported here, since the class is listed without a wish for the library, too.
        from edgeless_sim.resources.redis_samples import RedisSamples

        return RedisSamples(place, self._host.clock, timeout_s)


def _place(host: ResourceHost) -> RedisPlace:
    url = host.settings.collector_redis_url
    fault = url_fault(url)
    if fault is not None:
        raise SettingsError(f"the Redis of metrics-collector: {fault}")
    return read_place(url)
