"""CSV files of what happens in a domain, for statistics (spec 7.3; defect U33; reliability S16).

Columns, names and order are EDGELESS's; cells with commas, quotes or line ends are quoted. Rows are
written once a second, as many as fit into a millisecond or two. A file that cannot be written to is
counted and tried again; it never disturbs the ε-ORC. Not here: a Redis (`redis_proxy`).
"""

import csv
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Final

from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import InstanceId, LogicalId, NodeId
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.mirror import MirroredComponent, MirroredHealth, Point
from edgeless_sim.model.names import clipped
from edgeless_sim.model.node import (
    CAPABILITIES_CSV_HEADER,
    HEALTH_CSV_HEADER,
    NodeCapabilities,
    plain_decimal,
)
from edgeless_sim.orchestrator.proxy import DomainSource
from edgeless_sim.orchestrator.records import Changes
from edgeless_sim.orchestrator.settings import DatasetSettings

__all__ = ["HEADERS", "DatasetProxy"]

#: Name of the file and its columns.
HEADERS: Final = {
    "health_status": f"timestamp,node_id,{HEALTH_CSV_HEADER}",
    "capabilities": f"timestamp,node_id,{CAPABILITIES_CSV_HEADER}",
    "mapping_to_instance_id": "timestamp,logical_id,workflow_id,node_id,physical_id",
    "performance_samples": "identifier,metric,timestamp,value",
    "application_logs": "identifier,target,timestamp,value",
}
#: Of one file: what waits, and what is written at once.
_WAITING_BYTES_MAX: Final = 8 << 20
_WRITTEN_BYTES_MAX: Final = 1 << 20
_PAUSE_TICKS_MAX: Final = 64

_log = logging.getLogger(__name__)


class _File:
    """One file that rows are added to. *lost* is told of each row for which there is no room."""

    def __init__(self, path: Path, header: str, *, append: bool, lost: Callable[[], None]) -> None:
        self._path = path
        self._header = f"{header}\n".encode(errors="replace")
        self._append = append
        self._lost = lost
        self._descriptor: int | None = None
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._pause_ticks = 1
        self._skips = 0

    def add(self, row: str) -> None:
        """A row, without the end of its line."""
        line = f"{row}\n".encode(errors="replace")
        if self._bytes + len(line) > _WAITING_BYTES_MAX:
            self._lost()
            return
        self._waiting.append(line)
        self._bytes += len(line)

    def write(self) -> None:
        """Write some of what waits; raise OSError if that fails, and pause then."""
        if self._skips:
            self._skips -= 1
            return
        try:
            if self._descriptor is None:
                self._descriptor = self._opened()
            self._write_some(self._descriptor)
        except OSError:
            self.close()
            self._skips = self._pause_ticks
            self._pause_ticks = min(_PAUSE_TICKS_MAX, 2 * self._pause_ticks)
            raise
        self._pause_ticks = 1

    def close(self) -> None:
        """Close the file; it is opened again if there is more to write."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _opened(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        begin = 0 if self._append else os.O_TRUNC
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | begin
        descriptor = os.open(self._path, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
        # Once it has begun anew, it goes on.
        self._append = True
        if self._waiting and self._waiting[0] is self._header:
            # For the file that could not be written to before.
            self._bytes -= len(self._waiting.popleft())
        if os.fstat(descriptor).st_size == 0:
            self._waiting.appendleft(self._header)
            self._bytes += len(self._header)
        return descriptor

    def _write_some(self, descriptor: int) -> None:
        room = _WRITTEN_BYTES_MAX
        while self._waiting and room > 0:
            line = self._waiting.popleft()
            written = 0
            try:
                written = os.write(descriptor, line)
            finally:
                # The rest of a line that the disk had no room for comes first next time.
                if written < len(line):
                    self._waiting.appendleft(line[written:])
                self._bytes -= written
                room -= written or room


class DatasetProxy:
    """See `Proxy`."""

    kind = "datasets"

    def __init__(self, context: ActorContext, settings: DatasetSettings) -> None:
        self._context = context
        self._settings = settings
        self.counters: Counter[str] = Counter()
        self._files = {
            name: _File(
                Path(f"{settings.path}{name}.csv"),
                f"{settings.header},{columns}",
                append=settings.append,
                lost=self._lost,
            )
            for name, columns in HEADERS.items()
        }
        self._capabilities: dict[NodeId, NodeCapabilities] = {}
        self._places: dict[LogicalId, tuple[InstanceId, ...]] = {}
        self._warned = False

    def begin(self, domain: DomainSource, obey: Callable[[Iterable[Intent]], None]) -> None:
        """See `Proxy.begin`: nothing comes from files."""
        del obey
        self._domain = domain
        self._write()

    def tick(self, changes: Changes) -> None:
        """See `Proxy.tick`."""
        for node_id in changes.nodes:
            self._look_at_node(node_id)
        for logical_id in changes.instances:
            self._look_at_component(logical_id)
        self._write()

    def health(self, node_id: NodeId, sample: MirroredHealth) -> None:
        """See `Proxy.health`."""
        stamp = plain_decimal(sample.time_s)
        self._add("health_status", f"{stamp},{node_id},{sample.health.csv_row()}")

    def points(self, instance: InstanceId, name: str, points: list[Point]) -> None:
        """See `Proxy.points`."""
        for point in points:
            stamp, value = plain_decimal(point.time_s), point.value
            is_log = isinstance(value, str)
            shown = value if isinstance(value, str) else plain_decimal(value)
            self._add(
                "application_logs" if is_log else "performance_samples",
                _row([str(instance.function_id), name, stamp, shown]),
            )

    def end(self) -> None:
        """See `Proxy.end`: what waits is written as far as it goes."""
        self._write()
        for file in self._files.values():
            file.close()

    # --- rows

    def _look_at_node(self, node_id: NodeId) -> None:
        node = self._domain.node(node_id)
        if node is None:
            self._capabilities.pop(node_id, None)
        elif self._capabilities.get(node_id) != node.capabilities:
            self._capabilities[node_id] = node.capabilities
            self._add("capabilities", f"{self._now()},{node_id},{node.capabilities.csv_row()}")

    def _look_at_component(self, logical_id: LogicalId) -> None:
        component = self._domain.component(logical_id)
        before = self._places.pop(logical_id, ())
        if component is None:
            # As in EDGELESS: the end of a component is not told.
            return
        places = self._places[logical_id] = component.instances
        if places == before:
            return
        cells = [self._now(), str(logical_id), _workflow(component)]
        for place in places:
            cells += [str(place.node_id), str(place.function_id)]
        self._add("mapping_to_instance_id", _row(cells if places else [*cells, "", ""]))

    def _now(self) -> str:
        return plain_decimal(self._domain.now_s())

    def _add(self, name: str, row: str) -> None:
        self.counters["rows"] += 1
        self._files[name].add(f"{self._settings.fields},{row}")

    # --- files

    def _write(self) -> None:
        for file in self._files.values():
            try:
                file.write()
            except OSError as error:
                self.counters["failures"] += 1
                if not self._warned:
                    self._warned = True
                    _log.warning("a dataset cannot be written: %s", clipped(str(error)))

    def _lost(self) -> None:
        self.counters["lost"] += 1


def _workflow(component: MirroredComponent) -> str:
    asked = component.function or component.resource
    return "" if asked is None else str(asked.workflow_id)


def _row(cells: Sequence[str]) -> str:
    line = StringIO(newline="")
    # With this end of a line, and no other, it quotes both of its characters.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n")
