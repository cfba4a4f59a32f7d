"""Performs what a guest has sent, when its segment ends (spec 1.1, 1.4)."""

from collections.abc import Callable, Sequence
from typing import Final

from edgeless_sim.dataplane.handle import DataplaneHandle
from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.hosting import HostingContext
from edgeless_sim.node.instance_state import InstanceState
from edgeless_sim.node.telemetry import TelemetryKind
from edgeless_sim.runtimes.base import (
    Call,
    CallRaw,
    Cast,
    CastRaw,
    DelayedCast,
    Log,
    LogLevel,
    Output,
    Refused,
    Sync,
)

__all__ = ["LOG_BURST_LINES", "LOG_LINES_PER_S", "OutputPerformer"]

LOG_LINES_PER_S: Final = 100
LOG_BURST_LINES: Final = 1000

_BURST: Final = float(LOG_BURST_LINES)
_LEVELS: Final = {level.value: level.name.lower() for level in LogLevel}


class OutputPerformer:
    """Sends, logs and stores for one instance."""

    __slots__ = ("_context", "_handle", "_log_credit", "_log_credit_ns", "_pid", "_state")

    def __init__(
        self,
        pid: InstanceId,
        handle: DataplaneHandle,
        state: InstanceState,
        context: HostingContext,
    ) -> None:
        self._pid = pid
        self._handle = handle
        self._state = state
        self._context = context
        self._log_credit = _BURST
        self._log_credit_ns = context.actor.scheduler.now_ns()

    def perform(self, outputs: Sequence[Output], metadata: bytes) -> None:
        """Perform *outputs* in order; events carry *metadata*, that of the event in process."""
        handle = self._handle
        for output in outputs:
            kind = type(output)
            if kind is Cast:
                handle.cast(output.alias, output.payload, metadata)  # type: ignore[union-attr]  # kind was compared
            elif kind is Log:
                self._log(output)  # type: ignore[arg-type]  # kind was compared
            else:
                self._perform_rare(output, metadata)

    def call(
        self, call: Call | CallRaw, answer: Callable[[CallReturn], None], metadata: bytes
    ) -> int:
        """Make the call for which a guest waits; give its number, 0 if it failed at once."""
        if isinstance(call, Call):
            return self._handle.call_nowait(call.alias, call.payload, answer, metadata)
        return self._handle.call_raw_nowait(call.target, call.payload, answer, metadata)

    def _perform_rare(self, output: Output, metadata: bytes) -> None:
        if isinstance(output, CastRaw):
            self._handle.cast_raw(output.target, output.payload, metadata)
        elif isinstance(output, DelayedCast):
            self._handle.delayed_cast(output.delay_ms, output.alias, output.payload, metadata)
        elif isinstance(output, Sync):
            self._state.sync(output.state)
        elif isinstance(output, Refused):
            self._refused(output)

    def _refused(self, output: Refused) -> None:
        self._context.plane.counters[f"{output.operation} refused"] += 1
        cause = f"{output.operation}: {output.cause}"
        self._context.actor.journal.record("drop", 0, self._handle.number, cause[:200])

    def _log(self, entry: Log) -> None:
        """Record a log entry, at most 100 lines a second after a burst of 1,000."""
        now_ns = self._context.actor.scheduler.now_ns()
        earned = (now_ns - self._log_credit_ns) * LOG_LINES_PER_S / 1e9
        self._log_credit_ns = now_ns
        self._log_credit = min(LOG_BURST_LINES, self._log_credit + earned)
        if self._log_credit < 1:
            self._context.plane.counters["log lines over the rate"] += 1
            return
        self._log_credit -= 1
        level = _LEVELS.get(entry.level)
        if level is None:
            # EDGELESS takes an unknown level for Error (spec 1.1); we also tell the author.
            self._context.plane.counters["unknown log level"] += 1
            level = "error"
            self._write("warn", entry.target, f"unknown log level {entry.level}, taken for error")
        self._write(level, entry.target, entry.message)

    def _write(self, level: str, target: str, message: str) -> None:
        self._context.actor.journal.record("log", self._handle.number, level, target, message)
        if self._context.telemetry.enabled:
            self._context.telemetry.report(
                TelemetryKind.LOG, self._pid, message, f"{level} {target}"
            )
