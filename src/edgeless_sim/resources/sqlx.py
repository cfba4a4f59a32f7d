"""sqlx: each event is one SQL statement on a database of the node (spec 6.11).

Each instance has a connection, a bounded queue and a worker, which lets SQLite work in a thread:
the loop never waits for a disk. What fails is Err, with a warning. Not here: which statements may
run (`sql_session`), and where databases may be (`database_folder`).
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final, TypeVar

import anyio
import anyio.to_thread

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import EventSink, ResourceHost
from edgeless_sim.resources.database_folder import DatabaseFolder
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.sql_session import DatabaseBusyError, SqlSession
from edgeless_sim.resources.sqlx_rules import (
    CONFIGURATIONS,
    DESCRIPTION,
    TIMEOUT_S,
    WAITING_MAX,
    check_room,
    read_configuration,
)
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["SqlxProvider"]

#: Statements at once, of all instances of a provider.
_THREADS: Final = 8
#: Between two attempts at a database that is locked.
_BUSY_PAUSE_S: Final = 0.01

_Answer = Callable[[CallReturn], None]
T = TypeVar("T")


class _Database:
    """The database of one instance, in whatever thread; one call at a time."""

    def __init__(self, folder: DatabaseFolder, path: str, now_ns: Callable[[], int]) -> None:
        self._folder = folder
        self._path = path
        self._now_ns = now_ns
        self._session: SqlSession | None = None
        self._file = Path()
        self._identity = (0, 0)
        #: Set when nobody wants to know any more.
        self.abandoned = False

    def open(self) -> None:
        """Have a connection to the file that is there now; raise as `SqlSession`."""
        if self._session is not None:
            if self._found() == self._identity:
                return
            # Somebody replaced or removed it. What is written to the old one is lost.
            self.close()
        self._file = self._folder.place(self._path)
        self._session = SqlSession(str(self._file))
        self._identity = self._found()

    def execute(self, statement: str, workflow_id: str, deadline_ns: int) -> str:
        """See `SqlSession.execute`."""
        self.open()
        assert self._session is not None, "it is open"
        return self._session.execute(
            statement, workflow_id, lambda: self.abandoned or self._now_ns() > deadline_ns
        )

    def close(self) -> None:
        """Close the connection. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _found(self) -> tuple[int, int]:
        try:
            status = self._file.stat(follow_symlinks=False)
        except OSError:
            return 0, 0
        return status.st_dev, status.st_ino


@dataclass(slots=True, eq=False)
class _Instance:
    """One instance: what it was told, and what waits for its worker."""

    pid: InstanceId
    database: _Database
    workflow_id: str
    waiting: deque[tuple[Event, _Answer]] = field(default_factory=deque)
    #: Set when something waits.
    wake: anyio.Event = field(default_factory=anyio.Event)
    worker: anyio.CancelScope | None = None


class SqlxProvider:
    """Makes sqlx instances on one node; see `ResourceProvider`."""

    class_type: ClassVar[str] = "sqlx"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = DESCRIPTION
    configurations: ClassVar[Mapping[str, str]] = CONFIGURATIONS
    outputs: ClassVar[tuple[str, ...]] = ()
    real_time_only: ClassVar[bool] = True

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._timeout_s = min(TIMEOUT_S, host.settings.call_timeout_s)
        self._tasks = ProviderTasks(host.spawn, f"{host.node_name}/{provider_id}")
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._temporary: TemporaryDirectory[str] | None = None
        self._folder: DatabaseFolder | None = None
        self._instances: dict[InstanceKey, _Instance] = {}

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`. Without a folder, one is made that goes with it."""
        root = self._host.settings.database_folder
        if root is None:
            self._temporary = TemporaryDirectory(prefix="sqlx-", ignore_cleanup_errors=True)
            root = Path(self._temporary.name)
        try:
            self._folder = DatabaseFolder(root)
        except ResourceError as cause:
            raise SettingsError(f"database_folder: {cause}") from cause

    def close(self) -> None:
        """See `ResourceProvider.close`. Statements in hand are undone, or done already."""
        for instance in self._instances.values():
            instance.database.abandoned = True
        self._instances.clear()
        self._tasks.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    async def start(
        self,
        pid: InstanceId,
        specification: ResourceInstanceSpecification,
        sink: EventSink,  # noqa: ARG002 - it makes no events
    ) -> None:
        """See `ResourceProvider.start`. The database and its table are there afterwards."""
        path, workflow_id = read_configuration(specification)
        if pid.key not in self._instances:
            check_room(len(self._instances))
        assert self._folder is not None, "it was opened"
        database = _Database(self._folder, path, self._host.clock.now_ns)
        deadline_ns = self._deadline_ns()
        try:
            await self._patiently(database.open, deadline_ns)
        except ResourceError as cause:
            raise RejectedError(REJECTED_SUMMARY, clipped(f"{path}: {cause}")) from cause
        except BaseException:
            database.close()
            raise
        await self.stop(pid)
        instance = _Instance(pid, database, workflow_id)
        self._instances[pid.key] = instance
        instance.worker = self._tasks.begin(lambda: self._work(instance))

    def handle(self, event: Event, answer: _Answer) -> None:
        """See `ResourceProvider.handle`."""
        instance = self._instances.get(InstanceKey(event.target))
        if instance is None or len(instance.waiting) >= WAITING_MAX:
            answer(ERR)
        else:
            instance.waiting.append((event, answer))
            instance.wake.set()

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; there are no outputs."""

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. What waits fails; the file stays."""
        instance = self._instances.pop(pid.key, None)
        if instance is not None:
            instance.database.abandoned = True
            while instance.waiting:
                instance.waiting.popleft()[1](ERR)
            assert instance.worker is not None, "it was begun with the instance"
            instance.worker.cancel()

    # -- the worker -----------------------------------------------------------------------------

    async def _work(self, instance: _Instance) -> None:
        """Deal with what waits, one after the other, until it is cancelled."""
        try:
            while True:
                await instance.wake.wait()
                instance.wake = anyio.Event()
                while instance.waiting:
                    event, answer = instance.waiting.popleft()
                    result = ERR
                    try:
                        result = await self._attempt(instance, event)
                    finally:
                        answer(result)
        finally:
            # No thread has it any more, and closing waits for nothing.
            instance.database.close()

    async def _attempt(self, instance: _Instance, event: Event) -> CallReturn:
        deadline_ns = self._deadline_ns()
        database, workflow_id = instance.database, instance.workflow_id
        try:
            text = await self._patiently(
                lambda: database.execute(event.payload, workflow_id, deadline_ns), deadline_ns
            )
        except (ResourceError, RejectedError) as cause:
            self._host.warn(instance.pid, clipped(f"sqlx: {cause}"))
            return ERR
        return CallReturn.reply(text) if event.kind == EventType.CALL else NO_REPLY

    async def _patiently(self, act: Callable[[], T], deadline_ns: int) -> T:
        """Call *act* in a thread, again while the database is locked, until *deadline_ns*."""
        while True:
            try:
                return await anyio.to_thread.run_sync(act, limiter=self._threads)
            except DatabaseBusyError:
                if self._host.clock.now_ns() >= deadline_ns:
                    raise
            await self._host.clock.sleep(_BUSY_PAUSE_S)

    def _deadline_ns(self) -> int:
        return self._host.clock.now_ns() + round(self._timeout_s * 1e9)
