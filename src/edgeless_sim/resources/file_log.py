"""file-log: each event becomes one line of a file (spec 6.6).

The line is ``[timestamp ][source ]message``. In strict profile a message cannot make more than one
line, because control characters are escaped. Not here: where files may be (`files`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import EventSink, ResourceHost
from edgeless_sim.resources.files import REJECTED_SUMMARY, check_path

__all__ = ["FileLogProvider"]

_INSTANCES_MAX: Final = 10_000
_EMPTY_REPLY: Final = CallReturn.reply("")
# Everything that some reader takes for the end of a line, and what drives a terminal.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_TO_MICROSECONDS: Final = len("2026-01-01T00:00:00.000000")


@dataclass(frozen=True, slots=True)
class _Log:
    pid: InstanceId
    path: str
    has_timestamp: bool
    has_source: bool


class FileLogProvider:
    """Makes file-log instances on one node; see `ResourceProvider`. Answers at once."""

    class_type: ClassVar[str] = "file-log"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Each event is a line of a file of the node"
    configurations: ClassVar[Mapping[str, str]] = {
        "filename": "the file, below the node's folder for them; mandatory",
        "add-timestamp": "if it is there, whatever it says, a line begins with the time",
        "add-source-id": "if it is there, whatever it says, a line names the sender",
    }
    outputs: ClassVar[tuple[str, ...]] = ()
    real_time_only: ClassVar[bool] = False

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._escapes = host.compatibility.file_log_escapes_newlines
        self._logs: dict[InstanceKey, _Log] = {}

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`; there is nothing to do."""

    def close(self) -> None:
        """See `ResourceProvider.close`. The files are the node's."""

    async def start(
        self,
        pid: InstanceId,
        specification: ResourceInstanceSpecification,
        sink: EventSink,  # noqa: ARG002 - it makes no events
    ) -> None:
        """See `ResourceProvider.start`. The file is there afterwards."""
        configuration = specification.configuration
        path = configuration.get("filename")
        if path is None:
            raise RejectedError(REJECTED_SUMMARY, "Field 'filename' missing")
        check_path(path)
        if len(self._logs) >= _INSTANCES_MAX and pid.key not in self._logs:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {_INSTANCES_MAX} instances, the most it can"
            )
        try:
            self._host.files.append(path, "")
        except ResourceError as cause:
            raise RejectedError(REJECTED_SUMMARY, str(cause)) from cause
        self._logs[pid.key] = _Log(
            pid, path, "add-timestamp" in configuration, "add-source-id" in configuration
        )

    def handle(self, event: Event, answer: Callable[[CallReturn], None]) -> None:
        """See `ResourceProvider.handle`. A call is answered with an empty reply."""
        log = self._logs.get(InstanceKey(event.target))
        if log is None:
            answer(ERR)
            return
        try:
            self._host.files.append(log.path, self._line(log, event))
        except ResourceError as cause:
            self._host.warn(log.pid, str(cause))
            answer(ERR)
            return
        answer(_EMPTY_REPLY if event.kind == EventType.CALL else NO_REPLY)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; there are no outputs."""

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. The file stays."""
        self._logs.pop(pid.key, None)

    def _line(self, log: _Log, event: Event) -> str:
        timestamp = f"{self._timestamp()} " if log.has_timestamp else ""
        source = f"{_source_text(event.source)} " if log.has_source else ""
        message = _CONTROLS.sub(_escaped, event.payload) if self._escapes else event.payload
        return f"{timestamp}{source}{message}\n"

    def _timestamp(self) -> str:
        """The time in RFC 3339, in UTC, with nanoseconds."""
        clock = self._host.clock
        seconds = clock.utc().isoformat(timespec="microseconds")[:_TO_MICROSECONDS]
        return f"{seconds}{clock.now_ns() % 1000:03d}+00:00"


@lru_cache(maxsize=4096)
def _source_text(key: bytes) -> str:
    return str(InstanceId.from_key(key))


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    number = ord(character)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")
