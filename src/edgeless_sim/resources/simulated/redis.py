"""redis in virtual time: a cast sets a key of a simulated server, a call gets one.

The same configurations are refused as with sockets, as many events wait, and a server that is
away is left alone for the same pauses. Not here: users and passwords, which no server asks for.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink, ResourceHost
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.redis_rules import (
    CONFIGURATIONS,
    DESCRIPTION,
    INSTANCES_MAX,
    PAUSE_MAX_NS,
    PAUSE_MIN_NS,
    TIMEOUT_S,
    WAITING_MAX,
    RedisPlace,
    read_place,
)
from edgeless_sim.resources.simulated.backends import Reach, backend_address

__all__ = [
    "DATABASES",
    "REDIS_FAULTS",
    "WRITES_KEPT",
    "RedisServer",
    "RedisWrite",
    "SimulatedRedisProvider",
]

#: Databases of a server: as many as Redis has unless told otherwise.
DATABASES: Final = 16
#: Writes that a server remembers, the newest ones.
WRITES_KEPT: Final = 10_000
#: As the client of the real class: once more at once, then the pause begins.
_ATTEMPTS: Final = 2
#: What is the matter with a server.
REDIS_FAULTS: Final = {
    Reach.REFUSED: "nobody listens there",
    Reach.LATE: "the server did not answer in time",
    Reach.WRONG: "the server does not speak Redis",
}

_Answer = Callable[[CallReturn], None]


class RedisWrite(NamedTuple):
    """A key that was set, or got another element."""

    at_ns: int
    database: int
    key: str
    value: str


@dataclass(slots=True)
class RedisServer:
    """A simulated server, as `Backends.of` makes it."""

    #: Number of the database -> key -> value.
    databases: dict[int, dict[str, str]] = field(default_factory=dict)
    #: The same for keys that are lists; no key is both.
    lists: dict[int, dict[str, deque[str]]] = field(default_factory=dict)
    #: The last `WRITES_KEPT`, oldest first.
    writes: deque[RedisWrite] = field(default_factory=lambda: deque(maxlen=WRITES_KEPT))

    def set(self, database: int, key: str, value: str, *, at_ns: int) -> None:
        """Set *key* and remember that."""
        self.lists.get(database, {}).pop(key, None)
        self.databases.setdefault(database, {})[key] = value
        self.writes.append(RedisWrite(at_ns, database, key, value))

    def get(self, database: int, key: str) -> str | None:
        """The value of *key*; None if there is none."""
        return self.databases.get(database, {}).get(key)

    def push(self, database: int, key: str, value: str, *, kept: int, at_ns: int) -> None:
        """Append *value* to the list *key*, of which the last *kept* elements stay.

        Raise `ResourceError` if it is no list.
        """
        if key in self.databases.get(database, {}):
            raise ResourceError(f"{quoted(key)} has a value and is no list")
        elements = self.lists.setdefault(database, {}).setdefault(key, deque())
        elements.append(value)
        while len(elements) > kept:
            elements.popleft()
        self.writes.append(RedisWrite(at_ns, database, key, value))

    def delete(self, database: int, *keys: str) -> None:
        """Forget *keys*, whatever they are."""
        for key in keys:
            self.databases.get(database, {}).pop(key, None)
            self.lists.get(database, {}).pop(key, None)

    def shown(self, database: int, key: str) -> str | None:
        """The value of *key*, of a list each element on a line; None if there is none."""
        elements = self.lists.get(database, {}).get(key)
        return self.get(database, key) if elements is None else "\n".join(elements)


@dataclass(slots=True, eq=False)
class _Instance:
    pid: InstanceId
    address: str
    database: int
    key: str | None
    prefix: str
    waiting: deque[tuple[Event, _Answer]] = field(default_factory=deque)
    #: What is being asked, and who wants to know.
    active: tuple[Timer, _Answer] | None = None
    closed_until_ns: int = 0
    pause_ns: int = PAUSE_MIN_NS


class SimulatedRedisProvider:
    """Makes redis instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node's list of allowed addresses cannot be understood.
    """

    class_type: ClassVar[str] = "redis"
    version: ClassVar[str] = "1.2"
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
        self._policy = EgressPolicy(host.settings.redis_allow, key="redis_allow")
        self._timeout_s = min(TIMEOUT_S, host.settings.call_timeout_s)
        self._instances: dict[InstanceKey, _Instance] = {}

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`; there is nothing to do."""

    def close(self) -> None:
        """See `ResourceProvider.close`."""
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
        """See `ResourceProvider.start`. The server has answered by then."""
        configuration = specification.configuration
        url = configuration.get("url")
        if url is None:
            raise RejectedError(REJECTED_SUMMARY, "Missing Redis URL")
        if pid.key not in self._instances and len(self._instances) >= INSTANCES_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {INSTANCES_MAX} instances, the most it can"
            )
        place, address = read_place(url), backend_address(url)
        try:
            fault = await self._greet(place, address)
        except SettingsError as cause:
            fault = str(cause)
        if fault is not None:
            raise RejectedError(REJECTED_SUMMARY, clipped(fault))
        by_workflow = "add-workflow-id" in configuration
        await self.stop(pid)
        self._instances[pid.key] = _Instance(
            pid,
            address,
            place.database,
            configuration.get("key"),
            f"{specification.workflow_id}:" if by_workflow else "",
        )

    def handle(self, event: Event, answer: _Answer) -> None:
        """See `ResourceProvider.handle`."""
        instance = self._instances.get(InstanceKey(event.target))
        if instance is None or len(instance.waiting) >= WAITING_MAX:
            answer(ERR)
        elif event.kind != EventType.CALL and instance.key is None:
            self._host.warn(instance.pid, "redis: a cast was dropped, since no 'key' is configured")
            answer(ERR)
        elif self._host.scheduler.now_ns() < instance.closed_until_ns:
            answer(ERR)
        else:
            instance.waiting.append((event, answer))
            self._proceed(instance)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; there are no outputs."""

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. What waits fails."""
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
        if instance.active is None and instance.waiting:
            event, answer = instance.waiting.popleft()
            self._attempt(instance, event, answer, _ATTEMPTS)

    def _attempt(self, instance: _Instance, event: Event, answer: _Answer, left: int) -> None:
        def arrive(reach: Reach) -> None:
            instance.active = None
            if reach in (Reach.REFUSED, Reach.LATE):
                if left > 1:
                    self._attempt(instance, event, answer, left - 1)
                    return
                self._failed(instance, reach, answer)
                return
            if reach is Reach.WRONG:
                self._warn(instance, REDIS_FAULTS[reach])
                result = ERR
            else:
                instance.pause_ns = PAUSE_MIN_NS
                result = self._perform(instance, event)
            answer(result)
            self._proceed(instance)

        timer = self._backends.reach(instance.address, arrive, timeout_s=self._timeout_s)
        instance.active = timer, answer

    def _perform(self, instance: _Instance, event: Event) -> CallReturn:
        server = self._backends.of(RedisServer, instance.address)
        if event.kind != EventType.CALL:
            now_ns = self._host.scheduler.now_ns()
            key = f"{instance.prefix}{instance.key}"
            server.set(instance.database, key, event.payload, at_ns=now_ns)
            return NO_REPLY
        value = server.get(instance.database, f"{instance.prefix}{event.payload}")
        if value is None:
            return ERR
        if len(value.encode()) > PAYLOAD_BYTES_MAX:
            self._warn(instance, f"the value has more than {PAYLOAD_BYTES_MAX} bytes")
            return ERR
        return CallReturn.reply(value)

    def _failed(self, instance: _Instance, reach: Reach, answer: _Answer) -> None:
        """The others that wait would fail as slowly."""
        instance.closed_until_ns = self._host.scheduler.now_ns() + instance.pause_ns
        instance.pause_ns = min(2 * instance.pause_ns, PAUSE_MAX_NS)
        self._warn(instance, REDIS_FAULTS[reach])
        waiting = [other for _, other in instance.waiting]
        instance.waiting.clear()
        for each in (answer, *waiting):
            each(ERR)

    async def _greet(self, place: RedisPlace, address: str) -> str | None:
        """Why no instance can use the server at *place*; None if it can.

        Raise `SettingsError` if the world has no room for it.
        """
        fault = self._policy.name_fault(place.host, place.port)
        if fault is not None:
            return fault
        for attempt in range(1, _ATTEMPTS + 1):
            reach = await self._backends.reached(address, timeout_s=self._timeout_s)
            if reach is Reach.WRONG or attempt == _ATTEMPTS or reach is Reach.REACHED:
                break
        if reach is Reach.REACHED:
            if place.database < DATABASES:
                self._backends.of(RedisServer, address)
                return None
            return f"there is no database {place.database}: a simulated server has {DATABASES}"
        return REDIS_FAULTS[reach]

    def _warn(self, instance: _Instance, message: str) -> None:
        self._host.warn(instance.pid, clipped(f"redis: {message}"))
