"""What a node observes of its instances: life cycle, execution and transfer times (spec 5.6).

Observers get each event as it happens; samples for the ε-ORC are collected, bounded, until the
next refresh takes them.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from edgeless_sim.kernel.clock import Clock
from edgeless_sim.model.ids import FunctionId, InstanceId
from edgeless_sim.model.node import FunctionLogEntry, NodePerformanceSamples, Sample

__all__ = ["SAMPLES_MAX", "ExitStatus", "Telemetry", "TelemetryEvent", "TelemetryKind"]

#: Most samples, and most log entries, kept between two refreshes.
SAMPLES_MAX: Final = 10_000
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NOTHING: Final = NodePerformanceSamples()


class TelemetryKind(StrEnum):
    """What was observed, with EDGELESS's names."""

    INSTANTIATE = "FunctionInstantiate"
    INIT = "FunctionInit"
    LOG = "FunctionLogEntry"
    TRANSFER = "FunctionTransfer"
    COMPLETED = "FunctionInvocationCompleted"
    STOP = "FunctionStop"
    EXIT = "FunctionExit"


class ExitStatus(StrEnum):
    """How an instance ended."""

    OK = "Ok"
    CODE_ERROR = "CodeError"
    INTERNAL_ERROR = "InternalError"


class TelemetryEvent(msgspec.Struct, frozen=True, gc=False):
    """One observation. ``value`` is a duration in ns, an exit status, or a log message."""

    kind: TelemetryKind
    pid: InstanceId
    value: int | str
    tag: str = ""
    """CAST or CALL for a completed invocation; level and target for a log entry."""


class Telemetry:
    """Collects the observations of one node."""

    def __init__(self, clock: Clock, *, performance_samples: bool = False) -> None:
        self._clock = clock
        #: Calendar time at `now_ns` = 0, in ns: samples say when, not how long after the start.
        self._epoch_ns = (clock.utc() - _UNIX_EPOCH) // _MICROSECOND * 1000 - clock.now_ns()
        self._sampling = performance_samples
        self._observers: list[Callable[[TelemetryEvent], None]] = []
        self._samples: dict[TelemetryKind, dict[FunctionId, list[Sample]]] = {}
        self._logs: dict[FunctionId, list[FunctionLogEntry]] = {}
        self._count = 0
        self.enabled = performance_samples

    def observe(self, observer: Callable[[TelemetryEvent], None]) -> None:
        """Tell *observer* everything from now on."""
        self._observers.append(observer)
        self.enabled = True

    def report(self, kind: TelemetryKind, pid: InstanceId, value: int | str, tag: str = "") -> None:
        """Something was observed."""
        if not self.enabled:
            return
        event = TelemetryEvent(kind, pid, value, tag)
        for observer in self._observers:
            observer(event)
        if self._sampling and self._count < SAMPLES_MAX:
            self._collect(event)

    def take(self) -> NodePerformanceSamples:
        """All samples since the last call."""
        if not self._count:
            return _NOTHING
        samples, self._samples = self._samples, {}
        logs, self._logs = self._logs, {}
        self._count = 0

        def series(kind: TelemetryKind) -> dict[FunctionId, tuple[Sample, ...]]:
            return {pid: tuple(values) for pid, values in samples.get(kind, {}).items()}

        return NodePerformanceSamples(
            function_instantiate_times=series(TelemetryKind.INSTANTIATE),
            function_init_times=series(TelemetryKind.INIT),
            function_execution_times=series(TelemetryKind.COMPLETED),
            function_stop_times=series(TelemetryKind.STOP),
            function_transfer_times=series(TelemetryKind.TRANSFER),
            function_log_entries={pid: tuple(entries) for pid, entries in logs.items()},
        )

    def _collect(self, event: TelemetryEvent) -> None:
        self._count += 1
        when_ns = self._epoch_ns + self._clock.now_ns()
        seconds, nanoseconds = divmod(when_ns, 1_000_000_000)
        key = event.pid.function_id
        if event.kind is TelemetryKind.LOG:
            target = event.tag.partition(" ")[2]
            entry = FunctionLogEntry(seconds, nanoseconds, target, str(event.value))
            self._logs.setdefault(key, []).append(entry)
        elif isinstance(event.value, int):
            series = self._samples.setdefault(event.kind, {}).setdefault(key, [])
            series.append(Sample(seconds, nanoseconds, event.value / 1e9))
