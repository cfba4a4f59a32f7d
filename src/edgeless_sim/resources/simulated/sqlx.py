"""sqlx in simulation: the same statements on databases in memory (spec 6.11).

A database is a file of its node, as in the real world: two nodes have two, whatever their URLs.
A back-end that is down is a file that cannot be opened, a slow one is locked, a wrong one is no
database.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import EventSink, ResourceHost
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.simulated.backends import Backends, Reach
from edgeless_sim.resources.sql_session import SqlSession
from edgeless_sim.resources.sqlx_rules import (
    CONFIGURATIONS,
    DATABASES_MAX,
    DESCRIPTION,
    TIMEOUT_S,
    WAITING_MAX,
    check_room,
    database_path,
    read_configuration,
    too_many_databases,
)

__all__ = ["SimulatedSqlxProvider", "SqlDatabase", "databases_at", "node_database"]

_FAULTS: Final = {
    Reach.REFUSED: "unable to open database file",
    Reach.LATE: "the database is locked",
    Reach.WRONG: "file is not a database",
}

_Answer = Callable[[CallReturn], None]


class SqlDatabase:
    """A simulated database, as `Backends.of` makes it."""

    def __init__(self) -> None:
        self._session = SqlSession(":memory:")

    def execute(self, statement: str, workflow_id: str) -> str:
        """See `SqlSession.execute`."""
        return self._session.execute(statement, workflow_id)

    def rows(self) -> list[tuple[str, str]]:
        """Id and metadata of each row, as texts, by id."""
        return self._session.rows()


def node_database(backends: Backends, url: str, node: str) -> SqlDatabase:
    """What *node* has at *url*; an empty database if nothing was there.

    Raise `RejectedError` for a bad URL, and `SettingsError` if there would be too many.
    """
    return backends.of(SqlDatabase, f"sqlite://{node}//{database_path(url)}")


def databases_at(backends: Backends, url: str) -> dict[str, SqlDatabase]:
    """What the nodes have at *url*, by their names; raise `RejectedError` for a bad one."""
    end = f"//{database_path(url)}"
    return {
        address.removeprefix("sqlite://").removesuffix(end): database
        for address, database in backends.all(SqlDatabase).items()
        if address.endswith(end)
    }


@dataclass(slots=True, eq=False)
class _Instance:
    pid: InstanceId
    url: str
    workflow_id: str
    database: SqlDatabase
    waiting: deque[tuple[Event, _Answer]] = field(default_factory=deque)
    #: What is being done, and who wants to know.
    active: tuple[Timer, _Answer] | None = None


class SimulatedSqlxProvider:
    """Makes sqlx instances on one node; see `ResourceProvider`."""

    class_type: ClassVar[str] = "sqlx"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = DESCRIPTION
    configurations: ClassVar[Mapping[str, str]] = CONFIGURATIONS
    outputs: ClassVar[tuple[str, ...]] = ()
    real_time_only: ClassVar[bool] = False

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        assert host.backends is not None, "a twin is for simulation"
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._backends = host.backends
        self._timeout_s = min(TIMEOUT_S, host.settings.call_timeout_s)
        self._instances: dict[InstanceKey, _Instance] = {}

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`; there is nothing to do."""

    def close(self) -> None:
        """See `ResourceProvider.close`. The databases are the node's."""
        for instance in self._instances.values():
            instance.waiting.clear()
            if instance.active is not None:
                instance.active[0].cancel()
                instance.active = None
        self._instances.clear()

    async def start(
        self,
        pid: InstanceId,
        specification: ResourceInstanceSpecification,
        sink: EventSink,  # noqa: ARG002 - it makes no events
    ) -> None:
        """See `ResourceProvider.start`. The database and its table are there afterwards."""
        path, workflow_id = read_configuration(specification)
        url = f"sqlite://{path}"
        if pid.key not in self._instances:
            check_room(len(self._instances))
        try:
            database = await self._found(path, url)
        except SettingsError as cause:
            raise RejectedError(REJECTED_SUMMARY, clipped(f"{path}: {cause}")) from None
        await self.stop(pid)
        self._instances[pid.key] = _Instance(pid, url, workflow_id, database)

    def handle(self, event: Event, answer: _Answer) -> None:
        """See `ResourceProvider.handle`."""
        instance = self._instances.get(InstanceKey(event.target))
        if instance is None or len(instance.waiting) >= WAITING_MAX:
            answer(ERR)
        else:
            instance.waiting.append((event, answer))
            self._proceed(instance)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; there are no outputs."""

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. What waits fails; the database stays."""
        instance = self._instances.pop(pid.key, None)
        if instance is None:
            return
        active, instance.active = instance.active, None
        waiting = [answer for _, answer in instance.waiting]
        instance.waiting.clear()
        if active is not None:
            active[0].cancel()
            active[1](ERR)
        for answer in waiting:
            answer(ERR)

    # -- one event after the other --------------------------------------------------------------

    def _proceed(self, instance: _Instance) -> None:
        if instance.active is not None or not instance.waiting:
            return
        event, answer = instance.waiting.popleft()

        def arrive(reach: Reach) -> None:
            instance.active = None
            answer(self._perform(instance, event, reach))
            self._proceed(instance)

        timer = self._backends.reach(instance.url, arrive, timeout_s=self._timeout_s)
        instance.active = timer, answer

    def _perform(self, instance: _Instance, event: Event, reach: Reach) -> CallReturn:
        try:
            if reach is not Reach.REACHED:
                raise ResourceError(_FAULTS[reach])
            text = instance.database.execute(event.payload, instance.workflow_id)
        except ResourceError as cause:
            self._host.warn(instance.pid, clipped(f"sqlx: {cause}"))
            return ERR
        return CallReturn.reply(text) if event.kind == EventType.CALL else NO_REPLY

    async def _found(self, path: str, url: str) -> SqlDatabase:
        """The database at *path*; raise `SettingsError` if the world has no room for it."""
        reach = await self._backends.reached(url, timeout_s=self._timeout_s)
        fault = _FAULTS.get(reach)
        if fault is not None:
            raise RejectedError(REJECTED_SUMMARY, clipped(f"{path}: {fault}"))
        self._check_room(path)
        return node_database(self._backends, url, self._host.node_name)

    def _check_room(self, path: str) -> None:
        """Raise `RejectedError` if the node has as many databases as it may."""
        begin = f"sqlite://{self._host.node_name}//"
        mine = [each for each in self._backends.all(SqlDatabase) if each.startswith(begin)]
        if f"{begin}{path}" not in mine and len(mine) >= DATABASES_MAX:
            raise RejectedError(REJECTED_SUMMARY, too_many_databases(path))
