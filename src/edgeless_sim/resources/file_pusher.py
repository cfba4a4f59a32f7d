"""file-pusher: the files of a folder, one after the other, as events (spec 6.5).

The same in simulation: the files are those of the machine, read in the order of their names. Not
here: the folder (`pushed_files`).
"""

import re
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import ERR, CallReturn, Event, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink, ResourceHost
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.http_routes import is_true
from edgeless_sim.resources.pushed_files import PushedFiles, shown_name

__all__ = ["FilePusherProvider"]

_OUT: Final = "out"
_INSTANCES_MAX: Final = 1_000
#: Files per second of all instances together.
_RATE_MAX: Final = 10_000
_PERIOD_MS: Final = 1_000
_PERIOD_MS_MAX: Final = 86_400_000
_DIGITS: Final = re.compile(r"[0-9]{1,8}")
#: Files that are looked at in one turn until one is good.
_TRIES_MAX: Final = 16
_WARNINGS_NS: Final = 1_000_000_000


@dataclass(slots=True)
class _Pusher:
    pid: InstanceId
    sink: EventSink
    period_ns: int
    encodes: bool
    is_mapped: bool = False
    #: The file that had its turn last.
    last: bytes | None = None
    due_ns: int = 0
    timer: Timer | None = None
    silent_until_ns: int = 0


class FilePusherProvider:
    """Makes file-pusher instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node has no folder for it.
    """

    class_type: ClassVar[str] = "file-pusher"
    version: ClassVar[str] = "1.0"
    description: ClassVar[str] = (
        "Casts the files of a folder of the node, one per period, in the order of their names, "
        "and begins again after the last"
    )
    configurations: ClassVar[Mapping[str, str]] = {
        "period-ms": f"milliseconds from a file to the next, 1 to {_PERIOD_MS_MAX}; "
        f"default {_PERIOD_MS}",
        "encode-base64": "true: a file is sent as Base64; default false, as UTF-8 text",
    }
    outputs: ClassVar[tuple[str, ...]] = (_OUT,)
    real_time_only: ClassVar[bool] = False

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        folder = host.settings.file_pusher_directory
        if folder is None:
            raise SettingsError(
                "file_pusher_provider: file-pusher needs a directory, where its files are"
            )
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._scheduler = host.scheduler
        self._files = PushedFiles(folder, host.scheduler.now_ns)
        self._pushers: dict[InstanceKey, _Pusher] = {}

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`: the folder must be there."""
        try:
            self._files.names()
        except ResourceError as cause:
            raise SettingsError(clipped(f"file_pusher_provider.directory: {cause}")) from None

    def close(self) -> None:
        """See `ResourceProvider.close`."""
        for pusher in self._pushers.values():
            _halt(pusher)
        self._pushers.clear()

    async def start(
        self, pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
    ) -> None:
        """See `ResourceProvider.start`. A second start keeps the place in the folder."""
        configuration = specification.configuration
        period_ns = _period_ns(configuration)
        pusher = self._pushers.get(pid.key)
        if pusher is None and len(self._pushers) >= _INSTANCES_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {_INSTANCES_MAX} instances, the most it can"
            )
        self._check_rate(pid.key, period_ns)
        encodes = is_true(configuration, "encode-base64")
        if pusher is None:
            pusher = self._pushers[pid.key] = _Pusher(pid, sink, period_ns, encodes)
        else:
            # A start that is repeated because its answer was lost must not hasten anything.
            changed = pusher.period_ns != period_ns
            pusher.sink, pusher.period_ns, pusher.encodes = sink, period_ns, encodes
            if changed and pusher.timer is not None:
                self._set(pusher, self._scheduler.now_ns() + period_ns)
        if specification.output_mapping is not None:
            self._map(pusher, _OUT in specification.output_mapping)

    def handle(self, event: Event, answer: Callable[[CallReturn], None]) -> None:
        """See `ResourceProvider.handle`. It takes none: all fail."""
        del event
        answer(ERR)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`."""
        pusher = self._pushers.get(request.function_id.key)
        if pusher is not None:
            self._map(pusher, _OUT in request.output_mapping)

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`."""
        pusher = self._pushers.pop(pid.key, None)
        if pusher is not None:
            _halt(pusher)

    # -- turns ----------------------------------------------------------------------------------

    def _map(self, pusher: _Pusher, is_mapped: bool) -> None:
        """The first turn is at once, but not before somebody can get the file."""
        pusher.is_mapped = is_mapped
        if is_mapped and pusher.timer is None:
            pusher.due_ns = self._scheduler.now_ns()
            pusher.timer = self._scheduler.timer_at(pusher.due_ns, self._push, pusher)

    def _set(self, pusher: _Pusher, due_ns: int) -> None:
        _halt(pusher)
        pusher.due_ns = due_ns
        # It never ends by itself, as ticks do not.
        pusher.timer = self._scheduler.background_at(due_ns, self._push, pusher)

    def _push(self, pusher: _Pusher) -> None:
        now_ns = self._scheduler.now_ns()
        due_ns = pusher.due_ns + pusher.period_ns
        # Turns that were missed are not made up for.
        self._set(pusher, due_ns if due_ns > now_ns else now_ns + pusher.period_ns)
        payload, faults = self._next(pusher)
        if faults and now_ns >= pusher.silent_until_ns:
            pusher.silent_until_ns = now_ns + _WARNINGS_NS
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            self._host.warn(pusher.pid, clipped(f"file-pusher: {faults[0]}{more}"))
        if payload is not None:
            pusher.sink.cast(_OUT, payload)

    def _next(self, pusher: _Pusher) -> tuple[str | None, list[str]]:
        """What to send, if anything, and what is wrong with the files that are passed over."""
        faults: list[str] = []
        try:
            names = self._files.names()
        except ResourceError as cause:
            return None, [str(cause)]
        if not names:
            return "" if pusher.is_mapped else None, faults
        place = 0 if pusher.last is None else bisect_right(names, pusher.last)
        for turn in range(min(len(names), _TRIES_MAX)):
            pusher.last = name = names[(place + turn) % len(names)]
            if not pusher.is_mapped:
                break
            try:
                payload = self._payload(name, encodes=pusher.encodes)
            except ResourceError as cause:
                faults.append(str(cause))
                continue
            if payload is not None:
                return payload, faults
        return None, faults

    def _payload(self, name: bytes, *, encodes: bool) -> str | None:
        bytes_max = PAYLOAD_BYTES_MAX // 4 * 3 if encodes else PAYLOAD_BYTES_MAX
        content = self._files.read(name, bytes_max)
        if content is None:
            return None
        if encodes:
            return b64encode(content).decode()
        try:
            return content.decode()
        except UnicodeDecodeError:
            fault = f"{shown_name(name)} is no UTF-8 text; set encode-base64"
            raise ResourceError(fault) from None

    def _check_rate(self, key: InstanceKey, period_ns: int) -> None:
        periods = [other.period_ns for name, other in self._pushers.items() if name != key]
        if sum(1e9 / period for period in (period_ns, *periods)) > _RATE_MAX:
            raise RejectedError(
                REJECTED_SUMMARY,
                f"the provider would send more than {_RATE_MAX} files per second, the most it can",
            )


def _halt(pusher: _Pusher) -> None:
    if pusher.timer is not None:
        pusher.timer.cancel()


def _period_ns(configuration: Mapping[str, str]) -> int:
    text = configuration.get("period-ms", str(_PERIOD_MS))
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= _PERIOD_MS_MAX:
        raise RejectedError(
            REJECTED_SUMMARY,
            f"period-ms: {quoted(text)} is no integer from 1 to {_PERIOD_MS_MAX}",
        )
    return int(text) * 1_000_000
