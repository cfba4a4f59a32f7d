"""What the journal and the telemetry hear of one instance's life, apart from its events."""

from collections.abc import Callable

from edgeless_sim.kernel.journal import Journal
from edgeless_sim.model.event import Event
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node.telemetry import ExitStatus, Telemetry, TelemetryKind
from edgeless_sim.runtimes.base import Failed, GuestEventKind

__all__ = ["FunctionChronicle"]


class FunctionChronicle:
    """Writes down beginnings and ends. The hot path, an event's, is not here."""

    __slots__ = ("_after_init", "_journal", "_number", "_pid", "_telemetry")

    def __init__(
        self, pid: InstanceId, number: int, journal: Journal, telemetry: Telemetry
    ) -> None:
        """*number* is the instance's number in the journal."""
        self._pid = pid
        self._number = number
        self._journal = journal
        self._telemetry = telemetry
        self._after_init: Callable[[], None] | None = None

    def when_initialised(self, tell: Callable[[], None]) -> None:
        """Call *tell* when ``init`` has ended well, once."""
        self._after_init = tell

    def instantiated(self) -> None:
        """There is a guest."""
        self._telemetry.report(TelemetryKind.INSTANTIATE, self._pid, 0)

    def hook_began(self, hook: GuestEventKind) -> None:
        """``init`` or the stop hook was entered."""
        self._journal.record("begin", 0, self._number, int(hook), 0)

    def hook_ended(self, hook: GuestEventKind, fuel: int, duration_ns: int) -> None:
        """``init`` or the stop hook has ended well."""
        self._journal.record("end", 0, self._number, fuel, duration_ns, "ok")
        if hook == GuestEventKind.STOP:
            self._telemetry.report(TelemetryKind.STOP, self._pid, duration_ns)
            self.exited(ExitStatus.OK)
        else:
            self._telemetry.report(TelemetryKind.INIT, self._pid, duration_ns)
            tell, self._after_init = self._after_init, None
            if tell is not None:
                tell()

    def failed(self, event: Event | None, step: Failed, duration_ns: int, *, init: bool) -> None:
        """The guest failed in the handling of *event*, or in a hook."""
        serial = 0 if event is None else event.serial
        self._journal.record("end", serial, self._number, step.fuel, duration_ns, step.reason)
        self.exited(ExitStatus.INTERNAL_ERROR if init else ExitStatus.CODE_ERROR)

    def exited(self, status: ExitStatus) -> None:
        """There is no guest any more."""
        self._telemetry.report(TelemetryKind.EXIT, self._pid, status)

    def note(self, state: str, reason: str) -> None:
        """The instance is in another state now."""
        self._journal.record("state", self._number, state, reason[:300])

    def stopped(self, reason: str) -> None:
        """The instance is gone."""
        self._journal.record("stop", self._number, reason)
